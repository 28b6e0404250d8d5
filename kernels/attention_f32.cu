// SPDX-License-Identifier: Apache-2.0
// Attention in floats on CUDA cores. Blocks of 16 x 16 threads: thread (x, y) has ROWS own rows
// from y * ROWS on; of the scores the columns x and x + 16, of the outputs the channels in
// fours at 4 x + 64 i. All rows in shared memory are DP + 4 floats apart, so that 16 threads
// that read one column of 16 rows by float4 meet no bank twice.
#include "kernels/attention.cuh"

#define THREADS 256
#define N 32         // streamed rows
#define P_LD (N + 4) // floats between rows of scores

// s[i][j] = rows y * ROWS + i of a times rows x + 16 j of b.
template <int ROWS, int DP>
static __device__ inline void scores(float (&s)[ROWS][2], const float *a, const float *b, int D)
{
    const int LD = DP + 4;
    a += threadIdx.x / 16 * ROWS * LD;
    b += threadIdx.x % 16 * LD;
#pragma unroll
    for (int i = 0; i < ROWS; i++)
        s[i][0] = s[i][1] = 0;
#pragma unroll 2
    for (int c = 0; c < D; c += 4) {
        float4 b0 = gpu_load4(b + c), b1 = gpu_load4(b + 16 * LD + c);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            float4 v = gpu_load4(a + i * LD + c);
            s[i][0] += v.x * b0.x + v.y * b0.y + (v.z * b0.z + v.w * b0.w);
            s[i][1] += v.x * b1.x + v.y * b1.y + (v.z * b1.z + v.w * b1.w);
        }
    }
}

// acc[i][c] += rows y * ROWS + i of p [.., N] times b [N, channels of the thread].
template <int ROWS, int DP>
static __device__ inline void add_product(float4 (&acc)[ROWS][DP / 64], const float *p,
                                          const float *b)
{
    p += threadIdx.x / 16 * ROWS * P_LD;
    b += threadIdx.x % 16 * 4;
#pragma unroll 2
    for (int j = 0; j < N; j++)
#pragma unroll
        for (int c = 0; c < DP / 64; c++) {
            float4 v = gpu_load4(b + j * (DP + 4) + 64 * c);
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                float f = p[i * P_LD + j];
                acc[i][c] = make_float4(acc[i][c].x + f * v.x, acc[i][c].y + f * v.y,
                                        acc[i][c].z + f * v.z, acc[i][c].w + f * v.w);
            }
        }
}

// Rows y * ROWS + i of dst (ld apart; `rows` of them) = acc[i] * factor[i].
template <int ROWS, int DP>
static __device__ inline void store_rows(float *dst, int64_t ld, int64_t rows, int D,
                                         const float4 (&acc)[ROWS][DP / 64],
                                         const float (&factor)[ROWS])
{
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        int64_t r = threadIdx.x / 16 * ROWS + i;
#pragma unroll
        for (int c = 0; c < DP / 64; c++) {
            int at = (int)(threadIdx.x % 16) * 4 + 64 * c;
            float4 v = acc[i][c];
            float *to = dst + r * ld + at;
            if (r >= rows)
                continue;
            if (at < D)
                to[0] = v.x * factor[i];
            if (at + 1 < D)
                to[1] = v.y * factor[i];
            if (at + 2 < D)
                to[2] = v.z * factor[i];
            if (at + 3 < D)
                to[3] = v.w * factor[i];
        }
    }
}

static __device__ inline float row_sum(float v) // of the 16 threads of one y
{
    for (int step = 8; step > 0; step /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}
static __device__ inline float row_max(float v)
{
    for (int step = 8; step > 0; step /= 2)
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, step));
    return v;
}

// ---- forward
// ------------------------------------------------------------------------------------

// Own: 16 ROWS queries; streamed: keys, then their values in the same place.
template <int ROWS, int DP> static size_t forward_shared()
{
    return sizeof(float) * ((16 * ROWS + N) * (DP + 4) + 16 * ROWS * P_LD);
}

