// SPDX-License-Identifier: Apache-2.0
// Matrix product over row-major matrices with leading dimensions (elements between rows):
//
//     C[m, n] = op(A)[m, k] op(B)[k, n]        (acc: C += ...)
//
// op(A) = A ([m, k], lda >= k) or its transpose (ta: A is [k, m], lda >= m); likewise B.
// k = 0 gives C = 0. C must not overlap A or B.
// float: products too small for a BLAS to pay off run on kernels of this file (gemm_small.c),
// larger ones on oneDNN's dnnl_sgemm or a CBLAS, as configured (MOESWEEP_BLAS). double: plain
// loops. Deterministic for one build, instruction set and one BLAS thread: every element is
// summed in an order that depends on the sizes only.
#ifndef KERNELS_GEMM_H
#define KERNELS_GEMM_H
#include "kernels/real.h"
#include <stdbool.h>
#include <stdint.h>

void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
          const real *b, int64_t ldb, bool acc, real *c, int64_t ldc);

// Keeps the BLAS on the calling thread, whatever OMP_NUM_THREADS says: all kernels are
// single-threaded, and the BLAS's partition of a sum among threads would make results depend on
// their number.
void gemm_one_thread(void);

// "onednn", "cblas" or "plain loops": what large products run on.
const char *gemm_backend(void);

// The two ways on their own, for the benchmark that sets the threshold between them.
void gemm_small(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                const real *b, int64_t ldb, bool acc, real *c, int64_t ldc);
void gemm_large(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                const real *b, int64_t ldb, bool acc, real *c, int64_t ldc);
#endif
