// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/truth.h"
#include "core/json.h"
#include "core/rng.h"
#include "orchestrator/candidate.h"
#include <math.h>
#include <string.h>

#define DENSITY_POLE 6

// The bowl's form, and an optimum inside its domain.
static enum err read_form(json_t *j, const char *ctx, const char *form,
                          struct truth_optimum *out)
{
    while ((int)out->form < N_CURVE_FORMS && strcmp(form, curve_form_name(out->form)) != 0)
        out->form++;
    ENSURE((int)out->form < N_CURVE_FORMS, ERR_INPUT,
           "%s: form: expected logquad, quad, density or expansion, found %s", ctx, form);
    bool expansion = out->form == CURVE_expansion;
    TRY(json_get_num(j, ctx, "max", expansion, 1, 1e6, &out->max));
    ENSURE(out->form != CURVE_density || out->k > DENSITY_POLE, ERR_INPUT,
           "%s: k: expected more than %d with density, found %g", ctx, DENSITY_POLE, out->k);
    ENSURE(!expansion || (out->k > 1 && out->k < out->max), ERR_INPUT,
           "%s: k: expected between 1 and max with expansion, found %g", ctx, out->k);
    return OK;
}

static enum err read_optimum(json_t *j, const char *path, const char *name,
                             struct truth_optimum *out)
{
    static const char *const known[] = {"k",    "p",   "along", "curvature",
                                        "form", "max", "dense", NULL};
    char ctx[512], form[16] = "logquad";
    snprintf(ctx, sizeof ctx, "%s: optima.%s", path, name);
    ENSURE(json_is_object(j), ERR_INPUT, "%s: expected an object", ctx);
    ENSURE(var_find(name, &out->var) &&
               (out->var.kind == VAR_COORD || out->var.kind == VAR_DIM),
           ERR_INPUT, "%s: expected a coordinate or a dimension of an architecture", ctx);
    TRY(json_known_keys(j, ctx, known));
    TRY(json_get_num(j, ctx, "k", true, 1e-9, 1e30, &out->k));
    TRY(json_get_num(j, ctx, "p", false, -10, 10, &out->p));
    TRY(json_get_num(j, ctx, "curvature", true, 0, 1e6, &out->curvature));
    TRY(json_get_str(j, ctx, "form", false, form, sizeof form));
    TRY(json_get_num(j, ctx, "dense", false, 1e-6, 1, &out->dense));
    TRY(read_form(j, ctx, form, out));
    return OK;
}

// Exponents, once all optima are known.
static enum err read_along(json_t *j, const char *path, struct truth *t, int v)
{
    json_t *along = NULL;
    char ctx[512];
    snprintf(ctx, sizeof ctx, "%s: optima.%s.along", path, t->optima[v].var.name);
    TRY(json_get_obj(j, ctx, "along", false, &along));
    for (int w = 0; along && w < t->n; w++)
        if (w != v)
            TRY(json_get_num(along, ctx, t->optima[w].var.name, false, -10, 10,
                             &t->optima[v].along[w]));
    const char *name;
    json_t *value;
    json_object_foreach(along, name, value)
    {
        bool known = false;
        for (int w = 0; w < t->n; w++)
            known = known || (w != v && strcmp(t->optima[w].var.name, name) == 0);
        ENSURE(known, ERR_INPUT, "%s: %s: expected another of the optima", ctx, name);
    }
    return OK;
}

static enum err read_object(json_t *j, const char *path, struct truth *out)
{
    static const char *const known[] = {"E", "A", "C0", "alpha", "sd", "optima", NULL};
    json_t *optima = NULL, *value;
    const char *name;
    ENSURE(json_is_object(j), ERR_INPUT, "%s: expected an object", path);
    TRY(json_known_keys(j, path, known));
    TRY(json_get_num(j, path, "E", true, 0, 1e6, &out->E));
    TRY(json_get_num(j, path, "A", true, 1e-9, 1e6, &out->A));
    TRY(json_get_num(j, path, "C0", true, 1, 1e40, &out->C0));
    TRY(json_get_num(j, path, "alpha", true, 0, 10, &out->alpha));
    TRY(json_get_num(j, path, "sd", true, 0, 1, &out->sd));
    TRY(json_get_obj(j, path, "optima", true, &optima));
    ENSURE(json_object_size(optima) <= TRUTH_MAX, ERR_INPUT,
           "%s: optima: expected at most %d, found %zu", path, TRUTH_MAX,
           json_object_size(optima));
    json_object_foreach(optima, name, value)
        TRY(read_optimum(value, path, name, &out->optima[out->n++]));
    int v = 0;
    json_object_foreach(optima, name, value) TRY(read_along(value, path, out, v++));
    return OK;
}

