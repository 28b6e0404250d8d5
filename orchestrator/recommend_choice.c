// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/recommend.h"
#include "orchestrator/recommend_choice.h"
#include "core/executed.h"
#include "core/json.h"
#include "fit/fit.h"
#include "orchestrator/bands.h"
#include "orchestrator/recommend_spec.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTABLE 5e-5 // of loss

// ---- what a constraint costs

// Loss of one structure over another's, less one, with its interval over the resamples.
static json_t *cost_json(const struct surface *s, const struct choice *with,
                         const struct choice *without)
{
    double lo = NAN, hi = NAN, x[LAW_MAX_VARS], y[LAW_MAX_VARS];
    const struct law_fit *f = s->fit ? &s->fit->fit : NULL;
    double *v = f && f->n_boot > 0 ? malloc((size_t)f->n_boot * sizeof *v) : NULL;
    if (v) {
        const int p = law_params(f->law, NULL);
        surface_vars(s, with->q, x);
        surface_vars(s, without->q, y);
        for (int i = 0; i < f->n_boot; i++) {
            const double *params = f->boot + (size_t)i * (size_t)p;
            v[i] = law_value(f->law, params, x, NULL) / law_value(f->law, params, y, NULL) - 1;
        }
        fit_interval(v, f->n_boot, &lo, &hi);
        free(v);
    }
    return json_interval(expm1(with->ln_loss - without->ln_loss), lo, hi);
}

// {dimension: value} where `without` differs from `with`, but for dimensions that follow
// others.
static json_t *instead_json(const struct choosing *c, const struct arch *with,
                            const struct arch *without)
{
    json_t *o = json_object();
    for (int i = 0; i < N_DIMS; i++) {
        int64_t v = arch_dim_get(without, (enum arch_dim)i);
        if (c->range[i].kind != RANGE_FOLLOWS && arch_dim_get(with, (enum arch_dim)i) != v)
            json_object_set_new(o, arch_dim_name((enum arch_dim)i), json_integer(v));
    }
    return o;
}

// What would be chosen without each constraint, and without all of them. Looking for these, the
// search may come upon a better structure that keeps everything after all: that is chosen then.
struct others {
    struct choice without[CHOOSE_MAX_CONSTRAINTS + 1];
    int n; // the last one: without all; 0: there are no constraints
};

static enum err look_at_others(const struct choosing *all, struct choice *chosen,
                               struct others *o)
{
    struct choosing c = *all;
    bool again = true;
    c.has_start = true;
    o->n = c.n_constraints + (c.n_constraints > 1);
    while (again) {
        again = false;
        c.start = chosen->arch;
        for (int i = 0; i < o->n; i++) {
            struct choice *other = &o->without[i];
            TRY(choose(&c, i < c.n_constraints ? UINT64_C(1) << i : CHOOSE_ALL, other));
            if (other->cost < chosen->cost && choose_keeps(&c, &other->arch)) {
                other->all = chosen->all;
                *chosen = *other;
                again = true;
            }
        }
    }
    return OK;
}

static json_t *constraint_json(const struct choosing *c, const char *name,
                               const struct choice *with, const struct choice *without)
{
    json_t *instead = instead_json(c, &with->arch, &without->arch);
    return json_pack("{s:s, s:b, s:o, s:o}", "name", name, "binds",
                     json_object_size(instead) > 0, "cost",
                     cost_json(&c->surface, with, without), "without", instead);
}

static enum err constraints_json(const struct choosing *c, struct choice *chosen, json_t *doc,
                                 json_t *notes)
{
    json_t *list = json_array();
    bool gains = false;
    struct others *o = calloc(1, sizeof *o);
    json_object_set_new(doc, "constraints", list);
    enum err e = o ? look_at_others(c, chosen, o) : err_set(ERR_FAILED, "out of memory");
    for (int i = 0; e == OK && i < o->n; i++) {
        const struct choice *other = &o->without[i];
        const char *name = i < c->n_constraints ? c->constraint[i].name : "all of these";
        gains = gains || chosen->ln_loss < other->ln_loss - NOTABLE;
        json_array_append_new(list, constraint_json(c, name, chosen, other));
    }
    if (gains)
        json_array_append_new(
            notes, json_string("Negative costs: without the constraint the choice keeps nearer "
                               "to the conventions, for shapes that the law does not see."));
    free(o);
    return e;
}

