// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/recommend.h"
#include "core/executed.h"
#include "core/json.h"
#include "core/search.h"
#include "orchestrator/recommend_choice.h"
#include "orchestrator/recommend_spec.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What every structure of a sweep is judged by: its laws at one budget.
struct basis {
    struct recommend_spec spec;
    struct wish w;
    double C, top; // budget, and the largest trained
    json_t *loss;  // of the best structure; owned
};

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
static void ask_for_d(const struct recommend_spec *s, const struct wish *w, json_t *law_d,
                      json_t *asked)
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
        if (json_is_number(f) && wish_solve(&s->solve, &at, NULL, &sol, NULL, NULL) == OK)
            d[i] = (double)sol.arch.d;
    }
    if (isfinite(d[0]))
        json_object_set_new(asked, "d", json_interval(d[0], d[1], d[2]));
}

// The nearest structure; tolerances are doubled, and that is said, until one exists.
static enum err nearest(struct recommend_spec *s, const struct wish *w, struct solution *sol,
                        json_t *notes)
{
    enum { MAX_DOUBLINGS = 3 };
    for (int i = 0; i <= MAX_DOUBLINGS; i++) {
        enum err e = wish_solve(&s->solve, w, NULL, sol, NULL, NULL);
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

// ---- what moving off an optimum costs

// A fit of the largest scale at which this axis has a bracketed optimum with an edge of its
// band inside the range tried; NULL if none.
static const json_t *fit_of(const json_t *law, const char *axis)
{
    const json_t *found = NULL;
    double largest = 0;
    size_t i, k;
    json_t *cell, *fit;
    json_array_foreach(json_object_get(law, "cells"), i, cell)
        json_array_foreach(json_object_get(cell, "fits"), k, fit)
    {
        const json_t *band = json_object_get(fit, "band");
        bool closed = !jtrue(band, "lo_open") || !jtrue(band, "hi_open");
        if (strcmp(jstr(fit, "axis"), axis) == 0 &&
            strcmp(jstr(fit, "verdict"), "interior") == 0 && closed &&
            jnum(cell, "C") >= largest) {
            largest = jnum(cell, "C");
            found = fit;
        }
    }
    return found;
}

// The fitted curve between its optimum and the edge of its band, as a parabola in the
// logarithm: the band's tolerance at its edge. 0: that edge is open.
static double side(const json_t *fit, const char *edge, const char *open)
{
    const json_t *band = json_object_get(fit, "band");
    double at = jnum(json_object_get(fit, "optimum"), "value"),
           off = log(jnum(band, edge) / at);
    double k = jnum(band, "tolerance") / (off * off);
    return jtrue(band, open) || !(k > 0) || !isfinite(k) ? 0 : k;
}

// How firmly the search holds on to what a sweep asks for without knowing what it is worth, in
// ln loss per square of ln: 3 % off weighs 1e-5.
#define HOLD 1e-2

static void add_term(const json_t *law, int q, double at, struct surface *s)
{
    struct surface_term t = {.q = q, .at = at};
    const json_t *fit = fit_of(law, quantity_name(q));
    if (fit) {
        t.k_lo = side(fit, "lo", "lo_open");
        t.k_hi = side(fit, "hi", "hi_open");
        t.k_lo = t.k_lo > 0 ? t.k_lo : t.k_hi;
        t.k_hi = t.k_hi > 0 ? t.k_hi : t.k_lo;
        t.tolerance = jnum(json_object_get(fit, "band"), "tolerance");
    }
    s->term[s->n_terms++] = t;
    if (!(t.k_lo > 0))
        s->pull[s->n_pulls++] = (struct surface_pull){q, at, HOLD};
}

static void surface_of_sweep(const json_t *law, const struct basis *b, const json_t *asked,
                             const struct solution *plain, struct surface *s)
{
    double best = jnum(b->loss, "predicted");
    *s = (struct surface){.C = b->C, .ln_best = best > 0 ? log(best) : 0};
    for (int i = 0; i < N_COORDS; i++)
        if (b->w.coord[i] > 0)
            add_term(law, QUANTITY_COORD(i), b->w.coord[i], s);
    for (int i = 0; i < N_DIMS; i++) {
        double at = i == DIM_d ? jnum(json_object_get(asked, "d"), "value") : b->w.dim[i];
        if (at > 0)
            add_term(law, QUANTITY_DIM(i), at, s);
    }
    if (isnan(b->w.dim[DIM_d]) &&
        !json_object_get(asked, "d")) // the median of what is feasible
        s->pull[s->n_pulls++] =
            (struct surface_pull){QUANTITY_DIM(DIM_d), (double)plain->arch.d, HOLD};
}

// What the sweep varied, and what it held.
static void ranges_of_sweep(const struct basis *b, const struct solution *plain,
                            struct range r[N_DIMS])
{
    const struct solve_spec *s = &b->spec.solve;
    for (int i = 0; i < N_DIMS; i++) {
        int64_t v = arch_dim_get(&plain->arch, (enum arch_dim)i);
        bool follows = (i == DIM_d_d || i == DIM_N_kv) &&
                       arch_dim_get(&s->base, (enum arch_dim)i) == ARCH_UNSET &&
                       isnan(b->w.dim[i]) && isnan(b->w.last[i]);
        r[i] = (struct range){follows ? RANGE_FOLLOWS : RANGE_STEPS, follows ? 0 : v,
                              follows ? 0 : v, 1, 0};
    }
    for (int i = 0; i < s->n_free; i++) {
        const struct solve_free *f = &s->free[i];
        if (f->dim == DIM_d || isnan(b->w.dim[f->dim]))
            r[f->dim] = (struct range){RANGE_STEPS, f->lo, f->hi, f->step, 0};
    }
}

// ---- the whole

static enum err read_basis(json_t *law, const char *source, double C, struct basis *b,
                           json_t *asked, json_t *notes)
{
    json_t *laws;
    memset(b, 0, sizeof *b);
    TRY(recommend_spec_read(law, source, C, &b->spec));
    b->C = C > 0 ? C : b->spec.budget;
    TRY(json_get_obj(law, source, "laws", true, &laws));
    ENSURE(json_object_get(laws, "M") || json_object_get(laws, "N_a"), ERR_INPUT,
           "%s: holds no law for the size of a model (M or N_a): no phase adopted one", source);
    b->w = b->spec.start;
    TRY(wishes_at(laws, source, b->C, &b->w, asked));
    b->top = jnum_at(json_object_get(json_object_get(law, "range"), "C"), 1);
    ENSURE(b->top > 0, ERR_INPUT, "%s: no run ended well, so there is nothing to go by",
           source);
    if (b->C > b->top)
        json_array_append_new(
            notes, json_sprintf("EXTRAPOLATION: %.3g times beyond the largest budget "
                                "trained (%.3g).",
                                b->C / b->top, b->top));
    b->loss = loss_at(law, b->C, notes);
    return OK;
}

// How the structure is trained, and how near it comes to what the laws ask for.
static enum err describe(const struct basis *b, const char *source, const struct solution *sol,
                         double cost, json_t *doc)
{
    double C = b->C;
    struct training t = wish_training(&b->w, &b->spec.lr, &b->spec.batch_tokens, sol, C);
    ENSURE(t.batch_tokens >= 1 && t.batch_tokens <= 0x1p53 && t.lr > 0 && isfinite(t.lr),
           ERR_INPUT,
           "%s: at C = %.4g its rules give a batch of %g tokens and a learning rate of %g",
           source, C, t.batch_tokens, t.lr);
    ENSURE(t.tokens >= t.batch_tokens && t.tokens <= 0x1p62, ERR_INPUT,
           "%s: C = %.4g pays for %.3g tokens of this structure, expected at least one batch "
           "(%.6g)",
           source, C, t.tokens, t.batch_tokens);
    json_t *dev = json_object();
    for (int i = 0; i < N_COORDS; i++)
        if (!isnan(sol->deviation[i]))
            json_object_set_new(dev, coord_name((enum coord)i), json_num(sol->deviation[i]));
    json_object_set_new(doc, "C", json_real(C));
    json_object_set_new(doc, "extrapolation", json_real(C / b->top));
    json_object_set_new(doc, "in_range", json_boolean(C <= b->top));
    json_object_set_new(doc, "arch", arch_to_json(&sol->arch));
    struct job job = executed_job(&sol->arch, b->spec.model.tied, (int64_t)t.batch_tokens);
    job.model = b->spec.model;
    json_object_set_new(doc, "counts", executed_report_json(&job));
    json_object_set_new(doc, "deviation", dev);
    const char *const keys[] = {"predicted", "lo", "hi"};
    json_t *loss = json_object();
    for (int i = 0; i < 3; i++)
        json_object_set_new(loss, keys[i], json_num(jnum(b->loss, keys[i]) * (1 + cost)));
    json_object_set_new(doc, "loss", loss);
    json_object_set_new(doc, "train",
                        json_pack("{s:f, s:f, s:f}", "tokens", t.tokens, "batch_tokens",
                                  t.batch_tokens, "lr", t.lr));
    return OK;
}

static enum err build(json_t *law, const char *source, const struct ask *ask, struct basis *b,
                      json_t *doc, json_t *notes)
{
    struct solution sol;
    struct choosing c = {0};
    struct ask with = *ask;
    json_t *asked = json_object();
    json_object_set_new(doc, "asked", asked);
    TRY(read_basis(law, source, ask->C, b, asked, notes));
    enum err e = nearest(&b->spec, &b->w, &sol, notes);
    if (e != OK)
        return err_prefix(e, "%s: at C = %.4g (M = %.4g, x = %.3g, y = %.3g)", source, b->C,
                          b->w.coord[COORD_M], b->w.coord[COORD_x], b->w.coord[COORD_y]);
    ask_for_d(&b->spec, &b->w, json_object_get(json_object_get(law, "laws"), "d"), asked);
    surface_of_sweep(law, b, asked, &sol, &c.surface);
    c.model = b->spec.model;
    c.start = sol.arch;
    c.has_start = true;
    ranges_of_sweep(b, &sol, c.range);
    if (!(with.max_total_params > 0) && (double)sol.counts.N > b->spec.max_total_params)
        with.max_total_params = b->spec.max_total_params;
    TRY(ask_model(&with, &c.model));
    b->spec.model = c.model;
    TRY(ask_constrain(&with, &c));
    // What the laws ask for, where it keeps every constraint as it is.
    struct choice chosen = {.arch = sol.arch};
    quantity_all(&sol.arch, &c.model, b->C, c.per_token, chosen.q);
    bool keeps = c.n_constraints == 0 || choose_keeps(&c, &sol.arch);
    TRY(recommend_choose(&c, &with, keeps ? &chosen : NULL, &chosen, doc, notes));
    if (!keeps) {
        memcpy(b->spec.solve.want, b->w.coord, sizeof b->spec.solve.want);
        sol = search_solution(&b->spec.solve, &chosen.arch);
    }
    double ln_loss = surface_ln_loss(&c.surface, chosen.q);
    return describe(b, source, &sol, expm1(ln_loss - c.surface.ln_best), doc);
}

enum err recommend_sweep(json_t *law, const char *source, const struct ask *ask, json_t **out)
{
    int64_t v = 0;
    struct basis b;
    TRY(json_get_i64(law, source, "v", true, 1, 1, &v));
    const char *name = json_string_value(json_object_get(law, "sweep"));
    json_t *notes = json_array();
    json_t *doc = json_pack("{s:i, s:s}", "v", 1, "sweep", name ? name : "");
    memset(&b, 0, sizeof b);
    enum err e = build(law, source, ask, &b, doc, notes);
    json_decref(b.loss);
    json_object_set_new(doc, "notes", notes);
    if (e == OK)
        *out = doc;
    else
        json_decref(doc);
    return e;
}
