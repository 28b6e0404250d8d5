// SPDX-License-Identifier: Apache-2.0
// What the attention kernels share. Flash attention (Dao et al. 2022, arXiv 2205.14135): a
// block of threads keeps one tile of rows of its own in shared memory and lets tiles of the
// other kind stream by, so that no score leaves the chip. Backward takes two passes without
// atomics: own queries and streamed keys give dq, own keys and streamed queries (of all heads
// of the group) dk and dv; each forms the scores again.
#ifndef KERNELS_ATTENTION_CUH
#define KERNELS_ATTENTION_CUH
#include "kernels/gemm.cuh"

template <class T> struct heads { // where rows of D channels start: row i at p + i * ld
    const T *q, *k, *v;
    struct attention_sizes n;
};

// Of the grid's blocks (of one dimension), `each` a head: the number of this one's tile, its
// sequence and head. Tiles with most work come first: reversed says those of the highest
// numbers.
struct attention_tile {
    int64_t tile, b, h;
};
static __device__ inline attention_tile attention_tile_of(int64_t heads, int64_t B,
                                                          bool reversed)
{
    int64_t pairs = heads * B, tile = blockIdx.x / pairs, pair = blockIdx.x % pairs;
    int64_t tiles = gridDim.x / pairs;
    return {reversed ? tiles - 1 - tile : tile, pair / heads, pair % heads};
}

// tile [ROWS, LD] = rows of src (ld apart), zeros beyond `rows` of them and D columns; columns
// up to DP are set. aligned: D, ld and src in whole accesses of 16 bytes, of which a thread has
// several under way.
template <class T, int ROWS, int DP, int LD, int THREADS, int AHEAD>
static __device__ inline void attention_load(T *tile, const T *src, int64_t ld, int64_t rows,
                                             int D, bool aligned)
{
    constexpr int per = 16 / (int)sizeof(T), row_pieces = DP / per, step = THREADS / row_pieces,
                  each = ROWS / step, ahead = each < AHEAD ? each : AHEAD;
    static_assert(THREADS % row_pieces == 0 && ROWS % (step * ahead) == 0, "whole rounds");
    const int c = (int)threadIdx.x % row_pieces * per, first = (int)threadIdx.x / row_pieces;
    const int end = c >= D ? 0 : rows < ROWS ? (int)rows : ROWS;
    const T *from = src + first * ld + c;
    for (int r = first; aligned && r < ROWS; r += ahead * step) {
        uint4 piece[ahead];
#pragma unroll
        for (int j = 0; j < ahead; j++, from += step * ld) {
            const bool inside = r + j * step < end;
            piece[j] = *reinterpret_cast<const uint4 *>(inside ? from : src);
            piece[j] = inside ? piece[j] : make_uint4(0, 0, 0, 0);
        }
#pragma unroll
        for (int j = 0; j < ahead; j++)
            *reinterpret_cast<uint4 *>(tile + (r + j * step) * LD + c) = piece[j];
    }
    for (int i = (int)threadIdx.x; !aligned && i < ROWS * DP; i += THREADS) {
        int r = i / DP, at = i % DP;
        tile[r * LD + at] = r < rows && at < D ? src[r * ld + at] : T(0.0f);
    }
}

// n rows of a head's D floats (ld apart) can be accessed by `bytes` at a time.
template <class T> static bool attention_aligned(const T *p, int64_t D, int64_t ld)
{
    return D * sizeof(T) % 16 == 0 && ld * sizeof(T) % 16 == 0 && (uintptr_t)p % 16 == 0;
}

template <class... P> static void attention_shared(void (*kernel)(P...), size_t bytes)
{
    GPU_CHECK(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
}

// In attention_f32.cu and attention_bf16.cu. delta [B, Hq, T]: do . o.
void attention_fwd_f32(float *o, float *lse, heads<float> x);
void attention_fwd_bf16(bf16 *o, float *lse, heads<bf16> x);
void attention_bwd_f32(float *dq, float *dk, float *dv, const float *d_o, const float *lse,
                       const float *delta, heads<float> x);
void attention_bwd_bf16(float *dq, float *dk, float *dv, const bf16 *d_o, const float *lse,
                        const float *delta, heads<bf16> x);
#endif
