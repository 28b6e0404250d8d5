// SPDX-License-Identifier: Apache-2.0
#include "worker/safetensors.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LENGTH_BYTES 8
#define METADATA "__metadata__"

static const struct {
    const char *name;
    int64_t bytes;
} types[] = {[SAFETENSORS_F32] = {"F32", 4},
             [SAFETENSORS_F16] = {"F16", 2},
             [SAFETENSORS_BF16] = {"BF16", 2}};
#define N_TYPES ((int)(sizeof types / sizeof *types))

// --- The header -----------------------------------------------------------------------------

static enum err parse_type(const char *ctx, const json_t *v, struct safetensors_entry *e)
{
    const char *found = json_is_string(v) ? json_string_value(v) : "no name of a type";
    for (int i = 0; i < N_TYPES; i++)
        if (strcmp(found, types[i].name) == 0) {
            e->type = (enum safetensors_type)i;
            return OK;
        }
    return err_set(ERR_INPUT, "%s: %.80s: dtype: expected F32, F16 or BF16, found %.20s", ctx,
                   e->name, found);
}

// The element count of a shape: below limit, so that no product overflows.
static enum err parse_shape(const char *ctx, const json_t *v, int64_t limit,
                            struct safetensors_entry *e)
{
    size_t n = json_array_size(v);
    ENSURE(json_is_array(v) && n <= SAFETENSORS_DIMS, ERR_INPUT,
           "%s: %.80s: shape: expected an array of at most %d integers", ctx, e->name,
           SAFETENSORS_DIMS);
    e->ndim = (int)n;
    e->count = 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *dim = json_array_get(v, i);
        json_int_t s = json_integer_value(dim);
        ENSURE(json_is_integer(dim) && s >= 0 && (e->count == 0 || s <= limit / e->count),
               ERR_INPUT, "%s: %.80s: shape: expected sizes that fit the file, found %" PRId64,
               ctx, e->name, (int64_t)s);
        e->shape[i] = s;
        e->count *= s;
    }
    return OK;
}

static enum err parse_entry(const char *ctx, const json_t *v, int64_t data_bytes,
                            struct safetensors_entry *e)
{
    ENSURE(json_is_object(v), ERR_INPUT, "%s: %.80s: expected an object", ctx, e->name);
    TRY(parse_type(ctx, json_object_get(v, "dtype"), e));
    TRY(parse_shape(ctx, json_object_get(v, "shape"), data_bytes, e));
    const json_t *at = json_object_get(v, "data_offsets"), *begin = json_array_get(at, 0),
                 *end = json_array_get(at, 1);
    ENSURE(json_array_size(at) == 2 && json_is_integer(begin) && json_is_integer(end),
           ERR_INPUT, "%s: %.80s: data_offsets: expected two integers", ctx, e->name);
    e->begin = json_integer_value(begin);
    e->end = json_integer_value(end);
    ENSURE(e->begin >= 0 && e->begin <= e->end && e->end <= data_bytes, ERR_INPUT,
           "%s: %.80s: data_offsets: expected 0 <= begin <= end <= %" PRId64 ", found %" PRId64
           " and %" PRId64,
           ctx, e->name, data_bytes, e->begin, e->end);
    int64_t bytes = e->count * types[e->type].bytes; // count <= data_bytes < 2^63 / 8
    ENSURE(e->end - e->begin == bytes, ERR_INPUT,
           "%s: %.80s: its shape takes %" PRId64 " bytes, its data_offsets %" PRId64, ctx,
           e->name, bytes, e->end - e->begin);
    return OK;
}

static int by_place(const void *a, const void *b)
{
    const struct safetensors_entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static int by_name(const void *a, const void *b)
{
    const struct safetensors_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

// Every byte of the data belongs to exactly one tensor.
static enum err check_cover(const char *ctx, const struct safetensors *s, int64_t data_bytes)
{
    int64_t at = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const struct safetensors_entry *e = &s->entries[i];
        ENSURE(e->begin == at, ERR_INPUT,
               "%s: %.80s: begins at byte %" PRId64 " of the data, expected %" PRId64
               ": tensors overlap or leave a gap",
               ctx, e->name, e->begin, at);
        at = e->end;
    }
    ENSURE(at == data_bytes, ERR_INPUT,
           "%s: expected %" PRId64 " bytes of data, found %" PRId64, ctx, at, data_bytes);
    return OK;
}

enum err safetensors_parse(const char *ctx, const char *text, size_t n, int64_t data_bytes,
                           struct safetensors *out)
{
    json_error_t where;
    *out = (struct safetensors){.fd = -1};
    ENSURE(data_bytes >= 0 && data_bytes <= INT64_MAX / 8, ERR_INPUT,
           "%s: %" PRId64 " bytes of data: too many", ctx, data_bytes);
    out->header = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where);
    ENSURE(json_is_object(out->header), ERR_INPUT, "%s: header: %s", ctx,
           out->header != NULL ? "expected an object" : where.text);
    out->entries = calloc(json_object_size(out->header) + 1, sizeof *out->entries);
    ENSURE(out->entries != NULL, ERR_FAILED, "%s: out of memory", ctx);
    const char *name;
    json_t *v;
    json_object_foreach(out->header, name, v)
    {
        if (strcmp(name, METADATA) == 0) // text for people
            continue;
        struct safetensors_entry *e = &out->entries[out->n++];
        e->name = name;
        TRY(parse_entry(ctx, v, data_bytes, e));
    }
    qsort(out->entries, (size_t)out->n, sizeof *out->entries, by_place);
    TRY(check_cover(ctx, out, data_bytes));
    qsort(out->entries, (size_t)out->n, sizeof *out->entries, by_name);
    return OK;
}

