// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda/op_run.h"
#include "core/rng.h"
#include "kernels/bf16.h"
#include "tests/kernels/dump_ops.h"
#include <stdio.h>
#include <stdlib.h>

enum { MOST_BUFFERS = 64 };

struct op_run run;
static bool narrow; // acts that are given are bfloat16
static struct {
    char name[48];
    int64_t number;
    int skip, buffers;
    void *base[MOST_BUFFERS];
} at;
static real *params;

bool op_run_open(int argc, char **argv)
{
    if (argc < 3)
        return false;
    run.all = strcmp(argv[1], "all") == 0;
    run.bf16 = strcmp(argv[2], "bf16") == 0;
    run.kind = run.bf16 ? GEMM_BF16 : GEMM_FULL;
    narrow = run.bf16 || strcmp(argv[2], "given") == 0;
#ifdef OP_CASES_CUDA
    if (ops_cuda(run.bf16, &run.ops) != OK) {
        fprintf(stderr, "%s\n", err_message());
        return false;
    }
#else
    run.ops = ops_cpu();
#endif
    params = run.ops->alloc(OP_PARAMS * sizeof *params);
    return params != NULL;
}

static void *host_memory(int64_t n, size_t size)
{
    void *p = calloc((size_t)n, size);
    if (p == NULL)
        abort();
    return p;
}

// n elements, `skip` of them behind the start of an allocation.
static void *buffer(int64_t n, size_t size)
{
    char *p = run.ops->alloc((size_t)(n + at.skip) * size);
    if (p == NULL || at.buffers == MOST_BUFFERS)
        abort();
    at.base[at.buffers++] = p;
    return p + (size_t)at.skip * size;
}

void op_begin(int skip, const struct ops_sizes *n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(at.name, sizeof at.name, format, args);
    va_end(args);
    at.number++;
    at.skip = 0;
    struct ops_sizes asked = *n;
    int64_t *of_model[] = {&asked.T, &asked.R, &asked.S, &asked.d, &asked.Hq, &asked.Hkv,
                           &asked.D, &asked.F, &asked.E, &asked.K, &asked.V};
    for (size_t i = 0; i < COUNT(of_model); i++) // a model has none of these that is 0
        *of_model[i] = *of_model[i] > 0 ? *of_model[i] : 1;
    if (run.ops->reserve(&asked) != OK) {
        fprintf(stderr, "%s\n", err_message());
        abort();
    }
    run.scratch = buffer(run.ops->scratch(&asked) + 1, sizeof(real));
    at.skip = skip;
}

void op_end(void)
{
    while (at.buffers > 0)
        run.ops->release(at.base[--at.buffers]);
}

static bool narrow_store(void)
{
    return run.ops->act_bytes == 2;
}

