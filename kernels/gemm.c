// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"
#include <string.h>
#ifdef MOESWEEP_F64

const char *gemm_backend(void)
{
    return "plain loops";
}

void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
          const real *b, int64_t ldb, bool acc, real *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            real s = acc ? c[i * ldc + j] : 0;
            for (int64_t q = 0; q < k; q++)
                s += (ta ? a[q * lda + i] : a[i * lda + q]) *
                     (tb ? b[j * ldb + q] : b[q * ldb + j]);
            c[i * ldc + j] = s;
        }
}

#else
#if defined(MOESWEEP_ONEDNN)
#include <dnnl.h>

const char *gemm_backend(void)
{
    return "onednn";
}

void gemm_large(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                const real *b, int64_t ldb, bool acc, real *c, int64_t ldc)
{
    // The only failure is a wrong argument, which the callers' shapes exclude.
    dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, 1, a, lda, b, ldb, acc ? 1 : 0, c, ldc);
}
#elif defined(MOESWEEP_CBLAS)
#include <cblas.h>

const char *gemm_backend(void)
{
    return "cblas";
}

// Sizes fit int: arch_check bounds every dimension by 2^24, batches are bounded likewise.
void gemm_large(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                const real *b, int64_t ldb, bool acc, real *c, int64_t ldc)
{
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
                (int)m, (int)n, (int)k, 1, a, (int)lda, b, (int)ldb, acc ? 1 : 0, c, (int)ldc);
}
#else

const char *gemm_backend(void)
{
    return "plain loops";
}

void gemm_large(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                const real *b, int64_t ldb, bool acc, real *c, int64_t ldc)
{
    gemm_small(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
}
#endif

// Where a BLAS starts to win, in elements of op(B): measured by tests/bench/bench_gemm.c (its
// packing and blocking for matrices beyond the second-level cache outweigh its fixed cost per
// call).
#define LARGE_B (512 * 512)

void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
          const real *b, int64_t ldb, bool acc, real *c, int64_t ldc)
{
    if (n * k >= LARGE_B && m >= 64)
        gemm_large(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
    else
        gemm_small(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
}
#endif
