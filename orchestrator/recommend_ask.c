// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/recommend_ask.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM_MAX (INT64_C(1) << 24)
enum { TENSOR_CORE = 128 }; // widths in multiples of it keep a GPU's matrix units busy

// "name=value,..": calls take for each pair.
static enum err pairs(const char *option, const char *text,
                      enum err (*take)(void *ctx, const char *name, const char *value),
                      void *ctx)
{
    char *copy = strdup(text ? text : ""), *save = NULL;
    ENSURE(copy, ERR_FAILED, "out of memory");
    enum err e = OK;
    for (char *p = strtok_r(copy, ",", &save); p && e == OK; p = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(p, '=');
        if (eq)
            *eq = 0;
        e = eq ? take(ctx, p, eq + 1)
               : err_set(ERR_INPUT, "recommend: %s: expected NAME=VALUE,.., found '%s'", option,
                         table_quote(p).s);
    }
    free(copy);
    return e;
}

static bool whole(const char *text, int64_t lo, int64_t hi, int64_t *out)
{
    char *end;
    long long v = strtoll(text, &end, 10);
    *out = v;
    return *text && !*end && v >= lo && v <= hi;
}

static enum err find_dim(const char *option, const char *name, int *dim)
{
    *dim = arch_dim_find(name);
    ENSURE(*dim >= 0, ERR_INPUT,
           "recommend: %s: expected a dimension (moesweep arch --help lists them), found '%s'",
           option, table_quote(name).s);
    return OK;
}

// ---- --set, --model

static enum err set_dim(void *ctx, const char *name, const char *value)
{
    int dim;
    int64_t v;
    TRY(find_dim("--set", name, &dim));
    ENSURE(whole(value, 0, DIM_MAX, &v), ERR_INPUT,
           "recommend: --set %s: expected an integer from 0 to %" PRId64 ", found '%s'", name,
           DIM_MAX, table_quote(value).s);
    ENSURE(arch_dim_get(ctx, (enum arch_dim)dim) == ARCH_UNSET, ERR_INPUT,
           "recommend: --set %s: given twice", name);
    *arch_dim(ctx, (enum arch_dim)dim) = v;
    return OK;
}

enum err ask_set(const struct ask *a, struct arch *out)
{
    *out = arch_unset();
    return pairs("--set", a->set, set_dim, out);
}

static bool truth(const char *text, bool *out)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

static enum err set_model(void *ctx, const char *name, const char *value)
{
    struct job_model *m = ctx;
    bool ok = false;
    if (strcmp(name, "router") == 0) {
        ok = strcmp(value, "softmax") == 0 || strcmp(value, "sigmoid_bias") == 0;
        m->router = *value == 's' && value[1] == 'o' ? ROUTER_SOFTMAX : ROUTER_SIGMOID_BIAS;
    } else if (strcmp(name, "rope_base") == 0) {
        ok = table_number(value, &m->rope_base) && m->rope_base >= 1 && m->rope_base <= 1e12;
    } else {
        bool *field = strcmp(name, "tied") == 0        ? &m->tied
                      : strcmp(name, "qk_norm") == 0   ? &m->qk_norm
                      : strcmp(name, "norm_topk") == 0 ? &m->norm_topk
                                                       : NULL;
        ok = field && truth(value, field);
    }
    ENSURE(ok, ERR_INPUT,
           "recommend: --model: expected router=softmax|sigmoid_bias, norm_topk=, qk_norm= or "
           "tied=true|false, rope_base=NUMBER, found '%s=%s'",
           table_quote(name).s, table_quote(value).s);
    return OK;
}

enum err ask_model(const struct ask *a, struct job_model *out)
{
    return pairs("--model", a->model, set_model, out);
}

// ---- constraints

enum err ask_add(struct choosing *c, struct constraint k, const char *name, ...)
{
    va_list args;
    ENSURE(c->n_constraints < CHOOSE_MAX_CONSTRAINTS, ERR_INPUT,
           "recommend: expected at most %d constraints", CHOOSE_MAX_CONSTRAINTS);
    va_start(args, name);
    vsnprintf(k.name, sizeof k.name, name, args);
    va_end(args);
    c->constraint[c->n_constraints++] = k;
    return OK;
}

static enum err free_dim(void *ctx, const char *name, const char *value)
{
    struct choosing *c = ctx;
    int dim;
    long long lo, hi, step;
    char rest;
    TRY(find_dim("--free", name, &dim));
    ENSURE(sscanf(value, "%lld:%lld:%lld%c", &lo, &hi, &step, &rest) == 3 && lo >= 0 &&
               hi >= lo && hi <= DIM_MAX && step >= 1 && step <= DIM_MAX,
           ERR_INPUT, "recommend: --free %s: expected LO:HI:STEP, found '%s'", name,
           table_quote(value).s);
    c->range[dim] = (struct range){RANGE_STEPS, lo, hi, step, 0};
    return OK;
}

