// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/analyze.h"
#include "core/json.h"
#include "fit/allocate.h"
#include "fit/compute.h"
#include "fit/fit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LIST = 4 };

void analyze_defaults(const struct fit_file *file, struct analyze_input *in)
{
    const int n = law_vars(file->fit.law, NULL);
    in->file = file;
    for (int k = 0; k < n; k++)
        in->x[k] =
            file->lo[k] > 0 ? sqrt(file->lo[k] * file->hi[k]) : (file->lo[k] + file->hi[k]) / 2;
    in->n_C = 0;
    const double lo = file->C_lo, hi = file->C_hi;
    for (int i = 0; i < 4 && lo > 0; i++)
        if (i == 0 || hi > lo * 1.01)
            in->C[in->n_C++] = lo * pow(hi / lo, i / 3.);
    if (lo > 0)
        in->C[in->n_C++] = 10 * hi;
    in->tolerance = .001;
}

static json_t *estimate_json(struct estimate e)
{
    json_t *v = json_interval(e.value, e.lo, e.hi);
    if (e.share < 1)
        json_object_set_new(v, "share", json_num(e.share));
    return v;
}

// How many times the estimate's value is beyond the data of variable k.
static double beyond_data(const struct fit_file *f, int k, double v)
{
    return isfinite(v) ? analysis_beyond(v, f->lo[k], f->hi[k]) : 1;
}

static const char *var_name(const struct law *l, int k)
{
    const char *const *names;
    law_vars(l, &names);
    return names[k];
}

static bool is(const struct law *l, const char *name)
{
    return strcmp(law_name(l), name) == 0;
}

// ---- effects and optima along each variable

static enum err effect_json(const struct analyze_input *in, int k, json_t *out)
{
    const struct fit_file *f = in->file;
    const struct along a = {.x = in->x, .k = k, .lo = f->lo[k], .hi = f->hi[k]};
    struct estimate e[2];
    TRY(analysis_estimate(&f->fit, along_effect, &a, 2, e));
    json_t *one = json_object();
    json_object_set_new(one, "var", json_string(var_name(f->fit.law, k)));
    json_object_set_new(one, "at", json_num(in->x[k]));
    json_object_set_new(one, "elasticity", estimate_json(e[0]));
    json_object_set_new(one, "from", json_num(a.lo));
    json_object_set_new(one, "to", json_num(a.hi));
    json_object_set_new(one, "change", estimate_json(e[1]));
    json_array_append_new(out, one);
    return OK;
}

static enum err optimum_json(const struct analyze_input *in, int k, bool most, json_t *out)
{
    const struct fit_file *f = in->file;
    const struct law *l = f->fit.law;
    const int N = law_var_find(l, "N");
    struct along a;
    struct estimate e[3];
    along_range(l, in->x, k, f->lo[k], f->hi[k], &a);
    a.tolerance = in->tolerance;
    a.most = most;
    TRY(analysis_estimate(&f->fit, along_optimum, &a, 3, e));
    json_t *one = json_object();
    json_object_set_new(one, "var", json_string(var_name(l, k)));
    json_object_set_new(one, "optimum", estimate_json(e[0]));
    json_object_set_new(one, "within_lo", estimate_json(e[1]));
    json_object_set_new(one, "within_hi", estimate_json(e[2]));
    json_object_set_new(one, "searched", json_pair(a.lo, a.hi));
    json_object_set_new(one, "beyond", json_num(beyond_data(f, k, e[0].value)));
    if (strcmp(var_name(l, k), "N_a") == 0 && N >= 0) {
        const double n = in->x[N];
        const struct estimate share = {e[0].value / n, e[0].lo / n, e[0].hi / n, e[0].share};
        json_object_set_new(one, "share_of_N", estimate_json(share));
    }
    json_array_append_new(out, one);
    return OK;
}

