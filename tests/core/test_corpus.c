// SPDX-License-Identifier: Apache-2.0
// Splitting and tokenising text; files that cannot be text.
#include "core/corpus.h"
#include "tests/core/support.h"
#include <fcntl.h>
#include <sys/stat.h>

static char dir[4096];

static enum err open_text(char *const *paths, int n_paths, double held, struct corpus *out)
{
    struct corpus_spec s = {DATA_TEXT, paths, n_paths, held, -1};
    return corpus_open(&s, out);
}

// A whole stream, read in pieces of random length; the caller frees.
static int32_t *read_all(const struct corpus *c, const struct stream *s, struct rng *r)
{
    int32_t *out = malloc((size_t)s->n * sizeof *out);
    for (int64_t at = 0, n; at < s->n; at += n) {
        n = pick(r, 1, s->n - at < 700 ? s->n - at : 700);
        CHECK(corpus_read(c, s, at, n, out + at) == OK);
    }
    return out;
}

static char *scratch(char buf[4200], const char *name)
{
    snprintf(buf, 4200, "%s/%s", dir, name);
    return buf;
}

// Random documents in random files: every byte comes out again, in order, on one side of the
// split.
static void test_everything_comes_out(void)
{
    struct rng r;
    rng_seed(&r, 9, 0);
    for (int round = 0; round < 60; round++) {
        char names[3][4200], *text[3];
        char *paths[3];
        uint8_t *docs = malloc(3 * 4096);
        int64_t n_docs = 0, bytes = 0, starts[3 * 4096 + 1];
        int n_files = (int)pick(&r, 1, 3);
        for (int f = 0; f < n_files; f++) {
            int64_t n = pick(&r, 40, 4000);
            text[f] = malloc((size_t)n);
            // All 256 bytes, form feeds often, also first, last and side by side.
            for (int64_t i = 0; i < n; i++)
                text[f][i] = (char)(pick(&r, 0, 15) == 0 ? 0x0C : pick(&r, 0, 255));
            char name[32];
            snprintf(name, sizeof name, "t%d.txt", f);
            paths[f] = scratch(names[f], name);
            write_file(paths[f], text[f], (size_t)n);
            bool inside = false;
            for (int64_t i = 0; i < n; i++) {
                if (text[f][i] == 0x0C) {
                    inside = false;
                    continue;
                }
                if (!inside)
                    starts[n_docs++] = bytes;
                inside = true;
                docs[bytes++] = (uint8_t)text[f][i];
            }
            free(text[f]);
        }
        starts[n_docs] = bytes;
        struct corpus c;
        CHECK(open_text(paths, n_files, 0.2, &c) == OK);
        CHECK(c.train.n_docs + c.held.n_docs == n_docs && c.held.n_docs > 0 &&
              c.train.n_docs > 0);
        CHECK(c.train.n + c.held.n == bytes + n_docs);
        int64_t largest = 0;
        CHECK(corpus_largest(&c, &largest) == OK && largest == c.V - 1);
        int32_t *train = read_all(&c, &c.train, &r), *held_out = read_all(&c, &c.held, &r);
        // Walk both streams: every document is the next one of exactly one side, and ends with
        // 0.
        int64_t at[2] = {0, 0}, held = 0, wrong = 0;
        for (int64_t d = 0; d < n_docs; d++) {
            int side = 1;
            for (; side >= 0; side--) {
                const int32_t *s = side ? held_out : train;
                int64_t room = (side ? c.held.n : c.train.n) - at[side],
                        len = starts[d + 1] - starts[d];
                bool same = room > len && s[at[side] + len] == 0;
                for (int64_t i = 0; same && i < len; i++) {
                    int32_t code = s[at[side] + i];
                    same = code > 0 && code < c.V && c.byte_of[code] == docs[starts[d] + i];
                }
                if (same) {
                    at[side] += len + 1;
                    held += side;
                    break;
                }
            }
            wrong += side < 0;
        }
        CHECK(wrong == 0 && held == c.held.n_docs);
        CHECK(at[0] == c.train.n && at[1] == c.held.n);
        corpus_free(&c);
        free(train);
        free(held_out);
        free(docs);
    }
}

