// SPDX-License-Identifier: Apache-2.0
// The tensor file: what is written is read, halves widen exactly, and nothing malformed gets
// in, however it was damaged.
#include "tests/test.h"
#include "core/rng.h"
#include "tests/worker/made.h"
#include "worker/safetensors.h"
#include <inttypes.h>
#include <stdint.h>
#include <unistd.h>

#define FUZZ 6000

static char dir[64];

// Length, header, data.
static size_t file_of(char *to, const char *header, size_t n, const void *data, size_t bytes)
{
    for (size_t i = 0; i < 8; i++)
        to[i] = (char)(unsigned char)(n >> (8 * i));
    memcpy(to + 8, header, n);
    memcpy(to + 8 + n, data, bytes);
    return 8 + n + bytes;
}

static enum err open_bytes(const char *bytes, size_t n, struct safetensors *s)
{
    struct made_path p = made_path(dir, "file");
    made_write(p.text, bytes, n);
    return safetensors_open(p.text, s);
}

// Expected value of a half by arithmetic: (-1)^s 2^(e - 15) (1 + f / 1024), or 2^-14 f / 1024.
static float half_value(unsigned h)
{
    int e = (int)(h >> 10 & 31), f = (int)(h & 1023);
    double v = e == 31 ? (f != 0 ? NAN : INFINITY)
               : e > 0 ? ldexp(1 + f / 1024.0, e - 15)
                       : ldexp(f / 1024.0, -14);
    return (float)(h & 0x8000U ? -v : v);
}

// All 65536 patterns: exact.
static void test_halves(void)
{
    static char bytes[1 << 18];
    static uint16_t all[65536];
    static float got[65536];
    for (unsigned i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    static const char *const names[] = {"F16", "BF16"};
    for (int bf = 0; bf < 2; bf++) {
        char header[128];
        struct safetensors s;
        int n = snprintf(
            header, sizeof header,
            "{\"x\":{\"dtype\":\"%s\",\"shape\":[256,256],\"data_offsets\":[0,131072]}}",
            names[bf]);
        CHECK(open_bytes(bytes, file_of(bytes, header, (size_t)n, all, sizeof all), &s) == OK);
        CHECK(safetensors_read(&s, safetensors_find(&s, "x"), got) == OK);
        int wrong = 0;
        for (unsigned i = 0; i < 65536; i++) {
            uint32_t want = i << 16, found;
            float half = half_value(i);
            memcpy(&found, &got[i], sizeof found);
            if (!bf)
                memcpy(&want, &half, sizeof want);
            wrong += bf || !isnan(half) ? found != want : !isnan(got[i]);
        }
        CHECK(wrong == 0);
        safetensors_close(&s);
    }
}

static void test_write_and_read(void)
{
    struct safetensors_writer w;
    struct safetensors s;
    struct made_path p = made_path(dir, "written");
    const float a[] = {1, -2, 3.5F, 0, 1e-40F, -0.0F}, b[] = {7};
    float got[6];
    CHECK(safetensors_create(p.text, &w) == OK);
    CHECK(safetensors_declare(&w, "none", 2, (const int64_t[]){0, 5}) == OK);
    CHECK(safetensors_declare(&w, "z.a", 2, (const int64_t[]){2, 3}) == OK);
    CHECK(safetensors_declare(&w, "b", 1, (const int64_t[]){1}) == OK);
    CHECK(safetensors_put(&w, a, 0) == OK);
    CHECK(safetensors_put(&w, a, 6) == OK);
    CHECK(safetensors_put(&w, b, 1) == OK);
    CHECK(access(p.text, F_OK) != 0); // only when it is whole
    CHECK(safetensors_finish(&w) == OK);
    CHECK(safetensors_open(p.text, &s) == OK && s.n == 3 && s.data % 8 == 0);
    struct safetensors_entry *e = safetensors_find(&s, "z.a");
    CHECK(e != NULL && e->ndim == 2 && e->shape[0] == 2 && e->shape[1] == 3 && e->count == 6);
    CHECK(safetensors_read(&s, e, got) == OK && memcmp(got, a, sizeof a) == 0);
    CHECK(safetensors_find(&s, "z") == NULL && safetensors_find(&s, "none")->count == 0);
    safetensors_close(&s);
    CHECK(safetensors_create(p.text, &w) == OK);
    safetensors_abandon(&w);
    CHECK(made_entries(dir) == 2); // "written" and "file": no remains
}

#define T(dtype, shape, from, to)                                                              \
    "{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" from "," to "]}"

// Headers before 16 bytes of data.
static const struct {
    const char *header, *message;
} wrong[] = {
    {"[]", "expected an object"},
    {"{\"a\":1}", "expected an object"},
    {"{\"a\":", "header: "},
    {"{}", "expected 0 bytes of data, found 16"},
    {"{\"a\":" T("F32", "4", "0", "16") ",\"a\":" T("F32", "4", "0", "16") "}", "duplicate"},
    {"{\"a\":" T("I64", "2", "0", "16") "}", "dtype: expected F32, F16 or BF16, found I64"},
    {"{\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}}", "dtype: expected"},
    {"{\"a\":" T("F32", "5", "0", "16") "}", "takes 20 bytes, its data_offsets 16"},
    {"{\"a\":" T("F32", "-4", "0", "16") "}", "shape: expected"},
    {"{\"a\":" T("F32", "4.0", "0", "16") "}", "shape: expected"},
    {"{\"a\":" T("F32", "1,1,1,1,4", "0", "16") "}", "at most 4"},
    {"{\"a\":" T("F32", "4294967296,4294967296", "0", "16") "}", "fit the file"},
    {"{\"a\":" T("F32", "9223372036854775807,3", "0", "16") "}", "fit the file"},
    {"{\"a\":" T("F32", "4", "0", "17") "}", "0 <= begin <= end <= 16"},
    {"{\"a\":" T("F32", "4", "16", "0") "}", "0 <= begin <= end <= 16"},
    {"{\"a\":" T("F32", "4", "-16", "0") "}", "0 <= begin <= end <= 16"},
    {"{\"a\":" T("F32", "4", "0", "99999999999999999999") "}", "header: "},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", "data_offsets: expected two"},
    {"{\"a\":" T("F32", "3", "0", "12") "}", "expected 12 bytes of data, found 16"},
    {"{\"a\":" T("F32", "3", "0", "12") ",\"b\":" T("F32", "2", "8", "16") "}", "overlap"},
    {"{\"a\":" T("F32", "1", "0", "4") ",\"b\":" T("F32", "2", "8", "16") "}", "gap"},
};

static void test_malformed(void)
{
    static const char data[16];
    char bytes[512];
    struct safetensors s;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t n = file_of(bytes, wrong[i].header, strlen(wrong[i].header), data, sizeof data);
        CHECK(open_bytes(bytes, n, &s) == ERR_INPUT);
        CHECK(strstr(err_message(), wrong[i].message) != NULL);
        if (strstr(err_message(), wrong[i].message) == NULL)
            fprintf(stderr, "%s: %s\n", wrong[i].header, err_message());
        safetensors_close(&s);
    }
    static const char *const lengths[] = {"\0\0\0\0\0\0\0\0", "\1\0\0\0\0\0\0\0",
                                          "\377\377\377\377\377\377\377\377",
                                          "\0\0\0\0\0\0\0\200", "\377\377\377\7\0\0\0\0"};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(bytes, lengths[i], 8);
        memcpy(bytes + 8, "{}", 2);
        CHECK(open_bytes(bytes, 10, &s) == ERR_INPUT);
        CHECK(strstr(err_message(), "safetensors header of") != NULL);
        safetensors_close(&s);
    }
    CHECK(open_bytes(bytes, 7, &s) == ERR_INPUT);
    safetensors_close(&s);
    CHECK(safetensors_open(dir, &s) == ERR_INPUT);
    safetensors_close(&s);
}