static enum err multiple(void *ctx, const char *name, const char *value)
{
    struct choosing *c = ctx;
    int dim;
    int64_t n;
    TRY(find_dim("--multiple", name, &dim));
    ENSURE(whole(value, 1, DIM_MAX, &n), ERR_INPUT,
           "recommend: --multiple %s: expected an integer from 1 to %" PRId64 ", found '%s'",
           name, DIM_MAX, table_quote(value).s);
    struct constraint k = {.kind = CONSTRAINT_MULTIPLE, .dim = (enum arch_dim)dim, .n = n};
    return ask_add(c, k, "--multiple %s=%" PRId64, name, n);
}

// Widths of matrix products, unless a multiple of their own was asked for or they are set.
static enum err gpu_multiples(const struct arch *set, struct choosing *c)
{
    static const enum arch_dim widths[] = {DIM_d, DIM_d_d, DIM_d_m};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const struct range *r = &c->range[widths[i]];
        bool own = arch_dim_get(set, widths[i]) != ARCH_UNSET ||
                   (r->kind != RANGE_FOLLOWS && r->hi <= 1);
        for (int k = 0; k < c->n_constraints; k++)
            own = own || (c->constraint[k].kind == CONSTRAINT_MULTIPLE &&
                          c->constraint[k].dim == widths[i]);
        struct constraint k = {.kind = CONSTRAINT_MULTIPLE, .dim = widths[i], .n = TENSOR_CORE};
        if (!own)
            TRY(ask_add(c, k, "--gpu: %s a multiple of %d", arch_dim_name(widths[i]),
                        TENSOR_CORE));
    }
    return OK;
}

static enum err experts(const struct ask *a, struct choosing *c)
{
    const char *text = a->experts;
    int64_t n = (int64_t)a->gpus;
    struct constraint k = {.kind = CONSTRAINT_EXPERTS, .dim = DIM_N_e};
    struct range *r = &c->range[DIM_N_e];
    if (!text)
        return OK;
    ENSURE(c->range[DIM_L_m].hi > 0, ERR_INPUT,
           "recommend: --experts: the model is dense; expected --set N_e=.. or K=.. beside it");
    if (r->lo == r->hi) // the rule says what it may be instead
        *r = (struct range){RANGE_STEPS, 1, 1024, 1, 0};
    r->step = 1;
    if (strcmp(text, "pow2") == 0) {
        k.experts = RANGE_POW2;
        return ask_add(c, k, "--experts pow2");
    }
    bool own = strncmp(text, "divisor:", 8) == 0 && whole(text + 8, 1, DIM_MAX, &n);
    ENSURE(own || strcmp(text, "divisor") == 0, ERR_INPUT,
           "recommend: --experts: expected pow2, divisor:G or divisor (of --gpus), found '%s'",
           table_quote(text).s);
    ENSURE(n > 0, ERR_INPUT, "recommend: --experts divisor: expected --gpus G beside it");
    k.experts = RANGE_DIVISOR;
    k.n = n;
    return ask_add(c, k, "--experts divisor:%" PRId64, n);
}

static enum err limit(struct choosing *c, const char *name, double value, int q, double most)
{
    struct constraint k = {.kind = CONSTRAINT_LIMIT, .q = q, .most = most};
    return value > 0 ? ask_add(c, k, "%s %.6g", name, value) : OK;
}

static enum err limits(const struct ask *a, struct choosing *c)
{
    double gpus = a->gpus > 0 ? a->gpus : 1;
    TRY(limit(c, "--max-total-params", a->max_total_params, QUANTITY_COORD(COORD_N),
              a->max_total_params));
    TRY(limit(c, "--max-active-params", a->max_active_params, QUANTITY_COORD(COORD_N_a),
              a->max_active_params));
    TRY(limit(c, "--max-inference-flops", a->max_inference_flops, QUANTITY_forward,
              a->max_inference_flops));
    TRY(limit(c, "--max-expansion", a->max_expansion, QUANTITY_COORD(COORD_y),
              a->max_expansion));
    return limit(c, "--memory", a->memory, QUANTITY_params,
                 gpus * a->memory / ASK_BYTES_PER_PARAM);
}

enum err ask_constrain(const struct ask *a, struct choosing *c)
{
    struct arch set;
    TRY(ask_set(a, &set));
    ENSURE(a->gpus <= (double)DIM_MAX && a->gpus == (double)(int64_t)a->gpus, ERR_INPUT,
           "recommend: --gpus: expected a whole number, at most %" PRId64 ", found %g", DIM_MAX,
           a->gpus);
    TRY(pairs("--free", a->free, free_dim, c));
    for (int i = 0; i < N_DIMS; i++) {
        int64_t v = arch_dim_get(&set, (enum arch_dim)i);
        struct constraint k = {.kind = CONSTRAINT_SET, .dim = (enum arch_dim)i, .n = v};
        if (v != ARCH_UNSET)
            TRY(ask_add(c, k, "--set %s=%" PRId64, arch_dim_name((enum arch_dim)i), v));
    }
    TRY(pairs("--multiple", a->multiple, multiple, c));
    if (a->gpu)
        TRY(gpu_multiples(&set, c));
    TRY(experts(a, c));
    return limits(a, c);
}
