// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/curve.h"
#include "fit/curve_form.h"
#include "fit/fit.h"
#include "fit/robust.h"
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDING 1e-12 // relative to the loss: smaller differences are not differences

const char *curve_verdict_name(enum curve_verdict v)
{
    static const char *const names[] = {"interior", "edge_low", "edge_high", "unresolved",
                                        "failed"};
    ASSERT((int)v >= 0 && v <= CURVE_FAILED);
    return names[v];
}

// The usable observations in one order, whatever the caller's was.
struct row {
    double t, loss;
    int group;     // compact, 0..n_groups
    int label, at; // caller's group and index
    const struct curve_obs *obs;
};

struct work {
    struct curve_shape shape;
    const struct curve_options *opt;
    int n, p, n_groups, n_along, reference;
    struct row *rows;
    double *y, *fitted, *residual, *pool; // n each; n_pool residuals to draw from
    int n_pool;
    double *coef; // p: two of the basis, the groups' intercepts, along
    struct robust reg;
};

static int compare_double(double a, double b)
{
    return (a > b) - (a < b);
}

static int compare_rows(const void *va, const void *vb)
{
    const struct row *a = va, *b = vb;
    int c = (a->label > b->label) - (a->label < b->label);
    if (c == 0)
        c = compare_double(a->t, b->t);
    if (c == 0)
        c = compare_double(a->loss, b->loss);
    return c;
}

static void work_free(struct work *w)
{
    free(w->rows);
    free(w->y);
    free(w->coef);
    robust_free(&w->reg);
}

static bool usable(const struct curve_shape *s, const struct curve_obs *o)
{
    return isfinite(o->loss) && curve_shape_valid(s, o->t);
}

// Along what the optimum may move: only with more different points than all that takes.
static void work_along(struct work *w, int n_along)
{
    int points = 0, p = w->n_groups + 2;
    for (int i = 0; i < w->n; i++)
        points += i == 0 || w->rows[i].label != w->rows[i - 1].label ||
                  w->rows[i].t != w->rows[i - 1].t;
    w->n_along = points > p + n_along ? n_along : 0;
    w->p = p + w->n_along;
}

// Sorted usable rows, compact groups, reference group, range.
static enum err work_rows(struct work *w, const struct curve_obs *obs, int n)
{
    w->rows = calloc((size_t)n + 1, sizeof *w->rows);
    w->y = calloc(4 * (size_t)n + 1, sizeof *w->y);
    ENSURE(w->rows && w->y, ERR_FAILED, "out of memory for a fit of %d points", n);
    for (int i = 0; i < n; i++)
        if (usable(&w->shape, &obs[i])) {
            w->rows[w->n++] = (struct row){.t = obs[i].t,
                                           .loss = obs[i].loss,
                                           .label = obs[i].group,
                                           .at = i,
                                           .obs = &obs[i]};
        }
    w->fitted = w->y + w->n;
    w->residual = w->fitted + w->n;
    w->pool = w->residual + w->n;
    qsort(w->rows, (size_t)w->n, sizeof *w->rows, compare_rows);
    int most = 0, size = 0;
    for (int i = 0; i < w->n; i++) {
        struct row *r = &w->rows[i];
        bool first = i == 0 || r->label != r[-1].label;
        size = first ? 1 : size + 1;
        w->n_groups += first;
        r->group = w->n_groups - 1;
        if (size > most && (w->opt->own <= 0 || r->label < w->opt->own)) {
            most = size;
            w->reference = r->group;
        }
        w->shape.lo = i == 0 ? r->t : fmin(w->shape.lo, r->t);
        w->shape.hi = i == 0 ? r->t : fmax(w->shape.hi, r->t);
        w->y[i] = r->loss;
    }
    work_along(w, w->opt->n_along);
    return OK;
}