static enum err add_along(const struct analyze_input *in, json_t *doc)
{
    const struct law *l = in->file->fit.law;
    const bool loss = strcmp(law_output(l), "loss") == 0, most = is(l, "leverage");
    json_t *effects = json_array(), *optima = json_array();
    json_object_set_new(doc, "effects", effects);
    json_object_set_new(doc, "optima", optima);
    for (int k = 0; k < law_vars(l, NULL); k++) {
        if (in->file->lo[k] == in->file->hi[k])
            continue; // the data have one value: nothing is known along it
        TRY(effect_json(in, k, effects));
        if (loss || most)
            TRY(optimum_json(in, k, most, optima));
    }
    return OK;
}

// ---- compute-optimal

static enum err budget_json(const struct analyze_input *in, double C, const char *size,
                            const char *tokens, json_t *out)
{
    const struct fit_file *f = in->file;
    const int k = law_var_find(f->fit.law, size), t = law_var_find(f->fit.law, tokens);
    const struct budget b = {C, in->x};
    struct estimate e[4];
    TRY(analysis_estimate(&f->fit, compute_best, &b, 4, e));
    double beyond = analysis_beyond(C, f->C_lo, f->C_hi);
    if (k >= 0)
        beyond = fmax(beyond, beyond_data(f, k, e[0].value));
    if (t >= 0)
        beyond = fmax(beyond, beyond_data(f, t, e[1].value));
    json_t *one = json_object();
    json_object_set_new(one, "C", json_num(C));
    json_object_set_new(one, size, estimate_json(e[0]));
    json_object_set_new(one, tokens, estimate_json(e[1]));
    if (!is(f->fit.law, "cmd"))
        json_object_set_new(one, "loss", estimate_json(e[2]));
    json_object_set_new(one, "exponent", estimate_json(e[3]));
    json_object_set_new(one, "beyond", json_num(beyond));
    json_array_append_new(out, one);
    return OK;
}

static enum err add_budgets(const struct analyze_input *in, json_t *doc)
{
    const struct law *l = in->file->fit.law;
    int size, tokens;
    const bool cmd = is(l, "cmd");
    if (!cmd && !compute_vars(l, &size, &tokens))
        return OK;
    json_t *rows = json_array();
    json_object_set_new(doc, "budgets", rows);
    for (int i = 0; i < in->n_C; i++)
        TRY(budget_json(in, in->C[i], cmd ? "M" : var_name(l, size),
                        cmd ? "D" : var_name(l, tokens), rows));
    return OK;
}

// ---- against dense models

// The numbers of experts: the point's and the data's largest.
static int expert_list(const struct analyze_input *in, int experts, double *E)
{
    const double own = in->x[experts], most = in->file->hi[experts];
    int n = 0;
    if (own > 1)
        E[n++] = own;
    if (most > own * 1.01)
        E[n++] = most;
    return n;
}

static int scale_list(const struct analyze_input *in, bool budget, double *scale)
{
    const struct fit_file *f = in->file;
    if (budget) {
        memcpy(scale, in->C, (size_t)in->n_C * sizeof *scale);
        return in->n_C;
    }
    const int N = law_var_find(f->fit.law, "N");
    scale[0] = f->lo[N];
    scale[1] = in->x[N];
    scale[2] = f->hi[N];
    scale[3] = 10 * f->hi[N];
    return 4;
}

static double beyond_scale(const struct fit_file *f, bool budget, double v)
{
    if (!budget)
        return beyond_data(f, law_var_find(f->fit.law, "N"), v);
    return isfinite(v) ? analysis_beyond(v, f->C_lo, f->C_hi) : 1;
}

static enum err dense_json(const struct analyze_input *in, double E, bool budget, json_t *out)
{
    const struct fit_file *f = in->file;
    double scale[ANALYZE_MAX_BUDGETS];
    const int n = scale_list(in, budget, scale);
    struct dense d = {E, 0, in->x};
    struct estimate e[2];
    json_t *one = json_object(), *rows = json_array();
    json_array_append_new(out, one);
    json_object_set_new(one, "E", json_num(E));
    json_object_set_new(one, "scale", json_string(budget ? "C" : "N"));
    json_object_set_new(one, "leverage", rows);
    for (int i = 0; i < n; i++) {
        d.scale = scale[i];
        TRY(analysis_estimate(&f->fit, dense_leverage, &d, 1, e));
        json_t *v = estimate_json(e[0]);
        json_object_set_new(v, "at", json_num(d.scale));
        json_object_set_new(v, "beyond", json_num(beyond_scale(f, budget, d.scale)));
        json_array_append_new(rows, v);
    }
    d.scale = scale[n / 2];
    TRY(analysis_estimate(&f->fit, dense_break_even, &d, 2, e));
    json_object_set_new(one, "pays", json_boolean(!isnan(e[0].value)));
    json_object_set_new(one, "pays_at", json_num(d.scale));
    for (int i = 0; i < 2; i++) {
        json_t *v = estimate_json(e[i]);
        json_object_set_new(v, "beyond", json_num(beyond_scale(f, budget, e[i].value)));
        json_object_set_new(one, i ? "pays_to" : "pays_from", v);
    }
    json_object_set_new(one, "endless", json_boolean(isinf(e[1].value)));
    return OK;
}