// One random damage: a bit, a byte, a digit, a piece cut out or doubled, a shorter file.
static size_t damage(char *p, size_t n, size_t header, struct rng *r)
{
    static const char *const numbers[] = {
        "-1", "0", "9223372036854775807", "4294967296", "1e300", "null", "{", "]", "\"F16\""};
    // Mostly in the header: the data may be anything
    size_t span = rng_below(r, 8) > 0 && header < n ? header : n;
    size_t at = (size_t)rng_below(r, span), len = 1 + (size_t)rng_below(r, 12);
    len = at + len > n ? n - at : len;
    switch (rng_below(r, 6)) {
    case 0:
        p[at] = (char)(p[at] ^ (1 << rng_below(r, 8)));
        return n;
    case 1:
        p[at] = (char)rng_below(r, 256);
        return n;
    case 2:
        memmove(p + at, p + at + len, n - at - len);
        return n - len;
    case 3:
        memmove(p + at + len, p + at, n - at);
        return n + len;
    case 4: {
        const char *s = numbers[rng_below(r, sizeof numbers / sizeof *numbers)];
        len = at + strlen(s) > n ? n - at : strlen(s);
        memcpy(p + at, s, len);
        return n;
    }
    default:
        return rng_below(r, 8) == 0 ? at : n;
    }
}

// What is accepted can be read, and keeps the promises of the header.
static void check_accepted(const struct safetensors *s, size_t n)
{
    int64_t total = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const struct safetensors_entry *e = &s->entries[i];
        float *to = malloc((size_t)e->count * sizeof *to + 1);
        CHECK(safetensors_find(s, e->name) == e);
        CHECK(to != NULL && safetensors_read(s, e, to) == OK);
        total += e->end - e->begin;
        free(to);
    }
    CHECK(total == (int64_t)n - s->data);
}

static void test_fuzz(void)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"a.b\":" T("F32", "2,3", "0", "24") ",\"c\":" T(
            "BF16", "5", "24", "34") ",\"d\":" T("F16", "1,2,1", "34",
                                                 "38") ",\"e\":" T("F32", "0,7", "38",
                                                                   "38") "}";
    static const char data[38];
    char whole[1024], piece[1024];
    struct rng r;
    struct safetensors s;
    size_t n = file_of(whole, header, sizeof header - 1, data, sizeof data);
    int accepted = 0, refused = 0;
    rng_seed(&r, 1, 77);
    for (int i = 0; i < FUZZ; i++) {
        size_t m = n, damages = 1 + (size_t)rng_below(&r, 3);
        memcpy(piece, whole, n);
        for (size_t k = 0; k < damages && m > 16; k++)
            m = damage(piece, m, 8 + sizeof header - 1, &r);
        enum err e = open_bytes(piece, m, &s);
        CHECK(e == OK || e == ERR_INPUT);
        if (e == OK)
            check_accepted(&s, m);
        accepted += e == OK;
        refused += e != OK;
        safetensors_close(&s);
    }
    printf("fuzz: %d files, %d accepted, %d refused\n", FUZZ, accepted, refused);
    CHECK(accepted > FUZZ / 50 && refused > FUZZ / 2); // both ways are taken
}

int main(void)
{
    made_scratch(dir);
    test_halves();
    test_write_and_read();
    test_malformed();
    test_fuzz();
    made_remove(dir);
    return test_summary();
}
