// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/truth.h"
#include "core/json.h"
#include "core/rng.h"
#include "orchestrator/candidate.h"
#include <math.h>
#include <string.h>

#define DENSITY_POLE 6

static enum err read_optimum(json_t *j, const char *path, const char *name,
                             struct truth_optimum *out)
{
    static const char *const known[] = {"k", "p", "along", "curvature", "form", NULL};
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
    out->density = strcmp(form, "density") == 0;
    ENSURE(out->density || strcmp(form, "logquad") == 0, ERR_INPUT,
           "%s: form: expected logquad or density, found %s", ctx, form);
    ENSURE(!out->density || out->k > DENSITY_POLE, ERR_INPUT,
           "%s: k: expected more than %d with density, found %g", ctx, DENSITY_POLE, out->k);
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

static double bowl(const struct truth_optimum *o, double v, double best)
{
    if (!o->density)
        return log(v / best) * log(v / best);
    double u = fmax(v - DENSITY_POLE, 1e-3), at = best - DENSITY_POLE;
    return (at * at / u + u - 2 * at) / at;
}

double truth_loss(const struct truth *t, const struct steer_job *sj, uint64_t seed)
{
    double ln = log(t->E + t->A * pow(sj->C / t->C0, -t->alpha)), v[TRUTH_MAX], off[TRUTH_MAX];
    struct rng r;
    for (int i = 0; i < t->n; i++) {
        v[i] = var_value(&t->optima[i].var, &sj->job.arch, &sj->counts, 0, 0);
        off[i] = log(v[i] / truth_at(&t->optima[i], t, sj->C));
    }
    for (int i = 0; i < t->n; i++) {
        const struct truth_optimum *o = &t->optima[i];
        double moved = 0;
        for (int w = 0; w < t->n; w++)
            moved += o->along[w] * off[w];
        ln += o->curvature * bowl(o, v[i], truth_at(o, t, sj->C) * exp(moved));
    }
    rng_seed(&r, rng_hash(sj->job.id, strlen(sj->job.id), RNG_HASH_START), seed);
    return exp(ln + t->sd * rng_normal(&r));
}
