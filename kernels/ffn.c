// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn.h"
#include "kernels/gemm.h"
#include "kernels/swiglu.h"
#include <stddef.h>
#include <string.h>

// Rows taken at a time, so that a chunk's activations stay in the second-level cache.
#define ROWS 256

int64_t ffn_scratch(int64_t F)
{
    return ROWS * 4 * F;
}

void ffn_fwd(real *y, real *gu, const real *x, const real *s, const real *w_gu, const real *w_d,
             struct ffn_sizes n, real *scratch)
{
    int64_t C = n.C, F = n.F;
    for (int64_t e = 0; e < n.E; e++, w_gu += 2 * F * C, w_d += C * F)
        for (int64_t r = n.offset[e]; r < n.offset[e + 1]; r += ROWS) {
            int64_t m = n.offset[e + 1] - r < ROWS ? n.offset[e + 1] - r : ROWS;
            gemm(false, true, m, 2 * F, C, x + r * C, C, w_gu, C, false, gu + r * 2 * F, 2 * F);
            swiglu_fwd(scratch, gu + r * 2 * F, s != NULL ? s + r : NULL, m, F);
            gemm(false, true, m, C, F, scratch, F, w_d, F, n.add, y + r * C, C);
        }
}

void ffn_bwd(real *dx, real *dw_gu, real *dw_d, real *ds, const real *dy, const real *x,
             const real *gu, const real *s, const real *w_gu, const real *w_d,
             struct ffn_sizes n, real *scratch)
{
    int64_t C = n.C, F = n.F;
    real *h = scratch, *dh = h + ROWS * F, *dgu = dh + ROWS * F;
    for (int64_t e = 0; e < n.E; e++) {
        int64_t first = n.offset[e], end = n.offset[e + 1];
        if (first == end) {
            memset(dw_gu, 0, (size_t)(2 * F * C) * sizeof *dw_gu);
            memset(dw_d, 0, (size_t)(C * F) * sizeof *dw_d);
        }
        for (int64_t r = first; r < end; r += ROWS) {
            int64_t m = end - r < ROWS ? end - r : ROWS;
            gemm(false, false, m, F, C, dy + r * C, C, w_d, F, false, dh, F);
            swiglu_bwd(dgu, s != NULL ? ds + r : NULL, h, dh, gu + r * 2 * F,
                       s != NULL ? s + r : NULL, m, F);
            gemm(true, false, C, F, m, dy + r * C, C, h, F, r > first, dw_d, F);
            gemm(true, false, 2 * F, C, m, dgu, 2 * F, x + r * C, C, r > first, dw_gu, C);
            gemm(false, false, m, C, 2 * F, dgu, 2 * F, w_gu, C, n.add, dx + r * C, C);
        }
        w_gu += 2 * F * C, dw_gu += 2 * F * C;
        w_d += C * F, dw_d += C * F;
    }
}
