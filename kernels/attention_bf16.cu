// SPDX-License-Identifier: Apache-2.0
// Attention on tensor cores: blocks of 4 warps, each with 16 own rows of the block's 64. Which
// elements of a fragment a lane holds is not known, so scores go through the warp's own part of
// shared memory: there lane 2 r + side has row r, of every 8 columns the four from 4 side on,
// and the factors of the next products, rounded, take the floats' place. Rows of bf16 are DP +
// 8 apart and rows of floats a multiple of 32 plus 8, so that neighbours share no bank.
#include "kernels/attention.cuh"

#define WARPS 4
#define THREADS (32 * WARPS)
#define M (16 * WARPS) // own rows
#define LOG2E 1.4426950408889634f

// sum[j] += rows a [16, D] times rows 16 j + .. of b, transposed: 16 x COLUMNS scores.
template <int COLUMNS, int DP>
static __device__ inline void scores(gpu_wmma_acc (&sum)[COLUMNS / 16], const bf16 *a,
                                     const bf16 *b, int D)
{
    const int LD = DP + 8;
#pragma unroll
    for (int j = 0; j < COLUMNS / 16; j++)
        WMMA_FILL(sum[j], 0.0f);
#pragma unroll
    for (int c = 0; c < DP; c += 16) {
        if (c >= D)
            break;
        gpu_wmma_a<gpu_row> fa;
        WMMA_LOAD(fa, a + c, LD);
#pragma unroll
        for (int j = 0; j < COLUMNS / 16; j++) {
            gpu_wmma_b<gpu_col> fb;
            WMMA_LOAD(fb, b + j * 16 * LD + c, LD);
            WMMA_MMA(sum[j], fa, fb, sum[j]);
        }
    }
}

// acc += p [16, COLUMNS], rounded rows ld apart, times b [COLUMNS, D].
template <int COLUMNS, int DP>
static __device__ inline void add_product(gpu_wmma_acc (&acc)[DP / 16], const bf16 *p, int ld,
                                          const bf16 *b, int D)
{
    const int LD = DP + 8;
#pragma unroll
    for (int j = 0; j < COLUMNS; j += 16) {
        gpu_wmma_a<gpu_row> fa;
        WMMA_LOAD(fa, p + j, ld);
#pragma unroll
        for (int c = 0; c < DP / 16; c++) {
            if (c * 16 >= D)
                break;
            gpu_wmma_b<gpu_row> fb;
            WMMA_LOAD(fb, b + j * LD + c * 16, LD);
            WMMA_MMA(acc[c], fa, fb, acc[c]);
        }
    }
}

template <int COLUMNS>
static __device__ inline void store_scores(float *to, const gpu_wmma_acc (&s)[COLUMNS / 16])
{
#pragma unroll
    for (int j = 0; j < COLUMNS / 16; j++)
        WMMA_STORE(to + 16 * j, s[j], COLUMNS + 8);
}

// Rows of dst (ld apart, `rows` of them, D channels) = acc times factor, a number per lane's
// row. through: the warp's 16 rows of WIDTH floats in shared memory.
template <class T, int DP, int WIDTH>
static __device__ inline void store_rows(T *dst, int64_t ld, int64_t rows, int D,
                                         float *through, const gpu_wmma_acc (&acc)[DP / 16],
                                         float factor)
{
    int lane = (int)threadIdx.x % 32, r = lane / 2;
#pragma unroll
    for (int c0 = 0; c0 < DP; c0 += WIDTH) {
        __syncwarp();
        if (c0 < D)
            store_scores<WIDTH>(
                through, reinterpret_cast<const gpu_wmma_acc(&)[WIDTH / 16]>(acc[c0 / 16]));
        __syncwarp();
        for (int c = lane % 2; c < WIDTH && c0 + c < D && r < rows; c += 2)
            gpu_store(dst + r * ld + c0 + c, through[r * (WIDTH + 8) + c] * factor);
    }
}

// ---- forward
// ------------------------------------------------------------------------------------

#define NF 64        // keys at a time
#define LDF (NF + 8) // floats between rows of scores
#define STALE                                                                                  \
    8.0f // how far (as a power of two) scores may outgrow the one they are relative to

template <int DP> static size_t forward_shared()
{
    return sizeof(bf16) * (size_t)((M + 2 * NF) * (DP + 8)) + sizeof(float) * (size_t)(M * LDF);
}

