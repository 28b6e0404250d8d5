// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/recommend.h"
#include "core/executed.h"
#include "core/json.h"
#include "orchestrator/candidate.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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
    *out = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o, s:b}", "base", base, "free",
                     free_dims, "tolerance", tol, "start", start, "lr", rule_json(&cfg->lr),
                     "batch_tokens", rule_json(&cfg->batch_tokens), "budget",
                     cfg->recommend.budget_factor * cfg->scales[cfg->n_scales - 1],
                     "max_total_params", limit > 0 ? json_real(limit) : json_null(), "tied",
                     cfg->base.model.tied);
    ENSURE(*out, ERR_FAILED, "out of memory");
    return OK;
}

struct spec {
    struct solve_spec solve;
    struct wish start;
    struct rule lr, batch_tokens;
    double budget, max_total_params;
    bool tied;
};

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

static enum err spec_read(json_t *law, const char *ctx, double C, struct spec *out)
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
    TRY(json_get_bool(spec, ctx, "tied", true, &out->tied));
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

// ---- values at a budget

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double quantile(const double *sorted, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i])
                     : sorted[n - 1];
}

// 95 % interval of the finite ones among v[n], which is sorted; NaN without any.
static void interval_of(double *v, size_t n, double *lo, double *hi)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(v[i]))
            v[m++] = v[i];
    *lo = *hi = NAN;
    if (m == 0)
        return;
    qsort(v, m, sizeof *v, by_value);
    *lo = quantile(v, m, 0.025);
    *hi = quantile(v, m, 0.975);
}

void recommend_predict(const json_t *law, double X, double *value, double *lo, double *hi)
{
    double k = json_number_value(json_object_get(law, "k"));
    double p = json_number_value(json_object_get(law, "p"));
    const json_t *boot = json_object_get(law, "boot"),
                 *fixed = json_object_get(law, "constant");
    *value = k * pow(X, p);
    size_t n = json_array_size(boot);
    double *v = calloc(n + 1, sizeof *v);
    for (size_t i = 0; v && i < n; i++)
        v[i] = exp(jnum_at(json_array_get(boot, i), 0) +
                   jnum_at(json_array_get(boot, i), 1) * log(X));
    interval_of(v, v ? n : 0, lo, hi);
    free(v);
    if (n == 0 && json_is_number(json_object_get(fixed, "lo"))) {
        *lo = json_number_value(json_object_get(fixed, "lo")) * pow(X, p);
        *hi = json_number_value(json_object_get(fixed, "hi")) * pow(X, p);
    }
}

// Every law's value at C becomes a wish; asked records value and interval.
static enum err wishes_at(json_t *laws, const char *ctx, double C, struct wish *w,
                          json_t *asked)
{
    const double most = 1e300;
    const char *name;
    json_t *law;
    json_object_foreach(laws, name, law)
    {
        double v, lo, hi;
        struct wish upper;
        struct var var;
        bool band = strchr(name, '.') != NULL, moves = var_find(name, &var); // D follows from M
        if (!band && !moves && strcmp(name, "D") != 0)
            continue;
        char place[64];
        double unused;
        snprintf(place, sizeof place, "laws.%.40s", name);
        if (json_get_num(law, place, "k", true, 0, most, &unused) != OK ||
            json_get_num(law, place, "p", true, -100, 100, &unused) != OK)
            return err_prefix(ERR_INPUT, "%s", ctx);
        recommend_predict(law, C, &v, &lo, &hi);
        json_t *fraction = json_object_get(law, "fraction");
        if (strcmp(name, "d") == 0 && json_is_number(fraction)) {
            var.kind = VAR_D_FRACTION;
            if (json_get_num(law, place, "fraction", true, 0, 1, &v) != OK)
                return err_prefix(ERR_INPUT, "%s", ctx);
            lo = hi = NAN;
        } else {
            json_object_set_new(asked, name, json_interval(v, lo, hi));
        }
        if (!moves || !isfinite(v))
            continue;
        wish_init(&upper);
        wish_set(&upper, &var, v);
        wish_layer(w, &upper);
    }
    return OK;
}

