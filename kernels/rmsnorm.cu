// SPDX-License-Identifier: Apache-2.0
// A row is a token's channels, or one head's. Short rows have a warp each, long ones a block; a
// thread takes the same columns of every row, so that it may add up a gain's gradient without
// asking anyone.
#include "kernels/cuda.h"

#define EPS 1e-6f
#define THREADS 256
#define LONG 1024  // channels from which a row has a block
#define BLOCKS 512 // of a backward pass: each leaves one row of sums for the gain's gradient

// n rows of C channels: row i is the (i % per)-th of those that begin at a multiple of ld, and
// its factor that of rld.
struct row_sizes {
    int64_t n, C, per, ld, rld;
};

static __device__ inline int64_t row_at(struct row_sizes s, int64_t i)
{
    return s.per == 1 ? i * s.ld : i / s.per * s.ld + i % s.per * s.C;
}

static __device__ inline int64_t factor_at(struct row_sizes s, int64_t i)
{
    return s.per == 1 ? i * s.rld : i / s.per * s.rld + i % s.per;
}

// V neighbours: one, or four in one access.
template <int V, class X> static __device__ inline float4 load(const X *p)
{
    if constexpr (V == 4)
        return gpu_load4(p);
    else
        return make_float4(gpu_load(p), 0, 0, 0);
}

template <int V, class X> static __device__ inline void store(X *p, float4 v)
{
    if constexpr (V == 4)
        gpu_store4(p, v);
    else
        gpu_store(p, v.x);
}

