// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/fit_plot.h"
#include "core/json.h"
#include "orchestrator/plot_stack.h"
#include "orchestrator/report/style.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = STACK_WIDTH,
    HIGH = 420,
    LOW = 230,
    CURVE = 96,
    MAX_GROUPS = 30,
    MAX_POINTS = 5000
};

struct picture {
    const struct law_fit *f;
    const struct dataset *d;
    const double *x;
    const json_t *profiles;
    const char *const *names;
    int v;      // variables
    int *group; // of each row: a scale, or a value of the first variable
    int n_groups;
    bool scales;
    int64_t stride; // a picture of more rows than MAX_POINTS shows every so many
    struct stack stack;
};

static bool wide(double lo, double hi)
{
    return lo > 0 && hi / lo > 6;
}

static void span(const struct picture *p, int k, double *lo, double *hi)
{
    *lo = INFINITY;
    *hi = -INFINITY;
    for (int64_t i = 0; i < p->d->n; i++)
        plot_hold(lo, hi, p->x[i * p->v + k]);
}

// ---- groups

static int by_first(const void *a, const void *b, void *of)
{
    const struct picture *p = of;
    const double x = p->x[*(const int64_t *)a * p->v], y = p->x[*(const int64_t *)b * p->v];
    return x < y ? -1 : x > y;
}

// Rows of one value of the first variable; none where there are too many values.
static void group_by_value(struct picture *p)
{
    int64_t *order = malloc((size_t)p->d->n * sizeof *order);
    p->n_groups = 0;
    if (!order)
        return;
    for (int64_t i = 0; i < p->d->n; i++)
        order[i] = i;
    qsort_r(order, (size_t)p->d->n, sizeof *order, by_first, p);
    for (int64_t i = 0; i < p->d->n; i++) {
        p->n_groups += i == 0 || by_first(&order[i - 1], &order[i], p) != 0;
        p->group[order[i]] = p->n_groups - 1;
    }
    free(order);
    if (p->n_groups > MAX_GROUPS || p->v != 2) {
        memset(p->group, 0, (size_t)p->d->n * sizeof *p->group);
        p->n_groups = 1;
    }
}

static void make_groups(struct picture *p)
{
    p->n_groups = dataset_scales(p->d, p->group);
    p->scales = p->n_groups > 1 && p->n_groups <= MAX_GROUPS;
    if (!p->scales)
        group_by_value(p);
}

// ---- parts of a chart

static void points(struct picture *p, struct plot *c,
                   double (*at)(const struct picture *, int64_t, int), int k,
                   double (*height)(const struct picture *, int64_t))
{
    for (int g = 0; g < p->n_groups; g++) {
        const int data = plot_data(c);
        int n = 0;
        for (int64_t i = 0; i < p->d->n; i += p->stride)
            if (p->group[i] == g) {
                fprintf(c->set, "%.9g %.9g\n", at(p, i, k), height(p, i));
                n++;
            }
        plot_data_end(c);
        if (n)
            plot_draw(c,
                      "$d%d using 1:2 with points pointtype 7 pointsize .4 linecolor rgb '%s'",
                      data, colour_scale(g, p->n_groups).s);
    }
}

static double variable(const struct picture *p, int64_t i, int k)
{
    return p->x[i * p->v + k];
}

static double fitted(const struct picture *p, int64_t i, int k)
{
    (void)k;
    return law_value(p->f->law, p->f->value, p->x + i * p->v, NULL);
}

static double observed(const struct picture *p, int64_t i)
{
    return p->d->y[i];
}

static double residual(const struct picture *p, int64_t i)
{
    return p->f->options.objective == LAW_SQUARES ? p->f->residual[i]
                                                  : 100 * expm1(p->f->residual[i]);
}

static void y_span(const struct picture *p, double (*height)(const struct picture *, int64_t),
                   double *lo, double *hi)
{
    *lo = INFINITY;
    *hi = -INFINITY;
    for (int64_t i = 0; i < p->d->n; i++)
        plot_hold(lo, hi, height(p, i));
}

