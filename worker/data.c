// SPDX-License-Identifier: Apache-2.0
#include "worker/data.h"
#include "core/rng.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define STREAM_DATA 0x64617461U // "data": keeps these draws apart from other uses of the seed
#define ROUNDS 4                // Luby and Rackoff 1988: four rounds give a strong permutation

enum err data_init(struct data *d, const struct corpus *c, int64_t S, int64_t val_tokens,
                   uint64_t seed)
{
    ENSURE(c->train.n >= S + 2, ERR_INPUT,
           "training text too short: %" PRId64 " tokens, one window of S = %" PRId64
           " needs %" PRId64,
           c->train.n, S, S + 2);
    ENSURE(val_tokens >= S, ERR_INPUT,
           "val.tokens: expected at least one window of S = %" PRId64 " tokens, found %" PRId64,
           S, val_tokens);
    int64_t val_windows = val_tokens / S;
    ENSURE(c->held.n >= val_windows * S + 1, ERR_INPUT,
           "held-out text too short: %" PRId64 " tokens, val.tokens = %" PRId64
           " needs %" PRId64,
           c->held.n, val_tokens, val_windows * S + 1);
    int64_t windows = c->train.n / S - 1; // any offset below S leaves room for these
    *d = (struct data){.corpus = c,
                       .S = S,
                       .windows = windows < 1 ? 1 : windows,
                       .val_windows = val_windows,
                       .seed = seed};
    return OK;
}

static uint32_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x7fb5d329728ea185ULL; // finaliser in the manner of splitmix64
    x = (x ^ (x >> 27)) * 0x81dadef4bc2dd44dULL;
    return (uint32_t)(x >> 32);
}

// Permutes [0, n): a Feistel network over the next even number of bits, walked until it lands
// in range.
static uint64_t permute(uint64_t i, uint64_t n, const uint64_t key[ROUNDS])
{
    int half = 1;
    while (half < 31 && (1ULL << (2 * half)) < n)
        half++;
    uint32_t mask = (uint32_t)((1ULL << half) - 1);
    do {
        uint32_t left = (uint32_t)(i >> half) & mask, right = (uint32_t)i & mask;
        for (int r = 0; r < ROUNDS; r++) {
            uint32_t next = left ^ (mix(right ^ key[r]) & mask);
            left = right;
            right = next;
        }
        i = (uint64_t)left << half | right;
    } while (i >= n);
    return i;
}

int64_t data_position(const struct data *d, int64_t g)
{
    int64_t pass = g / d->windows;
    struct rng r;
    rng_seed(&r, d->seed + (uint64_t)pass * 0x9e3779b97f4a7c15ULL, STREAM_DATA);
    uint64_t key[ROUNDS];
    for (int k = 0; k < ROUNDS; k++)
        key[k] = rng_u64(&r);
    int64_t slack = d->corpus->train.n - d->windows * d->S; // offsets 0 .. slack - 1 fit
    int64_t offset = (int64_t)rng_below(&r, (uint64_t)(slack < d->S ? slack : d->S));
    uint64_t w = permute((uint64_t)(g % d->windows), (uint64_t)d->windows, key);
    return offset + (int64_t)w * d->S;
}

static enum err window(const struct data *d, const struct stream *s, int64_t at,
                       int32_t *tokens, int32_t *targets)
{
    TRY(corpus_read(d->corpus, s, at, d->S, tokens));
    memcpy(targets, tokens + 1, (size_t)(d->S - 1) * sizeof *targets);
    return corpus_read(d->corpus, s, at + d->S, 1, targets + d->S - 1);
}

enum err data_batch(const struct data *d, int64_t first, int64_t n, int32_t *tokens,
                    int32_t *targets)
{
    for (int64_t i = 0; i < n; i++)
        TRY(window(d, &d->corpus->train, data_position(d, first + i), tokens + i * d->S,
                   targets + i * d->S));
    return OK;
}

enum err data_held(const struct data *d, int64_t first, int64_t n, int32_t *tokens,
                   int32_t *targets)
{
    for (int64_t i = 0; i < n; i++)
        TRY(window(d, &d->corpus->held, (first + i) * d->S, tokens + i * d->S,
                   targets + i * d->S));
    return OK;
}

int64_t data_val_tokens(const struct data *d)
{
    return d->val_windows * d->S;
}

double data_val_bytes(const struct data *d)
{
    enum { BLOCK = 4096 };
    int32_t block[BLOCK];
    int64_t end = data_val_tokens(d) + 1, bytes = 0;
    if (d->corpus->kind != DATA_TEXT)
        return NAN;
    for (int64_t i = 1, k; i < end; i += k) {
        k = end - i < BLOCK ? end - i : BLOCK;
        if (corpus_read(d->corpus, &d->corpus->held, i, k, block) != OK)
            return NAN;
        for (int64_t n = 0; n < k; n++)
            bytes += block[n] != 0;
    }
    return (double)bytes;
}

uint32_t data_fingerprint(const struct data *d)
{
    return corpus_crc(d->corpus);
}
