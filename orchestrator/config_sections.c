// SPDX-License-Identifier: GPL-3.0-or-later
// Keys that are more than a scalar: rules, settings, dimensions, data, axes, phases.
#include "orchestrator/config_internal.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DATA_PATHS 4096

enum err key_fail(struct reader *r, const struct node *n)
{
    char expected[200];
    key_expected(n->key, expected, sizeof expected);
    return node_fail(r->tree, n, expected);
}

// 1 to max numbers in [lo, hi]; `expected` describes the whole list.
static enum err read_nums(struct reader *r, const struct node *n, const char *expected, int max,
                          double lo, double hi, double *out, int *count)
{
    int len = node_length(n);
    if (node_is_group(n) || len < 1 || len > max)
        return node_fail(r->tree, n, expected);
    for (int i = 0; i < len; i++) {
        struct node e;
        TRY(node_child(r->tree, n, i, &e));
        if (!node_num(&e, &out[i]) || !(out[i] >= lo && out[i] <= hi))
            return node_fail(r->tree, &e, expected);
    }
    *count = len;
    return OK;
}

static enum err check_ascending(struct reader *r, const struct node *n, const double *v,
                                int count)
{
    for (int i = 1; i < count; i++) {
        struct node e = *n;
        snprintf(e.path + strlen(e.path), sizeof e.path - strlen(e.path), "[%d]", i);
        if (v[i] <= v[i - 1]) {
            char expected[64];
            snprintf(expected, sizeof expected, "ascending values, more than %.17g here",
                     v[i - 1]);
            return places_fail(&r->tree->places, e.path, expected, "%.17g", v[i]);
        }
    }
    return OK;
}

static bool steps_ascend(const struct rule *out)
{
    for (int i = 1; i < out->n_steps; i++)
        if (out->breaks[i] <= out->breaks[i - 1])
            return false;
    return true;
}

static enum err read_steps(struct reader *r, const struct node *n, struct rule *out)
{
    static const char *what =
        "{ breaks = [up to 8 ascending values of C]; values = [one more]; }";
    int n_values = 0;
    struct node m;
    for (int i = 0; i < node_length(n); i++) {
        TRY(node_child(r->tree, n, i, &m));
        if (strcmp(node_name(&m), "breaks") == 0)
            TRY(read_nums(r, &m, what, 8, 0, 1e30, out->breaks, &out->n_steps));
        else if (strcmp(node_name(&m), "values") == 0)
            TRY(read_nums(r, &m, what, 9, -1e30, 1e30, out->values, &n_values));
        else
            return places_fail(&r->tree->places, m.path, what, "an unknown key");
    }
    if (out->n_steps < 1 || n_values != out->n_steps + 1 || !steps_ascend(out))
        return places_fail(&r->tree->places, n->path, what, "%d breaks and %d values",
                           out->n_steps, n_values);
    return OK;
}

static enum err read_power(struct reader *r, const struct node *n, bool run, struct rule *out)
{
    const char *what = run ? "{ value, at, exponent, N, D }, all numbers, at above 0"
                           : "{ value, at, exponent }, all numbers, at above 0";
    bool has_value = false;
    struct node m;
    for (int i = 0; i < node_length(n); i++) {
        TRY(node_child(r->tree, n, i, &m));
        const char *name = node_name(&m);
        double *field = strcmp(name, "value") == 0      ? &out->value
                        : strcmp(name, "at") == 0       ? &out->at
                        : strcmp(name, "exponent") == 0 ? &out->exponent
                        : run && strcmp(name, "N") == 0 ? &out->N_exp
                        : run && strcmp(name, "D") == 0 ? &out->D_exp
                                                        : NULL;
        if (!field)
            return places_fail(&r->tree->places, m.path, what, "an unknown key");
        if (!node_num(&m, field) || (field == &out->at && !(out->at > 0)))
            return node_fail(r->tree, &m, what);
        has_value = has_value || field == &out->value;
    }
    if (!has_value || (out->exponent != 0 && out->at == 0))
        return places_fail(&r->tree->places, n->path, what,
                           has_value ? "an exponent without at" : "no value");
    return OK;
}

