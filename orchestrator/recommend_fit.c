// SPDX-License-Identifier: GPL-3.0-or-later
// recommend from a law that was fitted to anyone's runs: which dimensions it determines, what
// the others are, and where it extrapolates.
#include "core/json.h"
#include "orchestrator/bands.h"
#include "orchestrator/recommend.h"
#include "orchestrator/recommend_choice.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

// Conventions for what a law does not see, and how far from them a structure may be: beyond,
// nothing that the law was fitted to is like it. d/L: 128 as in GPT-3 and the Llamas; (K +
// n_shared) d_m/d: the middle of 3 to 5, in which arXiv 2603.21862 (appendix E) sees less than
// .5 % of loss. A shape that is 10 % off weighs as much as 1e-5 of loss, or as a size 3 % off.
static const struct convention {
    int q;
    const char *name;
    double at, least, most;
} aspect = {QUANTITY_aspect, "d/L", 128, 16, 512},
  width = {QUANTITY_width, "(K + n_shared) d_m/d", 4, 2, 8};
#define WEIGHT 1e-3
// N/N_a where a law sees total parameters, which cost no FLOPs, but no share of them: the end
// of the practical range of arXiv 2509.23678, N_a/N of 5 to 9 %.
#define EXPANSION 20
// The holistic paper's table: heads of 64 up to 1e19 FLOPs, of 128 from 3e19 on.
#define WIDE_HEADS 2e19

enum { N_E_MOST = 1024, EXPERTS = 64, ACTIVE = 8, LAYERS = 256, LENGTH = 8192 };

static bool sees(const struct surface *s, const int *list, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any = any || surface_sees(s, list[i]);
    return any;
}
#define SEES(s, ...)                                                                           \
    sees(s, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))
#define DIM(name) QUANTITY_DIM(DIM_##name)
#define COORD(name) QUANTITY_COORD(COORD_##name)

static struct range fixed(int64_t v)
{
    return (struct range){RANGE_STEPS, v, v, 1, 0};
}

static struct range steps(int64_t lo, int64_t hi, int64_t step)
{
    return (struct range){RANGE_STEPS, lo, hi, step, 0};
}

static bool wants_experts(const struct surface *s, const struct arch *set)
{
    return SEES(s, COORD(N), COORD(y), COORD(z), COORD(G), COORD(s), COORD(g), QUANTITY_E,
                QUANTITY_A, QUANTITY_width, QUANTITY_params, DIM(N_e), DIM(K), DIM(n_shared),
                DIM(d_m), DIM(L_m)) ||
           set->N_e > 1 || set->K > 1 || set->n_shared > 0 || set->d_m > 1 || set->L_m > 0;
}

// Which dimensions move: what the law sees, and depth, width and experts' width to reach a
// size.
static void ranges(const struct surface *s, const struct arch *set, double C,
                   struct range r[N_DIMS])
{
    const struct range follows = {RANGE_FOLLOWS, 0, 0, 1, 0};
    bool moe = wants_experts(s, set) && set->L_m != 0;
    bool experts = SEES(s, COORD(N), COORD(y), COORD(z), QUANTITY_E, QUANTITY_A,
                        QUANTITY_params, DIM(N_e));
    bool active = SEES(s, COORD(G), COORD(s), COORD(g), DIM(K));
    bool shared = SEES(s, COORD(s), DIM(n_shared));
    r[DIM_S] = fixed(LENGTH);
    r[DIM_V] = fixed(0);
    r[DIM_d] = steps(64, 32768, 64);
    r[DIM_d_qkv] = fixed(C < WIDE_HEADS ? 64 : 128);
    r[DIM_N_q] = r[DIM_N_kv] = r[DIM_d_d] = follows;
    r[DIM_L_d] = moe ? fixed(1) : steps(1, LAYERS, 1);
    r[DIM_L_m] = moe ? steps(1, LAYERS, 1) : fixed(0);
    r[DIM_d_m] = moe ? steps(8, 32768, 8) : fixed(1);
    r[DIM_N_e] = !moe ? fixed(1) : experts ? steps(2, N_E_MOST, 2) : fixed(EXPERTS);
    r[DIM_K] = !moe ? fixed(1) : active ? steps(1, 32, 1) : fixed(ACTIVE);
    r[DIM_n_shared] = !moe ? fixed(0) : shared ? steps(0, 8, 1) : fixed(1);
}

static enum err hold(struct choosing *c, const struct ask *ask, const struct convention *v)
{
    struct surface *s = &c->surface;
    struct constraint k = {
        .kind = CONSTRAINT_LIMIT, .q = v->q, .least = v->least, .most = v->most};
    s->pull[s->n_pulls++] = (struct surface_pull){v->q, v->at, WEIGHT};
    if (ask->extrapolate)
        return OK;
    return ask_add(c, k, "%s from %g to %g, by convention (--extrapolate)", v->name, v->least,
                   v->most);
}

