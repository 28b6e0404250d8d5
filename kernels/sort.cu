// SPDX-License-Identifier: Apache-2.0
// A stable counting sort of indices: digit by digit from the lowest, each by histogram, scan
// and scatter over tiles. Integer counts alone pass through atomics, so that the result is the
// same every time.
#include "kernels/cuda.h"

#define THREADS 256
#define WARPS (THREADS / 32)
#define ROUNDS 8 // a warp's elements lie side by side: 32 a round
#define TILE (THREADS * ROUNDS)
#define DIGIT_BITS 10

// bins: a power of two
static __device__ inline int digit_of(int32_t key, int shift, int bins)
{
    return (int)((unsigned)key >> shift) & (bins - 1);
}

static __device__ inline int32_t warp_inclusive_sum(int32_t v)
{
    int lane = (int)threadIdx.x % 32;
    for (int step = 1; step < 32; step *= 2) {
        int32_t other = __shfl_up_sync(0xffffffffu, v, step);
        v += lane >= step ? other : 0;
    }
    return v;
}

// count [bins, blocks]: how often each digit occurs in each tile. in: the order of the digits
// before, NULL: as they come.
static __global__ void __launch_bounds__(THREADS)
    sort_count(int32_t *count, const int32_t *key, const int32_t *in, int64_t n, int shift,
               int bins)
{
    DYN_SHARED(int32_t, counters); // [bins]
    for (int b = (int)threadIdx.x; b < bins; b += THREADS)
        counters[b] = 0;
    __syncthreads();
    int64_t first = (int64_t)blockIdx.x * TILE;
    for (int64_t i = first + threadIdx.x; i < first + TILE && i < n; i += THREADS)
        atomicAdd(&counters[digit_of(key[in ? in[i] : i], shift, bins)], 1);
    __syncthreads();
    for (int b = (int)threadIdx.x; b < bins; b += THREADS)
        count[(int64_t)b * gridDim.x + blockIdx.x] = counters[b];
}

// Each bin's counts to the sums of those before, and start[bin] to the sum of all: a warp a
// bin.
static __global__ void __launch_bounds__(THREADS)
    sort_scan_tiles(int32_t *count, int32_t *start, int bins, int64_t tiles)
{
    int lane = (int)threadIdx.x % 32;
    int bin = (int)(blockIdx.x * WARPS + threadIdx.x / 32);
    if (bin >= bins)
        return;
    int32_t before = 0;
    for (int64_t i = lane; i - lane < tiles; i += 32) {
        int32_t v = i < tiles ? count[bin * tiles + i] : 0, sum = warp_inclusive_sum(v);
        if (i < tiles)
            count[bin * tiles + i] = before + sum - v;
        before += __shfl_sync(0xffffffffu, sum, 31);
    }
    if (lane == 0)
        start[bin] = before;
}

// start [bins] to the sums of those before: one warp.
static __global__ void __launch_bounds__(32) sort_scan_bins(int32_t *start, int bins)
{
    int32_t before = 0;
    for (int i = (int)threadIdx.x; i - (int)threadIdx.x < bins; i += 32) {
        int32_t v = i < bins ? start[i] : 0, sum = warp_inclusive_sum(v);
        if (i < bins)
            start[i] = before + sum - v;
        before += __shfl_sync(0xffffffffu, sum, 31);
    }
}

static __global__ void __launch_bounds__(THREADS)
    sort_scatter(int32_t *out, const int32_t *key, const int32_t *in, const int32_t *count,
                 const int32_t *start, int64_t n, int shift, int bins)
{
    DYN_SHARED(int32_t, next); // [WARPS, bins]: counts, then the next free place
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    int32_t *mine = next + warp * bins;
    int64_t first = (int64_t)blockIdx.x * TILE + warp * (32 * ROUNDS) + lane;
    for (int i = (int)threadIdx.x; i < WARPS * bins; i += THREADS)
        next[i] = 0;
    __syncthreads();
    for (int round = 0; round < ROUNDS; round++) {
        int64_t i = first + round * 32;
        if (i < n)
            atomicAdd(&mine[digit_of(key[in ? in[i] : i], shift, bins)], 1);
    }
    __syncthreads();
    for (int b = (int)threadIdx.x; b < bins; b += THREADS) {
        int32_t place = start[b] + count[(int64_t)b * gridDim.x + blockIdx.x];
        for (int w = 0; w < WARPS; w++) {
            int32_t here = next[w * bins + b];
            next[w * bins + b] = place;
            place += here;
        }
    }
    __syncthreads();
    for (int round = 0; round < ROUNDS; round++) {
        int64_t i = first + round * 32;
        int32_t index = i < n ? in ? in[i] : (int32_t)i : 0;
        int bin = i < n ? digit_of(key[index], shift, bins) : -1;
        unsigned same = __match_any_sync(0xffffffffu, bin);
        int rank = __popc(same & ((1u << lane) - 1));
        if (bin >= 0)
            out[mine[bin] + rank] = index;
        __syncwarp();
        if (bin >= 0 && rank == 0)
            mine[bin] += __popc(same);
        __syncwarp();
    }
}

// ---- the host's side ------------------------------------------------------------------------

static int key_bits(int64_t keys)
{
    int bits = 1;
    while ((int64_t)1 << bits < keys)
        bits++;
    return bits;
}

static int passes(int64_t keys)
{
    return (key_bits(keys) + DIGIT_BITS - 1) / DIGIT_BITS;
}

static int digit_bits(int64_t keys)
{
    return (key_bits(keys) + passes(keys) - 1) / passes(keys);
}

size_t gpu_sort_workspace(int64_t n, int64_t keys)
{
    int bins = 1 << digit_bits(keys);
    return gpu_scratch_size(n, sizeof(int32_t)) + gpu_scratch_size(bins, sizeof(int32_t)) +
           gpu_scratch_size((int64_t)bins * gpu_blocks(n, TILE), sizeof(int32_t));
}

void gpu_sort(int32_t *order, const int32_t *key, int64_t n, int64_t keys)
{
    const unsigned tiles = gpu_blocks(n, TILE);
    const int all = passes(keys), bits = digit_bits(keys), bins = 1 << bits;
    const size_t bytes = (size_t)bins * sizeof(int32_t);
    int32_t *other = gpu_scratch<int32_t>(n), *start = gpu_scratch<int32_t>(bins);
    int32_t *count = gpu_scratch<int32_t>((int64_t)bins * tiles);
    const int32_t *in = nullptr;
    for (int pass = 0; pass < all; pass++) {
        int32_t *out = (all - pass) % 2 ? order : other; // the last one writes order
        LAUNCH(sort_count, tiles, THREADS, bytes, gpu.stream, count, key, in, n, pass * bits,
               bins);
        LAUNCH(sort_scan_tiles, gpu_blocks(bins, WARPS), THREADS, 0, gpu.stream, count, start,
               bins, (int64_t)tiles);
        LAUNCH(sort_scan_bins, 1, 32, 0, gpu.stream, start, bins);
        LAUNCH(sort_scatter, tiles, THREADS, WARPS * bytes, gpu.stream, out, key, in, count,
               start, n, pass * bits, bins);
        in = out;
    }
}
