// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/allocate.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VARS = 4 }; // N D z r

// Tokens and size for that r: a N^-alpha + c (1-z)^gamma N^-lambda + b D^-beta with N = N_a
// grow and D = C/(6 N_a). The derivative in u = ln N_a vanishes where ln(alpha a' e^(-alpha u)
// + lambda c' e^(-lambda u)) = ln(beta b') + beta u: a falling, nearly straight left side, so
// that Newton's iteration is there in a few steps.
static bool split(const double *p, double C, double z, double r, double *x)
{
    const double share = r / (1 + r), grow = 1 + share * z / (1 - z);
    const double alpha = p[1], beta = p[3], lambda = p[6];
    const double a = alpha * p[0] * pow(grow, -alpha);
    const double c = lambda * p[4] * pow(1 - z, p[5]) * pow(grow, -lambda);
    const double b = log(beta * p[2]) + beta * log(6 / C);
    double u = log(C / 6) / 2;
    for (int i = 0; i < 50; i++) {
        const double s = a * exp(-alpha * u), t = c * exp(-lambda * u);
        const double slope = -(alpha * s + lambda * t) / (s + t) - beta;
        const double step = (log(s + t) - b - beta * u) / slope;
        u -= step;
        if (!(fabs(step) > 1e-13 * fabs(u)))
            break;
    }
    x[0] = exp(u) * grow;
    x[1] = C / 6 * exp(-u);
    x[2] = z;
    x[3] = r;
    return isfinite(u) && u > 0 && x[1] > 1;
}

struct ratio {
    const struct law *l;
    const double *params;
    const struct allocate *a;
};

static double ratio_loss(double ln_r, void *context)
{
    const struct ratio *q = context;
    double x[VARS];
    if (!split(q->params, q->a->C, q->a->z, exp(ln_r), x))
        return (double)NAN;
    return law_value(q->l, q->params, x, NULL);
}

void allocate_best(const struct law *l, const double *params, const void *context, double *out)
{
    const struct allocate *a = context;
    struct ratio q = {l, params, a};
    double x[VARS];
    const double lo = log(a->r_lo), hi = log(a->r_hi), edge = 1e-6 * (hi - lo);
    const double u = analysis_minimum(ratio_loss, &q, lo, hi);
    out[0] = out[1] = out[2] = (double)NAN;
    if (!(u > lo + edge && u < hi - edge) || !split(params, a->C, a->z, exp(u), x))
        return;
    out[0] = exp(u);
    out[1] = a->C / 6 / x[1];
    out[2] = law_value(l, params, x, NULL);
}

void allocate_trend(const struct law *l, const double *params, const void *context, double *out)
{
    const struct allocate_line *a = context;
    double mx = 0, my = 0, sxx = 0, sxy = 0, ln_r[8];
    for (int i = 0; i < a->n; i++) {
        const struct allocate at = {a->C[i], a->z, a->r_lo, a->r_hi};
        double best[3];
        allocate_best(l, params, &at, best);
        ln_r[i] = log(best[0]);
        mx += log(a->C[i]) / a->n;
        my += ln_r[i] / a->n;
    }
    for (int i = 0; i < a->n; i++) {
        const double off = log(a->C[i]) - mx;
        sxx += off * off;
        sxy += off * (ln_r[i] - my);
    }
    out[1] = sxy / sxx;
    out[0] = exp(my - out[1] * mx);
}

// ---- from runs alone

struct run {
    int scale, line;
    double C, z, r, D, loss;
};

static int by_place(const void *va, const void *vb)
{
    const struct run *a = va, *b = vb;
    if (a->scale != b->scale)
        return a->scale - b->scale;
    if (a->line != b->line)
        return a->line - b->line;
    return (a->D > b->D) - (a->D < b->D);
}

static int by_density(const void *va, const void *vb)
{
    const struct run *a = va, *b = vb;
    return (a->z > b->z) - (a->z < b->z);
}

// Sparsities whose 1 - z lie within 10 % of the next are one.
static int number_lines(struct run *run, int n)
{
    int lines = 0;
    qsort(run, (size_t)n, sizeof *run, by_density);
    for (int i = 0; i < n; i++) {
        lines += i == 0 || 1 - run[i].z < (1 - run[i - 1].z) / 1.1;
        run[i].line = lines - 1;
    }
    return lines;
}

