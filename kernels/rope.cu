// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda.h"

#define THREADS 256
#define WARPS (THREADS / 32)

struct rope_sizes {
    int64_t rows, T, H, half, ld;
};

// A warp a row: each lane turns pairs.
template <class X>
static __global__ void __launch_bounds__(THREADS)
    rotate(X *x, const float *table, struct rope_sizes n, float sign)
{
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (row >= n.rows)
        return;
    const int h = (int)n.half, pairs = (int)(n.H * n.half);
    const float *cosine = table + row % n.T * 2 * h, *sine = cosine + h;
    for (int i = (int)threadIdx.x % 32; i < pairs; i += 32) {
        int head = i / h, j = i - head * h;
        X *a = x + row * n.ld + head * 2 * h + j, *b = a + h;
        float s = sign * sine[j], aj = gpu_load(a), bj = gpu_load(b);
        gpu_store(a, aj * cosine[j] - bj * s);
        gpu_store(b, aj * s + bj * cosine[j]);
    }
}

// As above by four neighbours: half and ld are multiples of 4, addresses aligned.
template <class X>
static __global__ void __launch_bounds__(THREADS)
    rotate4(X *x, const float *table, struct rope_sizes n, float sign)
{
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (row >= n.rows)
        return;
    const int h = (int)n.half, quads = h / 4, all = (int)n.H * quads;
    const float *cosine = table + row % n.T * 2 * h, *sine = cosine + h;
    for (int i = (int)threadIdx.x % 32; i < all; i += 32) {
        int head = i / quads, j = (i - head * quads) * 4;
        X *a = x + row * n.ld + head * 2 * h + j, *b = a + h;
        float4 s = gpu_load4(sine + j), c = gpu_load4(cosine + j), u = gpu_load4(a),
               v = gpu_load4(b);
        s = make_float4(sign * s.x, sign * s.y, sign * s.z, sign * s.w);
        gpu_store4(a, make_float4(u.x * c.x - v.x * s.x, u.y * c.y - v.y * s.y,
                                  u.z * c.z - v.z * s.z, u.w * c.w - v.w * s.w));
        gpu_store4(b, make_float4(u.x * s.x + v.x * c.x, u.y * s.y + v.y * c.y,
                                  u.z * s.z + v.z * c.z, u.w * s.w + v.w * c.w));
    }
}

template <class X> static void turn(X *x, const float *table, struct rope_sizes n, float sign)
{
    unsigned blocks = gpu_blocks(n.rows, WARPS);
    bool four = n.half % 4 == 0 && n.ld % 4 == 0 && gpu_aligned(x, 4 * sizeof(X)) &&
                gpu_aligned(table, 16);
    if (four)
        LAUNCH(rotate4<X>, blocks, THREADS, 0, gpu.stream, x, table, n, sign);
    else
        LAUNCH(rotate<X>, blocks, THREADS, 0, gpu.stream, x, table, n, sign);
}

void cuda_rope_fwd(act *x, const real *table, int64_t B, int64_t T, int64_t H, int64_t D,
                   int64_t ld)
{
    struct rope_sizes n = {B * T, T, H, D / 2, ld};
    if (gpu.bf16)
        turn(reinterpret_cast<bf16 *>(x), table, n, 1);
    else
        turn(x, table, n, 1);
}

void cuda_rope_bwd(real *dx, const real *table, int64_t B, int64_t T, int64_t H, int64_t D,
                   int64_t ld)
{
    struct rope_sizes n = {B * T, T, H, D / 2, ld};
    turn(dx, table, n, -1);
}