// The scores of one tile -> its P in p; the rows' largest score, sum and accumulator follow.
template <int ROWS, int DP>
static __device__ inline void online_softmax(float (&s)[ROWS][2], float (&top)[ROWS],
                                             float (&sum)[ROWS], float4 (&acc)[ROWS][DP / 64],
                                             float *p, int64_t q0, int64_t k0, float scale)
{
    int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        int64_t q = q0 + y * ROWS + i;
        float s0 = k0 + x <= q ? s[i][0] * scale : -INFINITY,
              s1 = k0 + x + 16 <= q ? s[i][1] * scale : -INFINITY;
        float now = fmaxf(top[i], row_max(fmaxf(s0, s1))), keep = expf(top[i] - now);
        float p0 = expf(s0 - now), p1 = expf(s1 - now);
        top[i] = now;
        sum[i] = sum[i] * keep + row_sum(p0 + p1);
        p[(y * ROWS + i) * P_LD + x] = p0;
        p[(y * ROWS + i) * P_LD + x + 16] = p1;
#pragma unroll
        for (int c = 0; c < DP / 64; c++)
            acc[i][c] = make_float4(acc[i][c].x * keep, acc[i][c].y * keep, acc[i][c].z * keep,
                                    acc[i][c].w * keep);
    }
}

template <int ROWS, int DP>
static __global__ void __launch_bounds__(THREADS)
    forward(float *o, float *lse, heads<float> x, float scale, bool aligned)
{
    const int M = 16 * ROWS, LD = DP + 4, AHEAD = DP > 128 ? 1 : 4;
    DYN_SHARED(float, shared);
    float *own = shared, *other = own + M * LD, *p = other + N * LD;
    struct attention_sizes n = x.n;
    attention_tile at = attention_tile_of(n.Hq, n.B, true);
    int64_t q0 = at.tile * M, first = at.b * n.T, hk = at.h / (n.Hq / n.Hkv);
    int D = (int)n.D;
    const float *k = x.k + first * n.ld + hk * D, *v = x.v + first * n.ld + hk * D;
    float4 acc[ROWS][DP / 64];
    float top[ROWS], sum[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        top[i] = -INFINITY;
        sum[i] = 0;
#pragma unroll
        for (int c = 0; c < DP / 64; c++)
            acc[i][c] = make_float4(0, 0, 0, 0);
    }
    attention_load<float, M, DP, LD, THREADS, AHEAD>(own, x.q + (first + q0) * n.ld + at.h * D,
                                                     n.ld, n.T - q0, D, aligned);
    for (int64_t k0 = 0; k0 < n.T && k0 < q0 + M; k0 += N) {
        float s[ROWS][2];
        __syncthreads();
        attention_load<float, N, DP, LD, THREADS, AHEAD>(other, k + k0 * n.ld, n.ld, n.T - k0,
                                                         D, aligned);
        __syncthreads();
        scores<ROWS, DP>(s, own, other, D);
        online_softmax<ROWS, DP>(s, top, sum, acc, p, q0, k0, scale);
        __syncthreads();
        attention_load<float, N, DP, LD, THREADS, AHEAD>(other, v + k0 * n.ld, n.ld, n.T - k0,
                                                         D, aligned);
        __syncthreads();
        add_product<ROWS, DP>(acc, p, other);
    }
    float *to = lse + (at.b * n.Hq + at.h) * n.T;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        int64_t q = q0 + threadIdx.x / 16 * ROWS + i;
        if (threadIdx.x % 16 == 0 && q < n.T)
            to[q] = top[i] + logf(sum[i]);
        sum[i] = 1 / sum[i];
    }
    store_rows<ROWS, DP>(o + ((first + q0) * n.Hq + at.h) * D, n.Hq * D, n.T - q0, D, acc, sum);
}

template <int ROWS, int DP>
static void launch_forward(float *o, float *lse, const heads<float> &x)
{
    struct attention_sizes n = x.n;
    bool aligned = attention_aligned(x.q, n.D, n.ld) && attention_aligned(x.k, n.D, n.ld) &&
                   attention_aligned(x.v, n.D, n.ld);
    size_t shared = forward_shared<ROWS, DP>();
    attention_shared(forward<ROWS, DP>, shared);
    LAUNCH((forward<ROWS, DP>), gpu_blocks(n.T, 16 * ROWS) * (unsigned)(n.B * n.Hq), THREADS,
           shared, gpu.stream, o, lse, x, 1 / sqrtf((float)n.D), aligned);
}