static enum err add_dense(const struct analyze_input *in, json_t *doc)
{
    const struct law *l = in->file->fit.law;
    int experts;
    bool budget;
    if (!dense_vars(l, &experts, &budget) || (budget && !in->n_C))
        return OK;
    double E[MAX_LIST];
    const int n = expert_list(in, experts, E);
    json_t *rows = json_array();
    json_object_set_new(doc, "dense", rows);
    for (int i = 0; i < n; i++)
        TRY(dense_json(in, E[i], budget, rows));
    return OK;
}

static enum err add_leverage(const struct analyze_input *in, json_t *doc)
{
    const struct fit_file *f = in->file;
    if (!is(f->fit.law, "leverage"))
        return OK;
    struct estimate e;
    TRY(analysis_estimate(&f->fit, leverage_break_even, in->x, 1, &e));
    json_t *v = estimate_json(e);
    json_object_set_new(v, "beyond", json_num(analysis_beyond(e.value, f->C_lo, f->C_hi)));
    json_object_set_new(doc, "leverage_one_at_C", v);
    return OK;
}

// ---- allocation

static void density_list(const struct fit_file *f, int z, double *out)
{
    const double lo = 1 - f->hi[z], hi = 1 - f->lo[z];
    for (int i = 0; i < 3; i++)
        out[i] = 1 - hi * pow(lo / hi, i / 2.);
}

static enum err allocation_rows(const struct analyze_input *in, double z, json_t *rows)
{
    const struct fit_file *f = in->file;
    const int r = law_var_find(f->fit.law, "r");
    for (int i = 0; i < in->n_C; i++) {
        const struct allocate a = {in->C[i], z, f->lo[r] / 10, f->hi[r] * 10};
        struct estimate e[3];
        TRY(analysis_estimate(&f->fit, allocate_best, &a, 3, e));
        json_t *one = json_object();
        json_object_set_new(one, "C", json_num(a.C));
        json_object_set_new(one, "z", json_num(z));
        json_object_set_new(one, "r", estimate_json(e[0]));
        json_object_set_new(one, "N_a", estimate_json(e[1]));
        json_object_set_new(one, "loss", estimate_json(e[2]));
        json_object_set_new(one, "beyond",
                            json_num(fmax(beyond_data(f, r, e[0].value),
                                          analysis_beyond(a.C, f->C_lo, f->C_hi))));
        json_array_append_new(rows, one);
    }
    return OK;
}

static json_t *trend_json(double z, struct estimate alpha, struct estimate beta)
{
    json_t *one = json_object();
    json_object_set_new(one, "z", json_num(z));
    json_object_set_new(one, "alpha_r", estimate_json(alpha));
    json_object_set_new(one, "beta_r", estimate_json(beta));
    return one;
}

static enum err surface_json(const struct analyze_input *in, json_t *out)
{
    const struct fit_file *f = in->file;
    const int zk = law_var_find(f->fit.law, "z"), r = law_var_find(f->fit.law, "r");
    json_t *rows = json_array(), *trend = json_array();
    json_object_set_new(out, "surface", rows);
    json_object_set_new(out, "surface_trend", trend);
    double z[3];
    density_list(f, zk, z);
    for (int i = 0; i < (f->lo[zk] < f->hi[zk] ? 3 : 1); i++) {
        TRY(allocation_rows(in, z[i], rows));
        struct allocate_line line = {.z = z[i], .r_lo = f->lo[r] / 10, .r_hi = f->hi[r] * 10};
        struct estimate e[2];
        line.n = in->n_C;
        memcpy(line.C, in->C, sizeof line.C);
        TRY(analysis_estimate(&f->fit, allocate_trend, &line, 2, e));
        json_array_append_new(trend, trend_json(z[i], e[0], e[1]));
    }
    return OK;
}

