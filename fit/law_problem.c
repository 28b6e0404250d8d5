// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/law_problem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// The most that one step of the solver moves: a factor of e^2, half an exponent. Linear ones
// have no measure of their own.
#define REACH_LN 2.0
#define REACH_EXPONENT .5
#define DEFAULT_CORNER 1e-3 // Hoffmann 2022, in ln L

enum err law_problem_create(struct law_problem *p, const struct law *l, int64_t n,
                            const struct law_options *o)
{
    *p = (struct law_problem){.law = l, .capacity = n, .objective = o->objective};
    p->corner = o->corner > 0 ? o->corner : DEFAULT_CORNER;
    size_t rows = (size_t)n;
    p->t = malloc(rows * (size_t)l->n_vars * sizeof(double));
    p->y = malloc(rows * sizeof(double));
    p->target = malloc(rows * sizeof(double));
    p->weight = malloc(rows * sizeof(double));
    p->basis = malloc(rows * ((size_t)l->n_params + 1) * sizeof(double)); // and the target
    if (!p->t || !p->y || !p->target || !p->weight || !p->basis) {
        law_problem_free(p);
        return err_set(ERR_FAILED, "out of memory for a law of %lld rows", (long long)n);
    }
    for (int j = 0; j < l->n_params; j++) {
        bool ln = l->tune[j].ln;
        p->lo[j] = ln ? log(l->param[j].lo) : l->param[j].lo;
        p->hi[j] = ln ? log(l->param[j].hi) : l->param[j].hi;
        p->reach[j] = ln ? REACH_LN : l->param[j].linear ? (double)INFINITY : REACH_EXPONENT;
    }
    return OK;
}

void law_problem_free(struct law_problem *p)
{
    free(p->t);
    free(p->y);
    free(p->target);
    free(p->weight);
    free(p->basis);
    *p = (struct law_problem){0};
}

void law_problem_add(struct law_problem *p, const double *t, double y, double weight)
{
    int64_t i = p->n++;
    memcpy(p->t + i * p->law->n_vars, t, (size_t)p->law->n_vars * sizeof *t);
    p->y[i] = y;
    p->target[i] = p->objective == LAW_SQUARES ? y : log(y);
    p->weight[i] = weight;
}

void law_problem_fix(struct law_problem *p, int param, double value)
{
    p->lo[param] = p->hi[param] = p->law->tune[param].ln ? log(value) : value;
}

void law_to_theta(const struct law *l, const double *params, double *theta)
{
    for (int j = 0; j < l->n_params; j++)
        theta[j] = l->tune[j].ln ? log(params[j]) : params[j];
}

void law_from_theta(const struct law *l, const double *theta, double *params)
{
    for (int j = 0; j < l->n_params; j++)
        params[j] = l->tune[j].ln ? exp(theta[j]) : theta[j];
}

static bool eval(const void *context, const double *theta, double *value, double *jacobian)
{
    const struct law_problem *pr = context;
    const struct law *l = pr->law;
    int p = l->n_params;
    bool ln = pr->objective != LAW_SQUARES;
    double params[LAW_MAX_PARAMS], factor[LAW_MAX_PARAMS], g[LAW_MAX_PARAMS];
    law_from_theta(l, theta, params);
    for (int j = 0; j < p; j++)
        factor[j] = l->tune[j].ln ? params[j] : 1;
    for (int64_t i = 0; i < pr->n; i++) {
        double f = l->form(l, params, pr->t + i * l->n_vars, jacobian ? g : NULL);
        if (!isfinite(f) || (ln && !(f > 0)))
            return false;
        value[i] = ln ? log(f) : f;
        double scale = ln ? 1 / f : 1;
        for (int j = 0; jacobian && j < p; j++)
            jacobian[i * p + j] = g[j] * factor[j] * scale;
    }
    return true;
}

struct polish_problem law_problem_polish(const struct law_problem *p)
{
    double size = 0;
    for (int64_t i = 0; i < p->n; i++)
        size += p->weight[i] * (p->objective == LAW_SQUARES ? p->y[i] * p->y[i] : 1);
    return (struct polish_problem){.n = p->n,
                                   .p = p->law->n_params,
                                   .eval = eval,
                                   .context = p,
                                   .target = p->target,
                                   .weight = p->weight,
                                   .objective = p->objective,
                                   .corner = p->corner,
                                   .lo = p->lo,
                                   .hi = p->hi,
                                   .reach = p->reach,
                                   .size = size};
}