static void work_centre(struct work *w)
{
    double sum = 0;
    if (w->shape.form != CURVE_logquad && w->shape.form != CURVE_quad)
        return;
    for (int i = 0; i < w->n; i++)
        sum += w->shape.form == CURVE_logquad ? log(w->rows[i].t) : w->rows[i].t;
    w->shape.centre = sum / w->n;
}

static enum err work_design(struct work *w)
{
    size_t p = (size_t)w->p;
    double *X = calloc((size_t)w->n * p, sizeof *X);
    w->coef = calloc(p, sizeof *w->coef);
    enum err e = ERR_FAILED;
    if (!X || !w->coef) {
        err_set(ERR_FAILED, "out of memory for a fit of %d points", w->n);
        goto done;
    }
    for (int i = 0; i < w->n; i++) {
        double *row = X + (size_t)i * p;
        curve_shape_basis(&w->shape, w->rows[i].t, row);
        row[2 + w->rows[i].group] = 1;
        for (int k = 0; k < w->n_along; k++)
            row[2 + w->n_groups + k] = row[0] * w->rows[i].obs->along[k];
    }
    e = robust_create(&w->reg, X, w->n, w->p);
done:
    free(X);
    return e;
}

// Optimum and band of one set of coefficients; tol is relative to the loss at the optimum.
struct answer {
    double opt, opt_loss, band_lo, band_hi;
    bool lo_open, hi_open;
};

static double work_value(const struct work *w, const double *coef, double t)
{
    double b[2];
    curve_shape_basis(&w->shape, t, b);
    return coef[2 + w->reference] + coef[0] * b[0] + coef[1] * b[1];
}

static void answer_band(const struct work *w, const double *coef, double tol, struct answer *a)
{
    double rise = tol * fabs(a->opt_loss);
    a->band_lo = curve_shape_edge(&w->shape, coef, a->opt, w->shape.lo, rise, &a->lo_open);
    a->band_hi = curve_shape_edge(&w->shape, coef, a->opt, w->shape.hi, rise, &a->hi_open);
}

static struct answer answer_optimum(const struct work *w, const double *coef)
{
    struct answer a = {.opt = curve_shape_optimum(&w->shape, coef)};
    a.opt_loss = work_value(w, coef, a.opt);
    return a;
}

// What the noise resolves, relative: Student's 97.5 % quantile times the standard error of f(t)
// - f(opt) (root mean square over the runs).
static double noise_tolerance(const struct work *w, const struct answer *a, double sigma,
                              double *gradient)
{
    double at_opt[2], sum = 0;
    curve_shape_basis(&w->shape, a->opt, at_opt);
    memset(gradient, 0, (size_t)w->p * sizeof *gradient);
    for (int i = 0; i < w->n; i++) {
        curve_shape_basis(&w->shape, w->rows[i].t, gradient);
        gradient[0] -= at_opt[0];
        gradient[1] -= at_opt[1];
        double se = robust_se(&w->reg, sigma, gradient);
        sum += se * se;
    }
    double student = gsl_cdf_tdist_Pinv(.975, w->n - w->p);
    return fmax(student * sqrt(sum / w->n) / fabs(a->opt_loss), ROUNDING);
}

// Residuals and flags in the caller's order; the pool of leverage-corrected residuals (so that
// each has the variance of the noise). A run alone in its group has residual zero by
// construction.
static void keep_residuals(struct work *w, double scale, struct curve_fit *out)
{
    for (int i = 0; i < w->n; i++) {
        double left = 1 - w->reg.leverage[i], r = w->residual[i];
        w->fitted[i] = w->y[i] - r;
        out->residual[w->rows[i].at] = r;
        if (left < 1e-6) {
            out->outlier[w->rows[i].at] = false;
            continue;
        }
        r /= sqrt(left);
        w->pool[w->n_pool++] = r;
        out->outlier[w->rows[i].at] =
            fabs(r) > ROBUST_FAR * scale && fabs(r) > ROUNDING * fabs(w->y[i]);
    }
}

