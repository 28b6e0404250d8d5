// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/versus.h"
#include "core/json.h"
#include "fit/fit.h"
#include "orchestrator/config_internal.h"
#include "orchestrator/recommend.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- what was asked

// "key = value" lines as an object.
static enum err keys_of(const struct sweep *s, json_t **out)
{
    char *text = NULL, *save = NULL;
    TRY(config_flat(s, &text));
    *out = json_object();
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *equals = strstr(line, " = ");
        if (!equals)
            continue;
        *equals = '\0';
        json_object_set_new(*out, line, json_string(equals + 3));
    }
    free(text);
    return OK;
}

static enum err differences(const struct sweep *a, const struct sweep *b, json_t **out)
{
    json_t *ka = NULL, *kb = NULL, *v;
    const char *key;
    TRY(keys_of(a, &ka));
    enum err e = keys_of(b, &kb);
    *out = json_array();
    json_object_foreach(ka, key, v) if (!json_equal(v, json_object_get(kb, key)))
        json_array_append_new(*out, json_pack("{s:s, s:O, s:O*}", "key", key, "a", v, "b",
                                              json_object_get(kb, key)));
    json_object_foreach(kb, key, v) if (!json_object_get(ka, key))
        json_array_append_new(*out, json_pack("{s:s, s:O}", "key", key, "b", v));
    json_decref(ka);
    json_decref(kb);
    return e;
}

// ---- what it took

static json_t *side_json(const struct versus_side *s)
{
    double first = INFINITY, last = -INFINITY, busy = 0, flops = 0, best = INFINITY;
    int ok = 0, failed = 0, pruned = 0;
    size_t i;
    json_t *rec;
    json_array_foreach(s->records, i, rec)
    {
        double t0 = jnum(rec, "t0"), t1 = jnum(rec, "t1");
        if (isfinite(t0) && isfinite(t1)) {
            busy += t1 - t0;
            first = fmin(first, t0);
            last = fmax(last, t1);
        }
    }
    for (int k = 0; k < steer_n_jobs(s->steer); k++) {
        const struct steer_job *sj = steer_job_at(s->steer, k);
        bool good = steer_job_ok(sj);
        ok += good;
        pruned += steer_job_pruned(sj);
        failed += sj->final && !good && !steer_job_pruned(sj);
        flops += good ? sj->C : 0;
        best = good ? fmin(best, sj->result.loss) : best;
    }
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o}", "dir", s->dir,
                     "sweep", s->cfg->name, "question", s->cfg->question, "runs",
                     steer_n_jobs(s->steer), "ok", ok, "failed", failed, "pruned", pruned,
                     "flops", json_num(flops), "worker_s", json_num(busy), "span_s",
                     json_num(last - first), "best_loss", json_num(best));
}

// ---- whether values agree

// In logarithms: values with intervals differ by no more than the two half-widths that face
// each other, in quadrature. null without intervals.
static json_t *agree(double a, double a_lo, double a_hi, double b, double b_lo, double b_hi,
                     bool logs)
{
    double d = logs ? log(b / a) : b - a;
    double ha = logs ? (d > 0 ? log(a_hi / a) : log(a / a_lo)) : d > 0 ? a_hi - a : a - a_lo;
    double hb = logs ? (d > 0 ? log(b / b_lo) : log(b_hi / b)) : d > 0 ? b - b_lo : b_hi - b;
    double both = hypot(ha, hb);
    return isfinite(d) && isfinite(both) ? json_boolean(fabs(d) <= both) : json_null();
}

static json_t *agree_intervals(const json_t *a, const json_t *b, bool logs)
{
    return agree(jnum(a, "value"), jnum(a, "lo"), jnum(a, "hi"), jnum(b, "value"),
                 jnum(b, "lo"), jnum(b, "hi"), logs);
}

// ---- optima and laws

static const json_t *cell_at(const json_t *law, const char *phase, double C)
{
    const json_t *last = NULL;
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(law, "cells"), i,
                       c) if (strcmp(jstr(c, "phase"), phase) == 0 && jnum(c, "C") == C) last =
        c; // rounds stand in order
    return last;
}

