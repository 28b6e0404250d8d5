// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.h"
#include <math.h>

static inline real root(real x)
{
#ifdef MOESWEEP_F64
    return sqrt(x);
#else
    return sqrtf(x);
#endif
}

void adamw_update(real *p, real *m, real *v, const real *g, int64_t n, const struct adamw *o)
{
    const real b1 = (real)o->beta1, b2 = (real)o->beta2, eps = (real)o->eps;
    const real a1 = (real)(1 - o->beta1), a2 = (real)(1 - o->beta2);
    const real rate = (real)(o->lr / (1 - pow(o->beta1, (double)o->step)));
    const real c2 = (real)(1 / (1 - pow(o->beta2, (double)o->step)));
    const real keep = (real)(1 - o->lr * o->wd);
    real *restrict pr = p, *restrict mr = m, *restrict vr = v;
    const real *restrict gr = g;
    for (int64_t i = 0; i < n; i++) {
        real gi = gr[i];
        real mi = b1 * mr[i] + a1 * gi, vi = b2 * vr[i] + a2 * gi * gi;
        mr[i] = mi;
        vr[i] = vi;
        pr[i] = keep * pr[i] - rate * mi / (root(vi * c2) + eps);
    }
}

double grad_square(const real *g, int64_t n)
{
    enum { LANES = 16 };
    double s[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            s[j] += (double)g[i + j] * (double)g[i + j];
    for (; i < n; i++)
        s[0] += (double)g[i] * (double)g[i];
    double sum = 0;
    for (int j = 0; j < LANES; j++)
        sum += s[j];
    return sum;
}

void grad_scale(real *g, int64_t n, double by)
{
    real f = (real)by;
    for (int64_t i = 0; i < n; i++)
        g[i] *= f;
}