static bool same_level(const struct row *a, const struct row *b)
{
    int level = a->obs->level;
    return level == b->obs->level && (level > 0 || a->t == b->t);
}

// One level (its first run is number `first`): mean residual squared, in runs; what of the
// level's one degree of freedom the fit leaves.
struct level {
    double square, left;
};

static struct level level_mean(const struct work *w, int first, double corner)
{
    double sum = 0, fitted = 0;
    int runs = 0;
    for (int j = first; j < w->n; j++)
        if (same_level(&w->rows[first], &w->rows[j])) {
            sum += fmax(-corner, fmin(corner, w->residual[j]));
            runs++;
        }
    for (int k = 0; k < w->p; k++) {
        double u = 0;
        for (int j = first; j < w->n; j++)
            if (same_level(&w->rows[first], &w->rows[j]))
                u += gsl_matrix_get(w->reg.U, (size_t)j, (size_t)k);
        fitted += u * u;
    }
    return (struct level){sum * sum / runs, 1 - fitted / runs};
}

// What the form misses at a value of the axis moves all runs there alike, and the optimum by
// more than noise of that size in single runs would: a factor for the residuals that are drawn
// one by one. Mean square of level means (r'Pr over trace(P - PH); P averages over levels, H is
// the fit) against that of all residuals, cut off where Huber's loss does. 1 where it cannot be
// told: one run a level, no more levels than parameters.
static double lack_of_fit(const struct work *w, double scale)
{
    double corner = ROBUST_HUBER * scale, df = 0, squares = 0, all = 0;
    for (int i = 0; i < w->n; i++) {
        int first = 0;
        while (!same_level(&w->rows[first], &w->rows[i]))
            first++;
        double r = fmin(fabs(w->residual[i]), corner);
        all += r * r;
        if (first == i) {
            struct level l = level_mean(w, i, corner);
            squares += l.square;
            df += l.left;
        }
    }
    if (df < .5 || !(all > 0)) // half a degree of freedom, from values that are not quite equal
        return 1;
    return sqrt(fmax(1, squares / df / (all / (w->n - w->p))));
}

static uint64_t data_hash(const struct work *w)
{
    uint64_t h = RNG_HASH_START;
    for (int i = 0; i < w->n; i++) {
        h = rng_hash(&w->rows[i].t, sizeof(double), h);
        h = rng_hash(&w->rows[i].loss, sizeof(double), h);
        h = rng_hash(&w->rows[i].group, sizeof(int), h);
    }
    return h;
}

// Residual bootstrap: fitted values plus residuals drawn with replacement, all of one resample
// times one Student factor and what lack of fit adds; everything refitted. The band's tolerance
// stays: it is part of the question.
static void bootstrap(struct work *w, double lack, struct curve_fit *out)
{
    struct rng rng;
    rng_seed(&rng, w->opt->seed ^ data_hash(w), (uint64_t)w->shape.form);
    for (int b = 0; b < out->n_boot; b++) {
        out->boot_opt[b] = out->boot_band_lo[b] = out->boot_band_hi[b] = (double)NAN;
        double factor = lack * fit_student_factor(&rng, w->n - w->p);
        for (int i = 0; i < w->n; i++)
            w->y[i] = w->fitted[i] + factor * w->pool[rng_below(&rng, (uint64_t)w->n_pool)];
        if (!robust_fit(&w->reg, w->y, w->coef, w->residual).ok)
            continue;
        struct answer a = answer_optimum(w, w->coef);
        answer_band(w, w->coef, out->band_tol, &a);
        out->boot_opt[b] = a.opt;
        out->boot_band_lo[b] = a.band_lo;
        out->boot_band_hi[b] = a.band_hi;
    }
    fit_interval(out->boot_opt, out->n_boot, &out->opt_lo, &out->opt_hi);
    fit_interval(out->boot_band_lo, out->n_boot, &out->band_lo_ci[0], &out->band_lo_ci[1]);
    fit_interval(out->boot_band_hi, out->n_boot, &out->band_hi_ci[0], &out->band_hi_ci[1]);
}