static json_t *loss_at(json_t *law, double C, json_t *notes)
{
    json_t *loss = json_object_get(law, "loss"), *power = json_object_get(loss, "power");
    json_t *boot = json_object_get(loss, "boot");
    double value = NAN, lo = NAN, hi = NAN;
    if (json_is_true(json_object_get(loss, "converged"))) {
        double E = json_number_value(json_object_get(json_object_get(loss, "E"), "value"));
        double A = json_number_value(json_object_get(json_object_get(loss, "A"), "value"));
        double p = json_number_value(json_object_get(json_object_get(loss, "p"), "value"));
        size_t n = json_array_size(boot);
        double *v = calloc(n + 1, sizeof *v);
        for (size_t i = 0; v && i < n; i++)
            v[i] = jnum_at(json_array_get(boot, i), 0) +
                   jnum_at(json_array_get(boot, i), 1) *
                       pow(C, -jnum_at(json_array_get(boot, i), 2));
        value = E + A * pow(C, -p);
        interval_of(v, v ? n : 0, &lo, &hi);
        free(v);
    } else if (json_is_number(json_object_get(power, "k"))) {
        value = json_number_value(json_object_get(power, "k")) *
                pow(C, json_number_value(json_object_get(power, "p")));
        json_array_append_new(notes,
                              json_string("The loss is predicted by a pure power law without "
                                          "irreducible loss, and is optimistic."));
    }
    return json_pack("{s:o, s:o, s:o}", "predicted", json_num(value), "lo", json_num(lo), "hi",
                     json_num(hi));
}

// A width that is carried as a place in the feasible list: the d that stand there at this
// budget.
static void ask_for_d(const struct spec *s, const struct wish *w, json_t *law_d, json_t *asked)
{
    static const char *const names[] = {"fraction", "fraction_lo", "fraction_hi"};
    double d[3];
    for (int i = 0; i < 3; i++) {
        json_t *f = json_object_get(law_d, names[i]);
        struct wish at = *w;
        struct solution sol;
        d[i] = NAN;
        at.dim[DIM_d] = NAN;
        at.d_fraction = json_number_value(f);
        if (json_is_number(f) && wish_solve(&s->solve, &at, &sol, NULL, NULL) == OK)
            d[i] = (double)sol.arch.d;
    }
    if (isfinite(d[0]))
        json_object_set_new(asked, "d", json_interval(d[0], d[1], d[2]));
}

// The nearest structure; tolerances are doubled, and that is said, until one exists.
static enum err nearest(struct spec *s, const struct wish *w, struct solution *sol,
                        json_t *notes)
{
    enum { MAX_DOUBLINGS = 3 };
    for (int i = 0; i <= MAX_DOUBLINGS; i++) {
        enum err e = wish_solve(&s->solve, w, sol, NULL, NULL);
        if (e != ERR_INPUT || i == MAX_DOUBLINGS)
            return e;
        for (int c = 0; c < N_COORDS; c++)
            s->solve.tol[c] *= 2;
        json_array_append_new(notes,
                              json_sprintf("No integer structure lies within the sweep's "
                                           "tolerances; tolerances x %d.",
                                           2 << i));
    }
    return OK;
}

// Fewer experts, as the structure has more parameters than it may: y gives way, M and x stay.
static enum err limit_total(struct spec *s, struct wish *w, double most, struct solution *sol,
                            json_t *notes)
{
    double N_a = (double)sol->counts.N_a;
    struct wish upper;
    ENSURE(most > N_a, ERR_INPUT, "max_total_params = %.4g: %.4g parameters are active already",
           most, N_a);
    wish_init(&upper);
    upper.coord[COORD_y] = most / N_a;
    wish_layer(w, &upper);
    json_array_append_new(notes,
                          json_sprintf("y is limited to %.3g by max_total_params = %.4g.",
                                       upper.coord[COORD_y], most));
    TRY(nearest(s, w, sol, notes));
    if ((double)sol->counts.N > most)
        json_array_append_new(
            notes, json_sprintf("N exceeds it by %.2g %%, within the tolerance of y.",
                                100 * ((double)sol->counts.N / most - 1)));
    return OK;
}

