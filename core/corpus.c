// SPDX-License-Identifier: Apache-2.0
#include "core/corpus_internal.h"
#include "core/crc.h"
#include "core/rng.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPLIT_STREAM 1 // of the hash that splits; any other value would be another split

static const struct layout *layout_of(enum job_data kind)
{
    switch (kind) {
    case DATA_TEXT:
        return &corpus_text;
    case DATA_NANOGPT:
        return &corpus_nanogpt;
    case DATA_LLMC:
        return &corpus_llmc;
    case DATA_MEGATRON:
        return &corpus_megatron;
    default:
        return NULL;
    }
}

// ---- Files

static enum err file_size(const char *path, int fd, const char *what, size_t *out)
{
    struct stat st;
    ENSURE(fstat(fd, &st) == 0, ERR_INPUT, "%s: %s", path, strerror(errno));
    ENSURE(S_ISREG(st.st_mode), ERR_INPUT, "%s: expected a file of %s, found %s", path, what,
           S_ISDIR(st.st_mode) ? "a directory (name the files in it)" : "a device or pipe");
    ENSURE(st.st_size > 0, ERR_INPUT, "%s: expected %s, found an empty file", path, what);
    *out = (size_t)st.st_size;
    return OK;
}

static enum err map_into(struct corpus_file *f, const char *path, const char *what)
{
    // O_NONBLOCK: a pipe without writer must not hang us.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ENSURE(fd >= 0, ERR_INPUT, "%s: %s", path, strerror(errno));
    enum err e = file_size(path, fd, what, &f->size);
    if (e == OK) {
        void *map = mmap(NULL, f->size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
            e = err_set(ERR_FAILED, "%s: cannot be mapped: %s", path, strerror(errno));
        else
            f->map = map;
    }
    close(fd);
    return e;
}

enum err corpus_map(struct corpus *c, const char *path, const char *what)
{
    struct corpus_file *grown = realloc(c->file, ((size_t)c->n_files + 1) * sizeof *grown);
    ENSURE(grown != NULL, ERR_FAILED, "%s: out of memory", path);
    c->file = grown;
    struct corpus_file *f = &c->file[c->n_files];
    *f = (struct corpus_file){.path = strdup(path)};
    ENSURE(f->path != NULL, ERR_FAILED, "%s: out of memory", path);
    c->n_files++;
    return map_into(f, path, what);
}

enum err corpus_set_width(struct corpus *c, const char *path, int width)
{
    ENSURE(c->width == 0 || c->width == width, ERR_INPUT,
           "%s: expected tokens of %d bytes as in %s, found tokens of %d bytes", path, c->width,
           c->file[0].path, width);
    c->width = width;
    return OK;
}

// ---- Splitting

// A number in [0, 1) from the document's number alone.
static double doc_hash(int64_t index)
{
    struct rng r;
    rng_seed(&r, (uint64_t)index, SPLIT_STREAM);
    return rng_uniform(&r);
}

struct stream *split_next(struct split *p, struct corpus *c)
{
    double h = doc_hash(p->n);
    if (p->n == 0 || h < p->hash_smallest) {
        p->smallest = p->n;
        p->hash_smallest = h;
    }
    if (p->n == 0 || h > p->hash_largest) {
        p->largest = p->n;
        p->hash_largest = h;
    }
    bool held = (h < p->held) != (p->n == p->moved);
    p->n++;
    struct stream *side = held ? &c->held : &c->train;
    side->n_docs++;
    return side;
}

enum err stream_add(struct stream *s, int width, const uint8_t *at, int64_t n_tokens)
{
    const struct stretch *last = s->n_parts > 0 ? &s->part[s->n_parts - 1] : NULL;
    if (n_tokens > 0 && (last == NULL || last->at + (s->n - last->first) * width != at)) {
        if (s->n_parts == s->room) {
            int64_t room = s->room > 0 ? 2 * s->room : 64;
            struct stretch *grown = realloc(s->part, (size_t)room * sizeof *grown);
            ENSURE(grown != NULL, ERR_FAILED, "no memory for %" PRId64 " documents", room);
            s->part = grown;
            s->room = room;
        }
        s->part[s->n_parts++] = (struct stretch){.at = at, .first = s->n};
    }
    s->n += n_tokens;
    return OK;
}

static enum err walk(struct corpus *c, const struct corpus_spec *s, int64_t moved,
                     struct split *out)
{
    *out = (struct split){.held = s->held, .moved = moved};
    c->train.n_parts = c->train.n = c->train.n_docs = 0;
    c->held.n_parts = c->held.n = c->held.n_docs = 0;
    return layout_of(c->kind)->walk(c, s, out);
}

static enum err hold_out(struct corpus *c, const struct corpus_spec *s)
{
    struct split p;
    TRY(walk(c, s, -1, &p));
    const char *how = s->kind == DATA_TEXT       ? "separated by form feeds or file ends"
                      : s->kind == DATA_MEGATRON ? "as the index says"
                      : s->eot >= 0              ? "ended by data.eot or a file's end"
                                                 : "one a file, as data.eot is not given";
    ENSURE(p.n >= 2, ERR_INPUT,
           "%s%s: expected at least two documents (%s) so that one can be held out, found "
           "%" PRId64,
           s->paths[0], s->n_paths > 1 ? " and others" : "", how, p.n);
    if (c->held.n_docs > 0 && c->train.n_docs > 0)
        return OK;
    return walk(c, s, c->held.n_docs == 0 ? p.smallest : p.largest, &p);
}

// ---- Opening

struct corpus_spec corpus_spec_of(const struct job *j)
{
    return (struct corpus_spec){.kind = j->data.kind,
                                .paths = j->data.paths,
                                .n_paths = j->data.n_paths,
                                .held = j->data.held,
                                .eot = j->data.eot};
}

static enum err open_all(const struct corpus_spec *s, struct corpus *c)
{
    ENSURE(layout_of(s->kind) != NULL, ERR_INPUT,
           "corpus: expected text or files of tokens, found external data");
    ENSURE(s->n_paths > 0, ERR_INPUT, "corpus: expected at least one file, found none");
    ENSURE(s->held > 0 && s->held <= 0.5, ERR_INPUT,
           "corpus: held: expected a fraction above 0 and at most 0.5, found %g", s->held);
    for (int i = 0; i < s->n_paths; i++)
        TRY(layout_of(s->kind)->open(c, s->paths[i]));
    return hold_out(c, s);
}

enum err corpus_open(const struct corpus_spec *s, struct corpus *out)
{
    *out = (struct corpus){.kind = s->kind};
    enum err e = open_all(s, out);
    if (e != OK)
        corpus_free(out);
    return e;
}

void corpus_free(struct corpus *c)
{
    for (int64_t i = 0; i < c->n_files; i++) {
        if (c->file[i].map != NULL)
            munmap(c->file[i].map, c->file[i].size);
        free(c->file[i].path);
    }
    free(c->file);
    free(c->train.part);
    free(c->held.part);
    memset(c, 0, sizeof *c);
}

// ---- Reading

// The part that holds position at: the last one that does not start behind it.
static int64_t part_of(const struct stream *s, int64_t at)
{
    int64_t lo = 0, hi = s->n_parts;
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (s->part[mid].first <= at)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static int64_t part_end(const struct stream *s, int64_t part)
{
    return part + 1 < s->n_parts ? s->part[part + 1].first : s->n;
}

// n stored tokens as 32 bits; the loops are plain so that compilers make vectors of them.
static void load16(const uint8_t *from, int64_t n, int32_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t t;
        memcpy(&t, from + 2 * i, sizeof t);
        out[i] = le16toh(t);
    }
}

static void load32(const uint8_t *from, int64_t n, int32_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t t;
        memcpy(&t, from + 4 * i, sizeof t);
        out[i] = (int32_t)le32toh(t);
    }
}

