// SPDX-License-Identifier: Apache-2.0
// The loader of every kind of data against files that are nearly right: whatever the bytes are,
// corpus_open accepts or refuses with a message, and what it accepts can be read window by
// window, every token in [0, V).
//
// One harness, two programs. With FUZZ_LIBFUZZER defined: clang's libFuzzer (the target
// fuzz_corpus_libfuzzer, docs/data.md). Else a test: the kept inputs in
// tests/core/fuzz_corpus/, then valid files changed at random from a fixed seed.
//
// An input is 6 bytes (kind, number of files, data.eot and V as uint16), then the files' bytes,
// each file but the last after its length as uint16.
#include "core/corpus.h"
#include "tests/core/support.h"
#include "tests/core/token_files.h"
#include "worker/data.h"
#include <dirent.h>
#include <fcntl.h>

enum { HEAD = 6, MAX_FILES = 3, WINDOW = 5 };
// FUZZ_LLMC_SHORT: llmc, the 1012 bytes of its header that say nothing left out.
enum fuzz_kind { FUZZ_TEXT, FUZZ_NANOGPT, FUZZ_LLMC, FUZZ_LLMC_SHORT, FUZZ_MEGATRON, N_KINDS };
static const enum job_data kind_of[] = {DATA_TEXT, DATA_NANOGPT, DATA_LLMC, DATA_LLMC,
                                        DATA_MEGATRON};

static char dir[4096];
static char paths[2 * MAX_FILES][4200];

// Aborts: both programs report it with a stack.
#define MUST(cond)                                                                             \
    do {                                                                                       \
        if (!(cond)) {                                                                         \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #cond);           \
            abort();                                                                           \
        }                                                                                      \
    } while (0)

static void make_paths(void)
{
    if (access("/dev/shm", W_OK) == 0) // files without a disk, unless the caller says where
        setenv("TMPDIR", "/dev/shm", 0);
    scratch_make(dir, sizeof dir);
    for (int i = 0; i < MAX_FILES; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%d.bin", dir, i);
        snprintf(paths[MAX_FILES + i], sizeof paths[i], "%s/%d.idx", dir, i);
    }
}

static void put_file(const char *path, const uint8_t *p, size_t n, bool expand)
{
    static const uint8_t zeros[1012];
    size_t head = expand && n > 12 ? 12 : n;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && write(fd, p, head) == (ssize_t)head);
    MUST(head == n || (write(fd, zeros, sizeof zeros) == (ssize_t)sizeof zeros &&
                       write(fd, p + head, n - head) == (ssize_t)(n - head)));
    close(fd);
}

static void check_stream(const struct corpus *c, const struct stream *s)
{
    int32_t out[64];
    MUST(s->n >= 1 && s->n_docs >= 1 && s->n_parts >= 1);
    for (int64_t at = 0, n; at < s->n; at += n) {
        n = s->n - at < 61 ? s->n - at : 61;
        enum err e = corpus_read(c, s, at, n, out);
        MUST(e == OK || e == ERR_INPUT);
        for (int64_t i = 0; e == OK && i < n; i++)
            MUST(out[i] >= 0 && out[i] < c->V);
    }
}

static void check_windows(const struct corpus *c)
{
    struct data d;
    int32_t x[2 * WINDOW], y[2 * WINDOW];
    if (data_init(&d, c, WINDOW, WINDOW, 1) != OK)
        return;
    for (int64_t step = 1; step <= d.windows && step < 50; step++) {
        enum err e = data_batch(&d, step, 2, x, y);
        MUST(e == OK || e == ERR_INPUT);
        for (int i = 0; e == OK && i < 2 * WINDOW; i++)
            MUST(x[i] >= 0 && x[i] < c->V && y[i] >= 0 && y[i] < c->V);
    }
    (void)data_held(&d, 0, 1, x, y);
    (void)data_fingerprint(&d);
    double bytes = data_val_bytes(&d);
    MUST(isnan(bytes) || (bytes >= 0 && bytes <= WINDOW));
}

