// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"
#include "kernels/fastexp.h"
#include "kernels/gemm.h"

// Queries per block: two vectors of 16 floats. Wider blocks waste more of the masked triangle.
#define QB 32

int64_t attention_scratch(int64_t T, int64_t D)
{
    return QB * (2 * T + 3 * D);
}

// Rows src [n, D] (ld apart) -> dst [D, QB], times scale, columns from n on zero.
static void to_columns(real *restrict dst, const real *restrict src, int64_t n, int64_t D,
                       int64_t ld, real scale)
{
    for (int64_t c = 0; c < D; c++) {
        for (int64_t j = 0; j < n; j++)
            dst[c * QB + j] = scale * src[j * ld + c];
        for (int64_t j = n; j < QB; j++)
            dst[c * QB + j] = 0;
    }
}

// The opposite way, column j times scale[j].
static void to_rows(real *restrict dst, const real *restrict src, int64_t n, int64_t D,
                    int64_t ld, const real *restrict scale)
{
    for (int64_t j = 0; j < n; j++)
        for (int64_t c = 0; c < D; c++)
            dst[j * ld + c] = src[c * QB + j] * scale[j];
}

// Scores s [nk, QB] -> exp(s - max), causal: query j of the block is at key q0 + j. Writes each
// column's sum to sum and the logarithm of the softmax's denominator to lse.
static void softmax_columns(real *s, int64_t nk, int64_t q0, real *restrict sum,
                            real *restrict lse)
{
    real top[QB];
    for (int64_t j = 0; j < QB; j++) {
        top[j] = s[j]; // key 0 is visible to every query
        sum[j] = 0;
    }
    for (int64_t k = 1; k < nk; k++) {
        const real *restrict row = s + k * QB;
        for (int64_t j = 0; j < QB; j++) {
            real v = k <= q0 + j ? row[j] : top[j];
            top[j] = v > top[j] ? v : top[j];
        }
    }
    for (int64_t k = 0; k < nk; k++) {
        real *restrict row = s + k * QB;
        for (int64_t j = 0; j < QB; j++) {
            real e = fast_exp(row[j] - top[j]);
            row[j] = k <= q0 + j ? e : 0;
            sum[j] += row[j];
        }
    }
    for (int64_t j = 0; j < QB; j++)
        lse[j] = top[j] + (real)log(sum[j]);
}

void attention_fwd(real *o, real *lse, const real *q, const real *k, const real *v,
                   struct attention_sizes n, real *scratch)
{
    int64_t D = n.D, ldo = n.Hq * D;
    real *qt = scratch, *ot = qt + QB * D, *st = ot + 2 * QB * D;
    for (int64_t b = 0; b < n.B; b++)
        for (int64_t h = 0; h < n.Hq; h++) {
            int64_t first = b * n.T, hk = h / (n.Hq / n.Hkv);
            const real *kh = k + first * n.ld + hk * D, *vh = v + first * n.ld + hk * D;
            for (int64_t q0 = 0; q0 < n.T; q0 += QB) {
                int64_t nq = n.T - q0 < QB ? n.T - q0 : QB, nk = q0 + nq;
                real sum[QB], l[QB];
                to_columns(qt, q + (first + q0) * n.ld + h * D, nq, D, n.ld, 1 / (real)sqrt((double)D));
                gemm(false, false, nk, QB, D, kh, n.ld, qt, QB, false, st, QB);
                softmax_columns(st, nk, q0, sum, l);
                gemm(true, false, D, QB, nk, vh, n.ld, st, QB, false, ot, QB);
                for (int64_t j = 0; j < QB; j++)
                    sum[j] = 1 / sum[j];
                to_rows(o + (first + q0) * ldo + h * D, ot, nq, D, ldo, sum);
                for (int64_t j = 0; j < nq; j++)
                    lse[(b * n.Hq + h) * n.T + q0 + j] = l[j];
            }
        }
}

