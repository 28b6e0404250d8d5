// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda.h"
#include <cmath>

#define THREADS 256
#define BLOCKS 1024 // of a sum of squares; each leaves one number

// ---- AdamW ----------------------------------------------------------------------------------

struct adamw_factors {
    float b1, b2, a1, a2, rate, c2, keep, eps;
};

static __device__ inline float adamw_one(float p, float *m, float *v, float g,
                                         struct adamw_factors f)
{
    *m = f.b1 * *m + f.a1 * g;
    *v = f.b2 * *v + f.a2 * g * g;
    return f.keep * p - f.rate * *m / (sqrtf(*v * f.c2) + f.eps);
}

// rounded: where p's rounded copies go, or NULL.
static __global__ void __launch_bounds__(THREADS)
    adamw_each(float *p, float *m, float *v, const float *g, bf16 *rounded, int64_t n,
               struct adamw_factors f)
{
    int64_t i = gpu_index();
    if (i >= n)
        return;
    p[i] = adamw_one(p[i], m + i, v + i, g[i], f);
    if (rounded)
        gpu_store(rounded + i, p[i]);
}

// The same by four neighbours: n is a multiple of 4, addresses are aligned.
static __global__ void __launch_bounds__(THREADS)
    adamw_each4(float *p, float *m, float *v, const float *g, bf16 *rounded, int64_t n,
                struct adamw_factors f)
{
    int64_t i = gpu_index() * 4;
    if (i >= n)
        return;
    float4 pi = gpu_load4(p + i), mi = gpu_load4(m + i), vi = gpu_load4(v + i),
           gi = gpu_load4(g + i);
    pi.x = adamw_one(pi.x, &mi.x, &vi.x, gi.x, f);
    pi.y = adamw_one(pi.y, &mi.y, &vi.y, gi.y, f);
    pi.z = adamw_one(pi.z, &mi.z, &vi.z, gi.z, f);
    pi.w = adamw_one(pi.w, &mi.w, &vi.w, gi.w, f);
    gpu_store4(p + i, pi);
    gpu_store4(m + i, mi);
    gpu_store4(v + i, vi);
    if (rounded)
        gpu_store4(rounded + i, pi);
}

void cuda_adamw_update(real *p, real *m, real *v, const real *g, int64_t n,
                       const struct adamw *o)
{
    const struct adamw_factors f = {
        (float)o->beta1,
        (float)o->beta2,
        (float)(1 - o->beta1),
        (float)(1 - o->beta2),
        (float)(o->lr / (1 - pow(o->beta1, (double)o->step))),
        (float)(1 / (1 - pow(o->beta2, (double)o->step))),
        (float)(1 - o->lr * o->wd),
        (float)o->eps,
    };
    bf16 *rounded = gpu_kept(p);
    bool aligned = gpu_aligned(p, 16) && gpu_aligned(m, 16) && gpu_aligned(v, 16) &&
                   gpu_aligned(g, 16) && gpu_aligned(rounded, 8);
    int64_t whole = aligned ? n / 4 * 4 : 0;
    if (whole > 0)
        LAUNCH(adamw_each4, gpu_blocks(whole, 4 * THREADS), THREADS, 0, gpu.stream, p, m, v, g,
               rounded, whole, f);
    if (n > whole)
        LAUNCH(adamw_each, gpu_blocks(n - whole, THREADS), THREADS, 0, gpu.stream, p + whole,
               m + whole, v + whole, g + whole, rounded ? rounded + whole : nullptr, n - whole,
               f);
}

// ---- the gradients' norm
// ------------------------------------------------------------------------

static __global__ void __launch_bounds__(THREADS)
    squares(double *sums, const float *g, int64_t n)
{
    SHARED(double, scratch, [32]);
    double sum = 0;
#pragma unroll 4
    for (int64_t i = gpu_index(); i < n; i += (int64_t)gridDim.x * THREADS)
        sum += (double)g[i] * (double)g[i];
    sum = gpu_block_sum(sum, scratch);
    if (threadIdx.x == 0)
        sums[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__(THREADS)
    sum_all(double *sum, const double *sums, int n)
{
    SHARED(double, scratch, [32]);
    double v = 0;
    for (int i = (int)threadIdx.x; i < n; i += THREADS)
        v += sums[i];
    v = gpu_block_sum(v, scratch);
    if (threadIdx.x == 0)
        *sum = v;
}

size_t cuda_adamw_workspace(const struct ops_sizes *)
{
    return gpu_scratch_size(BLOCKS, sizeof(double)) + gpu_scratch_size(1, sizeof(double));
}

double cuda_grad_square(const real *g, int64_t n)
{
    gpu_scope scope;
    unsigned most = gpu_blocks(n, 4 * THREADS), blocks = most < BLOCKS ? most : BLOCKS;
    double *sums = gpu_scratch<double>(BLOCKS), *sum = gpu_scratch<double>(1), result;
    LAUNCH(squares, blocks, THREADS, 0, gpu.stream, sums, g, n);
    LAUNCH(sum_all, 1, THREADS, 0, gpu.stream, sum, sums, blocks);
    cuda_download(&result, sum, sizeof result);
    return result;
}

static __global__ void __launch_bounds__(THREADS) scale_each(float *g, int64_t n, float by)
{
    for (int64_t i = gpu_index(); i < n; i += (int64_t)gridDim.x * THREADS)
        g[i] *= by;
}

void cuda_grad_scale(real *g, int64_t n, double by)
{
    LAUNCH(scale_each, gpu_blocks(n, THREADS), THREADS, 0, gpu.stream, g, n, by);
}
