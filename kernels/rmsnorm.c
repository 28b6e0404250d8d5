// SPDX-License-Identifier: Apache-2.0
#include "kernels/rmsnorm.h"
#include "kernels/simd.h"
#include <math.h>
#include <string.h>

// Small enough not to move a normalised row, large enough for an all-zero one (the usual
// value).
#define EPS ((real)1e-6)

void rmsnorm_fwd(act *y, real *r, const real *x, const real *g, int64_t T, int64_t C)
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

void rmsnorm_heads_fwd(act *y, real *r, const act *x, const real *gq, const real *gk,
                       struct head_sizes n)
{
    // A token's heads lie side by side: to the norm they are rows.
    for (int64_t t = 0; t < n.n; t++, x += n.ld, y += n.ld, r += n.Hq + n.Hkv) {
        rmsnorm_fwd(y, r, x, gq, n.Hq, n.D);
        rmsnorm_fwd(y + n.Hq * n.D, r + n.Hq, x + n.Hq * n.D, gk, n.Hkv, n.D);
    }
}

void rmsnorm_heads_bwd(real *d, real *dgq, real *dgk, const act *x, const real *gq,
                       const real *gk, const real *r, struct head_sizes n, real *scratch)
{
    int64_t Q = n.Hq * n.D, all = Q + n.Hkv * n.D;
    for (int64_t t = 0; t < n.n; t++, x += n.ld, d += n.ld, r += n.Hq + n.Hkv) {
        row_copy(scratch, d, all);
        memset(d, 0, (size_t)all * sizeof *d); // the norm adds to it
        rmsnorm_bwd(d, dgq, scratch, x, gq, r, n.Hq, n.D);
        rmsnorm_bwd(d + Q, dgk, scratch + Q, x + Q, gk, r + n.Hq, n.Hkv, n.D);
    }
}
