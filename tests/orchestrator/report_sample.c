// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/orchestrator/report_sample.h"
#include "core/executed.h"
#include "core/json.h"
#include "core/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double scale_C[4] = {3e10, 1e11, 3e11, 1e12};

// Everything between sample_make and its helpers.
struct maker {
    struct sample *s;
    const struct sample_options *opt;
    struct rng rng;
    double clock[2]; // when each of two workers is free
    double later;    // s between the sessions
};

static double best_M(double C)
{
    return 7.7e4 * pow(C / 1e11, .4);
}

static double true_loss(double C, const struct arch *a, const struct counts *c)
{
    const double m = log((double)c->M / best_M(C)), d = log((double)a->d / 14);
    return 1 + .72 * pow(C / 1e11, -.11) + .035 * m * m + .1 * d * d +
           .006 * pow(c->x - 6.8, 2) + .12 / c->y;
}

static const char *word(const struct maker *m, const char *harmless)
{
    return m->opt->evil ? m->opt->evil : harmless;
}

// A structure with about M FLOPs per token: d_m takes what is left.
static struct arch arch_of(double M, int64_t d, int64_t d_qkv, int64_t N_e)
{
    struct arch a = {.L_d = 1,
                     .L_m = 1,
                     .d = d,
                     .d_qkv = d_qkv,
                     .d_m = 4,
                     .N_q = 2,
                     .N_kv = 1,
                     .S = 64,
                     .N_e = N_e,
                     .K = 2,
                     .V = 96};
    a.d_d = a.n_shared = a.N_kv = ARCH_UNSET;
    arch_fill_defaults(&a);
    while ((double)arch_counts(&a).M < M)
        a.d_m++;
    return a;
}

static json_t *learning_curve(const struct job *j, double loss)
{
    json_t *curve = json_array();
    const int64_t steps = job_steps(j);
    for (int64_t k = 1; k <= steps; k += 1 + k / 8)
        json_array_append_new(curve,
                              json_pack("[I, f]", (json_int_t)k,
                                        loss + (4.5 - loss) * pow(1 + (double)k, -.7) *
                                                   (1 - .5 * (double)k / (double)steps)));
    return curve;
}

static void add_records(struct maker *m, const struct steer_job *sj, const char *phase)
{
    const struct job_result *r = &sj->result;
    json_array_append_new(m->s->records, json_pack("{s:s, s:s, s:s, s:f}", "t", "job", "id",
                                                   sj->job.id, "phase", phase, "C", sj->C));
    const int w = m->clock[0] <= m->clock[1] ? 0 : 1;
    const double t0 = m->clock[w] + .01, t1 = t0 + r->seconds + .05;
    m->clock[w] = t1;
    if (m->s->n == 30) { // a second session, an hour later
        json_array_append_new(m->s->records, json_pack("{s:s, s:i, s:i, s:f}", "t", "session",
                                                       "n", 2, "workers", 2, "time", t0));
        m->later = 3600;
    }
    if (m->s->n % 40 == 12) // an attempt that crashed before
        json_array_append_new(m->s->records,
                              json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:f, s:f, s:s}", "t",
                                        "failure", "id", r->id, "attempt", 1, "worker", w + 1,
                                        "status", "failed", "cause", word(m, "signal 11"), "t0",
                                        t0 + m->later - .01, "t1", t0 + m->later, "stderr",
                                        word(m, "moetrain: segmentation fault\nlast line")));
    json_t *rec =
        json_pack("{s:s, s:s, s:s, s:o, s:f, s:i, s:f, s:f}", "t", "result", "id", r->id,
                  "status", job_status_name(r->status), "loss", json_num(r->loss), "seconds",
                  r->seconds, "worker", w + 1, "t0", t0 + m->later, "t1", t1 + m->later);
    json_object_set_new(rec, "curve",
                        learning_curve(&sj->job, isfinite(r->loss) ? r->loss : 3));
    json_array_append_new(m->s->records, rec);
}

