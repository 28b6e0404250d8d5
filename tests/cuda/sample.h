// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_CUDA_SAMPLE_H
#define TESTS_CUDA_SAMPLE_H
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
void cuda_row_sums(float *y, const void *x, int bf16, int rows, int columns,
                   cudaStream_t stream);
void cuda_transpose(float *y, const float *x, int rows, int columns, cudaStream_t stream);
void cuda_histogram(int *count, const int *x, int n, int values, cudaStream_t stream);
void cuda_warp_pairs(float *y, const float *x, cudaStream_t stream);
void cuda_tile_product(float *c, const __nv_bfloat16 *a, const __nv_bfloat16 *b, int K,
                       cudaStream_t stream);
void cuda_scale_twice(float *y, float *middle, const float *x, int64_t n, cudaStream_t first,
                      cudaStream_t second, cudaEvent_t event);
#ifdef __cplusplus
}
#endif
#endif
