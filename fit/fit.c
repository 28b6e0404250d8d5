// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/fit.h"
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>

void fit_init(void)
{
    gsl_set_error_handler_off();
}

void fit_interval(const double *v, int n, double *lo, double *hi)
{
    *lo = *hi = (double)NAN;
    double *finite = n > 0 ? malloc((size_t)n * sizeof *finite) : NULL;
    if (!finite)
        return;
    size_t m = 0;
    for (int i = 0; i < n; i++)
        if (isfinite(v[i]))
            finite[m++] = v[i];
    if (m >= FIT_MIN_BOOT) {
        gsl_sort(finite, 1, m);
        *lo = gsl_stats_quantile_from_sorted_data(finite, 1, m, .025);
        *hi = gsl_stats_quantile_from_sorted_data(finite, 1, m, .975);
    }
    free(finite);
}

double fit_student_factor(struct rng *r, int df)
{
    double chi2 = 0;
    for (int i = 0; i < df; i++) {
        double z = rng_normal(r);
        chi2 += z * z;
    }
    return sqrt(df / fmax(chi2, 1e-12)); // one normal in 1e6 is that close to zero at df = 1
}

double fit_student_quantile(int df)
{
    return gsl_cdf_tdist_Pinv(.975, df);
}