void attention_fwd_f32(float *o, float *lse, heads<float> x)
{
    if (x.n.D <= 64)
        launch_forward<4, 64>(o, lse, x);
    else if (x.n.D <= 128)
        launch_forward<4, 128>(o, lse, x);
    else
        launch_forward<2, 256>(o, lse, x);
}

// ---- backward
// -----------------------------------------------------------------------------------

struct backward_at {       // one pass's block
    float *first, *second; // the own rows' gradients: of q, or of k and v
    const float *d_o, *lse, *delta;
    float scale;
    bool aligned;
};

template <int ROWS, int DP> static size_t backward_shared()
{
    return sizeof(float) * (2 * (16 * ROWS + N) * (DP + 4) + 2 * 16 * ROWS * P_LD + 2 * N);
}

// The scores s and dp of one tile -> P in p and dS = P (dP - delta) in ds. keys: own rows are
// keys.
template <int ROWS, bool keys>
static __device__ inline void
grad_scores(const float (&s)[ROWS][2], const float (&dp)[ROWS][2], float *p, float *ds,
            const float (&own_lse)[ROWS], const float (&own_delta)[ROWS], const float *lse,
            const float *delta, int64_t own0, int64_t other0, float scale, int64_t T)
{
    int x = (int)threadIdx.x % 16, y = (int)threadIdx.x / 16;
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            int r = y * ROWS + i, c = x + 16 * j;
            int64_t q = keys ? other0 + c : own0 + r, k = keys ? own0 + r : other0 + c;
            float l = keys ? lse[c] : own_lse[i], d = keys ? delta[c] : own_delta[i];
            float e = k <= q && q < T ? expf(s[i][j] * scale - l) : 0;
            p[r * P_LD + c] = e;
            ds[r * P_LD + c] = e * (dp[i][j] - d);
        }
}