// Step Law (arXiv 2503.04715): N non-embedding parameters, D tokens.
static const struct rule step_law_lr = {.value = 1.79, .N_exp = -0.713, .D_exp = 0.307};
static const struct rule step_law_batch = {.value = 0.58, .D_exp = 0.571};

static bool is_steps(struct reader *r, const struct node *n)
{
    struct node m;
    for (int i = 0; i < node_length(n); i++)
        if (node_child(r->tree, n, i, &m) == OK && strcmp(node_name(&m), "breaks") == 0)
            return true;
    return false;
}

// run: the rule may use N and D. Its values at the sweep's scales must lie in [lo, hi].
enum err read_rule(struct reader *r, const struct node *n, const struct var *var, double lo,
                   double hi, bool integer, struct rule *out)
{
    bool run = var && (var->kind == VAR_LR || var->kind == VAR_BATCH);
    const char *text = node_text(n);
    *out = (struct rule){0};
    if (run && text && strcmp(text, "step-law") == 0)
        *out = var->kind == VAR_LR ? step_law_lr : step_law_batch;
    else if (node_is_group(n))
        TRY(is_steps(r, n) ? read_steps(r, n, out) : read_power(r, n, run, out));
    else if (!node_num(n, &out->value))
        return node_fail(r->tree, n,
                         run ? "a number, a rule { .. } or \"step-law\""
                             : "a number or a rule { .. }");
    if (out->N_exp != 0 || out->D_exp != 0) {
        if (!(out->value > 0))
            return places_fail(&r->tree->places, n->path, "a value above 0", "%.17g",
                               out->value);
        return OK;
    }
    for (int i = 0; i < r->s->n_scales; i++) {
        double v = rule_at(out, r->s->scales[i]);
        if (v >= lo && v <= hi && (!integer || v == floor(v)))
            continue;
        char expected[96];
        snprintf(expected, sizeof expected, "%s from %.10g to %.10g",
                 integer ? "an integer" : "a number", lo, hi);
        if (node_is_group(n))
            return places_fail(&r->tree->places, n->path, expected, "%.17g at C = %g", v,
                               r->s->scales[i]);
        return node_fail(r->tree, n, expected);
    }
    return OK;
}

static enum err read_setting(struct reader *r, const struct node *n, struct setting *list,
                             int *count)
{
    double lo, hi;
    bool integer;
    struct setting *st = &list[*count];
    if (*count == CONFIG_MAX_SETTINGS)
        return node_fail(r->tree, n, "fewer settings");
    if (!var_find(node_name(n), &st->var))
        return places_fail(&r->tree->places, n->path, n->key->shape, "an unknown name");
    var_range(&st->var, &lo, &hi, &integer);
    TRY(read_rule(r, n, &st->var, lo, hi, integer, &st->rule));
    (*count)++;
    return OK;
}

static enum err read_dim(struct reader *r, const struct node *n, enum arch_dim *dim)
{
    int i = arch_dim_find(node_name(n));
    if (i < 0)
        return places_fail(&r->tree->places, n->path,
                           "a dimension: L_d L_m d d_qkv d_d d_m N_q N_kv S N_e K n_shared V",
                           "an unknown name");
    *dim = (enum arch_dim)i;
    return OK;
}

static enum err read_arch(struct reader *r, const struct node *n)
{
    enum arch_dim dim = DIM_L_d;
    TRY(read_dim(r, n, &dim));
    struct setting st = {.var = {.kind = VAR_DIM, .index = (int)dim}};
    if (dim == DIM_V) { // not a setting, but read like one
        TRY(read_rule(r, n, &st.var, 2, 1 << 24, true, &st.rule));
    } else {
        int at = 0;
        TRY(read_setting(r, n, &st, &at));
    }
    if (!node_is_group(n)) {
        *arch_dim(&r->s->solve.base, dim) = (int64_t)st.rule.value;
        return OK;
    }
    if (dim == DIM_V || dim == DIM_d || r->s->n_start == CONFIG_MAX_SETTINGS)
        return node_fail(r->tree, n, "an integer");
    r->s->start[r->s->n_start++] = st;
    return OK;
}

