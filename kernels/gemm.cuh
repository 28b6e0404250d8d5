// SPDX-License-Identifier: Apache-2.0
// Matrix products on cuBLAS, row by row as kernels/gemm.h has them: factors float or bf16, sums
// in float (no TF32), results float or bf16. Queued on gpu.stream. Deterministic: the device
// has a workspace of its own for cuBLAS, and float atomics stay forbidden.
#ifndef KERNELS_GEMM_CUH
#define KERNELS_GEMM_CUH
#include "kernels/cuda.h"

struct gpu_matrix { // elements of a type, row by row
    const void *p;
    cudaDataType_t type;
    int64_t ld;
};
static inline gpu_matrix gpu_matrix_of(const float *p, int64_t ld)
{
    return {p, CUDA_R_32F, ld};
}
static inline gpu_matrix gpu_matrix_of(const bf16 *p, int64_t ld)
{
    return {p, CUDA_R_16BF, ld};
}

// C[m, n] = op(A)[m, k] op(B)[k, n]; acc: C += ... (gemm.h). a and b of one type.
void gpu_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, gpu_matrix a, gpu_matrix b,
              bool acc, gpu_matrix c);

// An operand of a product per group of rows: group g's starts `step` elements after that of
// group g - 1, or (step 0) at row offset[g].
struct gpu_operand {
    gpu_matrix first;
    int64_t step;
};
// For every g < groups that has rows: C_g = op(A_g) op(B_g), or with acc C_g += .., one call
// for all where cuBLAS can. One of m and k is GPU_ROWS: the group's number of rows. offset:
// host memory, [groups + 1].
enum { GPU_ROWS = -1 };
void gpu_gemm_groups(bool ta, bool tb, int64_t m, int64_t n, int64_t k, gpu_operand a,
                     gpu_operand b, bool acc, gpu_operand c, int64_t groups,
                     const int64_t *offset);
size_t gpu_gemm_groups_workspace(int64_t groups); // bytes of scratch that one call takes

// x [n] as a factor of products in T.
template <class T> const T *gpu_factor(const float *x, int64_t n);
template <> inline const float *gpu_factor<float>(const float *x, int64_t)
{
    return x;
}
template <> inline const bf16 *gpu_factor<bf16>(const float *x, int64_t n)
{
    return gpu_rounded(x, n);
}
// Bytes of scratch that it takes in this pass, but where the rounded copy is kept.
static inline size_t gpu_factor_size(int64_t n)
{
    return gpu.bf16 ? gpu_scratch_size(n, sizeof(bf16)) : 0;
}
#endif