// Own rows 16 ROWS queries or keys, of which each block has those of one head. As many blocks a
// multiprocessor as shared memory allows, or registers.
template <int ROWS, int DP, bool keys>
static __global__ void __launch_bounds__(THREADS, DP > 64 ? 1
                                                  : keys  ? 2
                                                          : 3)
    backward(heads<float> x, backward_at to)
{
    const int M = 16 * ROWS, LD = DP + 4;
    DYN_SHARED(float, shared);
    float *own1 = shared, *own2 = own1 + M * LD, *other1 = own2 + M * LD,
          *other2 = other1 + N * LD;
    float *p = other2 + N * LD, *ds = p + M * P_LD, *lse = ds + M * P_LD, *delta = lse + N;
    struct attention_sizes n = x.n;
    attention_tile at = attention_tile_of(keys ? n.Hkv : n.Hq, n.B, !keys);
    int64_t own0 = at.tile * M, first = at.b * n.T, group = n.Hq / n.Hkv;
    int D = (int)n.D;
    int64_t hk = keys ? at.h : at.h / group, ldo = n.Hq * D;
    const float *k = x.k + first * n.ld + hk * D, *v = x.v + first * n.ld + hk * D;
    float4 acc1[ROWS][DP / 64], acc2[keys ? ROWS : 1][keys ? DP / 64 : 1];
    float own_lse[ROWS], own_delta[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        int64_t row = own0 + threadIdx.x / 16 * ROWS + i;
        bool has = !keys && row < n.T;
        own_lse[i] = has ? to.lse[(at.b * n.Hq + at.h) * n.T + row] : 0;
        own_delta[i] = has ? to.delta[(at.b * n.Hq + at.h) * n.T + row] : 0;
#pragma unroll
        for (int c = 0; c < DP / 64; c++) {
            acc1[i][c] = make_float4(0, 0, 0, 0);
            if constexpr (keys)
                acc2[i][c] = make_float4(0, 0, 0, 0);
        }
    }
    if constexpr (keys) {
        attention_load<float, M, DP, LD, THREADS, 1>(own1, k + own0 * n.ld, n.ld, n.T - own0, D,
                                                     to.aligned);
        attention_load<float, M, DP, LD, THREADS, 1>(own2, v + own0 * n.ld, n.ld, n.T - own0, D,
                                                     to.aligned);
    } else {
        attention_load<float, M, DP, LD, THREADS, 1>(
            own1, x.q + (first + own0) * n.ld + at.h * D, n.ld, n.T - own0, D, to.aligned);
        attention_load<float, M, DP, LD, THREADS, 1>(
            own2, to.d_o + (first + own0) * ldo + at.h * D, ldo, n.T - own0, D, to.aligned);
    }
    // Keys stand before queries: own keys see the queries from their own on, own queries the
    // keys up to their last.
    int64_t begin = keys ? own0 / N * N : 0, end = keys || own0 + M > n.T ? n.T : own0 + M;
    for (int64_t h = keys ? hk * group : at.h, last = keys ? h + group : h + 1; h < last; h++)
        for (int64_t other0 = begin; other0 < end; other0 += N) {
            float s[ROWS][2], dp[ROWS][2];
            int64_t left = n.T - other0;
            __syncthreads();
            if constexpr (keys) {
                const float *q = x.q + (first + other0) * n.ld + h * D,
                            *d_o = to.d_o + (first + other0) * ldo + h * D;
                int64_t row = (at.b * n.Hq + h) * n.T + other0;
                attention_load<float, N, DP, LD, THREADS, 1>(other1, q, n.ld, left, D,
                                                             to.aligned);
                attention_load<float, N, DP, LD, THREADS, 1>(other2, d_o, ldo, left, D,
                                                             to.aligned);
                if (threadIdx.x < N) {
                    lse[threadIdx.x] = threadIdx.x < left ? to.lse[row + threadIdx.x] : 0;
                    delta[threadIdx.x] = threadIdx.x < left ? to.delta[row + threadIdx.x] : 0;
                }
            } else {
                attention_load<float, N, DP, LD, THREADS, 1>(other1, k + other0 * n.ld, n.ld,
                                                             left, D, to.aligned);
                attention_load<float, N, DP, LD, THREADS, 1>(other2, v + other0 * n.ld, n.ld,
                                                             left, D, to.aligned);
            }
            __syncthreads();
            scores<ROWS, DP>(s, own1, other1, D);
            scores<ROWS, DP>(dp, own2, other2, D);
            grad_scores<ROWS, keys>(s, dp, p, ds, own_lse, own_delta, lse, delta, own0, other0,
                                    to.scale, n.T);
            __syncwarp(); // a row of p and ds is one warp's
            add_product<ROWS, DP>(acc1, ds, other1);
            if constexpr (keys)
                add_product<ROWS, DP>(acc2, p, other2);
        }
    float scale[ROWS], one[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++)
        scale[i] = to.scale, one[i] = 1;
    int64_t start = (first + own0) * n.ld + at.h * D;
    store_rows<ROWS, DP>(to.first + start, n.ld, n.T - own0, D, acc1, scale);
    if constexpr (keys)
        store_rows<ROWS, DP>(to.second + start, n.ld, n.T - own0, D, acc2, one);
}

template <int ROWS, int DP, bool keys>
static void launch_backward(const heads<float> &x, const backward_at &to)
{
    struct attention_sizes n = x.n;
    size_t shared = backward_shared<ROWS, DP>();
    attention_shared(backward<ROWS, DP, keys>, shared);
    LAUNCH((backward<ROWS, DP, keys>),
           gpu_blocks(n.T, 16 * ROWS) * (unsigned)(n.B * (keys ? n.Hkv : n.Hq)), THREADS,
           shared, gpu.stream, x, to);
}

template <int ROWS, int DP>
static void both_passes(float *dq, float *dk, float *dv, const heads<float> &x, backward_at to)
{
    to.first = dq;
    to.second = nullptr;
    launch_backward<ROWS, DP, false>(x, to);
    to.first = dk;
    to.second = dv;
    launch_backward<ROWS, DP, true>(x, to);
}

void attention_bwd_f32(float *dq, float *dk, float *dv, const float *d_o, const float *lse,
                       const float *delta, heads<float> x)
{
    int64_t D = x.n.D, ld = x.n.ld;
    bool aligned = attention_aligned(x.q, D, ld) && attention_aligned(x.k, D, ld) &&
                   attention_aligned(x.v, D, ld) && attention_aligned(d_o, D, x.n.Hq * D);
    backward_at to = {nullptr, nullptr, d_o, lse, delta, 1 / sqrtf((float)D), aligned};
    if (D <= 64)
        both_passes<4, 64>(dq, dk, dv, x, to);
    else if (D <= 128)
        both_passes<4, 128>(dq, dk, dv, x, to);
    else
        both_passes<2, 256>(dq, dk, dv, x, to);
}