static uint16_t to_bf16(real x)
{
    float f = (float)bf16_round(x);
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static real from_bf16(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return (real)f;
}

real *op_reals(const double *x, int64_t n)
{
    real *host = host_memory(n, sizeof *host), *p = buffer(n, sizeof *p);
    for (int64_t i = 0; i < n; i++)
        host[i] = (real)(float)x[i];
    run.ops->upload(p, host, (size_t)n * sizeof *p);
    free(host);
    return p;
}

act *op_acts(const double *x, int64_t n)
{
    if (!narrow)
        return op_reals(x, n);
    double *rounded = host_memory(n, sizeof *rounded);
    uint16_t *host = host_memory(n, sizeof *host);
    act *p;
    for (int64_t i = 0; i < n; i++) {
        rounded[i] = (double)bf16_round((real)(float)x[i]);
        host[i] = to_bf16((real)rounded[i]);
    }
    if (narrow_store()) {
        p = buffer(n, sizeof *host);
        run.ops->upload(p, host, (size_t)n * sizeof *host);
    } else {
        p = op_reals(rounded, n);
    }
    free(host), free(rounded);
    return p;
}

int32_t *op_ints(const int32_t *x, int64_t n)
{
    int32_t *p = buffer(n, sizeof *p);
    run.ops->upload(p, x, (size_t)n * sizeof *p);
    return p;
}

// The case's next numbers: normal ones, or (most > 0) whole ones.
static double *numbers(int64_t n, double sd, int most)
{
    struct rng r;
    double *x = host_memory(n, sizeof *x);
    rng_seed(&r, (uint64_t)at.number, (uint64_t)at.buffers);
    for (int64_t i = 0; i < n; i++)
        x[i] = most > 0 ? (double)rng_below(&r, (uint64_t)(2 * most + 1)) - most
                        : sd * rng_normal(&r);
    return x;
}

static real *reals_of(double *x, int64_t n)
{
    real *p = op_reals(x, n);
    free(x);
    return p;
}

static act *acts_of(double *x, int64_t n)
{
    act *p = op_acts(x, n);
    free(x);
    return p;
}

real *op_normal(int64_t n, double sd)
{
    return reals_of(numbers(n, sd, 0), n);
}

act *op_normal_acts(int64_t n, double sd)
{
    return acts_of(numbers(n, sd, 0), n);
}

real *op_whole(int64_t n, int most)
{
    return reals_of(numbers(n, 0, most), n);
}

act *op_whole_acts(int64_t n, int most)
{
    return acts_of(numbers(n, 0, most), n);
}

static void *filled(int64_t n, size_t size) // with ones: NaN of any width, -1
{
    void *host = host_memory(n, size), *p = buffer(n, size);
    memset(host, 0xff, (size_t)n * size);
    run.ops->upload(p, host, (size_t)n * size);
    free(host);
    return p;
}

real *op_unset(int64_t n)
{
    return filled(n, sizeof(real));
}

act *op_unset_acts(int64_t n)
{
    return filled(n, run.ops->act_bytes);
}

int32_t *op_unset_ints(int64_t n)
{
    return filled(n, sizeof(int32_t));
}

static void *filled_aligned(int64_t n, size_t size)
{
    int skip = at.skip;
    at.skip = 0;
    void *p = filled(n, size);
    at.skip = skip;
    return p;
}

double *op_unset_double(void)
{
    return filled_aligned(1, sizeof(double));
}

real *op_scratch(int64_t n)
{
    return filled_aligned(n, sizeof(real));
}

real *op_params(int64_t n, double sd)
{
    double *x = numbers(n, sd, 0);
    real *host = host_memory(OP_PARAMS, sizeof *host);
    if (n > OP_PARAMS)
        abort();
    for (int64_t i = 0; i < n; i++)
        host[i] = (real)(float)x[i];
    run.ops->upload(params, host, OP_PARAMS * sizeof *host);
    run.ops->weights_changed(params, OP_PARAMS);
    free(host), free(x);
    return params;
}

void op_emit_host(const char *name, const double *x, int64_t n, double roundings)
{
    struct dump_header h = {.n = n, .roundings = roundings};
    snprintf(h.name, sizeof h.name, "%s %s", name, at.name);
    fwrite(&h, sizeof h, 1, stdout);
    fwrite(x, sizeof *x, (size_t)n, stdout);
}

void op_emit(const char *name, const real *x, int64_t n, double roundings)
{
    real *host = host_memory(n, sizeof *host);
    double *wide = host_memory(n, sizeof *wide);
    run.ops->download(host, x, (size_t)n * sizeof *host);
    for (int64_t i = 0; i < n; i++)
        wide[i] = (double)host[i];
    op_emit_host(name, wide, n, roundings);
    free(host), free(wide);
}

void op_emit_acts(const char *name, act *x, int64_t n, double roundings)
{
    if (!narrow_store()) {
        for (int64_t i = 0; i < n && run.bf16; i++)
            x[i] = bf16_round(x[i]);
        op_emit(name, x, n, roundings);
        return;
    }
    uint16_t *host = host_memory(n, sizeof *host);
    double *wide = host_memory(n, sizeof *wide);
    run.ops->download(host, x, (size_t)n * sizeof *host);
    for (int64_t i = 0; i < n; i++)
        wide[i] = (double)from_bf16(host[i]);
    op_emit_host(name, wide, n, roundings);
    free(host), free(wide);
}

void op_emit_ints(const char *name, const int32_t *x, int64_t n)
{
    int32_t *host = host_memory(n, sizeof *host);
    double *wide = host_memory(n, sizeof *wide);
    run.ops->download(host, x, (size_t)n * sizeof *host);
    for (int64_t i = 0; i < n; i++)
        wide[i] = host[i];
    op_emit_host(name, wide, n, 0);
    free(host), free(wide);
}
