// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/recommend_spec.h"
#include "core/json.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- the part of a sweep that travels with its law

static json_t *rule_json(const struct rule *r)
{
    json_t *breaks = json_array(), *values = json_array();
    for (int i = 0; i < r->n_steps; i++)
        json_array_append_new(breaks, json_real(r->breaks[i]));
    for (int i = 0; r->n_steps && i <= r->n_steps; i++)
        json_array_append_new(values, json_real(r->values[i]));
    return json_pack("{s:o, s:f, s:f, s:f, s:f, s:o, s:o}", "value", json_num(r->value), "at",
                     r->at, "exponent", r->exponent, "N_exp", r->N_exp, "D_exp", r->D_exp,
                     "breaks", breaks, "values", values);
}

static enum err rule_from(json_t *obj, const char *ctx, struct rule *r)
{
    const double big = 1e300;
    memset(r, 0, sizeof *r);
    TRY(json_get_num(obj, ctx, "at", true, 0, big, &r->at));
    TRY(json_get_num(obj, ctx, "exponent", true, -100, 100, &r->exponent));
    TRY(json_get_num(obj, ctx, "N_exp", true, -100, 100, &r->N_exp));
    TRY(json_get_num(obj, ctx, "D_exp", true, -100, 100, &r->D_exp));
    json_t *breaks = json_object_get(obj, "breaks"), *values = json_object_get(obj, "values");
    size_t n = json_array_size(breaks);
    const size_t most = sizeof r->breaks / sizeof *r->breaks;
    ENSURE(n <= most && json_array_size(values) == (n ? n + 1 : 0), ERR_INPUT,
           "%s: expected 0 to %zu breaks and one value more, found %zu and %zu", ctx, most, n,
           json_array_size(values));
    r->n_steps = (int)n;
    for (size_t i = 0; i < n; i++)
        r->breaks[i] = json_number_value(json_array_get(breaks, i));
    for (size_t i = 0; n && i <= n; i++)
        r->values[i] = json_number_value(json_array_get(values, i));
    if (n == 0)
        TRY(json_get_num(obj, ctx, "value", true, -big, big, &r->value));
    return OK;
}

enum err recommend_spec_json(const struct sweep *cfg, json_t **out)
{
    json_t *base = json_object(), *free_dims = json_object(), *tol = json_object(),
           *start = json_object();
    for (int i = 0; i < N_DIMS; i++) {
        int64_t v = arch_dim_get(&cfg->solve.base, (enum arch_dim)i);
        json_object_set_new(base, arch_dim_name((enum arch_dim)i),
                            v == ARCH_UNSET ? json_null() : json_integer(v));
    }
    for (int i = 0; i < cfg->solve.n_free; i++) {
        const struct solve_free *f = &cfg->solve.free[i];
        json_object_set_new(
            free_dims, arch_dim_name(f->dim),
            json_pack("[I, I, I]", (json_int_t)f->lo, (json_int_t)f->hi, (json_int_t)f->step));
    }
    for (int i = 0; i < N_COORDS; i++)
        json_object_set_new(tol, coord_name((enum coord)i), json_num(cfg->solve.tol[i]));
    for (int i = 0; i < cfg->n_start; i++)
        json_object_set_new(start, cfg->start[i].var.name, rule_json(&cfg->start[i].rule));
    double limit = cfg->recommend.max_total_params;
    *out = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o, s:o}", "base", base, "free",
                     free_dims, "tolerance", tol, "start", start, "lr", rule_json(&cfg->lr),
                     "batch_tokens", rule_json(&cfg->batch_tokens), "budget",
                     cfg->recommend.budget_factor * cfg->scales[cfg->n_scales - 1],
                     "max_total_params", limit > 0 ? json_real(limit) : json_null(), "model",
                     recommend_model_json(&cfg->base.model));
    ENSURE(*out, ERR_FAILED, "out of memory");
    return OK;
}

json_t *recommend_model_json(const struct job_model *m)
{
    return json_pack("{s:s, s:b, s:b, s:b, s:f}", "router",
                     m->router == ROUTER_SOFTMAX ? "softmax" : "sigmoid_bias", "norm_topk",
                     m->norm_topk, "tied", m->tied, "qk_norm", m->qk_norm, "rope_base",
                     m->rope_base);
}