static const struct steer_job *add_job(struct maker *m, double C, const struct arch *a,
                                       int seed, const char *phase)
{
    struct sample *s = m->s;
    struct steer_job *sj = &s->jobs[s->n];
    memset(sj, 0, sizeof *sj);
    sj->C = C;
    sj->job.arch = *a;
    sj->counts = arch_counts(a);
    sj->job.train.tokens = (int64_t)(C / (double)sj->counts.M);
    sj->job.train.batch_tokens = 256;
    sj->job.train.lr = .0055 * pow(C / 1e11, -.25);
    sj->job.train.seed = seed;
    snprintf(sj->job.id, sizeof sj->job.id, "%012x", 0x5eed00 + 7919 * s->n);
    sj->final = true;
    struct job_result *r = &sj->result;
    memcpy(r->id, sj->job.id, sizeof r->id);
    const bool diverged = m->opt->all_failed || s->n % 23 == 17;
    r->status = diverged ? JOB_DIVERGED : JOB_OK;
    r->loss = diverged ? NAN : true_loss(C, a, &sj->counts) * (1 + .006 * rng_normal(&m->rng));
    if (s->n == 9 && !diverged)
        r->loss *= 1.06; // the outlier
    r->seconds = C / 2e11 * (1 + .1 * rng_uniform(&m->rng));
    snprintf(r->cause, sizeof r->cause, "%s",
             diverged ? word(m, "loss is not finite at step 41") : "");
    add_records(m, sj, phase);
    s->list[s->n] = sj;
    s->n++;
    return sj;
}

// ---- a cell: one axis at one scale

struct axis_plan {
    const char *phase, *axis, *form, *verdict;
    int n, seeds;
};

static double axis_value(const char *axis, const struct steer_job *sj)
{
    return *axis == 'M'   ? (double)sj->counts.M
           : *axis == 'x' ? sj->counts.x
           : *axis == 'y' ? sj->counts.y
                          : (double)sj->job.arch.d;
}

static struct arch axis_arch(const char *axis, double C, int i, int n)
{
    const double M = best_M(C) * (*axis == 'M' ? pow(1.6, i - (n - 1) / 2.) : 1);
    static const int64_t d_values[] = {8, 10, 12, 16, 20}, experts[] = {4, 16, 32, 64, 96};
    return arch_of(M, *axis == 'd' ? d_values[i % 5] : 14, *axis == 'x' ? 4 + 4 * i : 8,
                   *axis == 'y' ? experts[i % 5] : 16);
}

static json_t *interval(double v, double lo, double hi)
{
    return json_pack("{s:o, s:o, s:o}", "value", json_num(v), "lo", json_num(lo), "hi",
                     json_num(hi));
}

static json_t *fit_json(const struct maker *m, const struct axis_plan *plan, double C,
                        json_t *points, double lo, double hi)
{
    const double opt = *plan->axis == 'M' ? best_M(C) : sqrt(lo * hi);
    const double best = 1.72 * pow(C / 1e11, -.05);
    json_t *curve = json_array();
    for (int i = 0; i < 64; i++) {
        const double t = lo * pow(hi / lo, i / 63.);
        json_array_append_new(curve,
                              json_pack("[f, f]", t, best + .035 * pow(log(t / opt), 2)));
    }
    json_t *fit =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:[f, f], s:f, s:f, s:f, s:[f, f], s:o, s:f}",
                  "axis", plan->axis, "form", plan->form, "verdict", plan->verdict, "n",
                  (int)json_array_size(points), "groups", 1, "coef", -.8, .035, "intercept",
                  6.1, "sigma", .01, "condition", 11., "range", lo, hi, "optimum",
                  interval(opt, opt * .88, opt * 1.12), "optimum_loss", best);
    json_object_set_new(fit, "raw_minimum",
                        json_pack("{s:f, s:f}", "t", opt * 1.2, "loss", best));
    json_object_set_new(fit, "band",
                        json_pack("{s:f, s:f, s:f, s:b, s:b, s:[f, f], s:[f, f]}", "tolerance",
                                  .004, "lo", opt * .7, "hi", opt * 1.4, "lo_open", 0,
                                  "hi_open", 0, "lo_ci", opt * .6, opt * .8, "hi_ci",
                                  opt * 1.25, opt * 1.6));
    json_object_set_new(fit, "grew", json_integer(strncmp(plan->verdict, "edge", 4) == 0));
    json_object_set_new(fit, "adopted", json_real(opt));
    json_object_set_new(fit, "rule", json_string(word(m, "interior optimum of the fit")));
    json_object_set_new(fit, "at", json_pack("{s:f, s:f, s:n}", "M", 91000., "x", 7.25, "y"));
    if (*plan->axis == 'd')
        json_object_set_new(fit, "along", json_pack("{s:f, s:f}", "M", .1, "x", -.2));
    json_object_set_new(fit, "points", points);
    json_object_set_new(fit, "curve", curve);
    return fit;
}

