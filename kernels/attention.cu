// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.cuh"

#define WARPS 8

// delta [B, Hq, T] = do . o, one warp a row of a head.
template <class T>
static __global__ void __launch_bounds__(32 * WARPS)
    dot_rows(float *delta, const float *d_o, const T *o, struct attention_sizes n)
{
    int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (i >= n.B * n.T * n.Hq)
        return;
    const float *a = d_o + i * n.D;
    const T *b = o + i * n.D;
    float sum = 0;
    for (int64_t c = threadIdx.x % 32; c < n.D; c += 32)
        sum += a[c] * gpu_load(b + c);
    sum = gpu_warp_sum(sum);
    int64_t row = i / n.Hq, h = i % n.Hq;
    if (threadIdx.x % 32 == 0)
        delta[(row / n.T * n.Hq + h) * n.T + row % n.T] = sum;
}

template <class T>
static const float *deltas(const float *d_o, const T *o, struct attention_sizes n)
{
    int64_t rows = n.B * n.T * n.Hq;
    float *delta = gpu_scratch<float>(rows);
    LAUNCH(dot_rows<T>, gpu_blocks(rows, WARPS), 32 * WARPS, 0, gpu.stream, delta, d_o, o, n);
    return delta;
}

template <class T>
static heads<T> heads_of(const act *qk, const act *qkv, struct attention_sizes n)
{
    const T *rows = reinterpret_cast<const T *>(qk), *v = reinterpret_cast<const T *>(qkv);
    return {rows, rows + n.Hq * n.D, v + (n.Hq + n.Hkv) * n.D, n};
}

extern "C" void cuda_attention_fwd(act *o, real *lse, const act *qk, const act *qkv,
                                   struct attention_sizes n, enum gemm_kind, real *)
{
    gpu_scope scope;
    ASSERT(n.D <= 256);
    if (gpu.bf16)
        attention_fwd_bf16(reinterpret_cast<bf16 *>(o), lse, heads_of<bf16>(qk, qkv, n));
    else
        attention_fwd_f32(o, lse, heads_of<float>(qk, qkv, n));
}

extern "C" void cuda_attention_bwd(real *d_qkv, const real *d_o, const act *qk, const act *qkv,
                                   const act *o, const real *lse, struct attention_sizes n,
                                   enum gemm_kind, real *)
{
    gpu_scope scope;
    ASSERT(n.D <= 256);
    float *dq = d_qkv, *dk = dq + n.Hq * n.D, *dv = dk + n.Hkv * n.D;
    if (gpu.bf16) {
        const float *delta = deltas(d_o, reinterpret_cast<const bf16 *>(o), n);
        attention_bwd_bf16(dq, dk, dv, gpu_rounded(d_o, n.B * n.T * n.Hq * n.D), lse, delta,
                           heads_of<bf16>(qk, qkv, n));
    } else
        attention_bwd_f32(dq, dk, dv, d_o, lse, deltas(d_o, o, n), heads_of<float>(qk, qkv, n));
}

size_t cuda_attention_workspace(const struct ops_sizes *n)
{
    return gpu_scratch_size(n->T * n->Hq, sizeof(float)) + gpu_factor_size(n->T * n->Hq * n->D);
}
