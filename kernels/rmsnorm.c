// SPDX-License-Identifier: Apache-2.0
#include "kernels/rmsnorm.h"
#include "kernels/simd.h"
#include <math.h>

// Small enough not to move a normalised row, large enough for an all-zero one (the usual
// value).
#define EPS ((real)1e-6)

void rmsnorm_fwd(real *y, real *r, const real *x, const real *g, int64_t T, int64_t C)
{
    for (int64_t t = 0; t < T; t++, x += C, y += C) {
        real rt = 1 / (real)sqrt((double)(row_dot(x, x, C) / (real)C + EPS));
        ROW_LOOP(c, w, C)
        v_store_n(y + c, v_load_n(x + c, w) * rt * v_load_n(g + c, w), w);
        r[t] = rt;
    }
}

void rmsnorm_bwd(real *dx, real *dg, const real *dy, const real *x, const real *g,
                 const real *r, int64_t T, int64_t C)
{
    for (int64_t t = 0; t < T; t++, x += C, dx += C, dy += C) {
        vreal dot = {0};
        ROW_LOOP(c, w, C)
        dot += v_load_n(dy + c, w) * v_load_n(x + c, w) * v_load_n(g + c, w);
        real rt = r[t], k = rt * rt * rt * v_sum(dot) / (real)C;
        ROW_LOOP(c, w, C)
        {
            vreal d = v_load_n(dy + c, w) * rt, xc = v_load_n(x + c, w);
            v_store_n(dg + c, v_load_n(dg + c, w) + d * xc, w);
            v_store_n(dx + c, v_load_n(dx + c, w) + d * v_load_n(g + c, w) - xc * k, w);
        }
    }
}
