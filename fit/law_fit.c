// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/rng.h"
#include "fit/fit.h"
#include "fit/law_boot.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { P_MAX = LAW_MAX_PARAMS, FULL_POLISHED = 3, FULL_ITERATIONS = 300 };
// The search looks at this many rows at most, drawn once; what it finds is polished on all.
#define SEARCH_ROWS 384

static enum err check_row(const struct law *l, const struct law_data *d, int64_t i, bool ln)
{
    const double *x = d->x + i * l->n_vars;
    long long row = (long long)i + 1;
    for (int j = 0; j < l->n_vars; j++)
        ENSURE(isfinite(x[j]), ERR_INPUT, "row %lld: %s is %g, not a number that a law can use",
               row, l->var_name[j], x[j]);
    int j = law_outside(l, x);
    if (j >= 0) {
        const struct law_var *v = &l->var[j];
        ENSURE(v->use == USE_PLAIN || x[j] > 0 || v->least < x[j], ERR_INPUT,
               "row %lld: %s is %g; %s needs it above %g", row, l->var_name[j], x[j], l->name,
               v->least);
        if (isfinite(v->below))
            return err_set(ERR_INPUT, "row %lld: %s is %g; %s needs it from %g to %g", row,
                           l->var_name[j], x[j], l->name, v->least, v->below);
        return err_set(ERR_INPUT, "row %lld: %s is %g; %s needs it at least %g", row,
                       l->var_name[j], x[j], l->name, v->least);
    }
    ENSURE(isfinite(d->y[i]) && (!ln || d->y[i] > 0), ERR_INPUT,
           "row %lld: the value to fit is %g; it must be %s", row, d->y[i],
           ln ? "positive" : "finite");
    ENSURE(!d->weight || (isfinite(d->weight[i]) && d->weight[i] >= 0), ERR_INPUT,
           "row %lld: weight %g is not a number from zero up", row, d->weight[i]);
    return OK;
}

static enum err check(const struct law *l, const struct law_data *d,
                      const struct law_options *o)
{
    int64_t used = 0;
    ENSURE(o->n_boot >= 0 && o->threads >= 0 && o->corner >= 0, ERR_INPUT,
           "law %s: resamples, threads and corner must not be negative", l->name);
    for (int64_t i = 0; i < d->n; i++) {
        TRY(check_row(l, d, i, o->objective != LAW_SQUARES));
        used += !d->weight || d->weight[i] > 0;
    }
    ENSURE(used >= l->n_params, ERR_INPUT,
           "law %s has %d parameters and needs at least as many rows; there are %lld", l->name,
           l->n_params, (long long)used);
    ENSURE(o->n_boot == 0 || o->boot != LAW_BOOT_SCALES || d->scale, ERR_INPUT,
           "a bootstrap by scale needs the scale of each row");
    return OK;
}

enum err law_problem_make(const struct law *l, const struct law_data *d,
                          const struct law_options *o, struct law_problem *p)
{
    TRY(check(l, d, o));
    TRY(law_problem_create(p, l, d->n, o));
    double t[LAW_MAX_VARS];
    for (int64_t i = 0; i < d->n; i++) {
        law_transform(l, d->x + i * l->n_vars, t);
        law_problem_add(p, t, d->y[i], d->weight ? d->weight[i] : 1);
    }
    return OK;
}

static uint64_t data_hash(const struct law *l, const struct law_data *d)
{
    uint64_t n = (uint64_t)d->n * sizeof(double);
    uint64_t h = rng_hash(d->x, n * (uint64_t)l->n_vars, RNG_HASH_START);
    return rng_hash(d->y, n, h);
}

// A copy of `all` with SEARCH_ROWS of its rows; the bounds too.
static enum err sample(const struct law_problem *all, const struct law_options *o,
                       uint64_t seed, struct law_problem *out)
{
    TRY(law_problem_create(out, all->law, SEARCH_ROWS, o));
    memcpy(out->lo, all->lo, sizeof out->lo);
    memcpy(out->hi, all->hi, sizeof out->hi);
    struct rng r;
    rng_seed(&r, seed, 0);
    for (int64_t i = 0, wanted = SEARCH_ROWS; i < all->n && wanted; i++)
        if (rng_below(&r, (uint64_t)(all->n - i)) < (uint64_t)wanted) {
            law_problem_add(out, all->t + i * all->law->n_vars, all->y[i], all->weight[i]);
            wanted--;
        }
    return OK;
}

static enum err search_large(struct law_problem *p, struct polish_work *w,
                             const struct law_options *o, uint64_t seed, struct law_minima *out)
{
    struct law_problem part = {0};
    struct law_minima found;
    enum err e = sample(p, o, seed, &part);
    if (e == OK)
        e = law_search(&part, w, law_effort_cold(p->law), 0, NULL, true, &found);
    law_problem_free(&part);
    TRY(e);
    // What polishing on all rows makes of the best few.
    struct polish_problem pr = law_problem_polish(p);
    struct law_minimum best[SEARCH_MINIMA];
    int n = 0;
    for (int k = 0; k < found.n; k++) {
        struct law_minimum m = found.at[k];
        if (k >= FULL_POLISHED)
            break;
        struct polish_result r = polish_newton(w, &pr, m.theta, FULL_ITERATIONS);
        r = law_settle(p, w, m.theta, r);
        m.objective = r.objective;
        m.converged = r.converged;
        int at = n++;
        for (; at > 0 && best[at - 1].objective > m.objective; at--)
            best[at] = best[at - 1];
        best[at] = m;
    }
    out->n = n;
    memcpy(out->at, best, (size_t)n * sizeof *best);
    return OK;
}

