// SPDX-License-Identifier: GPL-3.0-or-later
// law.json: what all decided cells say together. From final results alone, in an order that
// does not depend on theirs. Layout: docs/law-json.md.
#include "core/json.h"
#include "fit/power.h"
#include "orchestrator/law_quantity.h"
#include "orchestrator/origin.h"
#include "orchestrator/recommend.h"
#include "orchestrator/recommend_spec.h"
#include "orchestrator/steer_state.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_id(const void *a, const void *b)
{
    const struct steer_job *const *ja = a, *const *jb = b;
    return strcmp((*ja)->job.id, (*jb)->job.id);
}

// All jobs ordered by id; caller frees. NULL when memory is short.
static const struct steer_job **jobs_sorted(const struct steer *s)
{
    const struct steer_job **list = malloc(((size_t)s->n_jobs + 1) * sizeof(const void *));
    if (!list)
        return NULL;
    for (int i = 0; i < s->n_jobs; i++)
        list[i] = s->jobs[i];
    qsort(list, (size_t)s->n_jobs, sizeof(const void *), by_id);
    return list;
}

// ---- counts, range, noise, best losses

static json_t *runs_json(const struct steer_job **jobs, int n)
{
    int ok = 0, failed = 0, diverged = 0, pruned = 0;
    double flops = 0;
    for (int i = 0; i < n; i++) {
        bool u = steer_job_ok(jobs[i]),
             dv = jobs[i]->final && jobs[i]->result.status == JOB_DIVERGED;
        ok += u;
        diverged += dv;
        pruned += steer_job_pruned(jobs[i]);
        failed += jobs[i]->final && !u && !dv && !steer_job_pruned(jobs[i]);
        flops += u ? jobs[i]->C : 0;
    }
    json_t *runs = json_pack("{s:i, s:i, s:i, s:i, s:f}", "known", n, "ok", ok, "failed",
                             failed, "diverged", diverged, "flops", flops);
    if (pruned > 0)
        json_object_set_new(runs, "pruned", json_integer(pruned));
    return runs;
}

static json_t *range_json(const struct steer_job **jobs, int n)
{
    double lo[4], hi[4];
    for (int k = 0; k < 4; k++)
        lo[k] = INFINITY, hi[k] = -INFINITY;
    for (int i = 0; i < n; i++) {
        if (!steer_job_ok(jobs[i]))
            continue;
        const struct counts *c = &jobs[i]->counts;
        double v[4] = {jobs[i]->C, (double)c->M, (double)c->N_a, (double)c->N};
        for (int k = 0; k < 4; k++) {
            lo[k] = fmin(lo[k], v[k]);
            hi[k] = fmax(hi[k], v[k]);
        }
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "C", json_pair(lo[0], hi[0]), "M",
                     json_pair(lo[1], hi[1]), "N_a", json_pair(lo[2], hi[2]), "N",
                     json_pair(lo[3], hi[3]));
}

// Do two jobs differ by seed alone?
static bool replicates(const struct steer_job *a, const struct steer_job *b)
{
    const struct job_train *s = &a->job.train, *t = &b->job.train;
    return memcmp(&a->job.arch, &b->job.arch, sizeof a->job.arch) == 0 && s->lr == t->lr &&
           s->tokens == t->tokens && s->batch_tokens == t->batch_tokens && s->aux == t->aux;
}

// The same training as a usable one before it: the job differs in its stops alone.
static bool trained_before(const struct steer_job **jobs, int i)
{
    for (int j = 0; j < i; j++)
        if (steer_job_ok(jobs[j]) && strcmp(jobs[j]->work, jobs[i]->work) == 0)
            return true;
    return false;
}

// Mean loss over the usable replicates of jobs[i], if i is the first of them; NaN otherwise.
// *ss: sum of squared deviations of ln loss, *count: replicates.
static double replicate_mean(const struct steer_job **jobs, int n, int i, double *ss,
                             int *count)
{
    double sum = 0, sum_ln = 0;
    *ss = *count = 0;
    for (int j = 0; j < n; j++) {
        if (!steer_job_ok(jobs[j]) || !replicates(jobs[i], jobs[j]))
            continue;
        if (j < i)
            return NAN;
        if (trained_before(jobs, j))
            continue;
        sum += jobs[j]->result.loss;
        sum_ln += log(jobs[j]->result.loss);
        ++*count;
    }
    for (int j = i; j < n; j++)
        if (steer_job_ok(jobs[j]) && replicates(jobs[i], jobs[j]) && !trained_before(jobs, j))
            *ss += pow(log(jobs[j]->result.loss) - sum_ln / *count, 2);
    return sum / *count;
}