static void add_decision(struct maker *m, const json_t *cell)
{
    json_t *d = json_deep_copy(cell);
    json_object_set_new(d, "t", json_string("decision"));
    json_object_set_new(d, "verdict", json_string("decided"));
    json_array_append_new(m->s->records, d);
}

static void add_cell(struct maker *m, json_t *cells, const struct axis_plan *plan, double C)
{
    json_t *inputs = json_array(), *points = json_array(), *excluded = json_array();
    double lo = INFINITY, hi = -INFINITY;
    const char *phase = word(m, plan->phase);
    for (int i = 0; i < plan->n; i++)
        for (int seed = 1; seed <= plan->seeds; seed++) {
            const struct arch a = axis_arch(plan->axis, C, i, plan->n);
            const struct steer_job *sj = add_job(m, C, &a, seed, phase);
            json_array_append_new(inputs, json_string(sj->job.id));
            if (sj->result.status != JOB_OK) {
                json_array_append_new(excluded, json_pack("{s:s, s:s}", "job", sj->job.id,
                                                          "why", sj->result.cause));
                continue;
            }
            const double t = axis_value(plan->axis, sj);
            lo = fmin(lo, t);
            hi = fmax(hi, t);
            json_array_append_new(
                points, json_pack("{s:s, s:f, s:f, s:i, s:i, s:f, s:b}", "job", sj->job.id, "t",
                                  t, "loss", sj->result.loss, "group", 0, "seed", seed,
                                  "residual", .004, "outlier", (int)(sj == &m->s->jobs[9])));
        }
    json_t *fits = json_array();
    if (json_array_size(points))
        json_array_append_new(fits, fit_json(m, plan, C, points, lo, hi));
    else
        json_decref(points);
    json_t *cell = json_pack(
        "{s:o, s:s, s:f, s:i, s:o, s:o, s:[{s:s, s:s}], s:o, s:o}", "id",
        json_sprintf("%s@%.4g.0", phase, C), "phase", phase, "C", C, "round", 0, "inputs",
        inputs, "excluded", excluded, "infeasible", "point", "x = 5.9", "why",
        word(m, "no structure within the tolerances"), "fits", fits, "adopted",
        m->opt->all_failed ? json_object() : json_pack("{s:f}", plan->axis, best_M(C)));
    json_array_append_new(cells, cell);
    add_decision(m, cell);
}

// ---- laws and the rest

static json_t *law_json(struct maker *m, double k, double p, const char *verdict)
{
    json_t *points = json_array(), *boot = json_array();
    const int n = m->opt->scales;
    const bool fitted = n > 1;
    for (int i = 0; i < n; i++) {
        const double v = k * pow(scale_C[i], p);
        json_array_append_new(points,
                              json_pack("{s:f, s:f, s:f, s:f, s:s}", "C", scale_C[i], "value",
                                        v * (1 + .03 * rng_normal(&m->rng)), "lo", v * .9, "hi",
                                        v * 1.1, "verdict", verdict));
    }
    for (int i = 0; fitted && i < 200; i++) {
        const double tilt = .02 * rng_normal(&m->rng);
        json_array_append_new(boot, json_pack("[f, f]", log(k) - tilt * log(1e11), p + tilt));
    }
    return json_pack("{s:b, s:i, s:f, s:f, s:f, s:f, s:f, s:[f, f], s:o, s:o, s:s}", "fitted",
                     (int)fitted, "n", n, "k", k, "p", p, "p_lo", p - .04, "p_hi", p + .04,
                     "rmse_log", .02, "X", scale_C[0], scale_C[n - 1], "points", points, "boot",
                     boot, "rule", word(m, "power law through the interior optima"));
}