// Of a structure that is taken as it is.
static json_t *unbound_json(const struct choosing *c)
{
    json_t *list = json_array();
    for (int k = 0; k < c->n_constraints; k++)
        json_array_append_new(list, json_pack("{s:s, s:b, s:o, s:{}}", "name",
                                              c->constraint[k].name, "binds", 0, "cost",
                                              json_interval(0, NAN, NAN), "without"));
    return list;
}

// ---- bands

static json_t *bands_json(const struct choosing *c, const struct ask *ask,
                          const struct choice *chosen)
{
    struct band band[BANDS_MAX];
    int n = bands_of(&c->surface, chosen->q, ask->tolerance, band);
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        const struct band *b = &band[i];
        json_array_append_new(
            list,
            json_pack("{s:s, s:o, s:o, s:o, s:o, s:b, s:b, s:o, s:o}", "name", b->name, "built",
                      json_num(b->built), "best", json_num(b->best), "lo", json_num(b->lo),
                      "hi", json_num(b->hi), "lo_open", b->lo_open, "hi_open", b->hi_open,
                      "tolerance", json_num(b->tolerance), "cost", json_num(b->cost)));
    }
    return list;
}

// ---- the structure

static void structure_json(const struct choosing *c, const struct ask *ask,
                           const struct choice *chosen, json_t *doc)
{
    struct job job = executed_job(&chosen->arch, c->model.tied, chosen->arch.S);
    job.model = c->model;
    // One weight over itself would always be 1.
    if (c->surface.fit && chosen->arch.K == 1 &&
        !(ask->model && strstr(ask->model, "norm_topk")))
        job.model.norm_topk = false;
    double gpus = ask->gpus > 0 ? ask->gpus : 1, params = chosen->q[QUANTITY_params];
    json_object_set_new(doc, "arch", arch_to_json(&chosen->arch));
    json_object_set_new(doc, "model", recommend_model_json(&job.model));
    if (!json_object_get(doc, "counts"))
        json_object_set_new(doc, "counts", executed_report_json(&job));
    json_object_set_new(doc, "memory",
                        json_pack("{s:i, s:f, s:f}", "bytes_per_param", ASK_BYTES_PER_PARAM,
                                  "gpus", gpus, "bytes_per_gpu",
                                  ASK_BYTES_PER_PARAM * params / gpus));
}

enum err recommend_choose(const struct choosing *c, const struct ask *ask,
                          const struct choice *plain, struct choice *chosen, json_t *doc,
                          json_t *notes)
{
    if (plain) {
        *chosen = *plain;
        json_object_set_new(doc, "constraints", unbound_json(c));
    } else {
        enum err e = choose(c, CHOOSE_NOTHING, chosen);
        if (e == ERR_INPUT || (e == OK && chosen->broken > 0))
            return choose_refuse(c, e == OK ? chosen : NULL);
        TRY(e);
        TRY(constraints_json(c, chosen, doc, notes));
        ASSERT(choose_keeps(c, &chosen->arch));
        if (!chosen->all)
            json_array_append_new(
                notes, json_string("Found by a search over a thinned grid, then by steps; not "
                                   "by looking at every structure."));
    }
    structure_json(c, ask, chosen, doc);
    json_object_set_new(doc, "bands", bands_json(c, ask, chosen));
    return OK;
}

enum err recommend_structure(json_t *doc, struct arch *a, struct job_model *model)
{
    json_t *m;
    TRY(json_get_obj(doc, "recommend", "model", true, &m));
    TRY(arch_from_json(json_object_get(doc, "arch"), "recommend: arch", a));
    return recommend_model_read(m, "recommend: model", model);
}
