// SPDX-License-Identifier: Apache-2.0
#include "tests/worker/made.h"
#include "core/rng.h"
#include "worker/checkpoint.h"
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, err_message());
    perror(what);
    exit(1);
}

struct job made_job(void)
{
    struct job j;
    job_init(&j);
    j.arch = (struct arch){.L_d = 1,
                           .L_m = 2,
                           .d = 16,
                           .d_qkv = 4,
                           .d_d = 10,
                           .d_m = 6,
                           .N_q = 4,
                           .N_kv = 2,
                           .S = 8,
                           .N_e = 4,
                           .K = 2,
                           .n_shared = 1,
                           .V = 7};
    j.data.paths = calloc(1, sizeof *j.data.paths);
    if (j.data.paths == NULL || (j.data.paths[0] = strdup("text.txt")) == NULL)
        die("made_job");
    j.data.n_paths = 1;
    j.train.tokens = j.train.batch_tokens = 8;
    j.train.lr = 0.01;
    return j;
}

void made_checkpoint(const char *dir, const struct job *j, bool text)
{
    static const uint8_t symbols[] = {0, 10, 32, 97, 98, 99, 255};
    struct model *m;
    struct rng r;
    struct run_state none = {0};
    int64_t n_bias;
    mkdir(dir, 0777);
    if (model_create(&j->arch, &j->model, ops_cpu(), GEMM_FULL, j->arch.S, 1, &m) != OK)
        die("made_checkpoint");
    rng_seed(&r, 5, 5);
    real *params = model_params(m), *bias = model_router_bias(m, &n_bias);
    for (int64_t i = 0; i < model_n_params(m); i++)
        params[i] = (real)rng_normal(&r);
    for (int64_t i = 0; i < n_bias; i++)
        bias[i] = (real)(0.1 * rng_normal(&r));
    char *meta = checkpoint_meta(j, &j->arch, text ? symbols : NULL);
    if (meta == NULL || checkpoint_save(dir, j, 1, meta, &none, m) != OK)
        die("made_checkpoint");
    free(meta);
    model_free(m);
}

void made_scratch(char dir[64])
{
    bool memory = access("/dev/shm", W_OK | X_OK) == 0;
    snprintf(dir, 64, "%s/moetrain-test-XXXXXX", memory ? "/dev/shm" : "/tmp");
    if (mkdtemp(dir) == NULL)
        die(dir);
}

struct made_path made_path(const char *dir, const char *name)
{
    struct made_path p;
    snprintf(p.text, sizeof p.text, "%.120s/%.120s", dir, name);
    return p;
}

char *made_slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (f == NULL || fstat(fileno(f), &st) != 0)
        die(path);
    char *bytes = malloc((size_t)st.st_size + 1);
    if (bytes == NULL)
        die(path);
    *n = fread(bytes, 1, (size_t)st.st_size, f);
    bytes[*n] = 0;
    fclose(f);
    return bytes;
}

void made_write(const char *path, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        die(path);
}

int made_entries(const char *dir)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return -1;
    int n = -2; // "." and ".."
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void made_remove(const char *dir)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
