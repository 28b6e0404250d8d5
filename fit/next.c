// SPDX-License-Identifier: GPL-3.0-or-later
// Which runs would tell most: a new run with gradient j and noise s lowers the variance
// v = s^2 g' inv g of a prediction with gradient g by s^2 (g' inv j)^2 / (1 + j' inv j)
// (Sherman and Morrison).
#include "fit/information.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { P = LAW_MAX_PARAMS, GRID = 9, FEW = 4, MAX_CANDIDATES = 20000, SEEDS = 5 };
static const double BEYOND = 3; // the range's factor

struct candidate {
    double x[LAW_MAX_VARS], j[P], C;
    double alone; // what one such run, and no other, leaves of the interval's width
    int count;
};

struct axis {
    double at[GRID];
    int n;
};

static bool is_any(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(name, *list) == 0)
            return true;
    return false;
}

// Sizes, tokens and compute reach beyond what was run; other variables stay inside.
static struct axis axis_of(const struct dataset *d, const char *name)
{
    static const char *const costs[] = {"N", "N_a", "D", "C", NULL};
    const double *v = d->x[dataset_find(d, name)];
    double lo = INFINITY, hi = 0;
    for (int64_t i = 0; i < d->n; i++) {
        lo = fmin(lo, v[i]);
        hi = fmax(hi, v[i]);
    }
    const bool wide = is_any(name, costs);
    hi *= wide ? BEYOND : 1;
    struct axis a = {.n = wide ? GRID : lo < hi ? FEW : 1};
    for (int i = 0; i < a.n; i++) {
        const double t = a.n > 1 ? i / (a.n - 1.) : 0;
        a.at[i] = lo > 0 ? lo * pow(hi / lo, t) : lo + t * (hi - lo);
    }
    a.at[a.n - 1] = a.n > 1 ? hi : lo;
    return a;
}

static double cost_of(const struct law *l, const double *x)
{
    const int C = law_var_find(l, "C"), D = law_var_find(l, "D"), a = law_var_find(l, "N_a"),
              N = law_var_find(l, "N");
    return C >= 0             ? x[C]
           : D >= 0 && a >= 0 ? 6 * x[a] * x[D]
           : D >= 0 && N >= 0 ? 6 * x[N] * x[D]
                              : (double)NAN;
}

static enum err make_candidates(const struct law_fit *f, const struct dataset *d,
                                const struct information *info, struct candidate **out, int *n)
{
    const char *const *names;
    const int v = law_vars(f->law, &names);
    struct axis axis[LAW_MAX_VARS];
    int64_t total = 1;
    for (int k = 0; k < v; k++) {
        axis[k] = axis_of(d, names[k]);
        total = total > MAX_CANDIDATES ? total : total * axis[k].n;
    }
    ENSURE(total <= MAX_CANDIDATES, ERR_INPUT, "--next: expected a law of fewer variables");
    *out = calloc((size_t)total, sizeof **out);
    ENSURE(*out, ERR_FAILED, "out of memory");
    *n = 0;
    for (int64_t i = 0; i < total; i++) {
        struct candidate *c = &(*out)[*n];
        int64_t rest = i;
        for (int k = 0; k < v; k++) {
            c->x[k] = axis[k].at[rest % axis[k].n];
            rest /= axis[k].n;
        }
        c->C = cost_of(f->law, c->x);
        *n += information_gradient(f, c->x, c->j) && information_sees(info, c->j);
    }
    return OK;
}

static double gain_of(const struct information *info, const double *g, const double *j)
{
    const double gj = information_form(info, g, j);
    return gj * gj / (1 + information_form(info, j, j));
}

static void take(struct next_plan *plan, struct candidate *c, double left)
{
    plan->C += c->C;
    plan->left = left;
    if (c->count++ == 0) {
        struct next_run *r = &plan->run[plan->n++];
        *r = (struct next_run){.C = c->C, .alone = c->alone};
        memcpy(r->x, c->x, sizeof r->x);
    }
    for (int i = 0; i < plan->n; i++)
        if (memcmp(plan->run[i].x, c->x, sizeof c->x) == 0)
            plan->run[i].count = c->count;
}

// One more run; false when none helps.
static bool step(struct information *info, const double *g, struct candidate *c, int n,
                 double budget, double before, struct next_plan *plan)
{
    const double v = information_form(info, g, g);
    double best = 0;
    int at = -1;
    for (int i = 0; i < n; i++) {
        if (c[i].count == SEEDS || (c[i].count == 0 && plan->n == NEXT_MAX) ||
            (budget > 0 && plan->C + c[i].C > budget))
            continue;
        const double gain = gain_of(info, g, c[i].j) / c[i].C;
        // Less than 1e-4 of the variance is no help at any price.
        if (gain > best && gain * c[i].C > 1e-4 * v) {
            best = gain;
            at = i;
        }
    }
    if (at < 0)
        return false;
    information_add(info, c[at].j, 1);
    if (information_invert(info) != OK)
        return false;
    take(plan, &c[at], sqrt(information_form(info, g, g) / before));
    return true;
}

enum err next_runs(const struct law_fit *f, const struct dataset *d, const double *at,
                   double budget, struct next_plan *out)
{
    const int v = law_vars(f->law, NULL), p = law_params(f->law, NULL);
    struct information info = {.p = p};
    double j[P], g[P], sum = 0;
    memset(out, 0, sizeof *out);
    ENSURE(isfinite(cost_of(f->law, at)), ERR_INPUT,
           "--next: expected a law with C, or with D and N or N_a: the cost of a run is not "
           "known for %s",
           law_name(f->law));
    ENSURE(information_gradient(f, at, g), ERR_INPUT, "--next: the law has no value there");
    double *x = dataset_x(d, f->law);
    ENSURE(x, ERR_FAILED, "out of memory");
    for (int64_t i = 0; i < d->n; i++) {
        sum += f->residual[i] * f->residual[i];
        if (information_gradient(f, x + i * v, j))
            information_add(&info, j, 1);
    }
    free(x);
    TRY(information_invert(&info));
    out->hopeless = !information_sees(&info, g);
    out->noise = sqrt(sum / (double)(d->n > p ? d->n - p : 1));
    const double before = information_form(&info, g, g);
    out->sd = out->noise * sqrt(before);
    out->left = 1;
    if (out->hopeless || !(before > 0))
        return OK;
    struct candidate *c = NULL;
    int n = 0;
    TRY(make_candidates(f, d, &info, &c, &n));
    for (int i = 0; i < n; i++)
        c[i].alone = sqrt(fmax(0, 1 - gain_of(&info, g, c[i].j) / before));
    while (out->left > .5 && step(&info, g, c, n, budget, before, out))
        continue;
    free(c);
    return OK;
}
