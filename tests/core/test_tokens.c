// SPDX-License-Identifier: Apache-2.0
// Files of tokens: what is written comes out again, split by documents; files that are not what
// they should be.
#include "core/corpus.h"
#include "tests/core/support.h"
#include "tests/core/token_files.h"
#include <sys/stat.h>

#define EOT 7
static char dir[4096];

static char *scratch(char buf[4200], const char *name)
{
    snprintf(buf, 4200, "%s/%s", dir, name);
    return buf;
}

static enum err open_kind(enum job_data kind, char *path, int64_t eot, struct corpus *out)
{
    struct corpus_spec s = {kind, &path, 1, 0.2, eot};
    return corpus_open(&s, out);
}

struct sample {
    int32_t tokens[400 * 300];
    int64_t end[400];
    struct docs docs;
};

// Documents of 9 to 300 tokens below max, each ended by the only EOT in it: too long for two to
// be the same.
static void sample_make(struct sample *s, struct rng *r, int64_t n_docs, int32_t max)
{
    int64_t n = 0;
    for (int64_t d = 0; d < n_docs; d++) {
        for (int64_t left = pick(r, 8, 299); left > 0; left--) {
            int32_t t = (int32_t)pick(r, 0, max - 1);
            s->tokens[n++] = t == EOT ? EOT + 1 : t;
        }
        s->tokens[n++] = EOT;
        s->end[d] = n;
    }
    s->docs = (struct docs){s->tokens, s->end, n_docs};
}

// Both streams hold the documents in order, whole, and nothing else; which side each went to is
// added to sides.
static void check_streams(const struct corpus *c, const struct docs *d, uint8_t *sides,
                          struct rng *r)
{
    const struct stream *stream[2] = {&c->train, &c->held};
    int64_t at[2] = {0, 0}, held = 0, wrong = 0;
    int32_t got[512];
    for (int64_t i = 0; i < d->n; i++) {
        int64_t from = i > 0 ? d->end[i - 1] : 0, len = d->end[i] - from;
        int side = 2;
        while (--side >= 0) {
            if (at[side] + len > stream[side]->n)
                continue;
            int64_t cut = pick(r, 0, len); // in two reads: any place can be read from
            CHECK(corpus_read(c, stream[side], at[side], cut, got) == OK);
            CHECK(corpus_read(c, stream[side], at[side] + cut, len - cut, got + cut) == OK);
            if (memcmp(got, d->tokens + from, (size_t)len * sizeof *got) == 0)
                break;
        }
        wrong += side < 0;
        if (side >= 0)
            at[side] += len;
        sides[i] = (uint8_t)side;
        held += side == 1;
    }
    CHECK(wrong == 0 && at[0] == c->train.n && at[1] == c->held.n);
    CHECK(held == c->held.n_docs && d->n - held == c->train.n_docs);
    CHECK(held > 0 && held < d->n);
}

static void write_kind(const struct docs *d, int kind, const char *path)
{
    char name[4300];
    snprintf(name, sizeof name, "%s%s", path, kind >= 3 ? ".bin" : "");
    write_bytes(name, kind == 0   ? bytes_nanogpt(d)
                      : kind <= 2 ? bytes_llmc(d, 2 * kind)
                                  : bytes_megatron_bin(d, kind == 3 ? 2 : 4));
    snprintf(name, sizeof name, "%s.idx", path);
    if (kind >= 3)
        write_bytes(name, bytes_megatron_idx(d, kind == 3 ? 2 : 4));
}
static const enum job_data kinds[] = {DATA_NANOGPT, DATA_LLMC, DATA_LLMC, DATA_MEGATRON,
                                      DATA_MEGATRON};

