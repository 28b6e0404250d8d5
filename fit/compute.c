// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/compute.h"
#include "fit/isoflop.h"
#include "fit/law_form.h"
#include <math.h>
#include <string.h>

static bool is(const struct law *l, const char *name)
{
    return strcmp(law_name(l), name) == 0;
}

bool compute_vars(const struct law *l, int *size, int *tokens)
{
    const int n = law_vars(l, NULL), N = law_var_find(l, "N"), a = law_var_find(l, "N_a");
    *tokens = law_var_find(l, "D");
    *size = a >= 0 ? a : N;
    // With experts or sparsity among the variables, N alone does not say what a token costs.
    return *tokens >= 0 && (a >= 0 || (N >= 0 && n == 2));
}

struct split {
    const struct law *l;
    const double *params;
    double C, *x;
    int size, tokens;
};

static double split_loss(double ln, void *context)
{
    struct split *s = context;
    s->x[s->size] = exp(ln);
    s->x[s->tokens] = s->C / 6 / s->x[s->size];
    return law_value(s->l, s->params, s->x, NULL);
}

// In closed form; NaN where a term does not fall.
static void chinchilla_split(const double *p, double C, double *N, double *D)
{
    *N = *D = (double)NAN;
    if (p[3] > 0 && p[4] > 0)
        chinchilla_optimum(p, C, N, D, NULL);
}

void compute_optimum(const struct law *l, const double *params, double C, double *x)
{
    struct split s = {.l = l, .params = params, .C = C, .x = x};
    if (!compute_vars(l, &s.size, &s.tokens))
        return;
    if (is(l, "chinchilla")) {
        chinchilla_split(params, C, &x[s.size], &x[s.tokens]);
        return;
    }
    if (is(l, "jointmoe")) {
        double at_E[5];
        jointmoe_at(params, x[law_var_find(l, "E")], at_E);
        chinchilla_split(at_E, C, &x[s.size], &x[s.tokens]);
        return;
    }
    const int N = law_var_find(l, "N");
    double to = log(C / 6);
    if (N >= 0 && N != s.size)
        to = fmin(to, log(x[N]));
    const double ln = analysis_minimum(split_loss, &s, 0, to);
    split_loss(ln, &s);
    if (!(ln > 1e-6 * to && to - ln > 1e-6 * to))
        x[s.size] = x[s.tokens] = (double)NAN; // an end is no minimum
}

static void best_cmd(const struct law *l, const double *params, const struct budget *b,
                     double *out)
{
    out[1] = law_value(l, params, &b->C, NULL);
    out[0] = b->C / out[1];
    out[2] = (double)NAN;
    out[3] = 1 - params[1];
}

void compute_best(const struct law *l, const double *params, const void *context, double *out)
{
    const struct budget *b = context;
    const double h = .05; // wide: a size is known to half of its digits
    double x[LAW_MAX_VARS], size_at[2];
    int size, tokens;
    if (is(l, "cmd")) {
        best_cmd(l, params, b, out);
        return;
    }
    memcpy(x, b->x, (size_t)law_vars(l, NULL) * sizeof *x);
    compute_vars(l, &size, &tokens);
    for (int i = 0; i < 2; i++) {
        compute_optimum(l, params, b->C * exp((2 * i - 1) * h), x);
        size_at[i] = x[size];
    }
    compute_optimum(l, params, b->C, x);
    out[0] = x[size];
    out[1] = x[tokens];
    out[2] = law_value(l, params, x, NULL);
    out[3] = log(size_at[1] / size_at[0]) / (2 * h);
}

// ---- against dense models

bool dense_vars(const struct law *l, int *experts, bool *budget)
{
    *experts = law_var_find(l, "E");
    *budget = is(l, "jointmoe");
    return is(l, "jointmoe") || is(l, "routed") || is(l, "wang");
}

struct contest {
    const struct law *l;
    const double *params;
    const struct dense *d;
    int experts, size;
    bool budget;
    double goal; // ln loss
};

static double ln_loss(const struct contest *c, double ln_scale, double E)
{
    double x[LAW_MAX_VARS];
    memcpy(x, c->d->x, (size_t)law_vars(c->l, NULL) * sizeof *x);
    x[c->experts] = E;
    if (c->budget)
        compute_optimum(c->l, c->params, exp(ln_scale), x);
    else
        x[c->size] = exp(ln_scale);
    return log(law_value(c->l, c->params, x, NULL));
}

static double dense_excess(double ln_scale, void *context)
{
    const struct contest *c = context;
    return ln_loss(c, ln_scale, 1) - c->goal;
}

static double gain(double ln_scale, void *context)
{
    const struct contest *c = context;
    return ln_loss(c, ln_scale, 1) - ln_loss(c, ln_scale, c->d->E);
}

static struct contest contest(const struct law *l, const double *params, const void *context)
{
    struct contest c = {.l = l, .params = params, .d = context, .size = law_var_find(l, "N")};
    dense_vars(l, &c.experts, &c.budget);
    return c;
}

void dense_leverage(const struct law *l, const double *params, const void *context, double *out)
{
    struct contest c = contest(l, params, context);
    const double at = log(c.d->scale);
    c.goal = ln_loss(&c, at, c.d->E);
    out[0] = exp(analysis_root(dense_excess, &c, at - log(1e4), at + log(1e4)) - at);
}

void dense_break_even(const struct law *l, const double *params, const void *context,
                      double *out)
{
    struct contest c = contest(l, params, context);
    const double at = log(c.d->scale), far = log(1e6);
    out[0] = out[1] = (double)NAN;
    if (!(gain(at, &c) > 0))
        return;
    const double from = analysis_root(gain, &c, at, at - far);
    const double to = analysis_root(gain, &c, at, at + far);
    out[0] = isnan(from) ? 0 : exp(from);
    out[1] = isnan(to) ? INFINITY : exp(to);
}

void leverage_break_even(const struct law *l, const double *params, const void *context,
                         double *out)
{
    const double *x = context;
    const double k = log2(x[law_var_find(l, "g")]);
    out[0] = pow(10, -(params[0] + (params[2] * k + params[3]) * k) / params[1]);
}
