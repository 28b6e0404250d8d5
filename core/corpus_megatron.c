// SPDX-License-Identifier: Apache-2.0
// Megatron-LM's indexed data, megatron/core/datasets/indexed_dataset.py (_IndexWriter):
// PREFIX.bin holds tokens alone, PREFIX.idx, little-endian and without padding,
//
//    0  9 bytes "MMIDIDX\0\0"     9  uint64 version 1      17  uint8 type of the tokens
//   18  uint64 n sequences       26  uint64 m document marks
//   34  int32[n] tokens of each sequence
//       int64[n] byte in PREFIX.bin where each starts
//       int64[m] marks: 0, then for each document the sequence behind its last
//       int8[n] modes, only in multimodal data: not read
//
// The writer's pointers leave no gaps; here they may, but must not fall. Every number is
// read once, checked and used: an index that changes meanwhile cannot lead outside the map.
#include "core/corpus_internal.h"
#include <endian.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 34
enum { TYPE_INT32 = 4, TYPE_UINT16 = 8 }; // DType there

struct megatron { // an index, where it is mapped
    const struct corpus_file *idx, *bin;
    int64_t n, m;
    const uint8_t *lengths, *pointers, *marks;
    int64_t end; // byte behind the sequences read so far
};

static int64_t i64_at(const uint8_t *from, int64_t i)
{
    uint64_t v;
    memcpy(&v, from + 8 * i, sizeof v);
    return (int64_t)le64toh(v);
}

static int64_t length_at(const struct megatron *x, int64_t i)
{
    uint32_t v;
    memcpy(&v, x->lengths + 4 * i, sizeof v);
    return (int32_t)le32toh(v);
}

static enum err read_header(struct corpus *c, const struct corpus_file *idx, struct megatron *x)
{
    static const uint8_t magic[9] = "MMIDIDX\0"; // and the terminator
    const uint8_t *p = idx->map;
    ENSURE(idx->size >= HEADER, ERR_INPUT, "%s: expected a header of %d bytes, found %zu bytes",
           idx->path, HEADER, idx->size);
    ENSURE(memcmp(p, magic, sizeof magic) == 0, ERR_INPUT,
           "%s: expected the magic bytes MMIDIDX, found others", idx->path);
    int64_t version = i64_at(p + 9, 0);
    ENSURE(version == 1, ERR_INPUT, "%s: expected version 1, found %" PRIu64, idx->path,
           (uint64_t)version);
    int type = p[17];
    ENSURE(type == TYPE_UINT16 || type == TYPE_INT32, ERR_INPUT,
           "%s: expected tokens of type %d (uint16) or %d (int32), found type %d", idx->path,
           TYPE_UINT16, TYPE_INT32, type);
    int64_t n = i64_at(p + 18, 0), m = i64_at(p + 26, 0), size = (int64_t)idx->size;
    ENSURE(n >= 1 && m >= 2 && n <= (size - HEADER) / 12 && m <= (size - HEADER - 12 * n) / 8,
           ERR_INPUT,
           "%s: expected at least 1 sequence and 2 document marks, as many as fit into its "
           "%zu bytes, found %" PRIu64 " and %" PRIu64,
           idx->path, idx->size, (uint64_t)n, (uint64_t)m);
    int64_t rest = size - HEADER - 12 * n - 8 * m;
    ENSURE(rest == 0 || rest == n, ERR_INPUT,
           "%s: expected %" PRId64 " bytes for %" PRId64 " sequences and %" PRId64
           " document marks, found %" PRId64,
           idx->path, size - rest, n, m, size);
    *x = (struct megatron){.idx = idx, .bin = idx + 1, .n = n, .m = m};
    x->lengths = p + HEADER;
    x->pointers = x->lengths + 4 * n;
    x->marks = x->pointers + 8 * n;
    return corpus_set_width(c, idx->path, type == TYPE_UINT16 ? 2 : 4);
}

