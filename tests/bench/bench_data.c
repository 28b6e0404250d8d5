// SPDX-License-Identifier: Apache-2.0
// What a job waits for before its first step: opening a text (argument 1), and files of tokens
// made here (argument 2: a folder; 1 GiB): opening, the passes that docs/data.md says are
// there, and the random windows of training. Wall time, the best of several, files in the page
// cache.
#include "worker/data.h"
#include "core/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TOKENS (INT64_C(1) << 28) // of 2 bytes in one file, of 4 in the other: 0.5 and 1 GiB
#define MEAN_DOC 1000
#define EOT 50256

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_data: %s: %s\n", what, err_message());
        exit(1);
    }
}

// nanogpt (width 2) or llmc's llama-3 (4): the same tokens, documents of MEAN_DOC in the mean.
static void write_tokens(const char *path, int width)
{
    FILE *f = fopen(path, "wb");
    int32_t header[256] = {20240801, 7, (int32_t)TOKENS};
    struct rng r;
    rng_seed(&r, 1, 0);
    must(f != NULL && (width == 2 || fwrite(header, sizeof header, 1, f) == 1), path);
    for (int64_t i = 0; i < TOKENS; i++) {
        uint32_t t = rng_below(&r, MEAN_DOC) ? (uint32_t)(rng_u64(&r) % EOT) : EOT;
        uint16_t half = (uint16_t)t;
        must(fwrite(width == 2 ? (void *)&half : (void *)&t, (size_t)width, 1, f) == 1, path);
    }
    must(fclose(f) == 0, path);
}

static void report(const char *what, double s, double bytes)
{
    printf("    %-34s %9.3f ms  %6.2f GB/s\n", what, 1e3 * s, 1e-9 * bytes / s);
}

static double time_open(const struct corpus_spec *s)
{
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        struct corpus c;
        double t = seconds();
        must(corpus_open(s, &c) == OK, "open");
        t = seconds() - t;
        best = t < best ? t : best;
        corpus_free(&c);
    }
    return best;
}

static void time_rest(const struct corpus_spec *s, double bytes)
{
    struct corpus c;
    struct data d;
    int64_t largest = 0;
    double largest_s = 1e9, crc_s = 1e9, window_s = 1e9;
    static int32_t x[64 * 1024], y[64 * 1024];
    must(corpus_open(s, &c) == OK, "open");
    for (int i = 0; i < 3; i++) {
        double t = seconds();
        must(corpus_largest(&c, &largest) == OK, "largest");
        double u = seconds();
        (void)corpus_crc(&c);
        double v = seconds();
        largest_s = u - t < largest_s ? u - t : largest_s;
        crc_s = v - u < crc_s ? v - u : crc_s;
    }
    c.V = c.V > 0 ? c.V : largest + 1;
    must(data_init(&d, &c, 1024, 1024, 1) == OK, "data");
    for (int64_t i = 0; i < 20; i++) {
        double t = seconds();
        must(data_batch(&d, i + 1, 64, x, y) == OK, "batch");
        t = seconds() - t;
        window_s = t < window_s ? t : window_s;
    }
    if (c.kind != DATA_TEXT)
        report("largest token", largest_s, bytes);
    report("content (CRC-32C)", crc_s, bytes);
    report("a batch of 64 windows of 1024", window_s, 64. * 1024 * c.width);
    printf("    %lld stretches for %lld documents\n",
           (long long)(c.train.n_parts + c.held.n_parts),
           (long long)(c.train.n_docs + c.held.n_docs));
    corpus_free(&c);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: bench_data TEXT FOLDER\n");
        return 2;
    }
    struct corpus_spec text = {DATA_TEXT, &argv[1], 1, 0.05, -1};
    struct corpus c;
    must(corpus_open(&text, &c) == OK, argv[1]);
    double bytes = (double)c.file[0].size;
    corpus_free(&c);
    printf("%s\n", argv[1]);
    report("open (alphabet, documents)", time_open(&text), bytes);
    time_rest(&text, bytes);
    for (int width = 2; width <= 4; width += 2) {
        char path[4200], *name = path;
        snprintf(path, sizeof path, "%s/bench_data.%d.bin", argv[2], width);
        write_tokens(path, width);
        struct corpus_spec s = {width == 2 ? DATA_NANOGPT : DATA_LLMC, &name, 1, 0.05, EOT};
        printf("%s, %lld tokens\n", width == 2 ? "nanogpt" : "llmc", (long long)TOKENS);
        report("open with data.eot", time_open(&s), (double)width * TOKENS);
        time_rest(&s, (double)width * TOKENS);
        char *twice[] = {path, path}; // two documents
        struct corpus_spec plain = {s.kind, twice, 2, 0.05, -1};
        printf("    %-34s %9.3f ms\n", "open without data.eot", 1e3 * time_open(&plain));
        unlink(path);
    }
    return 0;
}
