// SPDX-License-Identifier: Apache-2.0
#include "kernels/swiglu.h"
#include "kernels/fastexp.h"
#include "kernels/simd.h"

void swiglu_fwd(real *h, const real *gu, const real *s, int64_t T, int64_t F)
{
    for (int64_t t = 0; t < T; t++) {
        const real *restrict g = gu + t * 2 * F, *restrict u = g + F;
        real *restrict ht = h + t * F;
        real st = s != NULL ? s[t] : 1;
        for (int64_t f = 0; f < F; f++)
            ht[f] = st * g[f] * fast_sigmoid(g[f]) * u[f];
    }
}

void swiglu_bwd(real *dgu, real *ds, real *h, const real *dh, const real *gu, const real *s,
                int64_t T, int64_t F)
{
    for (int64_t t = 0; t < T; t++) {
        const real *restrict g = gu + t * 2 * F, *restrict u = g + F,
                             *restrict dht = dh + t * F;
        real *restrict dg = dgu + t * 2 * F, *restrict du = dg + F, *restrict ht = h + t * F;
        real st = s != NULL ? s[t] : 1;
        for (int64_t f = 0; f < F; f++) {
            real sig = fast_sigmoid(g[f]), silu = g[f] * sig, gf = g[f], uf = u[f];
            ht[f] = silu * uf;
            dg[f] = dht[f] * st * uf * sig * (1 + gf * (1 - sig));
            du[f] = dht[f] * st * silu;
        }
        if (s == NULL)
            continue;
        ds[t] = row_dot(dht, ht, F);
        for (int64_t f = 0; f < F; f++)
            ht[f] *= st;
    }
}