static json_t *optimum_of(const json_t *cell, const char *axis)
{
    size_t i;
    json_t *fit;
    json_array_foreach(json_object_get(cell, "fits"), i,
                       fit) if (strcmp(jstr(fit, "axis"), axis) == 0)
    {
        json_t *o = json_deep_copy(json_object_get(fit, "optimum"));
        json_object_set_new(o, "verdict", json_string(jstr(fit, "verdict")));
        return o;
    }
    return NULL;
}

static json_t *optima_json(const json_t *la, const json_t *lb)
{
    json_t *list = json_array(), *c, *fit;
    size_t i, k;
    json_array_foreach(json_object_get(la, "cells"), i, c)
    {
        const char *phase = jstr(c, "phase");
        double C = jnum(c, "C");
        const json_t *other = cell_at(lb, phase, C);
        if (!other || cell_at(la, phase, C) != c)
            continue;
        json_array_foreach(json_object_get(c, "fits"), k, fit)
        {
            json_t *a = optimum_of(c, jstr(fit, "axis")),
                   *b = optimum_of(other, jstr(fit, "axis"));
            if (b)
                json_array_append_new(list, json_pack("{s:s, s:f, s:s, s:O, s:O, s:o}", "phase",
                                                      phase, "C", C, "axis", jstr(fit, "axis"),
                                                      "a", a, "b", b, "agree",
                                                      agree_intervals(a, b, true)));
            json_decref(a);
            json_decref(b);
        }
    }
    return list;
}

static json_t *law_value_at(const json_t *law, double C)
{
    double v, lo, hi;
    recommend_predict(law, C, &v, &lo, &hi);
    return json_interval(v, lo, hi);
}

static json_t *exponent(const json_t *law)
{
    return json_interval(jnum(law, "p"), jnum(law, "p_lo"), jnum(law, "p_hi"));
}

static json_t *laws_json(const json_t *la, const json_t *lb, double C)
{
    json_t *list = json_array(), *law;
    const char *name;
    json_object_foreach(json_object_get(la, "laws"), name, law)
    {
        const json_t *other = json_object_get(json_object_get(lb, "laws"), name);
        if (!other || strchr(name, '.'))
            continue; // a band's edge
        json_t *a = law_value_at(law, C), *b = law_value_at(other, C), *pa = exponent(law),
               *pb = exponent(other);
        json_array_append_new(list,
                              json_pack("{s:s, s:f, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
                                        name, "C", C, "agree", agree_intervals(a, b, true),
                                        "p_agree", agree_intervals(pa, pb, false), "a", a, "b",
                                        b, "p_a", pa, "p_b", pb));
    }
    return list;
}

// ---- losses

// Runs that both have: by id everything that the loss depends on is the same.
static json_t *same_runs(const struct versus_side *a, const struct versus_side *b)
{
    json_t *of = json_object();
    int same = 0, equal = 0;
    double largest = 0;
    for (int i = 0; i < steer_n_jobs(a->steer); i++)
        json_object_set_new(of, steer_job_at(a->steer, i)->job.id, json_integer(i));
    for (int i = 0; i < steer_n_jobs(b->steer); i++) {
        const struct steer_job *y = steer_job_at(b->steer, i);
        const json_t *at = json_object_get(of, y->job.id);
        const struct steer_job *x =
            at ? steer_job_at(a->steer, (int)json_integer_value(at)) : NULL;
        if (!x || !steer_job_ok(x) || !steer_job_ok(y))
            continue;
        double d = fabs(log(y->result.loss / x->result.loss));
        same++;
        equal += d == 0;
        largest = fmax(largest, d);
    }
    json_decref(of);
    return json_pack("{s:i, s:i, s:o}", "same", same, "equal", equal, "largest",
                     json_num(same > 0 ? largest : NAN));
}

struct structure {
    const struct steer_job *job; // one of them
    double sum[2];
    int n[2];
};

static int by_structure(const void *p, const void *q)
{
    const struct structure *x = p, *y = q;
    const struct steer_job *a = x->job, *b = y->job;
    if (a->C < b->C || a->C > b->C)
        return a->C < b->C ? -1 : 1;
    if (a->job.train.tokens != b->job.train.tokens)
        return a->job.train.tokens < b->job.train.tokens ? -1 : 1;
    return memcmp(&a->job.arch, &b->job.arch, sizeof a->job.arch);
}