static enum err read_free(struct reader *r, const struct node *n)
{
    static const char *what = "[lo, hi] or [lo, hi, step]: integers, lo <= hi, 0 < step <= hi";
    enum arch_dim dim = DIM_L_d;
    TRY(read_dim(r, n, &dim));
    double v[3] = {0, 0, 1};
    int count;
    if (!node_is_list(n) || dim == DIM_V)
        return node_fail(r->tree, n, dim == DIM_V ? "a dimension other than V" : what);
    TRY(read_nums(r, n, what, 3, 0, 1 << 24, v, &count));
    bool whole = v[0] == floor(v[0]) && v[1] == floor(v[1]) && v[2] == floor(v[2]);
    if (count < 2 || !whole || v[0] > v[1] || v[2] < 1 || v[2] > v[1])
        return places_fail(&r->tree->places, n->path, what, "[%g, %g, %g]", v[0], v[1], v[2]);
    struct var var;
    double lo, hi;
    bool integer;
    var_find(node_name(n), &var);
    var_range(&var, &lo, &hi, &integer);
    if (v[0] < lo)
        return places_fail(&r->tree->places, n->path, "lo of at least 1", "%g", v[0]);
    struct solve_spec *sp = &r->s->solve;
    sp->free[sp->n_free++] =
        (struct solve_free){dim, (int64_t)v[0], (int64_t)v[1], (int64_t)v[2]};
    return OK;
}

static enum err read_tolerance(struct reader *r, const struct node *n)
{
    int c = coord_find(node_name(n));
    double v;
    if (c < 0)
        return places_fail(&r->tree->places, n->path, "a coordinate: M N_a N x y r G s z g",
                           "an unknown name");
    if (!node_num(n, &v) || !key_in_range(n->key, v))
        return key_fail(r, n);
    r->s->solve.tol[c] = v;
    return OK;
}

static enum err read_start(struct reader *r, const struct node *n)
{
    const char *name = node_name(n);
    if (coord_find(name) < 0 && strcmp(name, "d") != 0)
        return places_fail(&r->tree->places, n->path,
                           "a coordinate: M N_a N x y r G s z g, or d",
                           "an unknown name (fixed dimensions belong to arch)");
    return read_setting(r, n, r->s->start, &r->s->n_start);
}

static enum err read_paths(struct reader *r, const struct node *n)
{
    struct job *j = &r->s->base;
    int len = node_length(n);
    if (len < 1 || len > MAX_DATA_PATHS || node_is_group(n))
        return node_fail(r->tree, n, n->key->shape);
    j->data.paths = calloc((size_t)len, sizeof *j->data.paths);
    ENSURE(j->data.paths, ERR_FAILED, "out of memory");
    for (int i = 0; i < len; i++) {
        struct node e;
        TRY(node_child(r->tree, n, i, &e));
        const char *text = node_text(&e);
        if (!text || !*text)
            return node_fail(r->tree, &e, "a file's path");
        char file[JOB_PATH_MAX];
        node_file(r->tree, &e, file);
        const char *slash = strrchr(file, '/');
        int dir = *text == '/' || !slash ? 0 : (int)(slash - file + 1);
        char *joined;
        ENSURE(asprintf(&joined, "%.*s%s", dir, file, text) >= 0, ERR_FAILED, "out of memory");
        j->data.paths[j->data.n_paths++] = joined;
        if (strlen(joined) >= JOB_PATH_MAX)
            return node_fail(r->tree, &e, "a path of less than 4096 bytes");
    }
    return OK;
}

static enum err read_scales(struct reader *r, const struct node *n)
{
    struct sweep *s = r->s;
    TRY(read_nums(r, n, n->key->shape, CONFIG_MAX_SCALES, 1e6, 1e30, s->scales, &s->n_scales));
    return check_ascending(r, n, s->scales, s->n_scales);
}

static enum err read_phase_scales(struct reader *r, const struct node *n)
{
    struct phase *p = r->phase;
    TRY(read_nums(r, n, n->key->shape, CONFIG_MAX_SCALES, 1e6, 1e30, p->scales, &p->n_scales));
    TRY(check_ascending(r, n, p->scales, p->n_scales));
    for (int i = 0; i < p->n_scales; i++) {
        bool known = false;
        for (int j = 0; j < r->s->n_scales; j++)
            known = known || r->s->scales[j] == p->scales[i];
        if (!known) {
            struct node e;
            TRY(node_child(r->tree, n, i, &e));
            return node_fail(r->tree, &e, "one of the sweep's scales");
        }
    }
    return OK;
}