// acc's rows times keep, a number per lane's row. through: the warp's part of shared memory.
template <int DP>
static __device__ inline void rescale(gpu_wmma_acc (&acc)[DP / 16], float *through, float keep)
{
    int lane = (int)threadIdx.x % 32, r = lane / 2, side = lane % 2;
#pragma unroll
    for (int c0 = 0; c0 < DP / 16; c0 += NF / 16) {
        __syncwarp();
#pragma unroll
        for (int j = 0; j < NF / 16; j++)
            WMMA_STORE(through + 16 * j, acc[c0 + j], LDF);
        __syncwarp();
        for (int c = 4 * side; c < NF; c += 8) {
            float4 v = gpu_load4(through + r * LDF + c);
            gpu_store4(through + r * LDF + c,
                       make_float4(v.x * keep, v.y * keep, v.z * keep, v.w * keep));
        }
        __syncwarp();
#pragma unroll
        for (int j = 0; j < NF / 16; j++)
            WMMA_LOAD_ACC(acc[c0 + j], through + 16 * j, LDF);
    }
    __syncwarp();
}

// Scores are kept as powers of two: s log2(e) / sqrt(D), P = 2^(that - top). top is the largest
// score so far or up to STALE less, so that the accumulators seldom have to be scaled anew.
struct softmax_row {
    float top, sum; // of the lane's row; sum: of the lane's side of the columns
};

// The scores of one tile in the warp's part of shared memory -> its P, rounded.
template <int DP>
static __device__ inline softmax_row online_softmax(softmax_row row,
                                                    gpu_wmma_acc (&acc)[DP / 16], float *part,
                                                    int64_t q, int64_t k0, float scale)
{
    int lane = (int)threadIdx.x % 32, r = lane / 2, side = lane % 2;
    float4 s[NF / 8];
    float top = -INFINITY;
#pragma unroll
    for (int i = 0; i < NF / 8; i++) {
        int64_t k = k0 + 8 * i + 4 * side;
        float4 v = gpu_load4(part + r * LDF + 8 * i + 4 * side);
        s[i] = make_float4(
            k <= q ? v.x * scale : -INFINITY, k + 1 <= q ? v.y * scale : -INFINITY,
            k + 2 <= q ? v.z * scale : -INFINITY, k + 3 <= q ? v.w * scale : -INFINITY);
        top = fmaxf(top, fmaxf(fmaxf(s[i].x, s[i].y), fmaxf(s[i].z, s[i].w)));
    }
    top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
    bool first = row.top == -INFINITY, grows = top > row.top + STALE;
    if (__any_sync(0xffffffffu, grows)) {
        float keep = grows && !first ? exp2f(row.top - top) : 1;
        if (__any_sync(0xffffffffu, !first))
            rescale<DP>(acc, part, keep);
        row.sum *= keep;
        row.top = grows ? top : row.top;
    }
    __syncwarp(); // all scores are read
    bf16 *p = reinterpret_cast<bf16 *>(part) + r * 2 * LDF + 4 * side;
#pragma unroll
    for (int i = 0; i < NF / 8; i++) {
        float4 e = make_float4(exp2f(s[i].x - row.top), exp2f(s[i].y - row.top),
                               exp2f(s[i].z - row.top), exp2f(s[i].w - row.top));
        row.sum += e.x + e.y + (e.z + e.w);
        gpu_store4(p + 8 * i, e);
    }
    __syncwarp();
    return row;
}