// Runs whose D, sorted, lie within 10 % of the next share an intercept.
static enum err fit_group(const struct run *run, int n, uint64_t seed, struct ratios *out)
{
    struct curve_obs *obs = malloc((size_t)n * sizeof *obs);
    ENSURE(obs, ERR_FAILED, "out of memory");
    double ln_C = 0, density = 0;
    int levels = 0, group = 0;
    for (int i = 0; i < n; i++) {
        bool fresh = true;
        for (int k = 0; k < i; k++)
            fresh = fresh && fabs(run[k].r / run[i].r - 1) > 1e-3;
        levels += fresh;
        group += i > 0 && run[i].D > 1.1 * run[i - 1].D;
        obs[i] = (struct curve_obs){.t = run[i].r, .loss = run[i].loss, .group = group};
        ln_C += log(run[i].C) / n;
        density += log(1 - run[i].z) / n;
    }
    enum err e = OK;
    if (levels >= 3) {
        struct ratio_point *p = &out->point[out->n];
        const struct curve_options o = {.band = .001, .n_boot = 400, .seed = seed};
        e = curve_fit_run(CURVE_logquad, obs, n, &o, &p->fit);
        p->C = exp(ln_C);
        p->z = -expm1(density);
        p->line = run[0].line;
        out->n += e == OK;
    }
    free(obs);
    return e;
}

static enum err lines(struct ratios *out, int n_lines, uint64_t seed)
{
    for (int k = 0; k < n_lines; k++) {
        struct power_point at[RATIO_MAX];
        struct ratio_line *line = &out->line[out->n_lines];
        double z = 0;
        int n = 0, all = 0;
        for (int i = 0; i < out->n; i++) {
            const struct ratio_point *p = &out->point[i];
            if (p->line != k)
                continue;
            z += p->z;
            all++;
            if (p->fit.verdict == CURVE_INTERIOR)
                at[n++] =
                    (struct power_point){p->C, p->fit.opt, p->fit.boot_opt, p->fit.n_boot};
        }
        if (!all)
            continue;
        line->z = z / all;
        line->n = n;
        TRY(power_fit_run(at, n, seed, &line->power));
        out->n_lines++;
    }
    return OK;
}

// alpha_r and beta_r as functions of sparsity.
static enum err fit_star(struct ratios *out, uint64_t seed)
{
    double x[2 * RATIO_MAX], y[RATIO_MAX];
    int n = 0, from = -1;
    bool several = false;
    for (int i = 0; i < out->n; i++) {
        const struct ratio_point *p = &out->point[i];
        if (p->fit.verdict != CURVE_INTERIOR)
            continue;
        several = several || (from >= 0 && p->line != from);
        from = p->line;
        x[2 * n] = p->C;
        x[2 * n + 1] = p->z;
        y[n++] = p->fit.opt;
    }
    if (n < RATIO_STAR || !several)
        return OK;
    const struct law_data d = {.n = n, .x = x, .y = y};
    const struct law_options o = {.objective = LAW_SQUARES_LOG,
                                  .n_boot = 400,
                                  .boot = LAW_BOOT_RESIDUALS,
                                  .seed = seed,
                                  .threads = 1};
    return law_fit_run(law_find("r_star", 0), &d, &o, &out->star);
}

static enum err ratios_of(struct run *run, int n, uint64_t seed, struct ratios *out)
{
    const int n_lines = number_lines(run, n);
    ENSURE(n_lines <= RATIO_MAX, ERR_INPUT, "more than %d sparsities", RATIO_MAX);
    qsort(run, (size_t)n, sizeof *run, by_place);
    for (int i = 0, from = 0; i < n; i++) {
        if (i + 1 < n && run[i + 1].scale == run[from].scale &&
            run[i + 1].line == run[from].line)
            continue;
        ENSURE(out->n < RATIO_MAX, ERR_INPUT, "more than %d pairs of compute and sparsity",
               RATIO_MAX);
        TRY(fit_group(run + from, i + 1 - from, seed, out));
        from = i + 1;
    }
    TRY(lines(out, n_lines, seed));
    return fit_star(out, seed);
}

enum err ratios_run(const struct dataset *d, uint64_t seed, struct ratios *out)
{
    *out = (struct ratios){0};
    const int z = dataset_find(d, "z"), r = dataset_find(d, "r"), D = dataset_find(d, "D");
    ENSURE(d->C && z >= 0 && r >= 0 && D >= 0, ERR_INPUT,
           "raw minima of r need C (--map 'C=..'), z, r and D");
    int *scale = malloc((size_t)d->n * sizeof *scale);
    struct run *run = malloc((size_t)d->n * sizeof *run);
    enum err e = scale && run ? OK : err_set(ERR_FAILED, "out of memory");
    if (e == OK && dataset_scales(d, scale) == 0)
        e = err_set(ERR_INPUT, "raw minima of r need runs at scales of C");
    for (int64_t i = 0; i < d->n && e == OK; i++)
        run[i] =
            (struct run){scale[i], 0, d->C[i], d->x[z][i], d->x[r][i], d->x[D][i], d->y[i]};
    if (e == OK)
        e = ratios_of(run, (int)d->n, seed, out);
    free(scale);
    free(run);
    if (e != OK)
        ratios_free(out);
    return e;
}

void ratios_free(struct ratios *r)
{
    for (int i = 0; i < r->n; i++)
        curve_fit_free(&r->point[i].fit);
    for (int i = 0; i < r->n_lines; i++)
        power_fit_free(&r->line[i].power);
    law_fit_free(&r->star);
    *r = (struct ratios){0};
}