static json_t *loss_json(const struct maker *m)
{
    json_t *points = json_array();
    for (int i = 0; i < m->opt->scales; i++) {
        const struct steer_job *best = NULL;
        for (int k = 0; k < m->s->n; k++) {
            const struct steer_job *sj = m->s->list[k];
            if (sj->C == scale_C[i] && sj->result.status == JOB_OK &&
                (!best || sj->result.loss < best->result.loss))
                best = sj;
        }
        if (best)
            json_array_append_new(points, json_pack("{s:f, s:f, s:s}", "C", best->C, "loss",
                                                    best->result.loss, "job", best->job.id));
    }
    const bool converged = json_array_size(points) >= 3;
    return json_pack("{s:s, s:b, s:i, s:o, s:{s:o}, s:o, s:o, s:o}", "form", "E + A C^-p",
                     "converged", (int)converged, "n", (int)json_array_size(points), "E",
                     interval(converged ? 1.02 : NAN, .9, 1.1), "A", "value",
                     json_num(converged ? .72 * pow(1e11, .11) : NAN), "p",
                     interval(converged ? .11 : NAN, .09, .13), "rmse_log", json_num(.004),
                     "points", points);
}

static json_t *rank_json(const struct maker *m)
{
    json_t *pairs = json_array();
    struct rng rng = m->rng;
    for (int i = 0; i < 10; i++) {
        const double best = 1.6 + .03 * i;
        json_array_append_new(pairs,
                              json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "C", scale_C[0], "M",
                                        5e4 + 1e3 * i, "x", 6.5 + .1 * i, "y", 5., "median",
                                        best + .01 * rng_uniform(&rng), "best", best));
    }
    return json_pack("{s:s, s:f, s:i, s:o, s:o, s:o, s:o, s:o}", "phase", word(m, "verify"),
                     "C", scale_C[0], "n", 10, "pearson", interval(.98, .95, .99), "spearman",
                     interval(.97, .9, .99), "kendall", interval(.91, .8, .97), "r2",
                     interval(.96, .9, .99), "pairs", pairs);
}

static json_t *fairness_json(const struct maker *m)
{
    json_t *rows = json_array();
    for (int i = 0; i < m->s->n && i < 24; i++) {
        const struct steer_job *sj = m->s->list[i];
        json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:f, s:I, s:o, s:i}", "job",
                                              sj->job.id, "M", (double)sj->counts.M, "x",
                                              sj->counts.x, "y", sj->counts.y, "d",
                                              (json_int_t)sj->job.arch.d, "loss",
                                              json_num(sj->result.loss), "group", i / 4));
    }
    return json_pack("{s:s, s:f, s:i, s:i, s:o, s:o, s:f, s:o}", "phase", word(m, "width"), "C",
                     scale_C[0], "n", 24, "groups", 6, "before", interval(.03, .02, .04),
                     "after", interval(.012, .009, .015), "noise", .008, "rows", rows);
}

static json_t *arch_json(struct maker *m)
{
    const double top = scale_C[m->opt->scales - 1], C = 10 * top, M = best_M(C);
    const struct arch a = arch_of(M, 24, 8, 16);
    const struct counts c = arch_counts(&a);
    const struct job job = executed_job(&a, false, 512);
    return json_pack(
        "{s:i, s:s, s:f, s:f, s:b, s:{s:o, s:o, s:o}, s:o, s:o, s:{s:f}, s:{s:f, s:f, s:f}, "
        "s:{s:f, s:i, s:f}, s:[s]}",
        "v", 1, "sweep", word(m, "sample"), "C", C, "extrapolation", 10., "in_range", 0,
        "asked", "M", interval(M, M * .85, M * 1.2), "D",
        interval(C / M, C / M / 1.2, C / M / .85), "d", interval(24, 18, 30), "arch",
        arch_to_json(&a), "counts", executed_report_json(&job), "deviation", "M",
        (double)c.M / M - 1, "loss", "predicted", 1 + .72 * pow(C / 1e11, -.11), "lo", 1.4,
        "hi", 1.52, "train", "tokens", C / M, "batch_tokens", 512, "lr", .0015, "notes",
        word(m, "EXTRAPOLATION: 10 times beyond"));
}