static void load(const struct corpus *c, const uint8_t *from, int64_t n, int32_t *out)
{
    if (c->width == 4)
        load32(from, n, out);
    else if (c->width == 2)
        load16(from, n, out);
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = c->code[from[i]];
}

// As unsigned, so that negative ones are the largest.
static uint32_t largest_of(const int32_t *t, int64_t n)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++)
        most = (uint32_t)t[i] > most ? (uint32_t)t[i] : most;
    return most;
}

// Names file and place of the first token from V on among n that lie at from.
static enum err refuse_token(const struct corpus *c, const uint8_t *from, int64_t n, int64_t V)
{
    const struct corpus_file *f = c->file;
    while (f < c->file + c->n_files - 1 && !(from >= f->map && from < f->map + f->size))
        f++;
    int32_t t = 0;
    int64_t i = 0;
    for (; i < n; i++) {
        load(c, from + i * c->width, 1, &t);
        if ((uint32_t)t >= V)
            break;
    }
    return err_set(ERR_INPUT,
                   "%s: token %" PRId64 ": expected at least 0 and below V = %" PRId64
                   ", found %" PRId64,
                   f->path, (from - f->tokens) / c->width + i, V,
                   c->kind == DATA_MEGATRON ? (int64_t)t : (int64_t)(uint32_t)t);
}

