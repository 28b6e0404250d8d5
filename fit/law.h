// SPDX-License-Identifier: GPL-3.0-or-later
// Scaling laws as table entries (law_table.c), and one way to fit any of them: variable
// projection for the global search, a trust region to convergence on the objective asked for,
// bootstrap intervals. Names of laws, variables and parameters are what `moesweep fit` and
// files use.
#ifndef FIT_LAW_H
#define FIT_LAW_H
#include "core/err.h"
#include <stdbool.h>
#include <stdint.h>

#define LAW_MAX_VARS 8
#define LAW_MAX_PARAMS 20

struct law_param {
    const char *name, *unit;
    double lo, hi; // bounds; the natural ones of the law, wide
    bool linear;   // the law is linear in it, given the others
};

struct law; // an entry of the table: law_table.c

// By name; powersum takes its variables' number from n_vars (others: ignored). NULL: no such
// law.
const struct law *law_find(const char *name, int n_vars);
// The i-th law, NULL after the last.
const struct law *law_at(int i);
const char *law_name(const struct law *l);
const char *law_formula(const struct law *l); // one line, for --help and reports
const char *law_source(const struct law *l);
int law_vars(const struct law *l, const char *const **names);
// Place of a variable by name; -1 if the law has none of it.
int law_var_find(const struct law *l, const char *name);
int law_params(const struct law *l, const struct law_param **params);
// Value at x (law_vars numbers) for params (law_params numbers); gradient in params where not
// NULL.
double law_value(const struct law *l, const double *params, const double *x, double *gradient);

struct law_data {
    int64_t n;
    const double *x;      // n rows of law_vars numbers
    const double *y;      // n: loss (or what the law gives)
    const double *weight; // n, or NULL: all one
    const int *scale;     // n: group for bootstrap by scale, or NULL
};

// Sums over rows of weight * rho(residual), the residual in ln y but for LAW_SQUARES (in y).
// LAW_ASYMMETRIC: squares in ln y, rows above the law (runs that were trained worse than they
// could be) at a quarter of the weight of rows below it.
enum law_objective { LAW_HUBER_LOG, LAW_SQUARES_LOG, LAW_SQUARES, LAW_ASYMMETRIC };
enum law_boot { LAW_BOOT_CASES, LAW_BOOT_RESIDUALS, LAW_BOOT_SCALES };
struct law_options {
    enum law_objective objective;
    double corner; // Huber's, in ln y; 0: the default 1e-3
    int n_boot;
    enum law_boot boot;
    uint64_t seed; // the data's hash is mixed in
    int threads;   // changes nothing but the time
};

struct law_fit {
    const struct law *law;
    int64_t n;
    double value[LAW_MAX_PARAMS], lo[LAW_MAX_PARAMS], hi[LAW_MAX_PARAMS];
    bool identified[LAW_MAX_PARAMS]; // false: the data do not fix it (named so, never steered
                                     // on)
    double objective, rmse_log, r2, condition;
    bool converged;
    int minima; // distinct local minima that the search ended in
    int n_boot;
    double *boot;     // owned: n_boot rows of law_params numbers, NaN where a resample failed
    double *residual; // owned, n: ln y - ln law (LAW_SQUARES: y - law)
    struct law_options options; // as used
};
// ERR_INPUT: data that no fit can use, with the reason (too few rows, a value out of the law's
// domain, ...); ERR_FAILED: memory. A fit that does not converge is no error: converged says
// so.
enum err law_fit_run(const struct law *l, const struct law_data *d, const struct law_options *o,
                     struct law_fit *out);
// With the 95 % interval of the law's value (not of a new observation).
void law_fit_predict(const struct law_fit *f, const double *x, double *value, double *lo,
                     double *hi);
// The same for a new observation: a resample's law and a drawn residual together.
void law_fit_predict_new(const struct law_fit *f, const double *x, double *value, double *lo,
                         double *hi);
// Profile of the objective over one parameter: at[0..n) are its values (inside its bounds),
// objective[0..n) what the best of the others reaches there (NaN: no fit), searched anew each
// time as for a resample.
enum err law_fit_profile(const struct law_fit *f, const struct law_data *d, int param,
                         const double *at, int n, double *objective);
// The 95 % interval that the profile gives: where the objective has risen by what noise alone
// explains (law_profile.c). NaN at an end: not so far within the parameter's bounds, so the
// data do not limit it there; both NaN also where no row is left over or a coefficient is zero.
// rise: of the objective at at[], 1 being the interval's end. least: the lowest objective seen;
// below the fit's, the fit is not the best.
enum { LAW_PROFILE_POINTS = 21 };
struct law_profile {
    double lo, hi, least;
    double at[LAW_PROFILE_POINTS], rise[LAW_PROFILE_POINTS];
};
enum err law_fit_profile_interval(const struct law_fit *f, const struct law_data *d, int param,
                                  struct law_profile *out);
void law_fit_free(struct law_fit *f);
#endif
