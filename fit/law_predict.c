// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/rng.h"
#include "fit/fit.h"
#include "fit/law_form.h"
#include <math.h>
#include <stdlib.h>

// Values of all resamples at x, each with a drawn residual where new_one.
static double *values(const struct law_fit *f, const double *x, bool new_one)
{
    int p = f->law->n_params;
    double t[LAW_MAX_VARS], *v = malloc((size_t)f->n_boot * sizeof *v);
    double widen = f->n > p ? sqrt((double)f->n / (double)(f->n - p)) : 1;
    struct rng r;
    if (!v)
        return NULL;
    rng_seed(&r, f->options.seed, 0);
    law_transform(f->law, x, t);
    for (int b = 0; b < f->n_boot; b++) {
        v[b] = f->law->form(f->law, f->boot + (int64_t)b * p, t, NULL);
        double off = widen * f->residual[rng_below(&r, (uint64_t)f->n)];
        if (new_one)
            v[b] = f->options.objective == LAW_SQUARES ? v[b] + off : v[b] * exp(off);
    }
    return v;
}

static void predict(const struct law_fit *f, const double *x, bool new_one, double *value,
                    double *lo, double *hi)
{
    *value = law_value(f->law, f->value, x, NULL);
    *lo = *hi = (double)NAN;
    double *v = f->n_boot > 0 ? values(f, x, new_one) : NULL;
    if (v)
        fit_interval(v, f->n_boot, lo, hi);
    free(v);
}

void law_fit_predict(const struct law_fit *f, const double *x, double *value, double *lo,
                     double *hi)
{
    predict(f, x, false, value, lo, hi);
}

void law_fit_predict_new(const struct law_fit *f, const double *x, double *value, double *lo,
                         double *hi)
{
    predict(f, x, true, value, lo, hi);
}
