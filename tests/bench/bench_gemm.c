// SPDX-License-Identifier: Apache-2.0
// The two ways to multiply (gemm_small, a BLAS) on the shapes of training: forward (x W^T), dx
// (dy W) and dW (dy^T x) for T tokens, I inputs, O outputs; GFLOP/s of processor time on one
// thread, the best of several. gemm.c's choice between them comes from this table.
#include "core/rng.h"
#include "kernels/gemm.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MOST (2048 * 2048)

typedef void (*way)(bool, bool, int64_t, int64_t, int64_t, const float *, int64_t,
                    const float *, int64_t, bool, float *, int64_t);

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *fill(struct rng *r)
{
    float *x = malloc(MOST * sizeof *x);
    if (x == NULL)
        abort();
    for (int64_t i = 0; i < MOST; i++)
        x[i] = (float)(rng_uniform(r) - 0.5);
    return x;
}

static double rate(way f, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a,
                   const float *b, float *c)
{
    double best = 0, flops = 2 * (double)(m * n * k);
    int64_t times = 1 + (int64_t)(5e7 / flops);
    for (int i = 0; i < 7; i++) {
        double start = seconds();
        for (int64_t j = 0; j < times; j++)
            f(ta, tb, m, n, k, a, ta ? m : k, b, tb ? k : n, false, c, n);
        double r = flops * (double)times / (seconds() - start);
        best = r > best ? r : best;
    }
    return best / 1e9;
}

int main(void)
{
    static const int64_t shapes[][3] = {
        {256, 16, 10},      {256, 60, 16},     {256, 16, 30},    {256, 80, 16},
        {32, 60, 16},       {32, 16, 30},      {8, 60, 16},      {8, 16, 30},
        {256, 64, 64},      {1024, 128, 64},   {512, 256, 128},  {4096, 384, 128},
        {256, 256, 256},    {512, 512, 512},   {4096, 512, 512}, {256, 2048, 512},
        {1024, 1024, 1024}, {2048, 2048, 2048}};
    struct rng r;
    rng_seed(&r, 1, 0);
    float *a = fill(&r), *b = fill(&r), *c = fill(&r);
    gemm_one_thread();
    printf("   T    O    I   forward: small %7s   dx: small %7s   dW: small %7s\n",
           gemm_backend(), gemm_backend(), gemm_backend());
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int64_t T = shapes[i][0], O = shapes[i][1], I = shapes[i][2];
        printf("%4d %4d %4d %16.0f %7.0f %11.0f %7.0f %11.0f %7.0f\n", (int)T, (int)O, (int)I,
               rate(gemm_small, false, true, T, O, I, a, b, c),
               rate(gemm_large, false, true, T, O, I, a, b, c),
               rate(gemm_small, false, false, T, I, O, a, b, c),
               rate(gemm_large, false, false, T, I, O, a, b, c),
               rate(gemm_small, true, false, O, I, T, a, b, c),
               rate(gemm_large, true, false, O, I, T, a, b, c));
        fflush(stdout);
    }
    free(a), free(b), free(c);
    return 0;
}
