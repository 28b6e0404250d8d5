// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"
#ifdef MOESWEEP_F64

void gemm_one_thread(void)
{
}

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
#include <dlfcn.h>
#include <string.h>

// Looked up at run time: which threading library a BLAS was built with is known to nobody else.
void gemm_one_thread(void)
{
    static const char *const setters[] = {"omp_set_num_threads", "openblas_set_num_threads",
                                          "bli_thread_set_num_threads"};
    for (int i = 0; i < 3; i++) {
        void *symbol = dlsym(RTLD_DEFAULT, setters[i]);
        void (*set)(long);
        if (symbol == NULL)
            continue;
        memcpy(&set, &symbol, sizeof set);
        set(1);
    }
}

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

// Where a BLAS starts to win: it knows the processor at run time, gemm_small only what it was
// compiled for. With AVX-512 gemm_small is as fast or faster up to matrices beyond the
// second-level cache in every direction (docs/kernels.md, tests/bench/bench_gemm.c); compiled
// for less it leaves everything to the BLAS whose work outweighs the fixed cost of a call,
// about a microsecond.
static bool is_large(int64_t m, int64_t n, int64_t k)
{
#ifdef __AVX512F__
    return m >= 1024 && n >= 1024 && k >= 1024;
#elif defined(__AVX2__)
    return m >= 64 && n >= 64 && k >= 64;
#else
    return m * n * k >= 16 * 16 * 16;
#endif
}

void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
          const real *b, int64_t ldb, bool acc, real *c, int64_t ldc)
{
    if (is_large(m, n, k))
        gemm_large(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
    else
        gemm_small(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
}
#endif