static json_t *law_document(struct maker *m, json_t *cells)
{
    json_t *laws = json_object();
    if (!m->opt->all_failed) {
        json_object_set_new(laws, "M", law_json(m, best_M(1), .4, "interior"));
        json_object_set_new(laws, "M.band_lo", law_json(m, .7 * best_M(1), .4, "interior"));
        json_object_set_new(laws, "M.band_hi", law_json(m, 1.4 * best_M(1), .4, "interior"));
        json_object_set_new(laws, "D", law_json(m, 1 / best_M(1), .6, "interior"));
        json_object_set_new(laws, "x", law_json(m, 7.1, -.001, "unresolved"));
    }
    json_t *noise = json_array();
    for (int i = 0; i < m->opt->scales; i++)
        json_array_append_new(noise,
                              json_pack("{s:f, s:o, s:i}", "C", scale_C[i], "sd_ln",
                                        json_num(m->opt->all_failed ? NAN : .007), "n", 9));
    json_t *doc =
        json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:o}", "v", 1, "sweep", word(m, "sample"),
                  "question", word(m, "Which shape is best at a tenth of a second of compute?"),
                  "config", "00c0ffee00c0ffee", "noise", noise, "cells", cells, "laws", laws);
    json_object_set_new(doc, "loss", loss_json(m));
    const bool checks = m->opt->scales >= 3 && !m->opt->all_failed;
    json_object_set_new(doc, "rank_preservation",
                        checks ? json_pack("[o, o]", rank_json(m), rank_json(m))
                               : json_array());
    json_object_set_new(doc, "fairness",
                        checks ? json_pack("[o]", fairness_json(m)) : json_array());
    json_object_set_new(
        doc, "holdout",
        checks ? json_pack("{s:f, s:{s:f, s:f, s:f, s:f, s:f, s:f}, s:{s:f, s:f}}", "C",
                           scale_C[m->opt->scales - 1], "M", "predicted", 1.2e5, "lo", 1e5,
                           "hi", 1.5e5, "measured", 1.25e5, "measured_lo", 1.1e5, "measured_hi",
                           1.4e5, "loss", "predicted", 1.61, "measured", 1.62)
               : json_null());
    json_object_set_new(doc, "notes",
                        json_pack("[s, s]", word(m, "It cannot say how y changes."),
                                  "Everything beyond the largest is extrapolation."));
    return doc;
}

void sample_make(struct sample *s, const struct sample_options *opt)
{
    static const struct axis_plan plans[] = {
        {"allocation", "M", "logquad", "interior", 5, 2},
        {"ratios", "x", "density", "unresolved", 5, 2},
        {"experts", "y", "expansion", "edge_high", 4, 2},
        {"width", "d", "logquad", "interior", 5, 2},
    };
    memset(s, 0, sizeof *s);
    s->jobs = calloc(SAMPLE_MAX, sizeof *s->jobs);
    s->records = json_array();
    struct maker m = {.s = s, .opt = opt};
    rng_seed(&m.rng, 7, 0);
    json_t *cells = json_array();
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        for (int k = 0; k < opt->scales; k++)
            add_cell(&m, cells, &plans[i], scale_C[k]);
    s->law = law_document(&m, cells);
    s->arch = opt->all_failed ? NULL : arch_json(&m);
}

void sample_free(struct sample *s)
{
    free(s->jobs);
    json_decref(s->law);
    json_decref(s->arch);
    json_decref(s->records);
    memset(s, 0, sizeof *s);
}