static enum err conventions(struct choosing *c, const struct ask *ask)
{
    const struct surface *s = &c->surface;
    if (!SEES(s, QUANTITY_aspect, QUANTITY_L, DIM(d), DIM(L_d), DIM(L_m)))
        TRY(hold(c, ask, &aspect));
    if (c->range[DIM_L_m].hi > 0 && !SEES(s, COORD(r), QUANTITY_width, DIM(d_m)))
        TRY(hold(c, ask, &width));
    return OK;
}

// A law is believed about proportions inside its data alone.
static enum err inside_data(struct choosing *c, const struct fit_file *f)
{
    const char *const *names;
    const int n = law_vars(f->fit.law, &names);
    for (int k = 0; k < n; k++) {
        struct constraint in = {
            .kind = CONSTRAINT_DATA, .var = k, .least = f->lo[k], .most = f->hi[k]};
        if (bands_proportion(&c->surface, k))
            TRY(ask_add(c, in, "%s inside the data, %.4g to %.4g (--extrapolate)", names[k],
                        f->lo[k], f->hi[k]));
    }
    return OK;
}

static enum err limit_expansion(struct choosing *c, const struct ask *ask)
{
    const struct surface *s = &c->surface;
    bool total = SEES(s, COORD(N), QUANTITY_params);
    bool share = SEES(s, COORD(y), COORD(z), QUANTITY_E, QUANTITY_A, DIM(N_e));
    struct constraint k = {.kind = CONSTRAINT_LIMIT, .q = COORD(y), .most = EXPANSION};
    if (!(ask->max_expansion > 0) && total && !share && c->range[DIM_L_m].hi > 0)
        TRY(ask_add(c, k, "N/N_a at most %d, by default (--max-expansion)", EXPANSION));
    return OK;
}

// ---- what is said beside the structure

static json_t *map_json(const struct surface *s)
{
    const char *const *names;
    const int n = law_vars(s->fit->fit.law, &names);
    json_t *map = json_object();
    for (int k = 0; k < n; k++)
        json_object_set_new(map, names[k], json_string(s->text[k]));
    return map;
}

static void note_map(const struct surface *s, json_t *notes)
{
    const char *const *names;
    const int n = law_vars(s->fit->fit.law, &names);
    for (int k = 0; k < n; k++)
        if (strcmp(names[k], s->text[k]) != 0)
            json_array_append_new(notes, json_sprintf("The law's %s is taken as %s (--map).",
                                                      names[k], s->text[k]));
}

// What the budget pays for, and what a run of it executes.
static void note_budget(const struct choosing *c, const struct choice *chosen, json_t *doc,
                        json_t *notes)
{
    double C = c->surface.C, run = chosen->q[QUANTITY_COORD(COORD_M)] * chosen->q[QUANTITY_D];
    json_object_set_new(doc, "flops", json_num(run));
    if (c->per_token == TOKEN_M)
        json_array_append_new(
            notes, json_string("D = C/M: attention scores, which the law does not know, are "
                               "paid from the budget; shapes with few of them look better than "
                               "they may be."));
    else
        json_array_append_new(
            notes,
            json_sprintf("D = C/(6 N_a), as in moesweep predict; with attention scores of "
                         "S = %lld the run takes %.4g FLOPs, %.3g times C (--scores "
                         "counts them).",
                         (long long)chosen->arch.S, run, run / C));
}

static void note_beyond(const char *name, double v, double lo, double hi, json_t *notes)
{
    const double slack = 1 + 1e-9;
    if (v > hi * slack)
        json_array_append_new(notes, json_sprintf("EXTRAPOLATION: %s = %.4g, %.3g times beyond "
                                                  "the largest in the data (%.4g).",
                                                  name, v, v / hi, hi));
    if (v < lo / slack)
        json_array_append_new(notes,
                              json_sprintf("EXTRAPOLATION: %s = %.4g, below the least in "
                                           "the data (%.4g) by a factor of %.3g.",
                                           name, v, lo, lo / v));
}

static void note_range(const struct fit_file *f, const struct surface *s,
                       const struct choice *chosen, json_t *doc, json_t *notes)
{
    const char *const *names;
    const int n = law_vars(f->fit.law, &names);
    double x[LAW_MAX_VARS], C = s->C;
    bool known = isfinite(f->C_hi);
    surface_vars(s, chosen->q, x);
    for (int k = 0; k < n; k++)
        note_beyond(names[k], x[k], f->lo[k], f->hi[k], notes);
    if (known)
        note_beyond("C", C, f->C_lo, f->C_hi, notes);
    json_object_set_new(doc, "extrapolation", json_num(known ? C / f->C_hi : NAN));
    json_object_set_new(doc, "in_range", json_boolean(known && C <= f->C_hi && C >= f->C_lo));
    if (!f->fit.converged)
        json_array_append_new(notes, json_string("The fit of the law did not converge."));
    if (!f->fit.n_boot)
        json_array_append_new(notes,
                              json_string("The law's file holds no resamples: no "
                                          "intervals (moesweep fit --save keeps them)."));
}

static bool is_set(const struct choosing *c, enum arch_dim dim)
{
    bool set = false;
    for (int i = 0; i < c->n_constraints; i++)
        set = set || (c->constraint[i].kind == CONSTRAINT_SET && c->constraint[i].dim == dim);
    return set;
}

