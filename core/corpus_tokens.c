// SPDX-License-Identifier: Apache-2.0
// Files of tokens whose documents, if they are marked at all, end with a token of their own:
//   nanogpt  data/*/prepare.py of nanoGPT: uint16, nothing else
//   llmc     write_datafile in dev/data/data_common.py of llm.c: 256 int32 (magic, version,
//            number of tokens, zeros), then the tokens
#include "core/corpus_internal.h"
#include <endian.h>
#include <inttypes.h>
#include <string.h>

#define LLMC_HEADER 1024 // 256 int32
// What a header says of the tokens behind it.
static const struct llmc_kind {
    int32_t magic, version;
    int width;
} llmc_kinds[] = {{20240520, 1, 2}, {20240801, 7, 4}}; // gpt-2, llama-3

static enum err nanogpt_open(struct corpus *c, const char *path)
{
    TRY(corpus_map(c, path, "uint16 tokens"));
    struct corpus_file *f = &c->file[c->n_files - 1];
    ENSURE(f->size % 2 == 0, ERR_INPUT,
           "%s: expected uint16 tokens, a whole number of 2 bytes each, found %zu bytes", path,
           f->size);
    f->tokens = f->map;
    f->n_tokens = (int64_t)(f->size / 2);
    return corpus_set_width(c, path, 2);
}

static enum err llmc_open(struct corpus *c, const char *path)
{
    TRY(corpus_map(c, path, "llm.c tokens"));
    struct corpus_file *f = &c->file[c->n_files - 1];
    ENSURE(f->size >= LLMC_HEADER, ERR_INPUT,
           "%s: expected a header of 256 int32 (1024 bytes), found %zu bytes", path, f->size);
    int32_t header[3];
    for (int i = 0; i < 3; i++) {
        uint32_t v;
        memcpy(&v, f->map + 4 * i, sizeof v);
        header[i] = (int32_t)le32toh(v);
    }
    const struct llmc_kind *k = &llmc_kinds[header[0] == llmc_kinds[1].magic];
    ENSURE(header[0] == k->magic, ERR_INPUT,
           "%s: expected the magic number %d (gpt-2) or %d (llama-3), found %d", path,
           llmc_kinds[0].magic, llmc_kinds[1].magic, header[0]);
    ENSURE(header[1] == k->version, ERR_INPUT,
           "%s: expected version %d with magic number %d, found %d", path, k->version, k->magic,
           header[1]);
    ENSURE(header[2] > 0, ERR_INPUT, "%s: expected a number of tokens above 0, found %d", path,
           header[2]);
    int64_t size = LLMC_HEADER + (int64_t)header[2] * k->width;
    ENSURE((int64_t)f->size == size, ERR_INPUT,
           "%s: expected %" PRId64 " bytes for the %d tokens of its header, found %zu", path,
           size, header[2], f->size);
    f->tokens = f->map + LLMC_HEADER;
    f->n_tokens = header[2];
    return corpus_set_width(c, path, k->width);
}

// Whether one of n tokens is eot, without a branch in the loop: compilers make vectors of it.
static bool holds16(const uint8_t *from, int64_t n, uint16_t eot)
{
    uint16_t any = 0;
    for (int64_t i = 0; i < n; i++) {
        uint16_t t;
        memcpy(&t, from + 2 * i, sizeof t);
        any |= (uint16_t)(t == eot);
    }
    return any;
}

static bool holds32(const uint8_t *from, int64_t n, uint32_t eot)
{
    uint32_t any = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t t;
        memcpy(&t, from + 4 * i, sizeof t);
        any |= (uint32_t)(t == eot);
    }
    return any;
}

static bool holds(const uint8_t *from, int64_t n, int width, int64_t eot)
{
    if (width == 4)
        return holds32(from, n, htole32((uint32_t)eot));
    return eot <= UINT16_MAX && holds16(from, n, htole16((uint16_t)eot));
}

// The first eot among n tokens; n: there is none. By blocks, then in the block that holds it.
static int64_t find(const uint8_t *from, int64_t n, int width, int64_t eot)
{
    enum { BLOCK = 64 };
    int64_t i = 0;
    while (i + BLOCK <= n && !holds(from + i * width, BLOCK, width, eot))
        i += BLOCK;
    while (i < n && !holds(from + i * width, 1, width, eot))
        i++;
    return i;
}

static enum err walk_file(struct corpus *c, const struct corpus_file *f, int64_t eot,
                          struct split *split)
{
    for (int64_t start = 0, n; start < f->n_tokens; start += n) {
        const uint8_t *from = f->tokens + start * c->width;
        n = f->n_tokens - start;
        if (eot >= 0) {
            int64_t at = find(from, n, c->width, eot);
            n = at < n ? at + 1 : n;
        }
        TRY(stream_add(split_next(split, c), c->width, from, n));
    }
    return OK;
}

static enum err tokens_walk(struct corpus *c, const struct corpus_spec *s, struct split *split)
{
    for (int64_t i = 0; i < c->n_files; i++)
        TRY(walk_file(c, &c->file[i], s->eot, split));
    return OK;
}

const struct layout corpus_nanogpt = {nanogpt_open, tokens_walk};
const struct layout corpus_llmc = {llmc_open, tokens_walk};