// Writes the input's files and reads them: whether they were accepted.
static bool fuzz_one(const uint8_t *in, size_t size)
{
    if (size < HEAD)
        return false;
    int kind = in[0] % N_KINDS, n_files = 1 + in[1] % MAX_FILES;
    int64_t eot = in[2] | in[3] << 8, V = in[4] | in[5] << 8;
    const uint8_t *p = in + HEAD, *end = in + size;
    char *names[MAX_FILES];
    int n_parts = kind == FUZZ_MEGATRON ? 2 * n_files : n_files;
    for (int i = 0; i < n_parts; i++) {
        size_t n = (size_t)(end - p), asked = n < 2 ? 0 : (size_t)(p[0] | p[1] << 8);
        if (i < n_parts - 1 && n >= 2) {
            p += 2;
            n = asked < n - 2 ? asked : n - 2;
        }
        bool idx = kind == FUZZ_MEGATRON && i % 2 == 0;
        int f = kind == FUZZ_MEGATRON ? i / 2 : i;
        names[f] = paths[f];
        put_file(paths[idx ? MAX_FILES + f : f], p, n, kind == FUZZ_LLMC_SHORT);
        p += n;
    }
    struct corpus c;
    bool marked = kind >= FUZZ_NANOGPT && kind <= FUZZ_LLMC_SHORT;
    struct corpus_spec s = {kind_of[kind], names, n_files, 0.3,
                            !marked || eot == UINT16_MAX ? -1 : eot};
    enum err e = corpus_open(&s, &c);
    MUST(e == OK || (e == ERR_INPUT && *err_message() && c.file == NULL));
    if (e != OK)
        return false;
    int64_t largest = 0;
    enum err found = corpus_largest(&c, &largest);
    if (kind != FUZZ_TEXT)
        c.V = V > 0 ? V : found == OK ? largest + 1 : INT32_MAX;
    MUST(found == ERR_INPUT || (largest >= 0 && (V > 0 || largest < c.V)));
    check_stream(&c, &c.train);
    check_stream(&c, &c.held);
    check_windows(&c);
    corpus_free(&c);
    return true;
}

