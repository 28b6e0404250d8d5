// SPDX-License-Identifier: Apache-2.0
// Small kernels that are right: what the emulator's own tests run, and what planted.sh breaks.
#include "kernels/gpu.h"
#include "tests/cuda/sample.h"

// y[r] = sum over c of x[r, c]: one block a row.
template <class T>
static __global__ void __launch_bounds__(128) row_sums(float *y, const T *x, int columns)
{
    SHARED(float, scratch, [32]);
    float sum = 0;
    for (int c = (int)threadIdx.x; c < columns; c += (int)blockDim.x)
        sum += gpu_load(x + (int64_t)blockIdx.x * columns + c);
    sum = gpu_block_sum(sum, scratch);
    if (threadIdx.x == 0)
        y[blockIdx.x] = sum;
}

// y [columns, rows] = x [rows, columns] transposed, by tiles of 32 x 32 and 8 rows of threads.
static __global__ void transpose(float *y, const float *x, int rows, int columns)
{
    SHARED(float, tile, [32][33]);
    int col = (int)(blockIdx.x * 32 + threadIdx.x), row = (int)(blockIdx.y * 32 + threadIdx.y);
    for (int i = 0; i < 32; i += 8)
        if (row + i < rows && col < columns)
            tile[threadIdx.y + i][threadIdx.x] = x[(int64_t)(row + i) * columns + col];
    __syncthreads();
    int to_col = (int)(blockIdx.y * 32 + threadIdx.x),
        to_row = (int)(blockIdx.x * 32 + threadIdx.y);
    for (int i = 0; i < 32; i += 8)
        if (to_row + i < columns && to_col < rows)
            y[(int64_t)(to_row + i) * rows + to_col] = tile[threadIdx.x][threadIdx.y + i];
}

// count[v] = how often v < values occurs in x: counters in shared memory, one block.
static __global__ void histogram(int *count, const int *x, int n, int values)
{
    DYN_SHARED(int, counters);
    for (int v = (int)threadIdx.x; v < values; v += (int)blockDim.x)
        counters[v] = 0;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < n; i += (int)blockDim.x)
        atomicAdd(&counters[x[i]], 1);
    __syncthreads();
    for (int v = (int)threadIdx.x; v < values; v += (int)blockDim.x)
        count[v] = counters[v];
}

// Sums of 32 neighbours through memory, each warp for itself.
static __global__ void warp_pairs(float *y, const float *x)
{
    SHARED(float, values, [4][32]);
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    values[warp][lane] = x[threadIdx.x];
    __syncwarp();
    float other = values[warp][lane ^ 1];
    __syncwarp();
    values[warp][lane] = 0;
    y[threadIdx.x] = x[threadIdx.x] + other;
}

// c [16, 16] = a [16, K] b [K, 16], both row by row, one warp.
static __global__ void tile_product(float *c, const __nv_bfloat16 *a, const __nv_bfloat16 *b,
                                    int K)
{
    gpu_wmma_a<gpu_row> fa;
    gpu_wmma_b<gpu_row> fb;
    gpu_wmma_acc sum;
    WMMA_FILL(sum, 0.0f);
    for (int k = 0; k < K; k += 16) {
        WMMA_LOAD(fa, a + k, (unsigned)K);
        WMMA_LOAD(fb, b + k * 16, 16);
        WMMA_MMA(sum, fa, fb, sum);
    }
    for (int i = 0; i < sum.num_elements; i++)
        sum.x[i] *= 2;
    WMMA_STORE(c, sum, 16);
}

extern "C" void cuda_row_sums(float *y, const void *x, int bf16, int rows, int columns,
                              cudaStream_t stream)
{
    if (bf16)
        LAUNCH((row_sums<__nv_bfloat16>), (unsigned)rows, 128, 0, stream, y,
               static_cast<const __nv_bfloat16 *>(x), columns);
    else
        LAUNCH((row_sums<float>), (unsigned)rows, 128, 0, stream, y,
               static_cast<const float *>(x), columns);
}

extern "C" void cuda_transpose(float *y, const float *x, int rows, int columns,
                               cudaStream_t stream)
{
    dim3 grid(gpu_blocks(columns, 32), gpu_blocks(rows, 32));
    LAUNCH(transpose, grid, dim3(32, 8), 0, stream, y, x, rows, columns);
}

extern "C" void cuda_histogram(int *count, const int *x, int n, int values, cudaStream_t stream)
{
    size_t shmem = (size_t)values * sizeof(int);
    LAUNCH(histogram, 1, 64, shmem, stream, count, x, n, values);
}

extern "C" void cuda_warp_pairs(float *y, const float *x, cudaStream_t stream)
{
    LAUNCH(warp_pairs, 1, 128, 0, stream, y, x);
}

extern "C" void cuda_tile_product(float *c, const __nv_bfloat16 *a, const __nv_bfloat16 *b,
                                  int K, cudaStream_t stream)
{
    LAUNCH(tile_product, 1, 32, 0, stream, c, a, b, K);
}

// The two halves of n run on two streams, which join again: y = 3 x.
static __global__ void scale(float *y, const float *x, float factor, int64_t n)
{
    int64_t i = gpu_index();
    if (i < n)
        y[i] = factor * x[i];
}

extern "C" void cuda_scale_twice(float *y, float *middle, const float *x, int64_t n,
                                 cudaStream_t first, cudaStream_t second, cudaEvent_t event)
{
    LAUNCH(scale, gpu_blocks(n, 64), 64, 0, first, middle, x, 1.5f, n);
    GPU_CHECK(cudaEventRecord(event, first));
    GPU_CHECK(cudaStreamWaitEvent(second, event, 0));
    LAUNCH(scale, gpu_blocks(n, 64), 64, 0, second, y, middle, 2.0f, n);
}
