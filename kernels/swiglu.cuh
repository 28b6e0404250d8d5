// SPDX-License-Identifier: Apache-2.0
// swiglu.h's kernels, in storage type T: blocks of SWIGLU_THREADS, one row of gu each.
#ifndef KERNELS_SWIGLU_CUH
#define KERNELS_SWIGLU_CUH
#include "kernels/gpu.h"

#define SWIGLU_THREADS 128

static __device__ inline float swiglu_sigmoid(float g)
{
    return 1 / (1 + expf(-g));
}

struct swiglu_grads {
    float h, dg, du, ds; // ds: this element's share of the row's
};

static __device__ inline float swiglu(float g, float u, float s)
{
    return s * g * swiglu_sigmoid(g) * u;
}
static __device__ inline swiglu_grads swiglu_grad(float g, float u, float s, float dh)
{
    float sigmoid = swiglu_sigmoid(g), silu = g * sigmoid, d = dh * s;
    return {s * silu * u, d * u * (sigmoid + silu * (1 - sigmoid)), d * silu, dh * silu * u};
}

// quads: F, and with it every row, in whole aligned groups of four.
template <class T, bool quads>
static __global__ void __launch_bounds__(SWIGLU_THREADS)
    swiglu_fwd_rows(T *h, const T *gu, const float *s, int64_t F)
{
    int64_t row = blockIdx.x;
    const T *g = gu + row * 2 * F, *u = g + F;
    h += row * F;
    float weight = s ? s[row] : 1.0f;
    if constexpr (quads)
        for (int64_t f = 4 * threadIdx.x; f < F; f += 4 * SWIGLU_THREADS) {
            float4 a = gpu_load4(g + f), b = gpu_load4(u + f);
            gpu_store4(h + f, make_float4(swiglu(a.x, b.x, weight), swiglu(a.y, b.y, weight),
                                          swiglu(a.z, b.z, weight), swiglu(a.w, b.w, weight)));
        }
    else
        for (int64_t f = threadIdx.x; f < F; f += SWIGLU_THREADS)
            gpu_store(h + f, swiglu(gpu_load(g + f), gpu_load(u + f), weight));
}

template <class T, bool quads>
static __global__ void __launch_bounds__(SWIGLU_THREADS)
    swiglu_bwd_rows(T *dgu, float *ds, T *h, const float *dh, const T *gu, const float *s,
                    int64_t F)
{
    SHARED(float, scratch, [32]);
    int64_t row = blockIdx.x;
    const T *g = gu + row * 2 * F, *u = g + F;
    T *dg = dgu + row * 2 * F, *du = dg + F;
    dh += row * F;
    h += row * F;
    float weight = s ? s[row] : 1.0f, sum = 0;
    if constexpr (quads)
        for (int64_t f = 4 * threadIdx.x; f < F; f += 4 * SWIGLU_THREADS) {
            float4 a = gpu_load4(g + f), b = gpu_load4(u + f), d = gpu_load4(dh + f);
            swiglu_grads x = swiglu_grad(a.x, b.x, weight, d.x),
                         y = swiglu_grad(a.y, b.y, weight, d.y),
                         z = swiglu_grad(a.z, b.z, weight, d.z),
                         w = swiglu_grad(a.w, b.w, weight, d.w);
            gpu_store4(h + f, make_float4(x.h, y.h, z.h, w.h));
            gpu_store4(dg + f, make_float4(x.dg, y.dg, z.dg, w.dg));
            gpu_store4(du + f, make_float4(x.du, y.du, z.du, w.du));
            sum += x.ds + y.ds + (z.ds + w.ds);
        }
    else
        for (int64_t f = threadIdx.x; f < F; f += SWIGLU_THREADS) {
            swiglu_grads x = swiglu_grad(gpu_load(g + f), gpu_load(u + f), weight, dh[f]);
            gpu_store(h + f, x.h);
            gpu_store(dg + f, x.dg);
            gpu_store(du + f, x.du);
            sum += x.ds;
        }
    if (!s)
        return;
    sum = gpu_block_sum(sum, scratch);
    if (threadIdx.x == 0)
        ds[row] = sum;
}
#endif