// The same documents in every kind of file: the same streams and the same split.
static void test_everything_comes_out(void)
{
    static struct sample s;
    struct rng r;
    rng_seed(&r, 3, 0);
    for (int round = 0; round < 40; round++) {
        sample_make(&s, &r, pick(&r, 20, 390), round % 2 ? 65536 : 50257);
        uint8_t sides[5][400];
        for (int k = 0; k < 5; k++) {
            char name[4200];
            struct corpus c;
            int64_t largest = 0, want = 0;
            write_kind(&s.docs, k, scratch(name, "t"));
            CHECK(open_kind(kinds[k], name, k < 3 ? EOT : -1, &c) == OK);
            CHECK(c.V == 0 && c.width == (k == 2 || k == 4 ? 4 : 2));
            CHECK(corpus_largest(&c, &largest) == OK);
            for (int64_t i = 0; i < s.end[s.docs.n - 1]; i++)
                want = s.tokens[i] > want ? s.tokens[i] : want;
            CHECK(largest == want);
            c.V = largest + 1;
            check_streams(&c, &s.docs, sides[k], &r);
            CHECK(memcmp(sides[k], sides[0], (size_t)s.docs.n) == 0);
            corpus_free(&c);
        }
    }
}

// Shards: documents are numbered over the files; without an end-of-text token a file is one.
static void test_shards(void)
{
    static const int64_t ends[] = {3, 5, 8};
    char names[12][4200], *paths[12], name[32];
    struct corpus c;
    uint8_t sides[36];
    struct rng r;
    rng_seed(&r, 1, 0);
    int32_t all[12 * 8];
    int64_t docs[36], files[12];
    for (int f = 0; f < 12; f++) {
        const int32_t t = 10 + 3 * f, tokens[] = {t, 2, EOT, t + 1, EOT, t + 2, 5, 6};
        snprintf(name, sizeof name, "shard%d.bin", f);
        paths[f] = scratch(names[f], name);
        write_bytes(paths[f], bytes_nanogpt(&(struct docs){tokens, ends, 3}));
        memcpy(all + 8 * f, tokens, sizeof tokens);
        for (int d = 0; d < 3; d++)
            docs[3 * f + d] = 8 * f + ends[d];
        files[f] = 8 * f + 8;
    }
    struct corpus_spec s = {DATA_NANOGPT, paths, 12, 0.2, EOT};
    CHECK(corpus_open(&s, &c) == OK);
    c.V = 50;
    check_streams(&c, &(struct docs){all, docs, 36}, sides, &r);
    corpus_free(&c);
    s.eot = 70000; // in no uint16
    for (int i = 0; i < 2; i++, s.eot = -1) {
        CHECK(corpus_open(&s, &c) == OK);
        c.V = 50;
        check_streams(&c, &(struct docs){all, files, 12}, sides, &r);
        corpus_free(&c);
    }
    // The same first documents, the same sides: shards added at the end move nothing.
    s.n_paths = 11;
    uint8_t fewer[36];
    CHECK(corpus_open(&s, &c) == OK);
    c.V = 50;
    check_streams(&c, &(struct docs){all, files, 11}, fewer, &r);
    CHECK(memcmp(fewer, sides, 11) == 0);
    corpus_free(&c);
}

// Any of the pair's names; gaps in the .bin; modes at the index's end; empty documents.
static void test_megatron_freedoms(void)
{
    static const int32_t tokens[] = {1, 2, 3, 4, 5, 6, 7};
    static const int64_t ends[] = {3, 3, 7};
    const struct docs d = {tokens, ends, 3};
    char path[4200], bin[4300], idx[4300];
    struct corpus c;
    scratch(path, "m");
    snprintf(bin, sizeof bin, "%s.bin", path);
    snprintf(idx, sizeof idx, "%s.idx", path);
    write_kind(&d, 3, path);
    char *names[] = {path, bin, idx};
    for (int i = 0; i < 3; i++) {
        CHECK(open_kind(DATA_MEGATRON, names[i], -1, &c) == OK);
        CHECK(c.train.n_docs == 1 && c.held.n_docs == 1 && c.train.n + c.held.n == 7);
        corpus_free(&c);
    }
    struct bytes b = bytes_megatron_idx(&d, 2);
    for (int i = 0; i < 6; i++) // a mode for each sequence
        put_uint(&b, 1, 1);
    // The last sequence of two tokens starts one token late.
    CHECK(b.p[34 + 4 * 5] == 3 && b.p[34 + 4 * 6 + 8 * 5] == 8);
    b.p[34 + 4 * 5] = 2;
    b.p[34 + 4 * 6 + 8 * 5] = 10;
    write_bytes(idx, b);
    CHECK(open_kind(DATA_MEGATRON, path, -1, &c) == OK && c.train.n + c.held.n == 6);
    const struct stream *s = c.train.n == 3 ? &c.held : &c.train;
    if (s->n != 3) // documents of 3 tokens both: the second holds the gap
        CHECK(0);
    c.V = 8;
    int32_t first[2][3];
    CHECK(corpus_read(&c, &c.train, 0, 3, first[0]) == OK);
    CHECK(corpus_read(&c, &c.held, 0, 3, first[1]) == OK);
    int late = first[1][0] == 4; // the document that began behind token 3
    CHECK(first[!late][0] == 1 && first[!late][1] == 2 && first[!late][2] == 3);
    CHECK(first[late][0] == 4 && first[late][1] == 6 && first[late][2] == 7);
    corpus_free(&c);
}