#ifdef FUZZ_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size);
static void remove_dir(void)
{
    scratch_remove(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
    if (dir[0] == 0) {
        make_paths();
        atexit(remove_dir);
    }
    fuzz_one(in, size);
    return 0;
}
#else

// ---- Valid inputs

static void put_part(struct bytes *in, struct bytes part, bool last)
{
    if (!last)
        put_uint(in, part.n, 2);
    for (size_t i = 0; i < part.n; i++)
        put_uint(in, part.p[i], 1);
    free(part.p);
}

static struct bytes bytes_text(const struct docs *d)
{
    struct bytes b = {0};
    for (int64_t i = 0; i < d->end[d->n - 1]; i++)
        put_uint(&b, d->tokens[i] == 0 ? 0x0C : (uint64_t)d->tokens[i], 1);
    return b;
}

static struct bytes bytes_llmc_short(const struct docs *d, int width)
{
    struct bytes b = bytes_llmc(d, width);
    memmove(b.p + 12, b.p + 1024, b.n - 1024);
    b.n -= 1012;
    return b;
}

static struct bytes valid_input(int kind, int n_files, int width, struct rng *r)
{
    int32_t tokens[200];
    int64_t end[8], n = 0;
    struct bytes in = {0};
    put_uint(&in, (uint64_t)kind, 1);
    put_uint(&in, (uint64_t)n_files - 1, 1);
    put_uint(&in, rng_below(r, 3) ? 0 : UINT16_MAX, 2);
    put_uint(&in, rng_below(r, 2) ? 0 : 90, 2);
    for (int f = 0; f < n_files; f++) {
        bool last = f == n_files - 1;
        struct docs d = {tokens, end, pick(r, 1, 8)};
        n = 0;
        for (int64_t i = 0; i < d.n; i++) {
            for (int64_t left = pick(r, 0, 20); left > 0; left--)
                tokens[n++] = (int32_t)pick(r, 'a', 'z');
            tokens[n++] = 0; // eot where there is one
            end[i] = n;
        }
        if (kind == FUZZ_MEGATRON)
            put_part(&in, bytes_megatron_idx(&d, width), false);
        put_part(&in,
                 kind == FUZZ_TEXT       ? bytes_text(&d)
                 : kind == FUZZ_NANOGPT  ? bytes_nanogpt(&d)
                 : kind == FUZZ_LLMC     ? bytes_llmc(&d, width)
                 : kind == FUZZ_MEGATRON ? bytes_megatron_bin(&d, width)
                                         : bytes_llmc_short(&d, width),
                 last);
    }
    return in;
}

// ---- Changes

static uint64_t odd_number(struct rng *r)
{
    static const uint64_t list[] = {0,
                                    1,
                                    2,
                                    4,
                                    8,
                                    0x7f,
                                    0xff,
                                    0x7fff,
                                    0xffff,
                                    0x7fffffff,
                                    0xffffffff,
                                    INT64_MAX,
                                    INT64_MAX - 1,
                                    (uint64_t)INT64_MIN,
                                    UINT64_MAX,
                                    UINT64_MAX - 1};
    size_t n = sizeof list / sizeof *list;
    return rng_below(r, 2) ? list[rng_below(r, n)] : rng_u64(r) >> rng_below(r, 64);
}

static void change(struct bytes *in, struct rng *r)
{
    size_t at = rng_below(r, in->n), k = rng_below(r, 24);
    k = k < in->n - at ? k : in->n - at;
    switch (rng_below(r, 5)) {
    case 0:
        in->p[at] ^= (uint8_t)(1U << rng_below(r, 8));
        break;
    case 1: { // a number, in the file's layout more often than not
        uint64_t v = odd_number(r);
        size_t width = (size_t)1 << rng_below(r, 4);
        for (size_t i = 0; i < width && at + i < in->n; i++)
            in->p[at + i] = (uint8_t)(v >> 8 * i);
        break;
    }
    case 2: // cut short
        in->n = in->n - k > HEAD ? in->n - k : in->n;
        break;
    case 3: // a piece over another
        memmove(in->p + rng_below(r, in->n - k + 1), in->p + at, k);
        break;
    default: // longer
        while (k-- > 0)
            put_uint(in, rng_below(r, 256), 1);
    }
}

static void test_changed(void)
{
    struct rng r;
    int64_t accepted[N_KINDS] = {0}, refused[N_KINDS] = {0};
    rng_seed(&r, 17, 0);
    for (int i = 0; i < 20000; i++) {
        int kind = i % N_KINDS;
        struct bytes in = valid_input(kind, (int)pick(&r, 1, 3), rng_below(&r, 2) ? 2 : 4, &r);
        for (int64_t n = pick(&r, 0, 4); n > 0; n--)
            change(&in, &r);
        kind = in.p[0] % N_KINDS;
        *(fuzz_one(in.p, in.n) ? &accepted[kind] : &refused[kind]) += 1;
        free(in.p);
    }
    for (int k = 0; k < N_KINDS; k++) // the test sees both sides
        CHECK(accepted[k] > 200 && refused[k] > 200);
}

static void test_kept(void)
{
    char folder[4096], path[4400];
    source_path(folder, sizeof folder, "tests/core/fuzz_corpus");
    DIR *list = opendir(folder);
    CHECK(list != NULL);
    int n = 0, accepted = 0;
    for (struct dirent *e; list != NULL && (e = readdir(list)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        uint8_t in[8192];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        FILE *f = fopen(path, "rb");
        CHECK(f != NULL);
        size_t size = f != NULL ? fread(in, 1, sizeof in, f) : 0;
        if (f != NULL)
            fclose(f);
        accepted += fuzz_one(in, size);
        n++;
    }
    if (list != NULL)
        closedir(list);
    CHECK(n > 10 && accepted > 3 && accepted < n);
}

// With a folder as argument: writes valid inputs of every kind there, for libFuzzer to begin
// with.
static void write_seeds(const char *folder)
{
    struct rng r;
    rng_seed(&r, 18, 0);
    for (int i = 0; i < 4 * N_KINDS; i++) {
        char path[4400];
        snprintf(path, sizeof path, "%s/seed%02d", folder, i);
        write_bytes(path, valid_input(i % N_KINDS, 1 + i % 3, i % 2 ? 2 : 4, &r));
    }
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        write_seeds(argv[1]);
        return 0;
    }
    make_paths();
    test_kept();
    test_changed();
    scratch_remove(dir);
    return test_summary();
}
#endif