static json_t *star_json(const struct law_fit *f)
{
    const struct law_param *p;
    const int n = law_params(f->law, &p);
    json_t *out = json_object();
    for (int k = 0; k < n; k++)
        json_object_set_new(out, p[k].name, json_interval(f->value[k], f->lo[k], f->hi[k]));
    return out;
}

static void ratio_json(const struct ratios *q, json_t *out)
{
    json_t *raw = json_array(), *trend = json_array();
    for (int i = 0; i < q->n; i++) {
        const struct ratio_point *p = &q->point[i];
        json_t *one = json_object();
        json_object_set_new(one, "C", json_num(p->C));
        json_object_set_new(one, "z", json_num(p->z));
        json_object_set_new(one, "raw", json_num(p->fit.raw_min_t));
        json_object_set_new(one, "raw_loss", json_num(p->fit.raw_min_loss));
        json_object_set_new(one, "parabola",
                            json_interval(p->fit.opt, p->fit.opt_lo, p->fit.opt_hi));
        json_object_set_new(one, "verdict", json_string(curve_verdict_name(p->fit.verdict)));
        json_array_append_new(raw, one);
    }
    for (int i = 0; i < q->n_lines; i++) {
        const struct power_fit *w = &q->line[i].power;
        const double none = (double)NAN;
        struct estimate alpha = {w->fitted ? w->k : none, none, none, 1};
        fit_interval(w->boot_lnk, w->fitted ? w->n_boot : 0, &alpha.lo, &alpha.hi);
        alpha.lo = exp(alpha.lo);
        alpha.hi = exp(alpha.hi);
        struct estimate beta = {w->fitted ? w->p : none, w->p_lo, w->p_hi, 1};
        json_t *one = trend_json(q->line[i].z, alpha, beta);
        json_object_set_new(one, "scales", json_integer(q->line[i].n));
        json_array_append_new(trend, one);
    }
    if (q->star.law)
        json_object_set_new(out, "r_star", star_json(&q->star));
    json_object_set_new(out, "runs", raw);
    json_object_set_new(out, "runs_trend", trend);
}

static enum err add_allocation(const struct analyze_input *in, json_t *doc, json_t *notes)
{
    const struct law *l = in->file->fit.law;
    if (!is(l, "allocation") && !is(l, "allocation_q"))
        return OK;
    json_t *out = json_object();
    json_object_set_new(doc, "allocation", out);
    if (in->n_C)
        TRY(surface_json(in, out));
    if (!in->d) {
        json_array_append_new(notes, json_string("raw minima of r need the runs: moesweep "
                                                 "analyze DATA --law allocation"));
        return OK;
    }
    struct ratios *q = malloc(sizeof *q);
    ENSURE(q, ERR_FAILED, "out of memory");
    enum err e = ratios_run(in->d, in->options.seed, q);
    if (e == OK) {
        ratio_json(q, out);
        ratios_free(q);
    } else if (e == ERR_INPUT) { // the law's part stands without it
        json_array_append_new(notes, json_string(err_message()));
        e = OK;
    }
    free(q);
    return e;
}

// ---- the claim of the five-factor law

static json_t *claim_json(const struct claim *c, const struct law_fit *without)
{
    const double k = law_params(c->fit.law, NULL), k0 = law_params(without->law, NULL);
    json_t *out = json_object();
    json_object_set_new(out, "claim", json_string("G* and s* do not depend on scale"));
    json_object_set_new(out, "law", json_string(law_name(c->fit.law)));
    json_object_set_new(out, "converged", json_boolean(c->fit.converged));
    json_object_set_new(out, "G_factor_per_decade", estimate_json(c->G_decade));
    json_object_set_new(out, "s_change_per_decade", estimate_json(c->s_decade));
    json_object_set_new(out, "p_G", json_num(c->p_G));
    json_object_set_new(out, "p_s", json_num(c->p_s));
    json_object_set_new(out, "p", json_num(c->p));
    json_object_set_new(out, "rmse_log", json_num(c->fit.rmse_log));
    json_object_set_new(out, "rmse_log_claimed", json_num(without->rmse_log));
    json_object_set_new(out, "more_parameters", json_num(k - k0));
    json_object_set_new(out, "rejected", isnan(c->p) ? json_null() : json_boolean(c->p < .05));
    return out;
}