static void test_out_of_range(void)
{
    static const int32_t tokens[] = {1, 2, EOT, -5, EOT, 70000, EOT};
    static const int64_t ends[] = {3, 5, 7};
    char path[4200];
    struct corpus c;
    int64_t largest;
    int32_t out[4];
    write_kind(&(struct docs){tokens, ends, 3}, 4, scratch(path, "big"));
    CHECK(open_kind(DATA_MEGATRON, path, -1, &c) == OK);
    CHECK(corpus_largest(&c, &largest) == ERR_INPUT);
    CHECK(strstr(err_message(), "big.bin: token 3: expected at least 0") != NULL);
    CHECK(strstr(err_message(), "found -5") != NULL);
    for (c.V = 70000; c.V <= 70001; c.V++) {
        int refused = 0;
        for (int s = 0; s < 2; s++) {
            const struct stream *from = s ? &c.held : &c.train;
            for (int64_t i = 0; i < from->n; i++) {
                enum err e = corpus_read(&c, from, i, 1, out);
                refused += e == ERR_INPUT;
                CHECK(e == OK || e == ERR_INPUT);
                CHECK(e != OK || (out[0] >= 0 && out[0] < c.V));
            }
        }
        CHECK(refused == (c.V == 70000 ? 2 : 1));
    }
    corpus_free(&c);
    // llama-3 tokens have no sign.
    static const int32_t two[] = {-2, EOT, 1};
    static const int64_t two_ends[] = {2, 3};
    write_kind(&(struct docs){two, two_ends, 2}, 2, path);
    CHECK(open_kind(DATA_LLMC, path, EOT, &c) == OK);
    CHECK(corpus_largest(&c, &largest) == ERR_INPUT);
    CHECK(strstr(err_message(), "found 4294967294") != NULL);
    corpus_free(&c);
}

// ---- Malformed files: one byte string of a valid file replaced, or its size.