static enum err read_stop_at(struct reader *r, const struct node *n)
{
    struct early_stop *es = &r->phase->stop;
    TRY(read_nums(r, n, n->key->shape, JOB_MAX_STOPS, DBL_MIN, 1 - DBL_EPSILON, es->at,
                  &es->n));
    return check_ascending(r, n, es->at, es->n);
}

static enum err read_after(struct reader *r, const struct node *n)
{
    static const char *what = "the name of a phase that stands before this one";
    struct phase *p = r->phase;
    int len = node_length(n), self = (int)(p - r->s->phases);
    if (node_is_group(n) || len > CONFIG_MAX_PHASES)
        return node_fail(r->tree, n, what);
    for (int i = 0; i < len; i++) {
        struct node e;
        TRY(node_child(r->tree, n, i, &e));
        const char *name = node_text(&e);
        int found = -1;
        for (int q = 0; name && q < self; q++)
            if (strcmp(r->s->phases[q].name, name) == 0)
                found = q;
        if (found < 0 && name && strcmp(name, p->name) == 0)
            return places_fail(&r->tree->places, e.path, what, "\"%s\", the phase itself",
                               name);
        if (found < 0)
            return node_fail(r->tree, &e, what);
        p->after[p->n_after++] = found;
    }
    return OK;
}

static enum err read_var(struct reader *r, const struct node *n)
{
    const char *name = node_text(n);
    if (!name || strlen(name) >= sizeof r->axis->var.name || !var_find(name, &r->axis->var))
        return node_fail(
            r->tree, n,
            "a coordinate (M N_a N x y r G s z g), a dimension other than V, lr or "
            "batch_tokens");
    return OK;
}

static enum err read_axis_values(struct reader *r, const struct node *n, bool fractions)
{
    struct axis *a = r->axis;
    double lo = 0, hi = 1;
    bool integer = false;
    if (fractions && !(a->var.kind == VAR_DIM && a->var.index == DIM_d))
        return places_fail(&r->tree->places, n->path, "fractions for d alone", "them for %s",
                           a->var.name);
    if (!fractions)
        var_range(&a->var, &lo, &hi, &integer);
    char expected[128];
    snprintf(expected, sizeof expected, "1 to %d ascending %s from %.10g to %.10g",
             CONFIG_MAX_POINTS, integer ? "integers" : "numbers", lo, hi);
    TRY(read_nums(r, n, expected, CONFIG_MAX_POINTS, lo, hi, a->values, &a->n));
    for (int i = 0; i < a->n && integer; i++) {
        struct node e;
        TRY(node_child(r->tree, n, i, &e));
        if (a->values[i] != floor(a->values[i]))
            return node_fail(r->tree, &e, expected);
    }
    a->source = fractions ? AXIS_FRACTIONS : AXIS_VALUES;
    return check_ascending(r, n, a->values, a->n);
}

static enum err read_around(struct reader *r, const struct node *n)
{
    struct axis *a = r->axis;
    const char *text = node_text(n);
    a->source = AXIS_AROUND;
    a->around_adopted = text && strcmp(text, "adopted") == 0;
    if (a->around_adopted)
        return OK;
    if (text)
        return node_fail(r->tree, n, n->key->shape);
    double lo, hi;
    bool integer;
    var_range(&a->var, &lo, &hi, &integer);
    return read_rule(r, n, NULL, lo, hi, integer, &a->center);
}