static enum err add_claim(const struct analyze_input *in, json_t *doc, json_t *notes)
{
    if (!is(in->file->fit.law, "fivefactor"))
        return OK;
    if (!in->d) {
        json_array_append_new(notes, json_string("whether G* and s* depend on scale needs the "
                                                 "runs: moesweep analyze DATA --law "
                                                 "fivefactor"));
        return OK;
    }
    const struct law_data d = {.n = in->d->n, .x = in->data_x, .y = in->d->y};
    struct law_options o = in->options;
    struct claim c;
    o.boot = LAW_BOOT_RESIDUALS; // the kind whose size was measured
    enum err e = claim_test(&d, &o, &c);
    if (e == ERR_INPUT) {
        json_array_append_new(notes, json_sprintf("the test of the claim: %s", err_message()));
        return OK;
    }
    TRY(e);
    json_object_set_new(doc, "claim", claim_json(&c, &in->file->fit));
    law_fit_free(&c.fit);
    return OK;
}

// ---- the document

static void describe(const struct analyze_input *in, json_t *doc, json_t *notes)
{
    const struct fit_file *f = in->file;
    const struct law *l = f->fit.law;
    const struct law_param *p;
    json_t *at = json_object(), *range = json_object();
    for (int k = 0; k < law_vars(l, NULL); k++) {
        json_object_set_new(at, var_name(l, k), json_num(in->x[k]));
        json_object_set_new(range, var_name(l, k), json_pair(f->lo[k], f->hi[k]));
        const double times = beyond_data(f, k, in->x[k]);
        if (times > 1)
            json_array_append_new(notes, json_sprintf("%s = %.4g is beyond the data by a "
                                                      "factor of %.3g: an extrapolation",
                                                      var_name(l, k), in->x[k], times));
    }
    if (isfinite(f->C_lo))
        json_object_set_new(range, "C", json_pair(f->C_lo, f->C_hi));
    for (int k = 0; k < law_params(l, &p); k++)
        if (!f->fit.identified[k])
            json_array_append_new(notes, json_sprintf("the data do not identify %s: what rests "
                                                      "on it alone means nothing",
                                                      p[k].name));
    if (!f->fit.converged)
        json_array_append_new(notes, json_string("the fit did not converge"));
    if (!f->fit.n_boot)
        json_array_append_new(notes, json_string("no resamples (--bootstrap 0): no intervals"));
    json_object_set_new(doc, "law", json_string(law_name(l)));
    json_object_set_new(doc, "formula", json_string(law_formula(l)));
    json_object_set_new(doc, "gives", json_string(law_output(l)));
    json_object_set_new(doc, "at", at);
    json_object_set_new(doc, "range", range);
    json_object_set_new(doc, "tolerance", json_num(in->tolerance));
    json_object_set_new(doc, "resamples", json_integer(f->fit.n_boot));
}

enum err analyze_run(const struct analyze_input *in, json_t **out)
{
    json_t *doc = json_object(), *notes = json_array();
    ENSURE(doc && notes, ERR_FAILED, "out of memory");
    describe(in, doc, notes);
    enum err e = add_along(in, doc);
    if (e == OK)
        e = add_budgets(in, doc);
    if (e == OK)
        e = add_dense(in, doc);
    if (e == OK)
        e = add_leverage(in, doc);
    if (e == OK)
        e = add_allocation(in, doc, notes);
    if (e == OK)
        e = add_claim(in, doc, notes);
    json_object_set_new(doc, "notes", notes);
    *out = doc;
    if (e != OK)
        json_decref(doc);
    return e;
}