struct scale_summary {
    double C, best_loss, noise; // best mean over seeds of one structure; pooled sd of ln loss
    const char *best_job;
    int noise_n;
};

static struct scale_summary scale_summarise(const struct steer_job **jobs, int n, double C)
{
    struct scale_summary out = {C, INFINITY, NAN, NULL, 0};
    double ss = 0;
    for (int i = 0; i < n; i++) {
        if (jobs[i]->C != C || !steer_job_ok(jobs[i]))
            continue;
        double part;
        int count;
        double mean = replicate_mean(jobs, n, i, &part, &count);
        if (isnan(mean))
            continue;
        ss += part;
        out.noise_n += count - 1;
        if (mean < out.best_loss) {
            out.best_loss = mean;
            out.best_job = jobs[i]->job.id;
        }
    }
    if (out.noise_n > 0)
        out.noise = sqrt(ss / out.noise_n);
    return out;
}

// ---- loss against C, hold-out, analyses, notes

static enum err loss_json(const struct sweep *cfg, const struct scale_summary *sc, int n,
                          double C_below, json_t **out, double *at_C)
{
    double X[CONFIG_MAX_SCALES], L[CONFIG_MAX_SCALES], target = *at_C;
    struct power_point pp[CONFIG_MAX_SCALES];
    json_t *points = json_array();
    int m = 0;
    for (int i = 0; i < n; i++) {
        if (!sc[i].best_job || sc[i].C >= C_below)
            continue;
        pp[m] = (struct power_point){sc[i].C, sc[i].best_loss, NULL, 0};
        X[m] = sc[i].C;
        L[m++] = sc[i].best_loss;
        json_array_append_new(points, json_pack("{s:f, s:f, s:s}", "C", sc[i].C, "loss",
                                                sc[i].best_loss, "job", sc[i].best_job));
    }
    struct loss_law f = {0};
    struct power_fit pw = {0};
    enum err e = loss_law_fit(X, L, m, cfg->seed, &f);
    if (e == OK)
        e = power_fit_run(pp, m, cfg->seed, &pw);
    if (e != OK) {
        json_decref(points);
        return e;
    }
    double lo, hi;
    *at_C = NAN;
    if (f.converged)
        *at_C = loss_law_value(&f, target);
    else if (pw.fitted)
        power_predict(&pw, target, at_C, &lo, &hi);
    json_t *plain = json_object();
    if (pw.fitted)
        json_object_update_new(plain,
                               json_pack("{s:f, s:f, s:s}", "k", pw.k, "p", pw.p, "rule",
                                         "pure power law, no irreducible loss: optimistic "
                                         "beyond the data"));
    power_fit_free(&pw);
    json_t *boot = json_array();
    for (int i = 0; f.converged && i < f.n_boot; i++)
        json_array_append_new(boot, json_pack("[o, o, o]", json_num(f.boot[i][0]),
                                              json_num(f.boot[i][1]), json_num(f.boot[i][2])));
    *out = json_pack("{s:s, s:o, s:b, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "form",
                     "E + A C^-p", "boot", boot, "converged", f.converged, "n", m, "E",
                     json_interval(f.converged ? f.E : NAN, f.E_lo, f.E_hi), "A",
                     json_pack("{s:o}", "value", json_num(f.converged ? f.A : NAN)), "p",
                     json_interval(f.converged ? f.p : NAN, f.p_lo, f.p_hi), "rmse_log",
                     json_num(f.rmse_log), "condition", json_num(f.condition), "power", plain,
                     "points", points);
    return OK;
}