enum err read_axis(struct reader *r, const struct node *n)
{
    static const char *sources[] = {"values", "fractions", "around"};
    static const char *grid[] = {"factor", "points"};
    struct axis *a = &r->phase->axes[r->phase->n_axes];
    const struct places *p = &r->tree->places;
    char path[CONFIG_PATH + 16];
    int given = 0;
    r->axis = a;
    TRY(read_group(r, n, "phases.axes", a));
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s.%s", n->path, sources[i]);
        given += places_has(p, path);
    }
    if (given != 1)
        return places_fail(p, n->path, "one of values, fractions and around", "%d of them",
                           given);
    for (int i = 0; i < 2 && a->source != AXIS_AROUND; i++) {
        snprintf(path, sizeof path, "%s.%s", n->path, grid[i]);
        if (places_has(p, path))
            return places_fail(p, path, "this key beside around alone", "it without");
    }
    snprintf(path, sizeof path, "%s.var", n->path);
    for (const struct axis *b = r->phase->axes; b < a; b++)
        if (strcmp(b->var.name, a->var.name) == 0)
            return places_fail(p, path, "a variable that no other axis has", "\"%s\" again",
                               a->var.name);
    r->phase->n_axes++;
    return OK;
}

static enum err read_fit_axis(struct reader *r, const struct node *n, struct fit_spec *f)
{
    const char *name = node_text(n);
    struct phase *p = r->phase;
    f->axis = -1;
    for (int i = 0; name && i < p->n_axes; i++)
        if (strcmp(p->axes[i].var.name, name) == 0)
            f->axis = i;
    if (f->axis < 0)
        return node_fail(r->tree, n, "the variable of one of the phase's axes");
    for (const struct fit_spec *g = p->fits; g < f; g++)
        if (g->axis == f->axis)
            return places_fail(&r->tree->places, n->path, "one fit an axis",
                               "a second one of \"%s\"", name);
    return OK;
}

enum err read_fit(struct reader *r, const struct node *n)
{
    TRY(read_group(r, n, "phases.fits", &r->phase->fits[r->phase->n_fits]));
    r->phase->n_fits++;
    return OK;
}

enum err read_phase(struct reader *r, const struct node *n)
{
    struct phase *p = &r->s->phases[r->s->n_phases];
    char path[CONFIG_PATH + 8];
    r->phase = p;
    TRY(read_group(r, n, "phases", p));
    snprintf(path, sizeof path, "%s.name", n->path);
    for (const struct phase *q = r->s->phases; q < p; q++)
        if (strcmp(q->name, p->name) == 0)
            return places_fail(&r->tree->places, path, "a name that no other phase has",
                               "\"%s\" again", p->name);
    if (p->n_scales == 0) {
        p->n_scales = r->s->n_scales;
        memcpy(p->scales, r->s->scales, sizeof p->scales);
    }
    r->s->n_phases++;
    return OK;
}

enum err read_other(struct reader *r, const struct node *n, void *base)
{
    const char *path = n->key->path;
    if (strcmp(path, "scales") == 0)
        return read_scales(r, n);
    if (strcmp(path, "data.paths") == 0)
        return read_paths(r, n);
    if (strcmp(path, "init.from") == 0)
        return read_init_from(r, n);
    if (strcmp(path, "prior.table") == 0)
        return read_prior_table(r, n);
    if (strcmp(path, "arch.*") == 0)
        return read_arch(r, n);
    if (strcmp(path, "free.*") == 0)
        return read_free(r, n);
    if (strcmp(path, "tolerance.*") == 0)
        return read_tolerance(r, n);
    if (strcmp(path, "start.*") == 0)
        return read_start(r, n);
    if (strcmp(path, "phases.scales") == 0)
        return read_phase_scales(r, n);
    if (strcmp(path, "phases.after") == 0)
        return read_after(r, n);
    if (strcmp(path, "phases.early_stop.at") == 0)
        return read_stop_at(r, n);
    if (strcmp(path, "phases.set.*") == 0)
        return read_setting(r, n, r->phase->set, &r->phase->n_set);
    if (strcmp(path, "phases.axes.var") == 0)
        return read_var(r, n);
    if (strcmp(path, "phases.axes.values") == 0)
        return read_axis_values(r, n, false);
    if (strcmp(path, "phases.axes.fractions") == 0)
        return read_axis_values(r, n, true);
    if (strcmp(path, "phases.axes.around") == 0)
        return read_around(r, n);
    ASSERT(strcmp(path, "phases.fits.axis") == 0);
    return read_fit_axis(r, n, base);
}
