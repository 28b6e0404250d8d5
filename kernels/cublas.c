// SPDX-License-Identifier: Apache-2.0
// cuBLAS, loaded when the first of its functions is called: linked the usual way it would cost
// every trainer, those on the CPU too, a quarter of a second and 200 MB. These are the
// functions that the kernels call, under their names.
#include "core/err.h"
#include <cublas_v2.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define LIBRARY "libcublas.so." TEXT(CUBLAS_VER_MAJOR)

static void *library;

// *f: a pointer to the function.
static void find(void *f, const char *name)
{
    void *symbol = dlsym(library, name);
    if (symbol == NULL)
        fprintf(stderr, "%s has no %s\n", LIBRARY, name);
    ASSERT(symbol != NULL);
    memcpy(f, &symbol, sizeof symbol);
}

#define FIND(name)                                                                             \
    static __typeof__(&name) f;                                                                \
    if (f == NULL)                                                                             \
    find(&f, TEXT(name))

cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    if (library == NULL)
        library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) // cublasGetStatusName says why
        return CUBLAS_STATUS_NOT_INITIALIZED;
    FIND(cublasCreate);
    return f(handle);
}

const char *cublasGetStatusName(cublasStatus_t status)
{
    if (library == NULL)
        return LIBRARY ", which CUDA's libraries include, was not found";
    FIND(cublasGetStatusName);
    return f(status);
}

cublasStatus_t cublasDestroy(cublasHandle_t handle)
{
    FIND(cublasDestroy);
    return f(handle);
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    FIND(cublasSetStream);
    return f(handle, stream);
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *workspace, size_t bytes)
{
    FIND(cublasSetWorkspace);
    return f(handle, workspace, bytes);
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    FIND(cublasSetMathMode);
    return f(handle, mode);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                            int m, int n, int k, const void *alpha, const void *a,
                            cudaDataType type_a, int lda, const void *b, cudaDataType type_b,
                            int ldb, const void *beta, void *c, cudaDataType type_c, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algo)
{
    FIND(cublasGemmEx);
    return f(handle, ta, tb, m, n, k, alpha, a, type_a, lda, b, type_b, ldb, beta, c, type_c,
             ldc, compute, algo);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t ta,
                                         cublasOperation_t tb, int m, int n, int k,
                                         const float *alpha, const float *a, int lda,
                                         long long int stride_a, const float *b, int ldb,
                                         long long int stride_b, const float *beta, float *c,
                                         int ldc, long long int stride_c, int count)
{
    FIND(cublasSgemmStridedBatched);
    return f(handle, ta, tb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc,
             stride_c, count);
}

#if CUBLAS_VERSION >= 120500
cublasStatus_t cublasGemmGroupedBatchedEx(
    cublasHandle_t handle, const cublasOperation_t ta[], const cublasOperation_t tb[],
    const int m[], const int n[], const int k[], const void *alpha, const void *const a[],
    cudaDataType_t type_a, const int lda[], const void *const b[], cudaDataType_t type_b,
    const int ldb[], const void *beta, void *const c[], cudaDataType_t type_c, const int ldc[],
    int groups, const int size[], cublasComputeType_t compute)
{
    FIND(cublasGemmGroupedBatchedEx);
    return f(handle, ta, tb, m, n, k, alpha, a, type_a, lda, b, type_b, ldb, beta, c, type_c,
             ldc, groups, size, compute);
}
#endif