// Sequence i, as x->end says where the one before ended.
static enum err read_sequence(struct megatron *x, int64_t i, int width, int64_t *at,
                              int64_t *length)
{
    int64_t size = (int64_t)x->bin->size;
    *length = length_at(x, i);
    *at = i64_at(x->pointers, i);
    ENSURE(*length >= 0, ERR_INPUT,
           "%s: sequence %" PRId64 ": expected a length of at least 0, found %" PRId64,
           x->idx->path, i, *length);
    ENSURE(*at >= x->end && *at % width == 0, ERR_INPUT,
           "%s: sequence %" PRId64 ": expected a pointer of at least %" PRId64
           " (where the one before ends), a multiple of %d, found %" PRId64,
           x->idx->path, i, x->end, width, *at);
    ENSURE(*at <= size && *length <= (size - *at) / width, ERR_INPUT,
           "%s: sequence %" PRId64 ": expected an end within the %" PRId64
           " bytes of %s, found %" PRId64 " tokens from byte %" PRId64,
           x->idx->path, i, size, x->bin->path, *length, *at);
    x->end = *at + *length * width;
    return OK;
}

static enum err read_mark(const struct megatron *x, int64_t i, int64_t before, int64_t *mark)
{
    int64_t least = i == x->m - 1 ? x->n : before, most = i == 0 ? 0 : x->n;
    *mark = i64_at(x->marks, i);
    ENSURE(*mark >= least && *mark <= most, ERR_INPUT,
           "%s: document mark %" PRId64 ": expected %" PRId64 " to %" PRId64 ", found %" PRId64,
           x->idx->path, i, least, most, *mark);
    return OK;
}

void corpus_megatron_prefix(char *path)
{
    size_t n = strlen(path);
    if (n > 4 && (strcmp(path + n - 4, ".bin") == 0 || strcmp(path + n - 4, ".idx") == 0))
        path[n - 4] = 0;
}

static enum err map_pair(struct corpus *c, char *path)
{
    static const char *const ends[] = {".idx", ".bin"};
    corpus_megatron_prefix(path);
    size_t n = strlen(path);
    for (int i = 0; i < 2; i++) {
        memcpy(path + n, ends[i], 5);
        TRY(corpus_map(c, path, i == 0 ? "a Megatron index" : "tokens beside its index"));
    }
    return OK;
}

static enum err megatron_open(struct corpus *c, const char *path)
{
    size_t n = strlen(path) + 1;
    char *name = malloc(n + 4);
    ENSURE(name != NULL, ERR_FAILED, "%s: out of memory", path);
    memcpy(name, path, n);
    enum err e = map_pair(c, name);
    free(name);
    return e;
}

static enum err walk_doc(struct corpus *c, struct megatron *x, int64_t from, int64_t to,
                         struct split *split)
{
    struct stream *side = NULL;
    for (int64_t i = from, at = 0, length = 0; i < to; i++) {
        TRY(read_sequence(x, i, c->width, &at, &length));
        if (length == 0)
            continue; // a document of these alone does not count
        if (side == NULL)
            side = split_next(split, c);
        TRY(stream_add(side, c->width, x->bin->map + at, length));
    }
    return OK;
}

static enum err megatron_walk(struct corpus *c, const struct corpus_spec *s,
                              struct split *split)
{
    (void)s;
    for (int64_t f = 0; f < c->n_files; f += 2) {
        struct megatron x = {0};
        int64_t mark = 0;
        TRY(read_header(c, &c->file[f], &x));
        c->file[f + 1].tokens = c->file[f + 1].map;
        TRY(read_mark(&x, 0, 0, &mark));
        for (int64_t i = 1, before = mark; i < x.m; i++, before = mark) {
            TRY(read_mark(&x, i, before, &mark));
            TRY(walk_doc(c, &x, before, mark, split));
        }
    }
    return OK;
}

const struct layout corpus_megatron = {megatron_open, megatron_walk};