enum err recommend_model_read(json_t *o, const char *ctx, struct job_model *out)
{
    char router[16];
    struct job defaults;
    job_init(&defaults);
    *out = defaults.model;
    TRY(json_get_str(o, ctx, "router", true, router, sizeof router));
    bool softmax = strcmp(router, "softmax") == 0;
    ENSURE(softmax || strcmp(router, "sigmoid_bias") == 0, ERR_INPUT,
           "%s: router: expected softmax or sigmoid_bias, found '%s'", ctx, router);
    out->router = softmax ? ROUTER_SOFTMAX : ROUTER_SIGMOID_BIAS;
    TRY(json_get_bool(o, ctx, "norm_topk", true, &out->norm_topk));
    TRY(json_get_bool(o, ctx, "tied", true, &out->tied));
    TRY(json_get_bool(o, ctx, "qk_norm", true, &out->qk_norm));
    return json_get_num(o, ctx, "rope_base", true, 1, 1e12, &out->rope_base);
}

static enum err spec_dims(json_t *spec, const char *ctx, struct solve_spec *s)
{
    json_t *base, *free_dims, *v;
    const char *name;
    TRY(json_get_obj(spec, ctx, "base", true, &base));
    TRY(json_get_obj(spec, ctx, "free", true, &free_dims));
    s->base = arch_unset();
    json_object_foreach(base, name, v)
    {
        int dim = arch_dim_find(name);
        ENSURE(dim >= 0, ERR_INPUT, "%s.base: '%s' is no dimension", ctx, name);
        if (!json_is_null(v))
            TRY(json_get_i64(base, ctx, name, true, -1, (int64_t)1 << 24,
                             arch_dim(&s->base, (enum arch_dim)dim)));
    }
    json_object_foreach(free_dims, name, v)
    {
        int dim = arch_dim_find(name);
        json_int_t r[3] = {0, 0, 0};
        ENSURE(dim >= 0 && s->n_free < SOLVE_MAX_FREE, ERR_INPUT,
               "%s.free: '%s' is no dimension", ctx, name);
        bool ok = json_unpack(v, "[I, I, I]", &r[0], &r[1], &r[2]) == 0;
        ENSURE(ok && r[0] >= 0 && r[1] >= r[0] && r[1] <= 1 << 24 && r[2] >= 1, ERR_INPUT,
               "%s.free.%s: expected [lo, hi, step]", ctx, name);
        s->free[s->n_free++] = (struct solve_free){(enum arch_dim)dim, r[0], r[1], r[2]};
    }
    return OK;
}

enum err recommend_spec_read(json_t *law, const char *ctx, double C, struct recommend_spec *out)
{
    json_t *spec, *tol, *start, *v;
    const char *name;
    memset(out, 0, sizeof *out);
    TRY(json_get_obj(law, ctx, "spec", true, &spec));
    TRY(spec_dims(spec, ctx, &out->solve));
    TRY(json_get_obj(spec, ctx, "tolerance", true, &tol));
    for (int i = 0; i < N_COORDS; i++) {
        out->solve.want[i] = NAN;
        out->solve.tol[i] = 0.03; // where the document is silent
        if (!json_is_null(json_object_get(tol, coord_name((enum coord)i))))
            TRY(json_get_num(tol, ctx, coord_name((enum coord)i), false, 0, 1,
                             &out->solve.tol[i]));
    }
    TRY(json_get_num(spec, ctx, "budget", true, 1, 1e40, &out->budget));
    if (!json_is_null(json_object_get(spec, "max_total_params")))
        TRY(json_get_num(spec, ctx, "max_total_params", false, 1, 1e18,
                         &out->max_total_params));
    TRY(json_get_obj(spec, ctx, "model", true, &v));
    TRY(recommend_model_read(v, ctx, &out->model));
    TRY(json_get_obj(spec, ctx, "lr", true, &v));
    TRY(rule_from(v, ctx, &out->lr));
    TRY(json_get_obj(spec, ctx, "batch_tokens", true, &v));
    TRY(rule_from(v, ctx, &out->batch_tokens));
    TRY(json_get_obj(spec, ctx, "start", true, &start));
    wish_init(&out->start);
    json_object_foreach(start, name, v)
    {
        struct rule r;
        struct var var;
        ENSURE(var_find(name, &var) && (var.kind == VAR_COORD || var.kind == VAR_DIM),
               ERR_INPUT, "%s.start: '%s' is neither coordinate nor dimension", ctx, name);
        TRY(rule_from(v, ctx, &r));
        wish_set(&out->start, &var, rule_at(&r, C > 0 ? C : out->budget));
    }
    return OK;
}