static enum err holdout_json(const struct steer *s, const struct scale_summary *sc, int n,
                             json_t **out)
{
    struct quantity_held held;
    json_t *loss;
    *out = json_null();
    TRY(quantity_hold_out(s, "M", &held));
    if (!held.law)
        return OK;
    double v, lo, hi, predicted = held.C, measured = NAN;
    recommend_predict(held.law, held.C, &v, &lo, &hi);
    json_decref(held.law);
    TRY(loss_json(s->cfg, sc, n, held.C, &loss, &predicted));
    json_decref(loss);
    for (int k = 0; k < n; k++)
        if (sc[k].C == held.C && sc[k].best_job)
            measured = sc[k].best_loss;
    *out = json_pack("{s:f, s:{s:o, s:o, s:o, s:o, s:o, s:o}, s:{s:o, s:o}}", "C", held.C, "M",
                     "predicted", json_num(v), "lo", json_num(lo), "hi", json_num(hi),
                     "measured", json_num(held.value), "measured_lo", json_num(held.lo),
                     "measured_hi", json_num(held.hi), "loss", "predicted", json_num(predicted),
                     "measured", json_num(measured));
    return OK;
}

static int cell_order(const void *a, const void *b)
{
    const struct cell *const *ca = a, *const *cb = b;
    const struct cell *x = *ca, *y = *cb;
    if (x->phase != y->phase)
        return x->phase - y->phase;
    if (x->round != y->round)
        return x->round - y->round;
    return (x->C > y->C) - (x->C < y->C);
}

static json_t *rank_json(const struct steer *s, const struct cell *c)
{
    const struct rank_stats *r = &c->rank;
    return json_pack("{s:s, s:f, s:i, s:o, s:o, s:o, s:o, s:O}", "phase",
                     s->cfg->phases[c->phase].name, "C", c->C, "n", r->n, "pearson",
                     json_interval(r->pearson, r->lo[0], r->hi[0]), "spearman",
                     json_interval(r->spearman, r->lo[1], r->hi[1]), "kendall",
                     json_interval(r->kendall, r->lo[2], r->hi[2]), "r2",
                     json_interval(r->r2, r->lo[3], r->hi[3]), "pairs", c->rank_pairs);
}

static json_t *fairness_json(const struct steer *s, const struct cell *c)
{
    const struct spread_stats *r = &c->spread;
    return json_pack("{s:s, s:f, s:i, s:i, s:o, s:o, s:o, s:O}", "phase",
                     s->cfg->phases[c->phase].name, "C", c->C, "n", r->n, "groups", r->n_groups,
                     "before", json_interval(r->before, r->before_lo, r->before_hi), "after",
                     json_interval(r->after, r->after_lo, r->after_hi), "noise",
                     json_num(r->noise), "rows", c->spread_rows);
}

static json_t *notes_json(const struct steer *s, const struct scale_summary *sc, int n,
                          json_t *doc)
{
    json_t *notes = json_array(), *law;
    const char *name;
    int open = 0;
    for (int i = 0; i < s->n_cells; i++)
        open += s->cells[i].state != CELL_DECIDED;
    if (open)
        json_array_append_new(notes,
                              json_sprintf("The sweep is not finished: %d of %d decisions are "
                                           "still to be taken.",
                                           open, s->n_cells));
    law = json_object_get(doc, "origins");
    if (law)
        json_array_append_new(notes, origins_note(law, json_object_get(doc, "runs")));
    law = json_object_get(doc, "prior");
    if (law)
        json_array_append_new(notes, origins_prior_note(law));
    json_object_foreach(json_object_get(doc, "laws"), name, law)
    {
        if (strchr(name, '.') || strcmp(name, "D") == 0)
            continue;
        double p = json_number_value(json_object_get(law, "p"));
        const json_t *p_lo = json_object_get(law, "p_lo");
        char range[64] = "no interval";
        if (json_is_number(p_lo))
            snprintf(range, sizeof range, "95 %%: %.3f to %.3f", json_number_value(p_lo),
                     json_number_value(json_object_get(law, "p_hi")));
        if (json_is_true(json_object_get(law, "fitted")))
            json_array_append_new(
                notes, json_sprintf("%s goes as C^%.3f (%s): %s.", name, p, range,
                                    json_string_value(json_object_get(law, "rule"))));
        else
            json_array_append_new(
                notes, json_sprintf("It cannot say how %s changes with C: %s.", name,
                                    json_string_value(json_object_get(law, "rule"))));
    }
    for (int i = 0; i < n; i++)
        if (!isnan(sc[i].noise))
            json_array_append_new(
                notes,
                json_sprintf("At C = %.3g two seeds of one structure differ by %.2f %% (sd of "
                             "ln loss, %d degrees of freedom); smaller differences are noise.",
                             sc[i].C, 100 * sc[i].noise, sc[i].noise_n));
    if (!json_is_true(json_object_get(json_object_get(doc, "loss"), "converged")))
        json_array_append_new(
            notes, json_string("The irreducible loss cannot be identified from so few "
                               "scales: loss predictions beyond the data use a pure "
                               "power law and are optimistic."));
    json_array_append_new(notes, json_sprintf("Everything beyond C = %.3g is extrapolation.",
                                              s->cfg->scales[s->cfg->n_scales - 1]));
    return notes;
}