// The split depends on the index alone: text added at the end moves nothing.
static void test_stable_split(void)
{
    char name[4200];
    char text[2000];
    char *path = scratch(name, "s.txt");
    for (int i = 0; i < 1000; i++) {
        text[2 * i] = "abcdefghij"[i % 10];
        text[2 * i + 1] = 0x0C;
    }
    struct corpus half, full;
    int32_t before[1000], after[1000];
    write_file(path, text, 1000);
    CHECK(open_text(&path, 1, 0.1, &half) == OK);
    CHECK(corpus_read(&half, &half.held, 0, half.held.n, before) == OK);
    size_t n = (size_t)half.held.n * sizeof *before;
    corpus_free(&half);
    write_file(path, text, 2000);
    CHECK(open_text(&path, 1, 0.1, &full) == OK);
    CHECK(corpus_read(&full, &full.held, 0, (int64_t)(n / sizeof *after), after) == OK);
    CHECK(memcmp(before, after, n) == 0);
    // 1000 documents: the share is within five standard deviations of 0.1.
    CHECK_NEAR((double)full.held.n_docs / 1000, 0.1, 5 * sqrt(0.1 * 0.9 / 1000));
    CHECK(full.V == 11 && full.byte_of[1] == 'a' && full.byte_of[10] == 'j');
    corpus_free(&full);
}

static void test_at_least_one(void)
{
    char name[4200];
    char *path = scratch(name, "two.txt");
    struct corpus c;
    write_file(path, "a\fb", 3);
    const double fractions[] = {1e-300, 0.01, 0.5};
    for (int i = 0; i < 3; i++) {
        CHECK(open_text(&path, 1, fractions[i], &c) == OK);
        CHECK(c.train.n_docs == 1 && c.held.n_docs == 1 && c.train.n == 2 && c.held.n == 2 &&
              c.V == 3);
        corpus_free(&c);
    }
    write_file(path, "\0\f\0", 3); // NUL is a symbol like any other
    CHECK(open_text(&path, 1, 0.5, &c) == OK && c.V == 2 && c.byte_of[1] == 0);
    corpus_free(&c);
}

static void refuse(char *const *paths, int n, double held, const char *word)
{
    struct corpus c;
    CHECK(open_text(paths, n, held, &c) == ERR_INPUT);
    if (strstr(err_message(), word) == NULL)
        fprintf(stderr, "    %s: %s\n", word, err_message());
    CHECK(strstr(err_message(), word) != NULL && c.file == NULL && c.train.part == NULL);
}

static void test_bad_files(void)
{
    char name[4200], other[4200];
    char *paths[2] = {scratch(name, "f.txt"), scratch(other, "missing.txt")};
    char *folder = dir, *device = "/dev/zero";
    write_file(paths[0], "a\fb", 3);
    refuse(paths, 2, 0.1, "missing.txt: No such file");
    refuse(paths, 0, 0.1, "at least one file");
    refuse(paths, 1, 0, "held");
    refuse(paths, 1, 0.51, "held");
    refuse(paths, 1, NAN, "held");
    refuse(&folder, 1, 0.1, "directory");
    refuse(&device, 1, 0.1, "device or pipe");
    write_file(paths[0], "", 0);
    refuse(paths, 1, 0.1, "f.txt: expected text, found an empty file");
    write_file(paths[0], "only one document", 17);
    refuse(paths, 1, 0.1, "at least two documents");
    write_file(paths[0], "\f\f\f", 3);
    refuse(paths, 1, 0.1, "found 0");
    char *fifo = scratch(other, "pipe");
    if (mkfifo(fifo, 0600) == 0)
        refuse(&fifo, 1, 0.1, "device or pipe"); // and does not wait for a writer
    // A sparse file larger than any memory: refused before anything is allocated.
    int fd = open(paths[0], O_WRONLY | O_TRUNC);
    if (fd >= 0 && ftruncate(fd, INT64_C(1) << 42) == 0)
        refuse(paths, 1, 0.1, "memory");
    if (fd >= 0)
        close(fd);
    if (getuid() != 0) { // root may read everything
        CHECK(chmod(paths[0], 0) == 0);
        refuse(paths, 1, 0.1, "Permission denied");
    }
}

int main(void)
{
    scratch_make(dir, sizeof dir);
    test_everything_comes_out();
    test_stable_split();
    test_at_least_one();
    test_bad_files();
    scratch_remove(dir);
    return test_summary();
}