// Curve of the law along variable k from lo to hi; other(x) sets the other variables.
static void curve(struct picture *p, struct plot *c, int k, double lo, double hi, double *x,
                  double product, int g)
{
    const int data = plot_data(c);
    for (int i = 0; i < CURVE; i++) {
        const double t = i / (CURVE - 1.);
        x[k] = lo > 0 ? lo * pow(hi / lo, t) : lo + t * (hi - lo);
        if (product > 0)
            x[1 - k] = product / x[k]; // along a budget
        const double y = law_value(p->f->law, p->f->value, x, NULL);
        if (isfinite(y))
            fprintf(c->set, "%.9g %.9g\n", x[k], y);
    }
    plot_data_end(c);
    plot_draw(c, "$d%d using 1:2 with lines linewidth 1.4 linecolor rgb '%s'", data,
              colour_scale(g, p->n_groups).s);
}

static void curves(struct picture *p, struct plot *c, int k)
{
    for (int g = 0; g < p->n_groups; g++) {
        double lo = INFINITY, hi = -INFINITY, x[LAW_MAX_VARS] = {0}, ln = 0;
        int64_t n = 0;
        for (int64_t i = 0; i < p->d->n; i++) {
            if (p->group[i] != g)
                continue;
            plot_hold(&lo, &hi, variable(p, i, k));
            if (p->v == 2) {
                x[1 - k] = variable(p, i, 1 - k);
                ln += log(variable(p, i, 0)) + log(variable(p, i, 1));
            }
            n++;
        }
        if (n && lo < hi)
            curve(p, c, k, lo, hi, x, p->scales && p->v == 2 ? exp(ln / (double)n) : 0, g);
    }
}

// ---- the charts

// Along a variable: data, and the law at each scale (or each value of the other variable).
static enum err chart_along(struct picture *p, int k)
{
    struct plot c;
    double lo, hi, l_lo, l_hi;
    char alt[160], label[64];
    TRY(plot_open(&c, WIDTH, HIGH));
    span(p, k, &lo, &hi);
    y_span(p, observed, &l_lo, &l_hi);
    for (int64_t i = 0; i < p->d->n; i++)
        plot_hold(&l_lo, &l_hi, fitted(p, i, 0));
    const bool log = wide(lo, hi);
    plot_margin(&lo, &hi, .05, log);
    plot_margin(&l_lo, &l_hi, .06, false);
    snprintf(label, sizeof label, "%s", p->names[k]);
    if (p->scales)
        snprintf(label, sizeof label, "%s, at %d budgets (dark: small)", p->names[k],
                 p->n_groups);
    else if (p->v == 2 && p->n_groups > 1)
        snprintf(label, sizeof label, "%s, at %d values of %s (dark: small)", p->names[k],
                 p->n_groups, p->names[0]);
    plot_axis(&c, 'x', label, lo, hi, log);
    plot_axis(&c, 'y', p->d->y_name, l_lo, l_hi, false);
    curves(p, &c, k);
    points(p, &c, variable, k, observed);
    snprintf(alt, sizeof alt, "%s against %s: runs and the fitted law", p->d->y_name, label);
    return stack_chart(&p->stack, &c, HIGH, alt);
}

// Observed against fitted: for laws of several variables.
static enum err chart_fitted(struct picture *p)
{
    struct plot c;
    double lo, hi;
    TRY(plot_open(&c, WIDTH, HIGH));
    y_span(p, observed, &lo, &hi);
    for (int64_t i = 0; i < p->d->n; i++)
        plot_hold(&lo, &hi, fitted(p, i, 0));
    const bool log = wide(lo, hi);
    plot_margin(&lo, &hi, .05, log);
    plot_axis(&c, 'x', "the law", lo, hi, log);
    plot_axis(&c, 'y', p->d->y_name, lo, hi, log);
    const int data = plot_data(&c);
    fprintf(c.set, "%.9g %.9g\n%.9g %.9g\n", lo, lo, hi, hi);
    plot_data_end(&c);
    plot_draw(&c, "$d%d using 1:2 with lines linewidth 1 linecolor rgb '" COLOUR_DIM "'", data);
    points(p, &c, fitted, 0, observed);
    return stack_chart(&p->stack, &c, HIGH, "runs against what the law gives for them");
}

