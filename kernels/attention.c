// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"
#include "kernels/fastexp.h"
#include "kernels/transpose.h"

// Queries per block: two vectors of 16 floats. Wider blocks waste more of the masked triangle.
#define QB 32

int64_t attention_scratch(int64_t T, int64_t D)
{
    return QB * (2 * T + 3 * D);
}

// Rows src [n, D] (ld apart) -> dst [D, QB], times scale, columns from n on zero.
static void to_columns(real *dst, const real *src, int64_t n, int64_t D, int64_t ld, real scale)
{
    transpose(dst, QB, QB / VL, src, ld, n, D);
    if (scale != 1)
        row_scale(dst, scale, D * QB);
}

// The opposite way: src [D, QB] -> rows dst [n, D] (ld apart).
static void to_rows(real *dst, const real *src, int64_t n, int64_t D, int64_t ld)
{
    transpose_back(dst, ld, n, src, QB, D);
}

// Hides from every query of a block the keys behind it: st [nk, QB], query j stands at key q0 +
// j.
static void hide(real *st, int64_t nk, int64_t q0)
{
    for (int64_t k = q0 + 1; k < nk; k++)
        for (int64_t j = 0; j < k - q0; j++)
            st[k * QB + j] = -INFINITY;
}

// st [nk, QB] = exp(st - largest of the column); the columns' sums, and lse = log of the
// softmax's denominator.
static void softmax_columns(real *st, int64_t nk, real *sum, real *lse)
{
    for (int64_t j = 0; j < QB; j += VL) {
        vreal top = v_load(st + j), total = {0};
        for (int64_t k = 1; k < nk; k++)
            top = v_max(v_load(st + k * QB + j), top);
        for (int64_t k = 0; k < nk; k++) {
            vreal e = v_exp(v_load(st + k * QB + j) - top);
            v_store(st + k * QB + j, e);
            total += e;
        }
        v_store(sum + j, total);
        for (int64_t i = 0; i < VL; i++)
            lse[j + i] = top[i] + (real)log((double)total[i]);
    }
}

// x [D, QB], every column divided by its sum.
static void divide_columns(real *x, const real *sum, int64_t D)
{
    for (int64_t j = 0; j < QB; j += VL) {
        vreal f = 1 / v_load(sum + j);
        for (int64_t c = 0; c < D; c++)
            v_store(x + c * QB + j, v_load(x + c * QB + j) * f);
    }
}

void attention_fwd(act *o, real *lse, const act *qk, const act *qkv, struct attention_sizes n,
                   enum gemm_kind kind, real *scratch)
{
    int64_t D = n.D, ldo = n.Hq * D;
    const act *q = qk, *k = qk + ldo, *v = qkv + ldo + n.Hkv * D;
    real *qt = scratch, *ot = qt + QB * D, *st = ot + 2 * QB * D;
    for (int64_t b = 0; b < n.B; b++)
        for (int64_t h = 0; h < n.Hq; h++) {
            int64_t first = b * n.T, hk = h / (n.Hq / n.Hkv);
            const real *kh = k + first * n.ld + hk * D, *vh = v + first * n.ld + hk * D;
            for (int64_t q0 = 0; q0 < n.T; q0 += QB) {
                int64_t nq = n.T - q0 < QB ? n.T - q0 : QB, nk = q0 + nq;
                real sum[QB], l[QB];
                to_columns(qt, q + (first + q0) * n.ld + h * D, nq, D, n.ld,
                           1 / (real)sqrt((double)D));
                gemm_as(kind, false, false, nk, QB, D, kh, n.ld, qt, QB, false, st, QB);
                hide(st, nk, q0);
                softmax_columns(st, nk, sum, l);
                gemm_as(kind, true, false, D, QB, nk, vh, n.ld, st, QB, false, ot, QB);
                divide_columns(ot, sum, D);
                to_rows(o + (first + q0) * ldo + h * D, ot, nq, D, ldo);
                for (int64_t j = 0; j < nq; j++)
                    lse[(b * n.Hq + h) * n.T + q0 + j] = l[j];
            }
        }
}

// Scores st and dP dp, both [nk, QB] -> P in st, dS = P (dP - delta) scale in dp.
static void softmax_columns_bwd(real *st, real *dp, int64_t nk, const real *lse,
                                const real *delta, real scale)
{
    for (int64_t j = 0; j < QB; j += VL) {
        vreal l = v_load(lse + j), d = v_load(delta + j);
        for (int64_t k = 0; k < nk; k++) {
            int64_t at = k * QB + j;
            vreal p = v_exp(v_load(st + at) - l);
            v_store(st + at, p);
            v_store(dp + at, p * (v_load(dp + at) - d) * scale);
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
                      struct attention_sizes n, enum gemm_kind kind, real *scratch)
{
    int64_t D = n.D, ldo = n.Hq * D, nk = at->q0 + at->nq;
    real scale = 1 / (real)sqrt((double)D);
    real *qt = scratch, *dot = qt + QB * D, *dqt = dot + QB * D, *st = dqt + QB * D,
         *dp = st + QB * n.T;
    to_columns(qt, q, at->nq, D, n.ld, scale);
    to_columns(dot, d_o, at->nq, D, ldo, 1);
    gemm_as(kind, false, false, nk, QB, D, k, n.ld, qt, QB, false, st, QB);
    gemm_as(kind, false, false, nk, QB, D, v, n.ld, dot, QB, false, dp, QB);
    hide(st, nk, at->q0);
    softmax_columns_bwd(st, dp, nk, at->lse, at->delta, scale);
    gemm_as(kind, true, false, D, QB, nk, k, n.ld, dp, QB, false, dqt, QB);
    to_rows(dq, dqt, at->nq, D, n.ld);
    gemm_as(kind, false, false, nk, D, at->nq, st, QB, d_o, ldo, true, dv, n.ld);
    gemm_as(kind, false, false, nk, D, at->nq, dp, QB, q, n.ld, true, dk, n.ld);
}

static void clear_rows(real *x, int64_t rows, int64_t width, int64_t ld)
{
    for (int64_t i = 0; i < rows; i++)
        memset(x + i * ld, 0, (size_t)width * sizeof *x);
}

void attention_bwd(real *d_qkv, const real *d_o, const act *qk, const act *qkv, const act *o,
                   const real *lse, struct attention_sizes n, enum gemm_kind kind,
                   real *scratch)
{
    int64_t D = n.D, ldo = n.Hq * D;
    const act *q = qk, *k = qk + ldo, *v = qkv + ldo + n.Hkv * D;
    real *dq = d_qkv, *dk = dq + ldo, *dv = dk + n.Hkv * D;
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
                    at.delta[j] = row_dot(a, c, D);
                    at.lse[j] = lse[(b * n.Hq + h) * n.T + q0 + j];
                }
                int64_t qat = row * n.ld + h * D;
                block_bwd(dq + qat, dk + kv, dv + kv, d_o + row * ldo + h * D, q + qat, k + kv,
                          v + kv, &at, n, kind, scratch);
            }
        }
}