// The decided cells and their analyses, in an order that arrivals do not change: by phase,
// round and scale.
static enum err cells_json(const struct steer *s, json_t *doc)
{
    const struct cell **list = malloc(((size_t)s->n_cells + 1) * sizeof(const void *));
    ENSURE(list, ERR_FAILED, "out of memory");
    json_t *cells = json_array(), *rank = json_array(), *fairness = json_array();
    json_object_set_new(doc, "cells", cells);
    json_object_set_new(doc, "rank_preservation", rank);
    json_object_set_new(doc, "fairness", fairness);
    for (int i = 0; i < s->n_cells; i++)
        list[i] = &s->cells[i];
    qsort(list, (size_t)s->n_cells, sizeof(const void *), cell_order);
    enum err e = OK;
    for (int i = 0; e == OK && i < s->n_cells; i++) {
        json_t *j;
        if (list[i]->state != CELL_DECIDED)
            continue;
        e = decide_cell_json(s, list[i], true, &j);
        if (e == OK)
            json_array_append_new(cells, j);
        if (list[i]->has_rank)
            json_array_append_new(rank, rank_json(s, list[i]));
        if (list[i]->has_spread)
            json_array_append_new(fairness, fairness_json(s, list[i]));
    }
    free(list);
    return e;
}

static enum err law_fill(const struct steer *s, const struct steer_job **jobs, json_t *doc)
{
    const struct sweep *cfg = s->cfg;
    struct scale_summary sc[CONFIG_MAX_SCALES];
    json_t *noise = json_array(), *laws = json_object(), *j;
    for (int i = 0; i < cfg->n_scales; i++) {
        sc[i] = scale_summarise(jobs, s->n_jobs, cfg->scales[i]);
        json_array_append_new(noise, json_pack("{s:f, s:o, s:i}", "C", sc[i].C, "sd_ln",
                                               json_num(sc[i].noise), "n", sc[i].noise_n));
    }
    json_object_set_new(doc, "runs", runs_json(jobs, s->n_jobs));
    j = origins_of(s);
    if (j)
        json_object_set_new(doc, "origins", j);
    j = origins_prior(cfg);
    if (j)
        json_object_set_new(doc, "prior", j);
    json_object_set_new(doc, "range", range_json(jobs, s->n_jobs));
    json_object_set_new(doc, "noise", noise);
    json_object_set_new(doc, "laws", laws);
    TRY(recommend_spec_json(cfg, &j));
    json_object_set_new(doc, "spec", j);
    TRY(cells_json(s, doc));
    TRY(quantity_laws(s, laws));
    double unused = cfg->scales[cfg->n_scales - 1];
    TRY(loss_json(cfg, sc, cfg->n_scales, INFINITY, &j, &unused));
    json_object_set_new(doc, "loss", j);
    TRY(holdout_json(s, sc, cfg->n_scales, &j));
    json_object_set_new(doc, "holdout", j);
    json_object_set_new(doc, "notes", notes_json(s, sc, cfg->n_scales, doc));
    return OK;
}

enum err steer_law(const struct steer *s, json_t **out)
{
    const struct steer_job **jobs = jobs_sorted(s);
    ENSURE(jobs, ERR_FAILED, "out of memory");
    json_t *doc = json_pack("{s:i, s:s, s:s, s:o}", "v", 1, "sweep", s->cfg->name, "question",
                            s->cfg->question, "config",
                            json_sprintf("%016llx", (unsigned long long)s->cfg->hash));
    enum err e = doc ? law_fill(s, jobs, doc) : err_set(ERR_FAILED, "out of memory");
    free(jobs);
    if (e == OK)
        *out = doc;
    else
        json_decref(doc);
    return e;
}