static enum err build(json_t *law, const char *source, double C, double max_total, json_t *doc,
                      json_t *notes)
{
    struct spec s;
    json_t *laws, *asked = json_object();
    json_object_set_new(doc, "asked", asked);
    TRY(spec_read(law, source, C, &s));
    if (C <= 0)
        C = s.budget;
    if (max_total <= 0)
        max_total = s.max_total_params;
    TRY(json_get_obj(law, source, "laws", true, &laws));
    ENSURE(json_object_get(laws, "M") || json_object_get(laws, "N_a"), ERR_INPUT,
           "%s: holds no law for the size of a model (M or N_a): no phase adopted one", source);
    struct wish w = s.start;
    TRY(wishes_at(laws, source, C, &w, asked));
    struct solution sol;
    enum err e = nearest(&s, &w, &sol, notes);
    if (e == OK && max_total > 0 && (double)sol.counts.N > max_total)
        e = limit_total(&s, &w, max_total, &sol, notes);
    if (e != OK)
        return err_prefix(e, "%s: at C = %.4g (M = %.4g, x = %.3g, y = %.3g)", source, C,
                          w.coord[COORD_M], w.coord[COORD_x], w.coord[COORD_y]);
    ask_for_d(&s, &w, json_object_get(laws, "d"), asked);
    struct training t = wish_training(&w, &s.lr, &s.batch_tokens, &sol, C);
    ENSURE(t.batch_tokens >= 1 && t.batch_tokens <= 0x1p53 && t.lr > 0 && isfinite(t.lr),
           ERR_INPUT,
           "%s: at C = %.4g its rules give a batch of %g tokens and a learning rate of %g",
           source, C, t.batch_tokens, t.lr);
    ENSURE(t.tokens >= t.batch_tokens && t.tokens <= 0x1p62, ERR_INPUT,
           "%s: C = %.4g pays for %.3g tokens of this structure, expected at least one batch "
           "(%.6g)",
           source, C, t.tokens, t.batch_tokens);
    double top = json_number_value(
        json_array_get(json_object_get(json_object_get(law, "range"), "C"), 1));
    ENSURE(top > 0, ERR_INPUT, "%s: no run ended well, so there is nothing to go by", source);
    if (C > top)
        json_array_append_new(
            notes, json_sprintf("EXTRAPOLATION: %.3g times beyond the largest budget "
                                "trained (%.3g).",
                                C / top, top));
    json_t *dev = json_object();
    for (int i = 0; i < N_COORDS; i++)
        if (!isnan(sol.deviation[i]))
            json_object_set_new(dev, coord_name((enum coord)i), json_num(sol.deviation[i]));
    json_object_set_new(doc, "C", json_real(C));
    json_object_set_new(doc, "extrapolation", json_real(C / top));
    json_object_set_new(doc, "in_range", json_boolean(C <= top));
    json_object_set_new(doc, "arch", arch_to_json(&sol.arch));
    struct job job = executed_job(&sol.arch, s.tied, (int64_t)t.batch_tokens);
    json_object_set_new(doc, "counts", executed_report_json(&job));
    json_object_set_new(doc, "deviation", dev);
    json_object_set_new(doc, "loss", loss_at(law, C, notes));
    json_object_set_new(doc, "train",
                        json_pack("{s:f, s:f, s:f}", "tokens", t.tokens, "batch_tokens",
                                  t.batch_tokens, "lr", t.lr));
    return OK;
}

