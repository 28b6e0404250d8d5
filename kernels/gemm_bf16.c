// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm_bf16.h"
#include "kernels/bf16.h"
#include "kernels/gemm.h"

const char *gemm_kind_suffix(enum gemm_kind kind)
{
    static const char *const suffix[] = {"", "+bf16-emulated", "+amx-bf16"};
    return suffix[kind];
}

#ifdef MOESWEEP_F64

enum gemm_kind gemm_kind_bf16(void)
{
    return GEMM_BF16;
}

void gemm_bf16(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
               const real *b, int64_t ldb, bool acc, real *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            real s = acc ? c[i * ldc + j] : 0;
            for (int64_t q = 0; q < k; q++)
                s += bf16_round(ta ? a[q * lda + i] : a[i * lda + q]) *
                     bf16_round(tb ? b[j * ldb + q] : b[q * ldb + j]);
            c[i * ldc + j] = s;
        }
}

void gemm_as(enum gemm_kind kind, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
             const real *a, int64_t lda, const real *b, int64_t ldb, bool acc, real *c,
             int64_t ldc)
{
    if (kind == GEMM_FULL)
        gemm(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
    else
        gemm_bf16(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
}

#else

enum gemm_kind gemm_kind_bf16(void)
{
    return gemm_amx_usable() ? GEMM_BF16_AMX : GEMM_BF16;
}

// A block's side: two rounded blocks are 128 KiB of stack, within the second-level cache.
#define SIDE 128

// to [rows, SIDE] = round(from [rows, columns], rows ld apart)
static void round_block(real *to, const real *from, int64_t ld, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            to[i * SIDE + j] = bf16_round(from[i * ld + j]);
}

static int64_t at_most_side(int64_t n)
{
    return n < SIDE ? n : SIDE;
}

void gemm_bf16(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
               const real *b, int64_t ldb, bool acc, real *c, int64_t ldc)
{
    real a_block[SIDE * SIDE], b_block[SIDE * SIDE];
    if (k == 0)
        gemm(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
    for (int64_t j = 0; j < n; j += SIDE)
        for (int64_t q = 0; q < k; q += SIDE) {
            int64_t nc = at_most_side(n - j), kc = at_most_side(k - q);
            round_block(b_block, tb ? b + j * ldb + q : b + q * ldb + j, ldb, tb ? nc : kc,
                        tb ? kc : nc);
            for (int64_t i = 0; i < m; i += SIDE) {
                int64_t mc = at_most_side(m - i);
                round_block(a_block, ta ? a + q * lda + i : a + i * lda + q, lda, ta ? kc : mc,
                            ta ? mc : kc);
                gemm(ta, tb, mc, nc, kc, a_block, SIDE, b_block, SIDE, acc || q > 0,
                     c + i * ldc + j, ldc);
            }
        }
}

void gemm_as(enum gemm_kind kind, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
             const real *a, int64_t lda, const real *b, int64_t ldb, bool acc, real *c,
             int64_t ldc)
{
    if (kind == GEMM_FULL)
        gemm(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
    else if (kind == GEMM_BF16)
        gemm_bf16(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
    else
        gemm_amx(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
}
#endif