// Scores st and dP dp, both [nk, QB] -> P in st, dS = P (dP - delta) scale in dp.
static void softmax_columns_bwd(real *st, real *dp, int64_t nk, int64_t q0,
                                const real *restrict lse, const real *restrict delta,
                                real scale)
{
    for (int64_t k = 0; k < nk; k++) {
        real *restrict s = st + k * QB, *restrict d = dp + k * QB;
        for (int64_t j = 0; j < QB; j++) {
            real e = fast_exp(s[j] - lse[j]);
            real p = k <= q0 + j ? e : 0;
            s[j] = p;
            d[j] = p * (d[j] - delta[j]) * scale;
        }
    }
}

// Where one block of queries starts, in rows of ld and of ldo reals.
struct block {
    int64_t q0, nq;
    real lse[QB], delta[QB]; // delta: do . o
};

static void block_bwd(real *dq, real *dk, real *dv, const real *d_o, const real *q,
                      const real *k, const real *v, const struct block *at,
                      struct attention_sizes n, real *scratch)
{
    int64_t D = n.D, ldo = n.Hq * D, nk = at->q0 + at->nq;
    real scale = 1 / (real)sqrt((double)D), ones[QB];
    real *qt = scratch, *dot = qt + QB * D, *dqt = dot + QB * D, *st = dqt + QB * D,
         *dp = st + QB * n.T;
    for (int64_t j = 0; j < QB; j++)
        ones[j] = 1;
    to_columns(qt, q, at->nq, D, n.ld, scale);
    to_columns(dot, d_o, at->nq, D, ldo, 1);
    gemm(false, false, nk, QB, D, k, n.ld, qt, QB, false, st, QB);
    gemm(false, false, nk, QB, D, v, n.ld, dot, QB, false, dp, QB);
    softmax_columns_bwd(st, dp, nk, at->q0, at->lse, at->delta, scale);
    gemm(true, false, D, QB, nk, k, n.ld, dp, QB, false, dqt, QB);
    to_rows(dq, dqt, at->nq, D, n.ld, ones);
    gemm(false, false, nk, D, at->nq, st, QB, d_o, ldo, true, dv, n.ld);
    gemm(false, false, nk, D, at->nq, dp, QB, q, n.ld, true, dk, n.ld);
}

static void clear_rows(real *x, int64_t rows, int64_t width, int64_t ld)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < width; c++)
            x[i * ld + c] = 0;
}

void attention_bwd(real *dq, real *dk, real *dv, const real *d_o, const real *q, const real *k,
                   const real *v, const real *o, const real *lse, struct attention_sizes n,
                   real *scratch)
{
    int64_t D = n.D, ldo = n.Hq * D;
    clear_rows(dk, n.B * n.T, n.Hkv * D, n.ld);
    clear_rows(dv, n.B * n.T, n.Hkv * D, n.ld);
    for (int64_t b = 0; b < n.B; b++)
        for (int64_t h = 0; h < n.Hq; h++) {
            int64_t first = b * n.T, kv = first * n.ld + h / (n.Hq / n.Hkv) * D;
            for (int64_t q0 = 0; q0 < n.T; q0 += QB) {
                struct block at = {.q0 = q0, .nq = n.T - q0 < QB ? n.T - q0 : QB};
                int64_t row = first + q0;
                for (int64_t j = 0; j < at.nq; j++) {
                    const real *a = d_o + (row + j) * ldo + h * D,
                               *c = o + (row + j) * ldo + h * D;
                    for (int64_t i = 0; i < D; i++)
                        at.delta[j] += a[i] * c[i];
                    at.lse[j] = lse[(b * n.Hq + h) * n.T + q0 + j];
                }
                int64_t qat = row * n.ld + h * D;
                block_bwd(dq + qat, dk + kv, dv + kv, d_o + row * ldo + h * D, q + qat, k + kv,
                          v + kv, &at, n, scratch);
            }
        }
}