// Dimensions that neither the law nor the user decides.
static json_t *undetermined(const struct choosing *c, const struct choice *chosen,
                            json_t *notes)
{
    json_t *list = json_array();
    char text[256] = "";
    size_t used = 0;
    bool dense = chosen->arch.L_m == 0;
    for (int i = 0; i < N_DIMS; i++) {
        bool moves = c->range[i].kind != RANGE_FOLLOWS && c->range[i].lo < c->range[i].hi;
        bool absent = dense && (i == DIM_L_m || i == DIM_d_m || i == DIM_N_e || i == DIM_K ||
                                i == DIM_n_shared);
        if (moves || absent || is_set(c, (enum arch_dim)i))
            continue;
        const char *name = arch_dim_name((enum arch_dim)i);
        json_array_append_new(list, json_string(name));
        if (used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s = %lld",
                                     used ? ", " : "", name,
                                     (long long)arch_dim_get(&chosen->arch, (enum arch_dim)i));
    }
    if (used)
        json_array_append_new(
            notes, json_sprintf("Not determined by the law, by default (--set): %s.", text));
    for (int i = 0; i < c->surface.n_pulls; i++) {
        const struct surface_pull *p = &c->surface.pull[i];
        const char *what = p->q == aspect.q ? aspect.name : width.name;
        json_array_append_new(list, json_string(quantity_name(p->q)));
        json_array_append_new(
            notes, json_sprintf("Not determined by the law: %s, drawn to %g by convention, is "
                                "%.3g.",
                                what, p->at, chosen->q[p->q]));
    }
    if (dense)
        json_array_append_new(notes, json_string("The law knows no experts: a dense model "
                                                 "(--set N_e=..,K=.. asks for experts)."));
    return list;
}

// Ends of ranges that only the search chose.
static void note_ends(const struct choosing *c, const struct choice *chosen, json_t *notes)
{
    for (int i = 0; i < N_DIMS; i++) {
        const struct range *r = &c->range[i];
        int64_t v = arch_dim_get(&chosen->arch, (enum arch_dim)i);
        if (r->kind == RANGE_STEPS && r->lo < r->hi && v + r->step > r->hi &&
            !is_set(c, (enum arch_dim)i))
            json_array_append_new(
                notes, json_sprintf("%s = %lld is the largest that was tried; more may be "
                                    "better (--free %s=LO:HI:STEP).",
                                    arch_dim_name((enum arch_dim)i), (long long)v,
                                    arch_dim_name((enum arch_dim)i)));
    }
}

static enum err build(struct choosing *c, const struct fit_file *f, const struct ask *ask,
                      json_t *doc, json_t *notes)
{
    struct arch set;
    struct choice chosen;
    double v, lo, hi, x[LAW_MAX_VARS];
    struct job defaults;
    TRY(ask_set(ask, &set));
    ranges(&c->surface, &set, ask->C, c->range);
    job_init(&defaults);
    c->model = defaults.model;
    c->per_token = ask->scores ? TOKEN_M : TOKEN_6N;
    TRY(ask_model(ask, &c->model));
    TRY(ask_constrain(ask, c));
    if (!ask->extrapolate)
        TRY(inside_data(c, f));
    TRY(limit_expansion(c, ask));
    TRY(conventions(c, ask));
    TRY(recommend_choose(c, ask, NULL, &chosen, doc, notes));
    surface_vars(&c->surface, chosen.q, x);
    law_fit_predict(&f->fit, x, &v, &lo, &hi);
    json_object_set_new(doc, "loss",
                        json_pack("{s:o, s:o, s:o}", "predicted", json_num(v), "lo",
                                  json_num(lo), "hi", json_num(hi)));
    json_object_set_new(doc, "train",
                        json_pack("{s:o}", "tokens", json_num(round(chosen.q[QUANTITY_D]))));
    note_range(f, &c->surface, &chosen, doc, notes);
    note_map(&c->surface, notes);
    note_budget(c, &chosen, doc, notes);
    json_object_set_new(doc, "undetermined", undetermined(c, &chosen, notes));
    note_ends(c, &chosen, notes);
    return OK;
}

enum err recommend_fit(const struct fit_file *fit, const char *source, const struct ask *ask,
                       json_t **doc)
{
    struct choosing c = {0};
    ENSURE(ask->C > 0, ERR_INPUT, "recommend: expected --compute C beside a fitted law (%s)",
           source);
    TRY(surface_of_fit(fit, ask->map, ask->C, &c.surface));
    json_t *notes = json_array();
    *doc = json_pack("{s:i, s:s, s:s, s:o, s:f}", "v", 1, "law", law_name(fit->fit.law),
                     "source", source, "map", map_json(&c.surface), "C", ask->C);
    enum err e = *doc ? build(&c, fit, ask, *doc, notes) : err_set(ERR_FAILED, "out of memory");
    json_object_set_new(*doc, "notes", notes);
    surface_free(&c.surface);
    if (e != OK) {
        json_decref(*doc);
        *doc = NULL;
    }
    return e;
}