enum err recommend_build(json_t *law, const char *source, double C, double max_total_params,
                         json_t **out)
{
    int64_t v = 0;
    TRY(json_get_i64(law, source, "v", true, 1, 1, &v));
    const char *name = json_string_value(json_object_get(law, "sweep"));
    json_t *notes = json_array();
    json_t *doc = json_pack("{s:i, s:s}", "v", 1, "sweep", name ? name : "");
    enum err e = build(law, source, C, max_total_params, doc, notes);
    json_object_set_new(doc, "notes", notes);
    if (e == OK)
        *out = doc;
    else
        json_decref(doc);
    return e;
}

static void row(FILE *f, const json_t *arch, const char *name, const char *what, double got)
{
    const json_t *a = json_object_get(json_object_get(arch, "asked"), name);
    const json_t *lo = json_object_get(a, "lo"), *hi = json_object_get(a, "hi");
    fprintf(f, "  %-4s %-34s %12.5g", name, what, got);
    if (json_is_number(lo) && json_is_number(hi))
        fprintf(f, "   law %.4g, 95 %% %.4g to %.4g",
                json_number_value(json_object_get(a, "value")), json_number_value(lo),
                json_number_value(hi));
    else if (json_is_number(json_object_get(a, "value")))
        fprintf(f, "   law %.4g, no interval", json_number_value(json_object_get(a, "value")));
    fputc('\n', f);
}

enum err recommend_text(const json_t *arch, char **out)
{
    size_t size;
    FILE *f = open_memstream(out, &size);
    ENSURE(f, ERR_FAILED, "out of memory");
    const json_t *c = json_object_get(arch, "counts"), *dims = json_object_get(arch, "arch"),
                 *v;
    const json_t *train = json_object_get(arch, "train"), *loss = json_object_get(arch, "loss");
    double ratio = json_number_value(json_object_get(arch, "extrapolation"));
    fprintf(f, "Recommended architecture for C = %.4g FLOPs%s",
            json_number_value(json_object_get(arch, "C")),
            ratio > 1 ? "" : " (inside the range trained)\n");
    if (ratio > 1)
        fprintf(f, " -- EXTRAPOLATION, %.3g times the largest budget trained\n", ratio);
    static const struct {
        const char *name, *what;
    } rows[] = {{"M", "FLOPs per token"},  {"N_a", "active parameters"},
                {"N", "total parameters"}, {"x", "M/N_a, compute density"},
                {"y", "N/N_a, expansion"}, {"r", "feed-forward / attention FLOPs"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        row(f, arch, rows[i].name, rows[i].what,
            json_number_value(json_object_get(c, rows[i].name)));
    row(f, arch, "D", "training tokens", json_number_value(json_object_get(train, "tokens")));
    row(f, arch, "d", "hidden dimension", json_number_value(json_object_get(dims, "d")));
    fprintf(f, "  structure:");
    for (int i = 0; i < N_DIMS; i++) {
        v = json_object_get(dims, arch_dim_name((enum arch_dim)i));
        fprintf(f, " %s=%lld", arch_dim_name((enum arch_dim)i),
                (long long)json_integer_value(v));
    }
    fprintf(f, "\n  training: lr %.3g, batch %.6g tokens",
            json_number_value(json_object_get(train, "lr")),
            json_number_value(json_object_get(train, "batch_tokens")));
    if (json_is_number(json_object_get(loss, "predicted")))
        fprintf(f, "; predicted loss %.4g nats per token",
                json_number_value(json_object_get(loss, "predicted")));
    if (json_is_number(json_object_get(loss, "lo")))
        fprintf(f, ", 95 %% %.4g to %.4g", json_number_value(json_object_get(loss, "lo")),
                json_number_value(json_object_get(loss, "hi")));
    fputc('\n', f);
    size_t i;
    json_array_foreach(json_object_get(arch, "notes"), i, v)
        fprintf(f, "  note: %s\n", json_string_value(v));
    bool ok = fclose(f) == 0;
    ENSURE(ok, ERR_FAILED, "out of memory");
    return OK;
}
