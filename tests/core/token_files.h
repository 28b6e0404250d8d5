// SPDX-License-Identifier: Apache-2.0
// Writes the same documents as files of every kind of token data, byte by byte as docs/data.md
// lays them out: on its own, so that reader and writer cannot share a mistake.
#ifndef TESTS_CORE_TOKEN_FILES_H
#define TESTS_CORE_TOKEN_FILES_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *p;
    size_t n, room;
};

static inline void put_uint(struct bytes *b, uint64_t v, int width)
{
    if (b->n + 8 > b->room) {
        b->room = b->room > 0 ? 2 * b->room : 4096;
        b->p = realloc(b->p, b->room);
        if (b->p == NULL)
            abort();
    }
    for (int i = 0; i < width; i++)
        b->p[b->n++] = (uint8_t)(v >> 8 * i);
}

// Tokens with the documents' ends: document d is tokens end[d-1] .. end[d] - 1.
struct docs {
    const int32_t *tokens;
    const int64_t *end;
    int64_t n;
};

static inline struct bytes bytes_nanogpt(const struct docs *d)
{
    struct bytes b = {0};
    for (int64_t i = 0; i < d->end[d->n - 1]; i++)
        put_uint(&b, (uint64_t)d->tokens[i], 2);
    return b;
}

// width 2: gpt-2, 4: llama-3.
static inline struct bytes bytes_llmc(const struct docs *d, int width)
{
    struct bytes b = {0};
    put_uint(&b, width == 2 ? 20240520 : 20240801, 4);
    put_uint(&b, width == 2 ? 1 : 7, 4);
    put_uint(&b, (uint64_t)d->end[d->n - 1], 4);
    for (int i = 3; i < 256; i++)
        put_uint(&b, 0, 4);
    for (int64_t i = 0; i < d->end[d->n - 1]; i++)
        put_uint(&b, (uint64_t)d->tokens[i], width);
    return b;
}

static inline struct bytes bytes_megatron_bin(const struct docs *d, int width)
{
    struct bytes b = {0};
    for (int64_t i = 0; i < d->end[d->n - 1]; i++)
        put_uint(&b, (uint64_t)d->tokens[i], width);
    return b;
}

// Every document is two sequences, the first of a third of it (so some are empty).
static inline struct bytes bytes_megatron_idx(const struct docs *d, int width)
{
    static const uint8_t magic[9] = {'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0};
    struct bytes b = {0};
    for (int i = 0; i < 9; i++)
        put_uint(&b, magic[i], 1);
    put_uint(&b, 1, 8);
    put_uint(&b, width == 2 ? 8 : 4, 1);
    put_uint(&b, (uint64_t)(2 * d->n), 8);
    put_uint(&b, (uint64_t)(d->n + 1), 8);
    for (int64_t i = 0; i < d->n; i++) {
        int64_t len = d->end[i] - (i > 0 ? d->end[i - 1] : 0);
        put_uint(&b, (uint64_t)(len / 3), 4);
        put_uint(&b, (uint64_t)(len - len / 3), 4);
    }
    for (int64_t i = 0; i < d->n; i++) {
        int64_t at = i > 0 ? d->end[i - 1] : 0, len = d->end[i] - at;
        put_uint(&b, (uint64_t)(at * width), 8);
        put_uint(&b, (uint64_t)((at + len / 3) * width), 8);
    }
    for (int64_t i = 0; i <= d->n; i++)
        put_uint(&b, (uint64_t)(2 * i), 8);
    return b;
}

// Writes and frees.
static inline void write_bytes(const char *path, struct bytes b)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(b.p, 1, b.n, f) != b.n || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
    free(b.p);
}
#endif
