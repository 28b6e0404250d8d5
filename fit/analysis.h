// SPDX-License-Identifier: GPL-3.0-or-later
// What a fitted law says beyond its values: optima, ranges within a tolerance, effects of each
// variable, each with the 95 % interval that the fit's resamples give it (every resample has
// an optimum of its own). docs/analyses.md.
#ifndef FIT_ANALYSIS_H
#define FIT_ANALYSIS_H
#include "fit/law.h"

enum { ANALYSIS_MAX_OUT = 8 };
struct estimate {
    double value, lo, hi; // NaN: does not exist; no interval
    double share; // of the resamples whose fit ended, those in which it exists; NaN without any
};
// out[n_out] from a law's parameters; NaN for what does not exist there.
typedef void analysis_fn(const struct law *l, const double *params, const void *context,
                         double *out);
// ERR_FAILED: memory.
enum err analysis_estimate(const struct law_fit *f, analysis_fn *fn, const void *context,
                           int n_out, struct estimate *out);

// The lowest point of f over [lo, hi]: the best of a grid, then golden section between its
// neighbours. NaN counts as infinite; NaN: f has no value anywhere.
double analysis_minimum(double (*f)(double u, void *context), void *context, double lo,
                        double hi);
// Where f changes its sign first on the way from `from` to `to` (above or below it), by a grid
// and bisection; NaN: nowhere.
double analysis_root(double (*f)(double u, void *context), void *context, double from,
                     double to);

// How many times v is beyond [lo, hi]; 1: inside, but for rounding, or the range is not known.
double analysis_beyond(double v, double lo, double hi);

// ---- along one variable

// The law along variable k, the others as in x; lo, hi: the range searched.
struct along {
    const double *x;
    int k;
    double lo, hi, tolerance; // relative, of the loss
    bool most;                // the law's largest value is sought (a leverage)
};
// 3 values: the optimum, and the two ends of the range in which the law is within the tolerance
// of it (an end of the search where it is so up to there). NaN: the law has no optimum inside.
analysis_fn along_optimum;
// 2 values: the change of ln law in percent per percent of the variable at x, and in percent
// from lo to hi.
analysis_fn along_effect;
// The range of a variable to search for an optimum: ten times beyond the data (from lo to hi)
// on either side, inside the law's domain and what x allows (N_a <= N, y < y_max).
void along_range(const struct law *l, const double *x, int k, double lo, double hi,
                 struct along *out);

// ---- the five-factor law's claim

// That G* and s* do not depend on scale (arXiv 2509.23678): law fivefactor_c, in which they may
// move with C = 6 N_a D.
struct claim {
    struct law_fit fit;                 // of fivefactor_c
    struct estimate G_decade, s_decade; // G*'s factor and s*'s change for ten times the C
    double p_G, p_s, p; // two-sided, of each change and of both (the smaller, doubled); NaN
                        // with too few resamples
};
// d: rows of the variables N D N_a G s. Release with law_fit_free(&out->fit).
enum err claim_test(const struct law_data *d, const struct law_options *o, struct claim *out);
#endif