static enum curve_verdict judge(const struct curve_fit *f, bool noise_hides_all)
{
    bool known = isfinite(f->opt_lo);
    bool low = (known ? fmin(f->opt_lo, f->opt) : f->opt) <= f->t_min * (1 + ROUNDING);
    bool high = (known ? fmax(f->opt_hi, f->opt) : f->opt) >= f->t_max * (1 - ROUNDING);
    if (noise_hides_all || (low && high))
        return CURVE_UNRESOLVED;
    return low ? CURVE_EDGE_LOW : high ? CURVE_EDGE_HIGH : CURVE_INTERIOR;
}

// Best mean of one (group, t), groups moved onto the reference by their intercepts; without a
// fit (intercept NULL) the reference group alone.
static void raw_minimum(const struct work *w, const double *intercept, struct curve_fit *out)
{
    for (int i = 0, j; i < w->n; i = j) {
        const struct row *r = &w->rows[i];
        double sum = 0;
        for (j = i; j < w->n && w->rows[j].group == r->group && w->rows[j].t == r->t; j++)
            sum += w->rows[j].loss;
        if (!intercept && r->group != w->reference)
            continue;
        double shift = intercept ? intercept[w->reference] - intercept[r->group] : 0;
        double mean = sum / (j - i) + shift;
        if (!(mean >= out->raw_min_loss)) { // true while that is NaN
            out->raw_min_loss = mean;
            out->raw_min_t = r->t;
        }
    }
}

static enum err fit_make(struct work *w, struct curve_fit *out)
{
    struct robust_result res = robust_fit(&w->reg, w->y, w->coef, w->residual);
    if (!res.ok)
        return OK;
    double *gradient = calloc((size_t)w->p, sizeof *gradient);
    ENSURE(gradient, ERR_FAILED, "out of memory for a fit of %d points", w->n);
    out->sigma = res.sigma;
    memcpy(out->coef, w->coef, sizeof out->coef);
    out->intercept = w->coef[2 + w->reference];
    out->n_along = w->n_along;
    memcpy(out->along, w->coef + 2 + w->n_groups, (size_t)w->n_along * sizeof *out->along);
    curve_shape_uncentre(&w->shape, out->coef, &out->intercept);
    raw_minimum(w, w->coef + 2, out);
    keep_residuals(w, res.scale, out);

    struct answer a = answer_optimum(w, w->coef);
    double noise = noise_tolerance(w, &a, res.sigma, gradient);
    free(gradient);
    answer_band(w, w->coef, noise, &a);
    bool noise_hides_all = a.lo_open && a.hi_open;
    out->band_tol = fmax(noise, w->opt->band);
    answer_band(w, w->coef, out->band_tol, &a);
    out->opt = a.opt;
    out->opt_loss = a.opt_loss;
    out->band_lo = a.band_lo;
    out->band_hi = a.band_hi;
    out->band_lo_open = a.lo_open;
    out->band_hi_open = a.hi_open;
    if (out->n_boot > 0)
        bootstrap(w, lack_of_fit(w, res.scale), out);
    out->verdict = judge(out, noise_hides_all);
    return OK;
}