// Within a structure by side, then by work.
static int by_work(const void *p, const void *q)
{
    const struct structure *x = p, *y = q;
    int c = by_structure(p, q);
    if (c == 0)
        c = x->n[1] - y->n[1];
    return c != 0 ? c : strcmp(x->job->work, y->job->work);
}

// All usable runs of both, runs of one structure made one, the same training with other stops
// left out; the number of structures.
static int collect(const struct versus_side *const side[2], struct structure *all)
{
    int n = 0, m = 0;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < steer_n_jobs(side[k]->steer); i++) {
            const struct steer_job *sj = steer_job_at(side[k]->steer, i);
            if (!steer_job_ok(sj))
                continue;
            all[n] = (struct structure){.job = sj};
            all[n].sum[k] = sj->result.loss;
            all[n++].n[k] = 1;
        }
    qsort(all, (size_t)n, sizeof *all, by_work);
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (i == 0 || by_work(&all[kept - 1], &all[i]) != 0)
            all[kept++] = all[i];
    n = kept;
    for (int i = 0; i < n; i++) {
        if (m == 0 || by_structure(&all[m - 1], &all[i]) != 0) {
            all[m++] = all[i];
            continue;
        }
        for (int k = 0; k < 2; k++) {
            all[m - 1].sum[k] += all[i].sum[k];
            all[m - 1].n[k] += all[i].n[k];
        }
    }
    return m;
}

static json_t *structure_json(const struct structure *s, double *difference)
{
    const struct counts *c = &s->job->counts;
    double a = s->sum[0] / s->n[0], b = s->sum[1] / s->n[1];
    *difference = log(b / a);
    return json_pack("{s:f, s:I, s:o, s:o, s:I, s:f, s:i, s:f, s:i, s:o}", "C", s->job->C, "M",
                     (json_int_t)c->M, "x", json_num(c->x), "y", json_num(c->y), "d",
                     (json_int_t)s->job->job.arch.d, "a", a, "n_a", s->n[0], "b", b, "n_b",
                     s->n[1], "difference", json_num(*difference));
}

static enum err structures_json(const struct versus_side *a, const struct versus_side *b,
                                json_t **out)
{
    const struct versus_side *const side[2] = {a, b};
    size_t most = (size_t)steer_n_jobs(a->steer) + (size_t)steer_n_jobs(b->steer);
    struct structure *all = calloc(most + 1, sizeof *all);
    ENSURE(all, ERR_FAILED, "out of memory");
    int m = collect(side, all), n = 0;
    double sum = 0, squares = 0, half = NAN;
    json_t *rows = json_array();
    for (int i = 0; i < m; i++) {
        double d;
        if (all[i].n[0] == 0 || all[i].n[1] == 0)
            continue;
        json_array_append_new(rows, structure_json(&all[i], &d));
        sum += d;
        squares += d * d;
        n++;
    }
    free(all);
    double mean = n > 0 ? sum / n : NAN;
    if (n > 1)
        half = fit_student_quantile(n - 1) *
               sqrt(fmax(0, squares - n * mean * mean) / (n - 1) / n);
    *out = json_pack("{s:i, s:o, s:o, s:o, s:o}", "n", n, "rows", rows, "mean", json_num(mean),
                     "lo", json_num(mean - half), "hi", json_num(mean + half));
    return OK;
}

enum err versus_json(const struct versus_side *a, const struct versus_side *b, json_t **out)
{
    json_t *keys = NULL, *la = NULL, *lb = NULL, *structures = NULL;
    TRY(differences(a->cfg, b->cfg, &keys));
    enum err e = steer_law(a->steer, &la);
    if (e == OK)
        e = steer_law(b->steer, &lb);
    if (e == OK)
        e = structures_json(a, b, &structures);
    if (e == OK) {
        // Within what both have trained.
        double C =
            fmin(a->cfg->scales[a->cfg->n_scales - 1], b->cfg->scales[b->cfg->n_scales - 1]);
        *out =
            json_pack("{s:o, s:o, s:O, s:o, s:o, s:o, s:O}", "a", side_json(a), "b",
                      side_json(b), "keys", keys, "optima", optima_json(la, lb), "laws",
                      laws_json(la, lb, C), "runs", same_runs(a, b), "structures", structures);
    }
    json_decref(keys);
    json_decref(la);
    json_decref(lb);
    json_decref(structures);
    return e;
}