struct wrong {
    int kind;      // as for write_kind
    int file;      // 0: the .bin or only file, 1: the .idx
    int64_t at;    // where; -1: nowhere
    int64_t value; // of width bytes
    int width;
    int64_t size; // the file cut or grown to; 0: as it is
    const char *message;
};
// A megatron index of 3 documents, 6 sequences: lengths at 34, pointers at 58, marks at 106,
// 138 bytes. Documents of 3, 4 and 5 tokens: lengths 1 2 1 3 1 4.
static const struct wrong table[] = {
    {0, 0, -1, 0, 0, 23, "t: expected uint16 tokens, a whole number of 2 bytes each, found 23"},
    {0, 0, -1, 0, 0, -1, "t: expected uint16 tokens, found an empty file"},
    {1, 0, -1, 0, 0, -1, "t: expected llm.c tokens, found an empty file"},
    {1, 0, -1, 0, 0, 1023, "t: expected a header of 256 int32 (1024 bytes), found 1023"},
    {1, 0, 0, 20240522, 4, 0, "t: expected the magic number 20240520 (gpt-2) or 20240801"},
    {1, 0, 4, 2, 4, 0, "t: expected version 1 with magic number 20240520, found 2"},
    {2, 0, 4, 1, 4, 0, "t: expected version 7 with magic number 20240801, found 1"},
    {1, 0, 8, -3, 4, 0, "t: expected a number of tokens above 0, found -3"},
    {1, 0, 8, 0, 4, 0, "t: expected a number of tokens above 0, found 0"},
    {1, 0, 8, 13, 4, 0, "t: expected 1050 bytes for the 13 tokens of its header, found 1048"},
    {2, 0, 8, 13, 4, 0, "t: expected 1076 bytes for the 13 tokens of its header, found 1072"},
    {1, 0, 8, INT32_MAX, 4, 0, "t: expected 4294968318 bytes for the 2147483647 tokens"},
    {1, 0, -1, 0, 0, 1047,
     "t: expected 1048 bytes for the 12 tokens of its header, found 1047"},
    {1, 0, -1, 0, 0, 1049,
     "t: expected 1048 bytes for the 12 tokens of its header, found 1049"},
    {3, 1, -1, 0, 0, -1, "t.idx: expected a Megatron index, found an empty file"},
    {3, 0, -1, 0, 0, -1, "t.bin: expected tokens beside its index, found an empty file"},
    {3, 1, -1, 0, 0, 33, "t.idx: expected a header of 34 bytes, found 33"},
    {3, 1, 8, 1, 1, 0, "t.idx: expected the magic bytes MMIDIDX"},
    {3, 1, 9, 2, 8, 0, "t.idx: expected version 1, found 2"},
    {3, 1, 9, -1, 8, 0, "t.idx: expected version 1, found 18446744073709551615"},
    {3, 1, 17, 5, 1, 0, "t.idx: expected tokens of type 8 (uint16) or 4 (int32), found type 5"},
    {3, 1, 18, 0, 8, 0, "t.idx: expected at least 1 sequence"},
    {3, 1, 18, 7, 8, 0, "as many as fit into its 138 bytes, found 7 and 4"},
    {3, 1, 18, INT64_MAX / 3, 8, 0,
     "as many as fit into its 138 bytes, found 3074457345618258602"},
    {3, 1, 18, -1, 8, 0, "found 18446744073709551615 and 4"},
    {3, 1, 26, 1, 8, 0, "found 6 and 1"},
    {3, 1, 26, 5, 8, 0, "found 6 and 5"},
    {3, 1, 26, INT64_MIN, 8, 0, "found 6 and 9223372036854775808"},
    {3, 1, -1, 0, 0, 137, "found 6 and 4"},
    {3, 1, -1, 0, 0, 139, "t.idx: expected 138 bytes for 6 sequences and 4 document marks, "},
    {3, 1, 38, -2, 4, 0, "t.idx: sequence 1: expected a length of at least 0, found -2"},
    {3, 1, 38, 3, 4, 0, "t.idx: sequence 2: expected a pointer of at least 8"},
    {3, 1, 66, 0, 8, 0, "t.idx: sequence 1: expected a pointer of at least 2"},
    {3, 1, 66, 3, 8, 0, "a multiple of 2, found 3"},
    {3, 1, 66, -2, 8, 0, "sequence 1: expected a pointer of at least 2"},
    {4, 1, 66, 6, 8, 0, "a multiple of 4, found 6"},
    {3, 1, 54, 5, 4, 0, "sequence 5: expected an end within the 24 bytes of "},
    {3, 1, 54, INT32_MAX, 4, 0, "found 2147483647 tokens from byte 16"},
    {3, 1, 98, 26, 8, 0, "found 4 tokens from byte 26"},
    {3, 1, 98, INT64_MAX - 1, 8, 0, "found 4 tokens from byte 9223372036854775806"},
    {3, 0, -1, 0, 0, 22, "sequence 5: expected an end within the 22 bytes of "},
    {3, 1, 106, 1, 8, 0, "t.idx: document mark 0: expected 0 to 0, found 1"},
    {3, 1, 114, -1, 8, 0, "t.idx: document mark 1: expected 0 to 6, found -1"},
    {3, 1, 122, 1, 8, 0, "t.idx: document mark 2: expected 2 to 6, found 1"},
    {3, 1, 122, 7, 8, 0, "t.idx: document mark 2: expected 2 to 6, found 7"},
    {3, 1, 130, 5, 8, 0, "t.idx: document mark 3: expected 6 to 6, found 5"},
    {3, 1, 130, INT64_MAX, 8, 0, "document mark 3: expected 6 to 6"},
};