static enum err out_create(struct curve_fit *out, enum curve_form form, int n, int n_boot)
{
    const double none = (double)NAN;
    *out = (struct curve_fit){.form = form,
                              .verdict = CURVE_FAILED,
                              .n = n,
                              .coef = {none, none},
                              .intercept = none,
                              .sigma = none,
                              .condition = none,
                              .t_min = none,
                              .t_max = none,
                              .opt = none,
                              .opt_lo = none,
                              .opt_hi = none,
                              .raw_min_t = none,
                              .raw_min_loss = none,
                              .opt_loss = none,
                              .band_tol = none,
                              .band_lo = none,
                              .band_hi = none,
                              .band_lo_ci = {none, none},
                              .band_hi_ci = {none, none}};
    out->residual = calloc((size_t)n + 1, sizeof *out->residual);
    out->outlier = calloc((size_t)n + 1, sizeof *out->outlier);
    out->boot_opt = calloc((size_t)n_boot + 1, sizeof *out->boot_opt);
    out->boot_band_lo = calloc((size_t)n_boot + 1, sizeof *out->boot_band_lo);
    out->boot_band_hi = calloc((size_t)n_boot + 1, sizeof *out->boot_band_hi);
    if (!out->residual || !out->outlier || !out->boot_opt || !out->boot_band_lo ||
        !out->boot_band_hi) {
        curve_fit_free(out);
        return err_set(ERR_FAILED, "out of memory for a fit of %d points", n);
    }
    for (int i = 0; i < n; i++)
        out->residual[i] = none;
    return OK;
}

enum err curve_fit_run(enum curve_form form, const struct curve_obs *obs, int n,
                       const struct curve_options *opt, struct curve_fit *out)
{
    ASSERT(n >= 0 && (int)form >= 0 && form < N_CURVE_FORMS);
    int n_boot = opt->n_boot < 0                ? 0
                 : opt->n_boot > CURVE_MAX_BOOT ? CURVE_MAX_BOOT
                                                : opt->n_boot;
    TRY(out_create(out, form, n, n_boot));
    out->t_max_form = opt->t_max_form;
    struct work w = {.shape = {.form = form, .t_max_form = opt->t_max_form}, .opt = opt};
    for (int i = 0; i < n; i++)
        out->outlier[i] = !usable(&w.shape, &obs[i]);
    enum err e = work_rows(&w, obs, n);
    if (e != OK || w.n == 0)
        goto done;
    if (opt->tried_lo > 0 && curve_shape_valid(&w.shape, opt->tried_lo))
        w.shape.lo = fmin(w.shape.lo, opt->tried_lo);
    if (opt->tried_hi > 0 && curve_shape_valid(&w.shape, opt->tried_hi))
        w.shape.hi = fmax(w.shape.hi, opt->tried_hi);
    out->n_used = w.n;
    out->n_groups = w.n_groups;
    out->t_min = w.shape.lo;
    out->t_max = w.shape.hi;
    raw_minimum(&w, NULL, out);
    if (w.n <= w.p)
        goto done;
    work_centre(&w);
    e = work_design(&w);
    if (e == OK && w.n_along > 0 && !(w.reg.condition < ROBUST_MAX_CONDITION)) {
        work_along(&w, 0);
        free(w.coef);
        robust_free(&w.reg);
        e = work_design(&w);
    }
    if (e != OK)
        goto done;
    out->condition = w.reg.condition;
    if (!(w.reg.condition < ROBUST_MAX_CONDITION))
        goto done;
    out->n_boot = n_boot;
    out->raw_min_loss = out->raw_min_t = (double)NAN;
    e = fit_make(&w, out);
    if (e == OK && out->verdict == CURVE_FAILED)
        out->n_boot = 0;
done:
    work_free(&w);
    if (e != OK)
        curve_fit_free(out);
    return e;
}

double curve_fit_value(const struct curve_fit *f, double t)
{
    struct curve_shape s = {.form = f->form, .t_max_form = f->t_max_form};
    double b[2];
    if (f->verdict == CURVE_FAILED || !curve_shape_valid(&s, t))
        return (double)NAN;
    curve_shape_basis(&s, t, b);
    return f->intercept + f->coef[0] * b[0] + f->coef[1] * b[1];
}

void curve_fit_free(struct curve_fit *f)
{
    free(f->boot_opt);
    free(f->boot_band_lo);
    free(f->boot_band_hi);
    free(f->residual);
    free(f->outlier);
    *f = (struct curve_fit){0};
}