// --- Reading --------------------------------------------------------------------------------

static enum err read_at(int fd, const char *ctx, void *to, size_t n, int64_t from)
{
    for (char *at = to; n > 0;) {
        ssize_t got = pread(fd, at, n, (off_t)from);
        if (got < 0 && errno == EINTR)
            continue;
        ENSURE(got >= 0, ERR_FAILED, "%s: %s", ctx, strerror(errno));
        ENSURE(got > 0, ERR_INPUT, "%s: cut short", ctx);
        at += got;
        from += got;
        n -= (size_t)got;
    }
    return OK;
}

static enum err read_header(int fd, const char *path, struct safetensors *out)
{
    struct stat st;
    unsigned char length[LENGTH_BYTES];
    ENSURE(fstat(fd, &st) == 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    ENSURE(S_ISREG(st.st_mode), ERR_INPUT, "%s: not a regular file", path);
    ENSURE(st.st_size >= LENGTH_BYTES, ERR_INPUT,
           "%s: expected a safetensors file, found %jd bytes", path, (intmax_t)st.st_size);
    TRY(read_at(fd, path, length, sizeof length, 0));
    uint64_t n = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        n = n << 8 | length[i];
    int64_t rest = (int64_t)st.st_size - LENGTH_BYTES;
    ENSURE(n >= 2 && n <= SAFETENSORS_HEADER_MAX && n <= (uint64_t)rest, ERR_INPUT,
           "%s: expected a safetensors header of 2 to %d bytes within the file, found a length "
           "of %" PRIu64,
           path, SAFETENSORS_HEADER_MAX, n);
    char *text = malloc(n);
    ENSURE(text != NULL, ERR_FAILED, "%s: out of memory", path);
    enum err e = read_at(fd, path, text, n, LENGTH_BYTES);
    if (e == OK)
        e = safetensors_parse(path, text, n, rest - (int64_t)n, out);
    free(text);
    out->data = LENGTH_BYTES + (int64_t)n;
    return e;
}

enum err safetensors_open(const char *path, struct safetensors *out)
{
    *out = (struct safetensors){.fd = -1};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe must not hang us
    ENSURE(fd >= 0, ERR_INPUT, "%s: %s", path, strerror(errno));
    enum err e = read_header(fd, path, out);
    out->fd = fd;
    return e;
}

struct safetensors_entry *safetensors_find(const struct safetensors *s, const char *name)
{
    struct safetensors_entry key = {.name = name};
    return s->n > 0 ? bsearch(&key, s->entries, (size_t)s->n, sizeof key, by_name) : NULL;
}

// IEEE 754 binary16 to binary32, as bits: exact, subnormals become normal.
static uint32_t from_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000U) << 16, exponent = h >> 10 & 0x1fU,
             fraction = h & 0x3ffU;
    if (exponent == 31) // infinity and NaN
        return sign | 0x7f800000U | fraction << 13;
    if (exponent == 0) {
        if (fraction == 0)
            return sign;
        for (exponent = 1; (fraction & 0x400U) == 0; exponent--)
            fraction <<= 1; // exponent wraps below zero and back: only its sum is used
        fraction &= 0x3ffU;
    }
    return sign | (exponent + 127 - 15) << 23 | fraction << 13;
}

enum err safetensors_read(const struct safetensors *s, const struct safetensors_entry *e,
                          float *to)
{
    int64_t bytes = e->end - e->begin;
    // Halves lie in the back of the array and are widened from its front: never overwritten
    // before they are read.
    unsigned char *at = (unsigned char *)to + (e->count * 4 - bytes);
    TRY(read_at(s->fd, e->name, at, (size_t)bytes, s->data + e->begin));
    for (int64_t i = 0; i < e->count && e->type != SAFETENSORS_F32; i++) {
        uint16_t h;
        memcpy(&h, at + 2 * i, sizeof h);
        uint32_t bits = e->type == SAFETENSORS_BF16 ? (uint32_t)h << 16 : from_half(h);
        memcpy(to + i, &bits, sizeof bits);
    }
    return OK;
}

void safetensors_close(struct safetensors *s)
{
    if (s->fd >= 0)
        close(s->fd);
    json_decref(s->header);
    free(s->entries);
    *s = (struct safetensors){.fd = -1};
}
