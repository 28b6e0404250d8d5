// SPDX-License-Identifier: Apache-2.0
#include "kernels/rmsnorm.h"
#include "kernels/simd.h"
#include <math.h>

// Small enough not to move a normalised row, large enough for an all-zero one (the usual
// value).
#define EPS ((real)1e-6)

void rmsnorm_fwd(real *y, real *r, const real *x, const real *g, int64_t T, int64_t C)
{
    for (int64_t t = 0; t < T; t++) {
        const real *xt = x + t * C;
        real *restrict yt = y + t * C;
        real rt = 1 / (real)sqrt((double)(row_dot(xt, xt, C) / (real)C + EPS));
        for (int64_t c = 0; c < C; c++)
            yt[c] = xt[c] * rt * g[c];
        r[t] = rt;
    }
}

// sum_c dy x g
static real dot3(const real *dy, const real *x, const real *g, int64_t C)
{
    vreal s = {0};
    int64_t c = 0;
    for (; c + VL <= C; c += VL)
        s += v_load(dy + c) * v_load(x + c) * v_load(g + c);
    if (c < C)
        s += v_load_n(dy + c, C - c) * v_load_n(x + c, C - c) * v_load_n(g + c, C - c);
    return v_sum(s);
}

void rmsnorm_bwd(real *dx, real *dg, const real *dy, const real *x, const real *g,
                 const real *r, int64_t T, int64_t C)
{
    memset(dg, 0, (size_t)C * sizeof *dg);
    for (int64_t t = 0; t < T; t++) {
        const real *restrict xt = x + t * C, *restrict dyt = dy + t * C;
        real *restrict dxt = dx + t * C, *restrict dgt = dg;
        real rt = r[t];
        real k = rt * rt * rt * dot3(dyt, xt, g, C) / (real)C;
        for (int64_t c = 0; c < C; c++) {
            real d = dyt[c] * rt;
            dgt[c] += d * xt[c];
            dxt[c] += d * g[c] - xt[c] * k;
        }
    }
}
