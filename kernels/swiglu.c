// SPDX-License-Identifier: Apache-2.0
#include "kernels/swiglu.h"
#include "kernels/fastexp.h"

void swiglu_fwd(real *h, const real *gu, const real *s, int64_t T, int64_t F)
{
    for (int64_t t = 0; t < T; t++) {
        const real *gt = gu + t * 2 * F, *ut = gt + F;
        real st = s != NULL ? s[t] : 1;
        ROW_LOOP(f, w, F)
        {
            vreal g = v_load_n(gt + f, w), u = v_load_n(ut + f, w);
            v_store_n(h + t * F + f, st * g * v_sigmoid(g) * u, w);
        }
    }
}

void swiglu_bwd(real *dgu, real *ds, real *h, const real *dh, const real *gu, const real *s,
                int64_t T, int64_t F)
{
    for (int64_t t = 0; t < T; t++) {
        const real *gt = gu + t * 2 * F, *ut = gt + F;
        real *dgt = dgu + t * 2 * F, *dut = dgt + F;
        real st = s != NULL ? s[t] : 1;
        vreal sum = {0};
        ROW_LOOP(f, w, F)
        {
            vreal g = v_load_n(gt + f, w), u = v_load_n(ut + f, w),
                  d = v_load_n(dh + t * F + f, w);
            vreal sigmoid = v_sigmoid(g), silu = g * sigmoid;
            sum += d * silu * u;
            d *= st;
            v_store_n(h + t * F + f, st * silu * u, w);
            v_store_n(dgt + f, d * u * (sigmoid + silu * (1 - sigmoid)), w);
            v_store_n(dut + f, d * silu, w);
        }
        if (s != NULL)
            ds[t] = v_sum(sum);
    }
}
