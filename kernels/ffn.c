// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn.h"
#include "kernels/dispatch.h"
#include "kernels/swiglu.h"
#include <stddef.h>
#include <string.h>

// Rows taken at a time, so that a chunk's activations stay in the second-level cache.
#define ROWS 256

int64_t ffn_scratch(int64_t T, int64_t C, int64_t F)
{
    return (T < ROWS ? T : ROWS) * (4 * F + 2 * C); // an expert has no token twice
}

// Slots i .. i+m-1 of x [T, C]: in place, or gathered into buffer.
static const real *rows(const real *x, struct ffn_sizes n, int64_t i, int64_t m, real *buffer)
{
    if (n.token == NULL)
        return x + i * n.C;
    dispatch_gather(buffer, x, n.token + i, m, n.C);
    return buffer;
}

// y's rows of slots i .. i+m-1 += a [m, k] op(b): at once, or through buffer.
static void add_rows(real *y, struct ffn_sizes n, enum gemm_kind kind, int64_t i, int64_t m,
                     bool tb, int64_t k, const real *a, const real *b, int64_t ldb,
                     real *buffer)
{
    if (n.token == NULL) {
        gemm_as(kind, false, tb, m, n.C, k, a, k, b, ldb, true, y + i * n.C, n.C);
        return;
    }
    gemm_as(kind, false, tb, m, n.C, k, a, k, b, ldb, false, buffer, n.C);
    dispatch_scatter(y, buffer, n.token + i, m, n.C);
}

void ffn_fwd(real *y, act *gu, const act *x, const real *s, const real *w_gu, const real *w_d,
             struct ffn_sizes n, enum gemm_kind kind, real *scratch)
{
    int64_t C = n.C, F = n.F;
    for (int64_t e = 0; e < n.E; e++, w_gu += 2 * F * C, w_d += C * F)
        for (int64_t i = n.offset[e]; i < n.offset[e + 1]; i += ROWS) {
            int64_t m = n.offset[e + 1] - i < ROWS ? n.offset[e + 1] - i : ROWS;
            real *h = scratch, *buffer = h + m * F;
            const real *xi = rows(x, n, i, m, buffer);
            gemm_as(kind, false, true, m, 2 * F, C, xi, C, w_gu, C, false, gu + i * 2 * F,
                    2 * F);
            swiglu_fwd(h, gu + i * 2 * F, s != NULL ? s + i : NULL, m, F);
            add_rows(y, n, kind, i, m, true, F, h, w_d, F, buffer);
        }
}

void ffn_bwd(real *dx, real *dw_gu, real *dw_d, real *ds, const real *dy, const act *x,
             const act *gu, const real *s, const real *w_gu, const real *w_d,
             struct ffn_sizes n, bool add, enum gemm_kind kind, real *scratch)
{
    int64_t C = n.C, F = n.F;
    for (int64_t e = 0; e < n.E; e++) {
        int64_t first = n.offset[e], end = n.offset[e + 1];
        if (first == end && !add) {
            memset(dw_gu, 0, (size_t)(2 * F * C) * sizeof *dw_gu);
            memset(dw_d, 0, (size_t)(C * F) * sizeof *dw_d);
        }
        for (int64_t i = first; i < end; i += ROWS) {
            int64_t m = end - i < ROWS ? end - i : ROWS;
            real *h = scratch, *dh = h + m * F, *dgu = dh + m * F, *x_rows = dgu + m * 2 * F,
                 *dy_rows = x_rows + m * C;
            const real *dyi = rows(dy, n, i, m, dy_rows), *xi = rows(x, n, i, m, x_rows);
            gemm_as(kind, false, false, m, F, C, dyi, C, w_d, F, false, dh, F);
            swiglu_bwd(dgu, s != NULL ? ds + i : NULL, h, dh, gu + i * 2 * F,
                       s != NULL ? s + i : NULL, m, F);
            gemm_as(kind, true, false, C, F, m, dyi, C, h, F, add || i > first, dw_d, F);
            gemm_as(kind, true, false, 2 * F, C, m, dgu, 2 * F, xi, C, add || i > first, dw_gu,
                    C);
            add_rows(dx, n, kind, i, m, false, 2 * F, dgu, w_gu, C, x_rows);
        }
        w_gu += 2 * F * C, dw_gu += 2 * F * C;
        w_d += C * F, dw_d += C * F;
    }
}