enum err corpus_read(const struct corpus *c, const struct stream *s, int64_t at, int64_t n,
                     int32_t *out)
{
    ASSERT(at >= 0 && n >= 0 && at <= s->n - n);
    for (int64_t p = n > 0 ? part_of(s, at) : 0; n > 0; p++) {
        int64_t k = part_end(s, p) - at;
        k = k < n ? k : n;
        const uint8_t *from = s->part[p].at + (at - s->part[p].first) * c->width;
        load(c, from, k, out);
        if ((int64_t)largest_of(out, k) >= c->V)
            return refuse_token(c, from, k, c->V);
        at += k;
        out += k;
        n -= k;
    }
    return OK;
}

// Straight from memory, and for plain SSE2, which has a maximum of signed 16 bits only.
static uint32_t largest16(const uint8_t *from, int64_t n)
{
    int16_t most = INT16_MIN;
    for (int64_t i = 0; i < n; i++) {
        uint16_t t;
        memcpy(&t, from + 2 * i, sizeof t);
        int16_t moved = (int16_t)(le16toh(t) ^ 0x8000);
        most = moved > most ? moved : most;
    }
    return (uint16_t)most ^ 0x8000U;
}

static uint32_t largest32(const uint8_t *from, int64_t n)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t t;
        memcpy(&t, from + 4 * i, sizeof t);
        t = le32toh(t);
        most = t > most ? t : most;
    }
    return most;
}

static enum err largest_in(const struct corpus *c, const struct stream *s, int64_t *most)
{
    for (int64_t p = 0; p < s->n_parts; p++) {
        int64_t n = part_end(s, p) - s->part[p].first;
        const uint8_t *from = s->part[p].at;
        int64_t here = c->width == 2 ? largest16(from, n) : largest32(from, n);
        if (here >= INT32_MAX)
            return refuse_token(c, from, n, INT32_MAX);
        *most = here > *most ? here : *most;
    }
    return OK;
}

enum err corpus_largest(const struct corpus *c, int64_t *out)
{
    *out = c->V - 1;
    if (c->kind == DATA_TEXT)
        return OK;
    *out = 0;
    TRY(largest_in(c, &c->train, out));
    return largest_in(c, &c->held, out);
}

int64_t corpus_bytes(const struct corpus *c)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < c->n_files; i++)
        bytes += (int64_t)c->file[i].size;
    return bytes;
}

uint32_t corpus_crc(const struct corpus *c)
{
    uint32_t crc = CRC_START;
    for (int64_t i = 0; i < c->n_files; i++) {
        uint64_t size =
            c->file[i].size; // where a file ends is part of the data: a document does
        crc = crc_update(crc, &size, sizeof size);
        crc = crc_update(crc, c->file[i].map, c->file[i].size);
    }
    return crc;
}