template <int DP>
static __global__ void __launch_bounds__(THREADS)
    forward(bf16 *o, float *lse, heads<bf16> x, float scale, bool aligned)
{
    const int LD = DP + 8, AHEAD = 4, warp = (int)threadIdx.x / 32,
              lane = (int)threadIdx.x % 32;
    DYN_SHARED(bf16, shared);
    bf16 *own = shared, *keys = own + M * LD, *values = keys + NF * LD;
    float *part = reinterpret_cast<float *>(values + NF * LD) + warp * 16 * LDF;
    struct attention_sizes n = x.n;
    attention_tile at = attention_tile_of(n.Hq, n.B, true);
    int64_t q0 = at.tile * M, first = at.b * n.T, hk = at.h / (n.Hq / n.Hkv);
    int64_t mine = q0 + 16 * warp, q = mine + lane / 2; // the warp's first query, the lane's
    int D = (int)n.D;
    const bf16 *k = x.k + first * n.ld + hk * D, *v = x.v + first * n.ld + hk * D;
    gpu_wmma_acc acc[DP / 16];
#pragma unroll
    for (int c = 0; c < DP / 16; c++)
        WMMA_FILL(acc[c], 0.0f);
    softmax_row row = {-INFINITY, 0};
    attention_load<bf16, M, DP, LD, THREADS, AHEAD>(own, x.q + (first + q0) * n.ld + at.h * D,
                                                    n.ld, n.T - q0, D, aligned);
    for (int64_t k0 = 0; k0 < n.T && k0 < q0 + M; k0 += NF) {
        __syncthreads();
        attention_load<bf16, NF, DP, LD, THREADS, AHEAD>(keys, k + k0 * n.ld, n.ld, n.T - k0, D,
                                                         aligned);
        attention_load<bf16, NF, DP, LD, THREADS, AHEAD>(values, v + k0 * n.ld, n.ld, n.T - k0,
                                                         D, aligned);
        __syncthreads();
        gpu_wmma_acc s[NF / 16];
        scores<NF, DP>(s, own + 16 * warp * LD, keys, D);
        store_scores<NF>(part, s);
        __syncwarp();
        row = online_softmax<DP>(row, acc, part, q, k0, scale * LOG2E);
        add_product<NF, DP>(acc, reinterpret_cast<const bf16 *>(part), 2 * LDF, values, D);
        __syncwarp();
    }
    float sum = row.sum + __shfl_xor_sync(0xffffffffu, row.sum, 1);
    if (lane % 2 == 0 && q < n.T)
        lse[(at.b * n.Hq + at.h) * n.T + q] = row.top / LOG2E + logf(sum);
    store_rows<bf16, DP, NF>(o + ((first + mine) * n.Hq + at.h) * D, n.Hq * D, n.T - mine, D,
                             part, acc, 1 / sum);
}

template <int DP> static void launch_forward(bf16 *o, float *lse, const heads<bf16> &x)
{
    struct attention_sizes n = x.n;
    bool aligned = attention_aligned(x.q, n.D, n.ld) && attention_aligned(x.k, n.D, n.ld) &&
                   attention_aligned(x.v, n.D, n.ld);
    size_t shared = forward_shared<DP>();
    attention_shared(forward<DP>, shared);
    LAUNCH((forward<DP>), gpu_blocks(n.T, M) * (unsigned)(n.B * n.Hq), THREADS, shared,
           gpu.stream, o, lse, x, 1 / sqrtf((float)n.D), aligned);
}

void attention_fwd_bf16(bf16 *o, float *lse, heads<bf16> x)
{
    if (x.n.D <= 64)
        launch_forward<64>(o, lse, x);
    else if (x.n.D <= 128)
        launch_forward<128>(o, lse, x);
    else
        launch_forward<256>(o, lse, x);
}

// ---- backward
// -----------------------------------------------------------------------------------

#define NB 32        // streamed rows at a time
#define LDB (NB + 8) // floats between rows of scores

struct backward_at { // one pass: its gradients, null where it does not form them
    float *dq, *dk, *dv;
    const bf16 *d_o;
    const float *lse, *delta;
    float scale;
    bool aligned;
};

template <int DP> static size_t backward_shared()
{
    return sizeof(bf16) * (size_t)(2 * (M + NB) * (DP + 8)) +
           sizeof(float) * (size_t)(2 * M * LDB + 2 * NB);
}

