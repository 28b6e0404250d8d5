// SPDX-License-Identifier: Apache-2.0
// What several tests of core/ share: random architectures, the published structures, scratch
// files.
#ifndef TESTS_CORE_SUPPORT_H
#define TESTS_CORE_SUPPORT_H
#include "core/arch.h"
#include "core/rng.h"
#include "tests/test.h"
#include <ftw.h>
#include <unistd.h>

static inline int64_t pick(struct rng *r, int64_t lo, int64_t hi)
{
    return lo + (int64_t)rng_below(r, (uint64_t)(hi - lo + 1));
}

// A valid architecture with every dimension anywhere in a small range.
static inline struct arch random_arch(struct rng *r)
{
    struct arch a = {
        .L_d = pick(r, 0, 5),
        .L_m = pick(r, 0, 5),
        .d = pick(r, 1, 200),
        .d_qkv = 2 * pick(r, 1, 40),
        .d_d = pick(r, 1, 500),
        .d_m = pick(r, 1, 300),
        .N_kv = pick(r, 1, 4),
        .S = pick(r, 1, 600),
        .K = pick(r, 1, 8),
        .n_shared = pick(r, 0, 3),
        .V = pick(r, 1, 257),
    };
    a.L_m += a.L_d + a.L_m == 0;
    a.N_q = a.N_kv * pick(r, 1, 4);
    a.N_e = a.K + pick(r, 0, 40);
    return a;
}

// One row of tests/data/wan2026_configs.csv.
struct published {
    struct arch arch;
    int64_t L, N_a, N, M;
    double C, x, y, r_a, r_d, r_m, M_dev_pct;
};
#define N_PUBLISHED 95

static inline void source_path(char *buf, size_t size, const char *name)
{
    const char *root = getenv("MOESWEEP_SOURCE");
    snprintf(buf, size, "%s/%s", root != NULL ? root : ".", name);
}

static inline void read_published(struct published rows[N_PUBLISHED])
{
    char path[4096], line[512];
    int n = 0;
    source_path(path, sizeof path, "tests/data/wan2026_configs.csv");
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(line, sizeof line, f) == NULL) {
        fprintf(stderr, "%s: cannot read\n", path);
        exit(1);
    }
    while (fgets(line, sizeof line, f) != NULL && n < N_PUBLISHED) {
        struct published *p = &rows[n++];
        long d[14];
        const char *rest = strchr(line, ',');
        int got = sscanf(
            rest != NULL ? rest : "",
            ",%lf,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%ld,%lf,%lf,%lf,%lf,%lf,%lf",
            &p->C, &d[0], &d[1], &d[2], &d[3], &d[4], &d[5], &d[6], &d[7], &d[8], &d[9], &d[10],
            &d[11], &p->x, &p->y, &p->r_a, &p->r_d, &p->r_m, &p->M_dev_pct);
        if (got != 19) {
            fprintf(stderr, "%s: row %d: expected 19 numbers, found %d\n", path, n, got);
            exit(1);
        }
        p->arch = (struct arch){.d = d[0],
                                .L_d = d[1],
                                .L_m = d[2],
                                .d_m = d[3],
                                .d_d = d[4],
                                .N_q = d[6],
                                .N_kv = d[7],
                                .d_qkv = d[8],
                                .S = 8192,
                                .K = 8,
                                .N_e = 288,
                                .n_shared = 1,
                                .V = 152064};
        p->L = d[5];
        p->N_a = d[9];
        p->N = d[10];
        p->M = d[11];
    }
    fclose(f);
    CHECK(n == N_PUBLISHED);
}

// A fresh folder for scratch files, and its removal.
static inline void scratch_make(char *buf, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(buf, size, "%s/moesweep-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(buf) == NULL) {
        perror(buf);
        exit(1);
    }
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int flag,
                                     struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void scratch_remove(const char *dir)
{
    nftw(dir, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, n, f) != n || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}
#endif
