// SPDX-License-Identifier: Apache-2.0
// Sums over the rows of a matrix: rows in chunks, each chunk by a block, the chunks' sums by
// one more; the order depends on the number of rows alone.
#include "kernels/cuda.h"

#define LINES 8    // of a block: rows that are added side by side
#define CHUNK 1024 // rows of a block

// y [blocks of rows, cols]
static __global__ void __launch_bounds__(32 * LINES)
    sum_chunks(float *y, const float *x, int64_t rows, int64_t cols, float scale, bool add)
{
    SHARED(float, sums, [LINES][33]);
    int64_t c = (int64_t)blockIdx.x * 32 + threadIdx.x;
    int64_t first = (int64_t)blockIdx.y * CHUNK;
    int64_t end = first + CHUNK < rows ? first + CHUNK : rows;
    float sum = 0;
    if (c < cols) {
#pragma unroll 4
        for (int64_t r = first + threadIdx.y; r < end; r += LINES)
            sum += x[r * cols + c];
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || c >= cols)
        return;
    for (int i = 1; i < LINES; i++)
        sum += sums[i][threadIdx.x];
    float *to = y + blockIdx.y * cols + c;
    *to = scale * sum + (add ? *to : 0);
}

size_t gpu_sum_rows_workspace(int64_t rows, int64_t cols)
{
    size_t bytes = 0;
    for (int64_t n = gpu_blocks(rows, CHUNK); n > 1; n = gpu_blocks(n, CHUNK))
        bytes += gpu_scratch_size(n * cols, sizeof(float));
    return bytes;
}

void gpu_sum_rows(float *y, const float *x, int64_t rows, int64_t cols, float scale, bool add)
{
    while (rows > CHUNK) {
        unsigned chunks = gpu_blocks(rows, CHUNK);
        float *sums = gpu_scratch<float>(chunks * cols);
        LAUNCH(sum_chunks, dim3(gpu_blocks(cols, 32), chunks), dim3(32, LINES), 0, gpu.stream,
               sums, x, rows, cols, 1, false);
        x = sums;
        rows = chunks;
    }
    LAUNCH(sum_chunks, gpu_blocks(cols, 32), dim3(32, LINES), 0, gpu.stream, y, x, rows, cols,
           scale, add);
}