// Scores in part_s and dP in part_dp -> P and dS = P (dP - delta), rounded in their places.
// q0, k0: query and key of the first element; own_lse, own_delta: the lane's row's (own
// queries).
template <bool keys>
static __device__ inline void grad_scores(float *part_s, float *part_dp, const float *lse,
                                          const float *delta, float own_lse, float own_delta,
                                          int64_t own0, int64_t other0, float scale, int64_t T)
{
    int lane = (int)threadIdx.x % 32, r = lane / 2, side = lane % 2;
    float4 p[NB / 8], ds[NB / 8];
#pragma unroll
    for (int i = 0; i < NB / 8; i++) {
        int c = 8 * i + 4 * side;
        float4 s = gpu_load4(part_s + r * LDB + c), dp = gpu_load4(part_dp + r * LDB + c);
        float4 l = keys ? gpu_load4(lse + c) : make_float4(own_lse, own_lse, own_lse, own_lse);
        float4 d = keys ? gpu_load4(delta + c)
                        : make_float4(own_delta, own_delta, own_delta, own_delta);
        int64_t q = keys ? other0 + c : own0 + r, k = keys ? own0 + r : other0 + c;
        const int dq = keys ? 1 : 0, dk = keys ? 0 : 1;
        p[i].x = k <= q && q < T ? exp2f((s.x * scale - l.x) * LOG2E) : 0;
        p[i].y = k + dk <= q + dq && q + dq < T ? exp2f((s.y * scale - l.y) * LOG2E) : 0;
        p[i].z =
            k + 2 * dk <= q + 2 * dq && q + 2 * dq < T ? exp2f((s.z * scale - l.z) * LOG2E) : 0;
        p[i].w =
            k + 3 * dk <= q + 3 * dq && q + 3 * dq < T ? exp2f((s.w * scale - l.w) * LOG2E) : 0;
        ds[i] = make_float4(p[i].x * (dp.x - d.x), p[i].y * (dp.y - d.y), p[i].z * (dp.z - d.z),
                            p[i].w * (dp.w - d.w));
    }
    __syncwarp(); // all is read
    bf16 *to_p = reinterpret_cast<bf16 *>(part_s) + r * 2 * LDB + 4 * side,
         *to_ds = reinterpret_cast<bf16 *>(part_dp) + r * 2 * LDB + 4 * side;
#pragma unroll
    for (int i = 0; i < NB / 8; i++) {
        gpu_store4(to_p + 8 * i, p[i]);
        gpu_store4(to_ds + 8 * i, ds[i]);
    }
    __syncwarp();
}

// What a pass forms: dq of own queries; of own keys dk, dv or both.
enum pass { PASS_DQ, PASS_DK, PASS_DV, PASS_DK_DV };