enum err truth_read(const char *path, struct truth *out)
{
    json_t *j = NULL;
    *out = (struct truth){0};
    TRY(json_read_file(path, &j));
    enum err e = read_object(j, path, out);
    json_decref(j);
    return e;
}

double truth_at(const struct truth_optimum *o, const struct truth *t, double C)
{
    return o->k * pow(C / t->C0, o->p);
}

// Beyond a pole the loss is that of a hair's breadth before it.
static double bowl(const struct truth_optimum *o, double v, double best)
{
    const double hair = 1e-3;
    double u, at = best - DENSITY_POLE, low, high;
    switch (o->form) {
    case CURVE_density:
        u = fmax(v - DENSITY_POLE, hair);
        return (at * at / u + u - 2 * at) / at;
    case CURVE_expansion:
        low = fmax(v - 1, hair);
        high = fmax(o->max - v, hair);
        return (pow(best - 1, 2) / low + pow(o->max - best, 2) / high) / (o->max - 1) - 1;
    case CURVE_quad:
        return pow(v / best - 1, 2);
    default:
        return log(v / best) * log(v / best);
    }
}

// ln of the width at which the share `dense` of the layers of a triad is dense, with the heads
// of a, S and experts: core/solve.h's inverse (d_d = 3 d) with L_d = dense L.
static double ln_width(const struct arch *a, double dense, double M, double x, double y)
{
    double N_a = M / x, S = (double)a->S, scores = M - 6 * N_a;
    double y_max = (double)(a->N_e + a->n_shared) / (double)(a->K + a->n_shared);
    double c1 = scores * (1 + (double)a->N_kv / (double)a->N_q) / (3 * S);
    double L = dense * scores / (6 * S * (double)(a->N_q * a->d_qkv));
    double R = N_a * (1 - (y - 1) / (y_max - 1));
    return log((sqrt(c1 * c1 + 36 * L * R) - c1) / (18 * L));
}

double truth_moved(const struct truth *t, int of, const struct arch *a, double C,
                   const double v[TRUTH_MAX])
{
    const struct truth_optimum *o = &t->optima[of];
    double moved = 0, at[3] = {NAN, NAN, NAN}, best[3] = {NAN, NAN, NAN};
    for (int w = 0; w < t->n; w++) {
        const struct var *var = &t->optima[w].var;
        double planted = truth_at(&t->optima[w], t, C);
        if (o->along[w] != 0)
            moved += o->along[w] * log(v[w] / planted);
        int k = strcmp(var->name, "M") == 0 ? 0 : strcmp(var->name, "x") == 0 ? 1 : 2;
        if (var->kind == VAR_COORD && (k < 2 || strcmp(var->name, "y") == 0)) {
            at[k] = v[w];
            best[k] = planted;
        }
    }
    if (o->dense > 0)
        moved += ln_width(a, o->dense, at[0], at[1], at[2]) -
                 ln_width(a, o->dense, best[0], best[1], best[2]);
    return moved;
}

double truth_loss(const struct truth *t, const struct steer_job *sj, uint64_t seed)
{
    double ln = log(t->E + t->A * pow(sj->C / t->C0, -t->alpha)), v[TRUTH_MAX];
    struct rng r;
    for (int i = 0; i < t->n; i++)
        v[i] = var_value(&t->optima[i].var, &sj->job.arch, &sj->counts, 0, 0);
    for (int i = 0; i < t->n; i++) {
        const struct truth_optimum *o = &t->optima[i];
        double moved = truth_moved(t, i, &sj->job.arch, sj->C, v);
        ln += o->curvature * bowl(o, v[i], truth_at(o, t, sj->C) * exp(moved));
    }
    rng_seed(&r, rng_hash(sj->job.id, strlen(sj->job.id), RNG_HASH_START), seed);
    return exp(ln + t->sd * rng_normal(&r));
}
