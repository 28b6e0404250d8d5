// SPDX-License-Identifier: GPL-3.0-or-later
// One axis at one scale: a form that is linear in its coefficients, one intercept per group of
// observations that share everything but the axis; optimum, near-optimal band, outliers,
// intervals.
#ifndef FIT_CURVE_H
#define FIT_CURVE_H
#include "core/err.h"
#include <stdbool.h>
#include <stdint.h>

//    name          basis (t = the axis)                      optimum
#define CURVE_FORMS(X)                                                                         \
    X(logquad, "b ln t + c (ln t)^2")     /* isoFLOP parabola in ln t; also law `width` */     \
    X(quad, "b t + c t^2")                /* the paper's plain quadratic, `width_q` */         \
    X(density, "a/(t-6) + b t")           /* t = M/N_a; arXiv 2603.21862 */                    \
    X(expansion, "a/(t-1) + b/(t_max-t)") /* t = N/N_a; t_max given */
enum curve_form {
#define X(name, text) CURVE_##name,
    CURVE_FORMS(X)
#undef X
        N_CURVE_FORMS
};
const char *curve_form_name(enum curve_form f);

enum { CURVE_MAX_ALONG = 3 };
struct curve_obs {
    double t, loss;
    int group; // 0.. ; own intercept each
    // Where the run stands on other axes, 0 where the optimum is to hold: the first coefficient
    // may be another there (a best t that moves along), linearly in these.
    double along[CURVE_MAX_ALONG];
    // Above 0: which value of the axis was asked for. Runs of one value, in all groups, share
    // what the form misses there; at 0, runs of one t do.
    int level;
};

// Which ends of the range tried the 95 % interval of the (clamped) optimum reaches decides: an
// optimum at or beyond an end is called interior in at most 1 of 40 sweeps. A resample whose
// form has no minimum counts at the end that is lower. (Below FIT_MIN_BOOT resamples: the
// fitted optimum alone, which says nothing about noise.)
enum curve_verdict {
    CURVE_INTERIOR,   // neither: optimum inside the range of t, resolved
    CURVE_EDGE_LOW,   // the low / high end only: the range does not close the optimum there,
    CURVE_EDGE_HIGH,  // the grid should grow (opt itself may still lie inside)
    CURVE_UNRESOLVED, // both, or the noise alone makes the band the whole range
    CURVE_FAILED      // too few points or a singular fit; never steers
};
const char *curve_verdict_name(enum curve_verdict v);

#define CURVE_MAX_BOOT 1000
struct curve_fit {
    enum curve_form form;
    double t_max_form; // of CURVE_expansion, as given
    enum curve_verdict verdict;
    int n, n_groups;               // n as given: the length of residual and outlier
    int n_used;                    // of these, in the fit: finite and inside the form's domain
    double coef[2];                // of the two basis functions
    int n_along;                   // as asked, 0 with too few different points
    double along[CURVE_MAX_ALONG]; // what is added to coef[0] a unit of curve_obs.along
    double intercept;    // of the reference group (most observations, then lowest number)
    double sigma;        // robust noise sd of one run, same units as loss
    double condition;    // of the scaled design matrix
    double t_min, t_max; // range tried
    double opt, opt_lo, opt_hi; // optimum of the fitted form clamped to [t_min, t_max]; 95 %
    // Best mean over seeds of one (group, t), shown apart from the fit; moved to the reference
    // group by the fitted intercepts.
    double raw_min_t, raw_min_loss;
    double opt_loss; // fitted loss at opt (reference group)
    double band_tol; // relative loss that defines the band: max(asked, resolved by noise)
    double band_lo, band_hi; // where the fitted loss is within band_tol of the optimum's,
                             // clamped to the range tried
    bool band_lo_open, band_hi_open; // the band runs into the end of the range
    double band_lo_ci[2], band_hi_ci[2];
    int n_boot; // resamples below, NaN where one could not be fitted
    double *boot_opt, *boot_band_lo, *boot_band_hi; // owned, n_boot each; clamped as above
    double *residual; // owned, n: observed - fitted; NaN where not used
    // Owned, n: residual over 4 robust sds, corrected for leverage (weighted down, never
    // dropped), or not used.
    bool *outlier;
};

struct curve_options {
    double band;               // relative; the paper's .001
    double t_max_form;         // CURVE_expansion's t_max
    int n_boot;                // 0..CURVE_MAX_BOOT
    int n_along;               // of curve_obs.along, in use
    uint64_t seed;             // bootstrap stream; the data's hash is mixed in
    double tried_lo, tried_hi; // the range tried is at least this wide; 0: as wide as obs
    int own; // above 0: groups from this number on lend their shape, never the reference
};

// Robust least squares (fit/robust.h), residual bootstrap around it (docs/method.md). The order
// of obs changes nothing, to the last bit. Every double of out is NaN where it does not exist.
// ERR_FAILED only for memory: a fit that cannot be made is a verdict. out is overwritten;
// curve_fit_free releases it.
enum err curve_fit_run(enum curve_form form, const struct curve_obs *obs, int n,
                       const struct curve_options *opt, struct curve_fit *out);
double curve_fit_value(const struct curve_fit *f, double t); // reference group, for plots
void curve_fit_free(struct curve_fit *f);
#endif