template <int DP, pass what>
static __global__ void __launch_bounds__(THREADS) backward(heads<bf16> x, backward_at to)
{
    constexpr bool keys = what != PASS_DQ, one = what != PASS_DV,
                   two = what == PASS_DV || what == PASS_DK_DV;
    const int LD = DP + 8, warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    DYN_SHARED(bf16, shared);
    bf16 *own1 = shared, *own2 = own1 + M * LD, *other1 = own2 + M * LD,
         *other2 = other1 + NB * LD;
    float *lse = reinterpret_cast<float *>(other2 + NB * LD), *delta = lse + NB;
    float *part_s = delta + NB + warp * 2 * 16 * LDB, *part_dp = part_s + 16 * LDB;
    struct attention_sizes n = x.n;
    attention_tile at = attention_tile_of(keys ? n.Hkv : n.Hq, n.B, !keys);
    int64_t own0 = at.tile * M, mine = own0 + 16 * warp, first = at.b * n.T,
            group = n.Hq / n.Hkv;
    int D = (int)n.D;
    int64_t hk = keys ? at.h : at.h / group, ldo = n.Hq * D;
    const bf16 *k = x.k + first * n.ld + hk * D, *v = x.v + first * n.ld + hk * D;
    gpu_wmma_acc acc1[one ? DP / 16 : 1], acc2[two ? DP / 16 : 1];
#pragma unroll
    for (int c = 0; c < DP / 16; c++) {
        if constexpr (one)
            WMMA_FILL(acc1[c], 0.0f);
        if constexpr (two)
            WMMA_FILL(acc2[c], 0.0f);
    }
    int64_t row = (at.b * n.Hq + at.h) * n.T + mine + lane / 2;
    bool has = !keys && mine + lane / 2 < n.T;
    float own_lse = has ? to.lse[row] : 0, own_delta = has ? to.delta[row] : 0;
    const bf16 *own_rows1 = keys ? k + own0 * n.ld : x.q + (first + own0) * n.ld + at.h * D;
    const bf16 *own_rows2 = keys ? v + own0 * n.ld : to.d_o + (first + own0) * ldo + at.h * D;
    attention_load<bf16, M, DP, LD, THREADS, 1>(own1, own_rows1, n.ld, n.T - own0, D,
                                                to.aligned);
    attention_load<bf16, M, DP, LD, THREADS, 1>(own2, own_rows2, keys ? n.ld : ldo, n.T - own0,
                                                D, to.aligned);
    // Own keys see the queries from their own on, own queries the keys up to their last.
    int64_t begin = keys ? own0 : 0, end = keys || own0 + M > n.T ? n.T : own0 + M;
    for (int64_t h = keys ? hk * group : at.h, last = keys ? h + group : h + 1; h < last; h++)
        for (int64_t other0 = begin; other0 < end; other0 += NB) {
            int64_t left = n.T - other0;
            const bf16 *rows1 =
                keys ? x.q + (first + other0) * n.ld + h * D : k + other0 * n.ld;
            const bf16 *rows2 =
                keys ? to.d_o + (first + other0) * ldo + h * D : v + other0 * n.ld;
            __syncthreads();
            attention_load<bf16, NB, DP, LD, THREADS, 1>(other1, rows1, n.ld, left, D,
                                                         to.aligned);
            attention_load<bf16, NB, DP, LD, THREADS, 1>(other2, rows2, keys ? ldo : n.ld, left,
                                                         D, to.aligned);
            if (keys && threadIdx.x < NB) {
                int64_t i = (at.b * n.Hq + h) * n.T + other0 + threadIdx.x;
                lse[threadIdx.x] = threadIdx.x < left ? to.lse[i] : 0;
                delta[threadIdx.x] = threadIdx.x < left ? to.delta[i] : 0;
            }
            __syncthreads();
            gpu_wmma_acc s[NB / 16];
            scores<NB, DP>(s, own1 + 16 * warp * LD, other1, D);
            store_scores<NB>(part_s, s);
            scores<NB, DP>(s, own2 + 16 * warp * LD, other2, D);
            store_scores<NB>(part_dp, s);
            __syncwarp();
            grad_scores<keys>(part_s, part_dp, lse, delta, own_lse, own_delta, mine, other0,
                              to.scale, n.T);
            if constexpr (one)
                add_product<NB, DP>(acc1, reinterpret_cast<const bf16 *>(part_dp), 2 * LDB,
                                    other1, D);
            if constexpr (two)
                add_product<NB, DP>(acc2, reinterpret_cast<const bf16 *>(part_s), 2 * LDB,
                                    other2, D);
            __syncwarp();
        }
    int64_t start = (first + mine) * n.ld + at.h * D, rows = n.T - mine;
    if constexpr (one)
        store_rows<float, DP, NB>((keys ? to.dk : to.dq) + start, n.ld, rows, D, part_s, acc1,
                                  to.scale);
    if constexpr (two)
        store_rows<float, DP, NB>(to.dv + start, n.ld, rows, D, part_dp, acc2, 1);
}

template <int DP, pass what>
static void launch_backward(const heads<bf16> &x, const backward_at &to)
{
    struct attention_sizes n = x.n;
    size_t shared = backward_shared<DP>();
    attention_shared(backward<DP, what>, shared);
    LAUNCH((backward<DP, what>),
           gpu_blocks(n.T, M) * (unsigned)(n.B * (what == PASS_DQ ? n.Hq : n.Hkv)), THREADS,
           shared, gpu.stream, x, to);
}

void attention_bwd_bf16(float *dq, float *dk, float *dv, const bf16 *d_o, const float *lse,
                        const float *delta, heads<bf16> x)
{
    int64_t D = x.n.D, ld = x.n.ld;
    bool aligned = attention_aligned(x.q, D, ld) && attention_aligned(x.k, D, ld) &&
                   attention_aligned(x.v, D, ld) && attention_aligned(d_o, D, x.n.Hq * D);
    backward_at to = {dq, dk, dv, d_o, lse, delta, 1 / sqrtf((float)D), aligned};
    if (D <= 64) {
        launch_backward<64, PASS_DQ>(x, to);
        launch_backward<64, PASS_DK_DV>(x, to);
    } else if (D <= 128) {
        launch_backward<128, PASS_DQ>(x, to);
        launch_backward<128, PASS_DK_DV>(x, to);
    } else { // two accumulators of so many channels would not fit into registers
        launch_backward<256, PASS_DQ>(x, to);
        launch_backward<256, PASS_DK>(x, to);
        launch_backward<256, PASS_DV>(x, to);
    }
}
