// SPDX-License-Identifier: Apache-2.0
// Matrix products with factors rounded to bfloat16 (bf16.h):
//
//     C[m, n] = round(op(A)) round(op(B))        (acc: C += ...)
//
// Arguments as gemm.h. A product of two bfloat16 has 16 significant bits, so that a float holds
// it exactly; sums are floats (double in the oracle), hence an element differs from the exact
// sum of its k rounded products by at most (k + 2) 2^-24 sum |a b|, as with gemm. Products and
// sums under 2^-126 may be flushed to zero, as all of moetrain's arithmetic does. Two ways:
//
//   GEMM_BF16      rounds the factors block by block, then multiplies with gemm: everywhere
//   GEMM_BF16_AMX  on the matrix unit of x86 processors that have one (AMX-BF16)
//
// They add in different orders, so their results differ in the last bits; hello says which one
// a run takes. Nothing is allocated; the ways that are taken depend on the sizes only.
// Deterministic for one build, instruction set and kind.
#ifndef KERNELS_GEMM_BF16_H
#define KERNELS_GEMM_BF16_H
#include "kernels/real.h"
#include <stdbool.h>
#include <stdint.h>

// What an operation's matrix products run on; passed down to each, chosen once per model.
enum gemm_kind { GEMM_FULL, GEMM_BF16, GEMM_BF16_AMX };

// The kind of bf16 products that this process can have: GEMM_BF16_AMX where the processor and
// the kernel grant it (asks the kernel for the tile registers: once per process is enough, more
// do no harm), else GEMM_BF16, as always in double. Costs microseconds: not for a loop.
enum gemm_kind gemm_kind_bf16(void);

// "", "+bf16-emulated", "+amx-bf16": what follows gemm_backend() in the name of the backend.
const char *gemm_kind_suffix(enum gemm_kind kind);

// The product of the kind; GEMM_FULL: gemm.
void gemm_as(enum gemm_kind kind, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
             const real *a, int64_t lda, const real *b, int64_t ldb, bool acc, real *c,
             int64_t ldc);

// The ways on their own. gemm_amx only where gemm_kind_bf16() is GEMM_BF16_AMX.
void gemm_bf16(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
               const real *b, int64_t ldb, bool acc, real *c, int64_t ldc);
void gemm_amx(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
              const real *b, int64_t ldb, bool acc, real *c, int64_t ldc);
// Whether gemm_amx runs here; asks the kernel as said above. Its reason when not: gemm_amx_why.
bool gemm_amx_usable(void);
const char *gemm_amx_why(void);
#endif