static __device__ inline float dot(float4 a, float4 b)
{
    return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

static __device__ inline float4 times(float4 a, float4 b)
{
    return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}

// a + s b
static __device__ inline float4 plus(float4 a, float s, float4 b)
{
    return make_float4(a.x + s * b.x, a.y + s * b.y, a.z + s * b.z, a.w + s * b.w);
}

// The sum over a row's G threads: a warp's or the block's.
template <int G> static __device__ inline float row_sum(float v, float *scratch)
{
    return G == 32 ? gpu_warp_sum(v) : gpu_block_sum(v, scratch);
}

template <int G, int V, class Y, class X>
static __global__ void __launch_bounds__(THREADS)
    norm_rows(Y *y, float *r, const X *x, const float *g, struct row_sizes s)
{
    SHARED(float, scratch, [32]);
    int64_t i = (int64_t)blockIdx.x * (THREADS / G) + threadIdx.x / G;
    if (i >= s.n) // all of a warp, or of the block
        return;
    const int first = (int)threadIdx.x % G * V, C = (int)s.C;
    x += row_at(s, i);
    y += row_at(s, i);
    float square = 0;
    for (int c = first; c < C; c += G * V) {
        float4 v = load<V>(x + c);
        square += dot(v, v);
    }
    float factor = 1 / sqrtf(row_sum<G>(square, scratch) / (float)C + EPS);
    const float4 zero = make_float4(0, 0, 0, 0);
    for (int c = first; c < C; c += G * V)
        store<V>(y + c, times(plus(zero, factor, load<V>(x + c)), load<V>(g + c)));
    if (first == 0)
        r[factor_at(s, i)] = factor;
}

// dx: added to, or with `in_place` it holds dy, which it replaces. sums [blocks, C]: what this
// block's rows add to the gain's gradient, collected in shared memory [THREADS / G, C].
template <int G, int V, bool in_place, class X>
static __global__ void __launch_bounds__(THREADS, 3)
    norm_rows_bwd(float *dx, float *sums, const float *dy, const X *x, const float *g,
                  const float *r, struct row_sizes s)
{
    SHARED(float, scratch, [32]);
    DYN_SHARED(float, dg);
    const int first = (int)threadIdx.x % G * V, C = (int)s.C, groups = THREADS / G;
    float *mine = dg + (int)threadIdx.x / G * C;
    for (int c = first; c < C; c += G * V)
        store<V>(mine + c, make_float4(0, 0, 0, 0));
    for (int64_t i = (int64_t)blockIdx.x * groups + threadIdx.x / G; i < s.n;
         i += (int64_t)gridDim.x * groups) {
        const int64_t at = row_at(s, i);
        const float *dyi = dy + at;
        const X *xi = x + at;
        float *dxi = dx + at, product = 0, factor = r[factor_at(s, i)];
#pragma unroll 2
        for (int c = first; c < C; c += G * V)
            product += dot(times(load<V>(dyi + c), load<V>(xi + c)), load<V>(g + c));
        float k = factor * factor * factor * row_sum<G>(product, scratch) / (float)C;
        const float4 zero = make_float4(0, 0, 0, 0);
#pragma unroll 2
        for (int c = first; c < C; c += G * V) {
            float4 d = plus(zero, factor, load<V>(dyi + c)), v = load<V>(xi + c);
            store<V>(mine + c, plus(load<V>(mine + c), 1, times(d, v)));
            float4 old = in_place ? zero : load<V>(dxi + c);
            store<V>(dxi + c, plus(plus(old, 1, times(d, load<V>(g + c))), -k, v));
        }
    }
    __syncthreads();
    for (int c = (int)threadIdx.x; c < C; c += THREADS) {
        float sum = dg[c];
        for (int j = 1; j < groups; j++)
            sum += dg[j * C + c];
        sums[(int64_t)blockIdx.x * C + c] = sum;
    }
}

// ---- the host's side ------------------------------------------------------------------------

template <class T> static bool by_four(const T *p, struct row_sizes s)
{
    return s.C % 4 == 0 && s.ld % 4 == 0 && gpu_aligned(p, 4 * sizeof(T));
}

template <class Y, class X>
static void forward(Y *y, float *r, const X *x, const float *g, struct row_sizes s)
{
    bool four = by_four(y, s) && by_four(x, s) && by_four(g, s);
    unsigned by_warps = gpu_blocks(s.n, THREADS / 32), by_blocks = gpu_blocks(s.n, 1);
    if (s.C < LONG && four)
        LAUNCH((norm_rows<32, 4, Y, X>), by_warps, THREADS, 0, gpu.stream, y, r, x, g, s);
    else if (s.C < LONG)
        LAUNCH((norm_rows<32, 1, Y, X>), by_warps, THREADS, 0, gpu.stream, y, r, x, g, s);
    else if (four)
        LAUNCH((norm_rows<THREADS, 4, Y, X>), by_blocks, THREADS, 0, gpu.stream, y, r, x, g, s);
    else
        LAUNCH((norm_rows<THREADS, 1, Y, X>), by_blocks, THREADS, 0, gpu.stream, y, r, x, g, s);
}

static unsigned backward_blocks(struct row_sizes s)
{
    unsigned blocks = gpu_blocks(s.n, s.C < LONG ? THREADS / 32 : 1);
    return blocks < BLOCKS ? blocks : BLOCKS;
}

template <int G, int V, bool in_place, class X>
static void backward_as(float *dx, float *sums, const float *dy, const X *x, const float *g,
                        const float *r, struct row_sizes s)
{
    auto kernel = norm_rows_bwd<G, V, in_place, X>;
    int bytes = (int)(THREADS / G * s.C * (int64_t)sizeof(float));
    GPU_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    LAUNCH(kernel, backward_blocks(s), THREADS, (size_t)bytes, gpu.stream, dx, sums, dy, x, g,
           r, s);
}

// dg += the gain's gradient. Takes its workspace from the caller's scope.
template <bool in_place, class X>
static void backward(float *dx, float *dg, const float *dy, const X *x, const float *g,
                     const float *r, struct row_sizes s)
{
    bool four = by_four(dx, s) && by_four(dy, s) && by_four(x, s) && by_four(g, s);
    int64_t blocks = backward_blocks(s);
    float *sums = gpu_scratch<float>(blocks * s.C);
    if (s.C < LONG && four)
        backward_as<32, 4, in_place>(dx, sums, dy, x, g, r, s);
    else if (s.C < LONG)
        backward_as<32, 1, in_place>(dx, sums, dy, x, g, r, s);
    else if (four)
        backward_as<THREADS, 4, in_place>(dx, sums, dy, x, g, r, s);
    else
        backward_as<THREADS, 1, in_place>(dx, sums, dy, x, g, r, s);
    gpu_sum_rows(dg, sums, blocks, s.C, 1, true);
}

void cuda_rmsnorm_fwd(act *y, real *r, const real *x, const real *g, int64_t T, int64_t C)
{
    struct row_sizes s = {T, C, 1, C, 1};
    if (gpu.bf16)
        forward(reinterpret_cast<bf16 *>(y), r, x, g, s);
    else
        forward(y, r, x, g, s);
}

void cuda_rmsnorm_bwd(real *dx, real *dg, const real *dy, const real *x, const real *g,
                      const real *r, int64_t T, int64_t C)
{
    gpu_scope scope;
    backward<false>(dx, dg, dy, x, g, r, {T, C, 1, C, 1});
}

static struct row_sizes query_rows(struct head_sizes n)
{
    return {n.n * n.Hq, n.D, n.Hq, n.ld, n.Hq + n.Hkv};
}

static struct row_sizes key_rows(struct head_sizes n)
{
    return {n.n * n.Hkv, n.D, n.Hkv, n.ld, n.Hq + n.Hkv};
}

template <class A>
static void heads_forward(A *y, float *r, const A *x, const float *gq, const float *gk,
                          struct head_sizes n)
{
    int64_t Q = n.Hq * n.D;
    forward(y, r, x, gq, query_rows(n));
    forward(y + Q, r + n.Hq, x + Q, gk, key_rows(n));
}

void cuda_rmsnorm_heads_fwd(act *y, real *r, const act *x, const real *gq, const real *gk,
                            struct head_sizes n)
{
    if (gpu.bf16)
        heads_forward(reinterpret_cast<bf16 *>(y), r, reinterpret_cast<const bf16 *>(x), gq, gk,
                      n);
    else
        heads_forward(y, r, x, gq, gk, n);
}

template <class A>
static void heads_backward(float *d, float *dgq, float *dgk, const A *x, const float *gq,
                           const float *gk, const float *r, struct head_sizes n)
{
    int64_t Q = n.Hq * n.D;
    backward<true>(d, dgq, d, x, gq, r, query_rows(n));
    backward<true>(d + Q, dgk, d + Q, x + Q, gk, r + n.Hq, key_rows(n));
}

void cuda_rmsnorm_heads_bwd(real *d, real *dgq, real *dgk, const act *x, const real *gq,
                            const real *gk, const real *r, struct head_sizes n, real *)
{
    gpu_scope scope;
    if (gpu.bf16)
        heads_backward(d, dgq, dgk, reinterpret_cast<const bf16 *>(x), gq, gk, r, n);
    else
        heads_backward(d, dgq, dgk, x, gq, gk, r, n);
}

static size_t sums_size(struct row_sizes s)
{
    return gpu_scratch_size((int64_t)backward_blocks(s) * s.C, sizeof(float));
}

size_t cuda_rmsnorm_workspace(const struct ops_sizes *n)
{
    struct head_sizes heads = {n->T, n->Hq, n->Hkv, n->D, 0};
    size_t streams = sums_size({n->T, n->d, 1, n->d, 1});
    size_t both = sums_size(query_rows(heads)) + sums_size(key_rows(heads));
    return streams > both ? streams : both;
}
