// SPDX-License-Identifier: GPL-3.0-or-later
// What every file of this room shares: the GSL set-up and a few small-sample statistics.
#ifndef FIT_FIT_H
#define FIT_FIT_H
#include "core/rng.h"

// Turns off GSL's default error handler, which would abort the process; every GSL status is
// checked here instead. Called once by main (and by each test) before anything else of fit/.
void fit_init(void);

// Below this number of resamples a 2.5 % quantile does not exist: intervals are NaN.
#define FIT_MIN_BOOT 40

// The 2.5 % and 97.5 % quantiles of the finite values among v[0..n); NaN with fewer than
// FIT_MIN_BOOT of them, or without memory. v is left alone.
void fit_interval(const double *v, int n, double *lo, double *hi);

// sqrt(df / chi-square with df degrees of freedom). Residuals multiplied by one such number a
// resample carry the uncertainty of the noise level itself: for a linear function of Gaussian
// data the percentile interval becomes Student's exactly, which at df = 7 is 20 % wider than
// the plain one.
double fit_student_factor(struct rng *r, int df);
// Half a 95 % interval of a mean, in its standard errors, at df > 0 degrees of freedom.
double fit_student_quantile(int df);
#endif
