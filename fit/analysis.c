// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/analysis.h"
#include "fit/fit.h"
#include "fit/law_form.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GRID = 48 };

enum err analysis_estimate(const struct law_fit *f, analysis_fn *fn, const void *context,
                           int n_out, struct estimate *out)
{
    const int p = law_params(f->law, NULL), n = f->n_boot;
    double v[ANALYSIS_MAX_OUT];
    ASSERT(n_out <= ANALYSIS_MAX_OUT);
    double *all = malloc(((size_t)n * (size_t)n_out + 1) * sizeof *all);
    ENSURE(all, ERR_FAILED, "out of memory for %d resamples", n);
    fn(f->law, f->value, context, v);
    int sound = 0; // resamples whose fit ended
    for (int b = 0; b < n; b++) {
        double one[ANALYSIS_MAX_OUT];
        sound += isfinite(f->boot[(int64_t)b * p]);
        fn(f->law, f->boot + (int64_t)b * p, context, one);
        for (int k = 0; k < n_out; k++)
            all[k * n + b] = one[k];
    }
    for (int k = 0; k < n_out; k++) {
        int exist = 0;
        for (int b = 0; b < n; b++)
            exist += isfinite(all[k * n + b]);
        out[k] = (struct estimate){.value = v[k],
                                   .share = sound ? (double)exist / sound : (double)NAN};
        fit_interval(all + k * n, n, &out[k].lo, &out[k].hi);
    }
    free(all);
    return OK;
}

// ---- one dimension

static double or_infinite(double v)
{
    return isnan(v) ? INFINITY : v;
}

// A minimum is flat: half the digits of u are there to be found.
static double golden(double (*f)(double, void *), void *context, double a, double b)
{
    const double g = (sqrt(5) - 1) / 2, least = 1e-9 * (b - a + fabs(a) + fabs(b));
    double c = b - g * (b - a), d = a + g * (b - a);
    double fc = or_infinite(f(c, context)), fd = or_infinite(f(d, context));
    while (b - a > least) {
        if (fc < fd) {
            b = d;
            d = c;
            fd = fc;
            c = b - g * (b - a);
            fc = or_infinite(f(c, context));
        } else {
            a = c;
            c = d;
            fc = fd;
            d = a + g * (b - a);
            fd = or_infinite(f(d, context));
        }
    }
    return (a + b) / 2;
}

double analysis_minimum(double (*f)(double, void *), void *context, double lo, double hi)
{
    int at = -1;
    double least = INFINITY;
    for (int i = 0; i <= GRID; i++) {
        const double v = f(lo + (hi - lo) * i / GRID, context);
        if (v < least) {
            least = v;
            at = i;
        }
    }
    if (at < 0)
        return (double)NAN;
    const double step = (hi - lo) / GRID, mid = lo + at * step;
    return golden(f, context, fmax(lo, mid - step), fmin(hi, mid + step));
}

double analysis_root(double (*f)(double, void *), void *context, double from, double to)
{
    double a = from, fa = f(from, context);
    for (int i = 1; i <= GRID; i++) {
        double b = from + (to - from) * i / GRID;
        const double fb = f(b, context);
        if (fa * fb <= 0) {
            while (fabs(b - a) > 1e-12 * (fabs(a) + fabs(b))) {
                const double m = (a + b) / 2;
                if (m == a || m == b)
                    break;
                *(fa * f(m, context) <= 0 ? &b : &a) = m;
            }
            return (a + b) / 2;
        }
        a = b;
        fa = fb;
    }
    return (double)NAN;
}

double analysis_beyond(double v, double lo, double hi)
{
    const double slack = 1 + 1e-9;
    return v > hi * slack ? v / hi : v < lo / slack && lo > 0 ? lo / v : 1;
}

// ---- along a variable

struct walk { // u: the variable, or its logarithm where the range is positive
    const struct law *l;
    const double *params;
    const struct along *a;
    double x[LAW_MAX_VARS], goal;
    bool ln;
};

static double walk_x(const struct walk *w, double u)
{
    return w->ln ? exp(u) : u;
}

static double walk_u(const struct walk *w, double x)
{
    return w->ln ? log(x) : x;
}

static double value_at(double u, void *context)
{
    struct walk *w = context;
    w->x[w->a->k] = walk_x(w, u);
    const double v = law_value(w->l, w->params, w->x, NULL);
    return w->a->most ? -v : v;
}

static double above_goal(double u, void *context)
{
    return value_at(u, context) - ((struct walk *)context)->goal;
}

static struct walk walk(const struct law *l, const double *params, const struct along *a)
{
    struct walk w = {.l = l, .params = params, .a = a, .ln = a->lo > 0};
    memcpy(w.x, a->x, (size_t)l->n_vars * sizeof *w.x);
    return w;
}

void along_optimum(const struct law *l, const double *params, const void *context, double *out)
{
    const struct along *a = context;
    struct walk w = walk(l, params, a);
    const double lo = walk_u(&w, a->lo), hi = walk_u(&w, a->hi), span = hi - lo;
    const double u = analysis_minimum(value_at, &w, lo, hi);
    out[0] = out[1] = out[2] = (double)NAN;
    if (!(u - lo > 1e-6 * span && hi - u > 1e-6 * span)) // an end is no optimum
        return;
    const double best = value_at(u, &w);
    w.goal = best + a->tolerance * fabs(best);
    // From the optimum outwards: the first crossing.
    double left = analysis_root(above_goal, &w, u, lo);
    double right = analysis_root(above_goal, &w, u, hi);
    out[0] = walk_x(&w, u);
    out[1] = isnan(left) ? a->lo : walk_x(&w, left);
    out[2] = isnan(right) ? a->hi : walk_x(&w, right);
}

void along_effect(const struct law *l, const double *params, const void *context, double *out)
{
    const struct along *a = context;
    struct along plain = *a;
    plain.most = false;
    struct walk w = walk(l, params, &plain);
    const double h = 1e-4, x = a->x[a->k]; // error h^2, rounding 1e-12
    w.ln = false;
    out[0] = log(value_at(x * (1 + h), &w) / value_at(x * (1 - h), &w)) / (2 * h);
    out[1] = 100 * (value_at(a->hi, &w) / value_at(a->lo, &w) - 1);
}

static int place(const struct law *l, const char *name)
{
    return law_var_find(l, name);
}

void along_range(const struct law *l, const double *x, int k, double lo, double hi,
                 struct along *out)
{
    const struct law_var *v = &l->var[k];
    const double reach = 10, edge = 1e-6;
    *out = (struct along){.x = x, .k = k, .lo = lo > 0 ? lo / reach : lo, .hi = hi * reach};
    if (v->use == USE_LN_1M)
        out->hi = 1 - (1 - hi) / reach;
    else if (isfinite(v->below))
        out->hi = fmin(out->hi, v->below > 1 ? 1 : v->below); // shares
    if (v->least > 0 && out->lo < v->least)
        out->lo = v->least > 1e-9 ? v->least + edge * (lo - v->least) : lo / reach;
    const int N = place(l, "N"), y_max = place(l, "y_max");
    if (strcmp(l->var_name[k], "N_a") == 0 && N >= 0)
        out->hi = fmin(out->hi, x[N]);
    if (strcmp(l->var_name[k], "y") == 0 && y_max >= 0)
        out->hi = x[y_max] - edge * (x[y_max] - 1);
}