static void spoil(const struct wrong *w, const char *path)
{
    char name[4300];
    snprintf(name, sizeof name, "%s%s", path, w->kind < 3 ? "" : w->file ? ".idx" : ".bin");
    FILE *f = fopen(name, "r+b");
    CHECK(f != NULL);
    if (f == NULL)
        return;
    if (w->at >= 0) {
        struct bytes b = {0};
        put_uint(&b, (uint64_t)w->value, w->width);
        CHECK(fseek(f, w->at, SEEK_SET) == 0 && fwrite(b.p, 1, b.n, f) == b.n);
        free(b.p);
    }
    CHECK(fclose(f) == 0);
    if (w->size != 0)
        CHECK(truncate(name, w->size < 0 ? 0 : w->size) == 0);
}

static void refused(enum job_data kind, char *path, const char *message)
{
    struct corpus c;
    enum err e = open_kind(kind, path, EOT, &c);
    if (e != ERR_INPUT || strstr(err_message(), message) == NULL)
        fprintf(stderr, "    wanted '%s', got %d '%s'\n", message, e,
                e == OK ? "" : err_message());
    CHECK(e == ERR_INPUT && strstr(err_message(), message) != NULL && c.file == NULL);
}

static void test_malformed(void)
{
    static const int32_t tokens[] = {1, 2, EOT, 3, 4, 5, EOT, 3, 4, 5, 6, EOT};
    static const int64_t ends[] = {3, 7, 12};
    const struct docs d = {tokens, ends, 3};
    char path[4200];
    struct corpus c;
    scratch(path, "t");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct wrong *w = &table[i];
        write_kind(&d, w->kind, path);
        CHECK(open_kind(kinds[w->kind], path, w->kind < 3 ? EOT : -1, &c) == OK);
        corpus_free(&c);
        spoil(w, path);
        refused(kinds[w->kind], path, w->message);
    }
}

static void test_bad_places(void)
{
    static const int32_t tokens[] = {1, 2, 3};
    static const int64_t ends[] = {3};
    const struct docs one = {tokens, ends, 1};
    char path[4200], other[4200];
    struct corpus c;
    for (int k = 0; k < 5; k++) {
        refused(kinds[k], scratch(path, "missing"), "No such file");
        CHECK(mkdir(scratch(path, "folder"), 0700) == 0 &&
              mkdir(scratch(other, "folder.idx"), 0700) == 0);
        refused(kinds[k], path, "found a directory");
        CHECK(rmdir(path) == 0 && rmdir(other) == 0);
        write_kind(&one, k, scratch(path, "one"));
        refused(kinds[k], path, "expected at least two documents");
    }
    refused(DATA_NANOGPT, "/dev/zero", "device or pipe");
    refused(DATA_EXTERNAL, path, "external");
    scratch(path, "one.bin"); // a pair needs both
    CHECK(remove(scratch(other, "one.idx")) == 0);
    refused(DATA_MEGATRON, path, "one.idx: No such file");
    write_kind(&one, 3, scratch(path, "one"));
    CHECK(remove(scratch(other, "one.bin")) == 0);
    refused(DATA_MEGATRON, path, "one.bin: No such file");
    // Two widths are two vocabularies.
    char *paths[] = {scratch(path, "a"), scratch(other, "b")};
    write_kind(&one, 1, path);
    write_kind(&one, 2, other);
    struct corpus_spec s = {DATA_LLMC, paths, 2, 0.2, -1};
    CHECK(corpus_open(&s, &c) == ERR_INPUT);
    CHECK(strstr(err_message(), "b: expected tokens of 2 bytes as in ") != NULL);
}

int main(void)
{
    scratch_make(dir, sizeof dir);
    test_everything_comes_out();
    test_shards();
    test_megatron_freedoms();
    test_out_of_range();
    test_malformed();
    test_bad_places();
    scratch_remove(dir);
    return test_summary();
}