// law_search, on a sample of the rows first where there are many.
static enum err search_all(struct law_problem *p, struct polish_work *w,
                           const struct law_options *o, uint64_t seed, struct law_minima *out)
{
    if (p->n > SEARCH_ROWS + SEARCH_ROWS / 2)
        return search_large(p, w, o, seed, out);
    return law_search(p, w, law_effort_cold(p->law), 0, NULL, true, out);
}

// The unit of theta that a parameter is measured against. A coefficient is a value at X = 1,
// many decades from the data, so three decades of it are one of an exponent's tenths; a linear
// one without a logarithm: what would alone bring the size of the data.
static double unit_of(const struct law *l, int j, double size, double norm)
{
    if (!l->param[j].linear)
        return 1;
    return l->tune[j].ln ? log(1000) : sqrt(size) / norm;
}

// A parameter is identified when moving it by its standard error (at the noise of this fit, the
// others following) changes it by less than its unit. At the end of its range it is not, unless
// that is a coefficient's zero.
static void identify(struct law_fit *f, const struct law_problem *p,
                     const struct polish_problem *pr, const struct polish_shape *shape,
                     const double *theta, double ss)
{
    int np = p->law->n_params;
    double df = f->n > np ? (double)(f->n - np) : 1;
    double noise =
        sqrt(fmax(ss / df, LAW_NOISE_LEAST * LAW_NOISE_LEAST * pr->size / (double)f->n));
    for (int j = 0; j < np; j++) {
        double se = noise * shape->inflation[j] / shape->norm[j];
        bool ended = theta[j] == p->lo[j] || theta[j] == p->hi[j];
        f->identified[j] = se < unit_of(p->law, j, pr->size, shape->norm[j]) &&
                           (p->law->param[j].linear || !ended);
    }
}

static void describe(struct law_fit *f, const struct law_problem *p, struct polish_work *w,
                     const double *theta)
{
    struct polish_problem pr = law_problem_polish(p);
    struct polish_shape shape;
    double ss = 0, ss_log = 0, mean = 0, total = 0, weight = 0;
    bool ok = polish_shape(w, &pr, theta, &shape);
    const double *value = polish_values(w);
    for (int64_t i = 0; i < p->n; i++) {
        weight += p->weight[i];
        mean += p->weight[i] * p->target[i];
    }
    for (int64_t i = 0; ok && i < p->n; i++) {
        double r = p->target[i] - value[i], off = p->target[i] - mean / weight;
        double ratio = p->objective == LAW_SQUARES ? log(p->y[i] / value[i]) : r;
        f->residual[i] = r;
        ss += p->weight[i] * r * r;
        ss_log += p->weight[i] * ratio * ratio;
        total += p->weight[i] * off * off;
    }
    if (!ok)
        return;
    f->rmse_log = sqrt(ss_log / weight);
    f->r2 = total > 0 ? 1 - ss / total : (double)NAN;
    f->condition = shape.condition;
    identify(f, p, &pr, &shape, theta, ss);
}

static enum err fit(struct law_problem *p, const struct law_data *d,
                    const struct law_options *o, struct law_fit *out)
{
    uint64_t seed = o->seed ^ data_hash(p->law, d);
    struct law_minima minima;
    struct polish_work *w = polish_alloc(p->n, p->law->n_params);
    ENSURE(w, ERR_FAILED, "out of memory for a law of %lld rows", (long long)d->n);
    enum err e = search_all(p, w, o, seed, &minima);
    if (e == OK && minima.n > 0) {
        const struct law_minimum *best = &minima.at[0];
        law_from_theta(p->law, best->theta, out->value);
        out->objective = best->objective;
        out->converged = best->converged;
        for (int k = 0; k < minima.n; k++)
            out->minima += minima.at[k].converged;
        describe(out, p, w, best->theta);
    }
    polish_free(w);
    if (e == OK && minima.n > 0 && o->n_boot > 0)
        e = law_boot_run(p, d, o, seed, &minima, out);
    return e;
}

enum err law_fit_run(const struct law *l, const struct law_data *d, const struct law_options *o,
                     struct law_fit *out)
{
    const double none = (double)NAN;
    *out = (struct law_fit){.law = l,
                            .n = d->n,
                            .objective = none,
                            .rmse_log = none,
                            .r2 = none,
                            .condition = none,
                            .options = *o};
    for (int j = 0; j < P_MAX; j++)
        out->value[j] = out->lo[j] = out->hi[j] = none;
    struct law_problem p = {0};
    TRY(law_problem_make(l, d, o, &p));
    out->residual = malloc((size_t)d->n * sizeof(double));
    for (int64_t i = 0; out->residual && i < d->n; i++)
        out->residual[i] = none;
    enum err e = out->residual ? fit(&p, d, o, out)
                               : err_set(ERR_FAILED, "out of memory for a law of %lld rows",
                                         (long long)d->n);
    law_problem_free(&p);
    if (e != OK)
        law_fit_free(out);
    return e;
}

void law_fit_free(struct law_fit *f)
{
    free(f->boot);
    free(f->residual);
    f->boot = f->residual = NULL;
    f->n_boot = 0;
}