static enum err chart_residuals(struct picture *p, int k)
{
    struct plot c;
    double lo, hi, r_lo, r_hi;
    char alt[96];
    const bool percent = p->f->options.objective != LAW_SQUARES;
    TRY(plot_open(&c, WIDTH, LOW));
    span(p, k, &lo, &hi);
    y_span(p, residual, &r_lo, &r_hi);
    plot_hold(&r_lo, &r_hi, 0);
    const bool log = wide(lo, hi);
    plot_margin(&lo, &hi, .05, log);
    plot_margin(&r_lo, &r_hi, .1, false);
    plot_axis(&c, 'x', p->names[k], lo, hi, log);
    plot_axis(&c, 'y', percent ? "residual, %" : "residual", r_lo, r_hi, false);
    const int data = plot_data(&c);
    fprintf(c.set, "%.9g 0\n%.9g 0\n", lo, hi);
    plot_data_end(&c);
    plot_draw(&c, "$d%d using 1:2 with lines linewidth 1 linecolor rgb '" COLOUR_DIM "'", data);
    points(p, &c, variable, k, residual);
    snprintf(alt, sizeof alt, "residuals against %s", p->names[k]);
    return stack_chart(&p->stack, &c, LOW, alt);
}

// The rise of the objective over a parameter's values, in units of the 95 % interval's.
static enum err chart_profile(struct picture *p, const char *name, const json_t *profile)
{
    struct plot c;
    double lo = INFINITY, hi = -INFINITY;
    char alt[96];
    size_t i;
    json_t *point;
    TRY(plot_open(&c, WIDTH, LOW));
    const json_t *all = json_object_get(profile, "curve");
    json_array_foreach(all, i, point) plot_hold(&lo, &hi, jnum_at(point, 0));
    plot_margin(&lo, &hi, .02, false);
    plot_axis(&c, 'x', name, lo, hi, false);
    plot_axis(&c, 'y', "rise of the objective (1: 95 %)", 0, 1.6, false);
    const int data = plot_data(&c), level = data + 1;
    json_array_foreach(all, i, point)
    {
        if (isfinite(jnum_at(point, 1)))
            fprintf(c.set, "%.9g %.9g\n", jnum_at(point, 0), jnum_at(point, 1));
    }
    plot_data_end(&c);
    plot_data(&c);
    fprintf(c.set, "%.9g 1\n%.9g 1\n", lo, hi);
    plot_data_end(&c);
    plot_draw(&c, "$d%d using 1:2 with lines linewidth 1 linecolor rgb '" COLOUR_DIM "'",
              level);
    plot_draw(&c, "$d%d using 1:2 with lines linewidth 1.4 linecolor rgb '%s'", data,
              colour_scale(0, 1).s);
    snprintf(alt, sizeof alt, "profile of the objective over %s", name);
    return stack_chart(&p->stack, &c, LOW, alt);
}

static enum err charts(struct picture *p)
{
    make_groups(p);
    const bool along = p->v == 1 || (p->v == 2 && p->n_groups > 1);
    // At a budget the size varies, at a size the tokens.
    TRY(along ? chart_along(p, p->v == 1 || p->scales ? 0 : 1) : chart_fitted(p));
    for (int k = 0; k < p->v; k++)
        TRY(chart_residuals(p, k));
    const char *name;
    json_t *one;
    json_object_foreach((json_t *)(uintptr_t)p->profiles, name, one)
        TRY(chart_profile(p, name, one));
    return OK;
}

enum err fit_plot(const char *path, const struct law_fit *f, const struct dataset *d,
                  const double *x, const json_t *profiles, const char **why)
{
    struct picture p = {.f = f, .d = d, .x = x, .profiles = profiles};
    TRY(stack_open(&p.stack, why));
    if (*why)
        return OK;
    p.stride = d->n / MAX_POINTS + 1;
    p.v = law_vars(f->law, &p.names);
    p.group = calloc((size_t)d->n, sizeof *p.group);
    enum err e = p.group ? charts(&p) : err_set(ERR_FAILED, "out of memory");
    free(p.group);
    return stack_close(&p.stack, e, path, why);
}
