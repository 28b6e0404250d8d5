// SPDX-License-Identifier: GPL-3.0-or-later
// law.json: what all decided cells say together. From final results alone, in an order that
// does not depend on theirs. Layout: docs/law-json.md.
#include "core/json.h"
#include "fit/power.h"
#include "orchestrator/recommend.h"
#include "orchestrator/steer_state.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_QUANTITIES = N_COORDS + N_DIMS + 1 }; // V is none; lr and batch_tokens are

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
    int ok = 0, failed = 0, diverged = 0;
    double flops = 0;
    for (int i = 0; i < n; i++) {
        bool u = steer_job_ok(jobs[i]),
             dv = jobs[i]->final && jobs[i]->result.status == JOB_DIVERGED;
        ok += u;
        diverged += dv;
        failed += jobs[i]->final && !u && !dv;
        flops += u ? jobs[i]->C : 0;
    }
    return json_pack("{s:i, s:i, s:i, s:i, s:f}", "known", n, "ok", ok, "failed", failed,
                     "diverged", diverged, "flops", flops);
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
        sum += jobs[j]->result.loss;
        sum_ln += log(jobs[j]->result.loss);
        ++*count;
    }
    for (int j = i; j < n; j++)
        if (steer_job_ok(jobs[j]) && replicates(jobs[i], jobs[j]))
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

// ---- one law a quantity

struct quantity {
    struct var var;
    int n;
    const struct cell *cell[CONFIG_MAX_SCALES]; // ascending in C
    int fit[CONFIG_MAX_SCALES];
};

// The last decided fit that adopts var at scale C; NULL if none.
static const struct cell *cell_of(const struct steer *s, const char *name, double C, int *fit)
{
    const struct cell *found = NULL;
    for (int p = 0; p < s->cfg->n_phases; p++) {
        const struct cell *c = steer_cell_last(s, p, C);
        while (c && c->state != CELL_DECIDED && c->round > 0) { // a later round is still open
            const struct cell *earlier = NULL;
            for (int i = 0; i < s->n_cells; i++)
                if (s->cells[i].phase == p && s->cells[i].C == C &&
                    s->cells[i].round == c->round - 1)
                    earlier = &s->cells[i];
            c = earlier;
        }
        if (!c || c->state != CELL_DECIDED)
            continue;
        const struct phase *ph = &s->cfg->phases[p];
        for (int f = 0; f < ph->n_fits; f++)
            if (ph->fits[f].adopt && strcmp(ph->axes[ph->fits[f].axis].var.name, name) == 0 &&
                isfinite(c->adopted[f])) {
                found = c;
                *fit = f;
            }
    }
    return found;
}

static int quantities(const struct steer *s, struct quantity *q)
{
    int n = 0;
    for (int p = 0; p < s->cfg->n_phases; p++)
        for (int f = 0; f < s->cfg->phases[p].n_fits; f++) {
            const struct phase *ph = &s->cfg->phases[p];
            struct var var = ph->axes[ph->fits[f].axis].var;
            bool known = !ph->fits[f].adopt || n == MAX_QUANTITIES;
            for (int i = 0; i < n; i++)
                known = known || strcmp(q[i].var.name, var.name) == 0;
            if (known)
                continue;
            q[n] = (struct quantity){.var = var};
            for (int i = 0; i < s->cfg->n_scales; i++) {
                int fit = 0;
                const struct cell *c = cell_of(s, var.name, s->cfg->scales[i], &fit);
                if (c) {
                    q[n].cell[q[n].n] = c;
                    q[n].fit[q[n].n++] = fit;
                }
            }
            n += q[n].n > 0;
        }
    return n;
}

// Which of a fit's numbers a law runs through.
enum part { PART_OPTIMUM, PART_BAND_LO, PART_BAND_HI };

struct law_point {
    double C, value, lo, hi;
    const double *boot;
    int n_boot;
    bool sound; // an interior optimum, or a closed edge of its band
    bool top;   // still falling at the largest value tried
    const char *verdict;
};

static struct law_point law_point_of(const struct quantity *q, int i, enum part part)
{
    const struct curve_fit *f = &q->cell[i]->fits[q->fit[i]];
    bool interior = f->verdict == CURVE_INTERIOR;
    struct law_point p = {
        .C = q->cell[i]->C, .n_boot = f->n_boot, .verdict = curve_verdict_name(f->verdict)};
    switch (part) {
    case PART_OPTIMUM:
        p.value = q->cell[i]->adopted[q->fit[i]];
        p.lo = f->opt_lo;
        p.hi = f->opt_hi;
        p.boot = f->boot_opt;
        p.sound = interior;
        p.top = f->verdict == CURVE_EDGE_HIGH && f->opt >= f->t_max;
        break;
    case PART_BAND_LO:
        p.value = f->band_lo;
        p.lo = f->band_lo_ci[0];
        p.hi = f->band_lo_ci[1];
        p.boot = f->boot_band_lo;
        p.sound = interior && !f->band_lo_open;
        break;
    case PART_BAND_HI:
        p.value = f->band_hi;
        p.lo = f->band_hi_ci[0];
        p.hi = f->band_hi_ci[1];
        p.boot = f->boot_band_hi;
        p.sound = interior && !f->band_hi_open;
        break;
    }
    return p;
}

static bool sizes(const struct var *var)
{
    return var->kind == VAR_LR || var->kind == VAR_BATCH ||
           (var->kind == VAR_COORD &&
            (var->index == COORD_M || var->index == COORD_N_a || var->index == COORD_N));
}

static json_t *power_json(const struct power_fit *f, json_t *points, const char *rule)
{
    json_t *boot = json_array();
    for (int i = 0; i < f->n_boot; i++)
        json_array_append_new(boot, json_pair(f->boot_lnk[i], f->boot_p[i]));
    return json_pack("{s:b, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "fitted",
                     f->fitted, "n", f->n, "k", json_num(f->k), "p", json_num(f->p), "p_lo",
                     json_num(f->p_lo), "p_hi", json_num(f->p_hi), "rmse_log",
                     json_num(f->rmse_log), "X", json_pair(f->X_min, f->X_max), "points",
                     points, "boot", boot, "rule", rule);
}

// No trend claimed: one value, and the interval that covers all of its points.
static json_t *constant_json(const struct law_point *pts, int n, json_t *points)
{
    double sum = 0, lo = INFINITY, hi = -INFINITY, top = -INFINITY;
    int sound = 0, edges = 0;
    bool known = true; // the uncertainty of every point
    for (int i = 0; i < n; i++)
        sound += pts[i].sound;
    for (int i = 0; i < n; i++) {
        edges += pts[i].top;
        top = fmax(top, pts[i].value);
        if (sound && !pts[i].sound)
            continue;
        sum += log(pts[i].value);
        known = known && isfinite(pts[i].lo) && isfinite(pts[i].hi);
        lo = fmin(lo, fmin(pts[i].lo, pts[i].value));
        hi = fmax(hi, fmax(pts[i].hi, pts[i].value));
    }
    int used = sound ? sound : n;
    bool largest = !sound && edges == n;
    double value = largest ? top : exp(sum / used);
    const char *rule =
        largest
            ? "still falling at the largest value tried at every scale: the largest affordable"
        : n == 1 ? "one scale only, no power law: its value is carried unchanged"
        : sound
            ? "fewer than three interior optima, no trend claimed: their geometric mean"
            : "no interior optimum at any scale, no trend claimed: geometric mean of what was "
              "adopted";
    return json_pack("{s:b, s:i, s:o, s:f, s:n, s:n, s:n, s:o, s:o, s:[], s:o, s:s}", "fitted",
                     0, "n", used, "k", json_num(value), "p", 0.0, "p_lo", "p_hi", "rmse_log",
                     "X", json_pair(pts[0].C, pts[n - 1].C), "points", points, "boot",
                     "constant", json_interval(value, known ? lo : NAN, known ? hi : NAN),
                     "rule", rule);
}

static enum err law_of(const struct steer *s, const struct quantity *q, enum part part,
                       double C_below, json_t **out)
{
    struct law_point pts[CONFIG_MAX_SCALES];
    struct power_point pp[CONFIG_MAX_SCALES];
    json_t *points = json_array();
    int n = 0, sound = 0, used = 0;
    for (int i = 0; i < q->n; i++) {
        struct law_point p = law_point_of(q, i, part);
        if (p.C >= C_below || (part != PART_OPTIMUM && !p.sound))
            continue;
        pts[n++] = p;
        sound += p.sound;
        json_array_append_new(points, json_pack("{s:f, s:o, s:o, s:o, s:s}", "C", p.C, "value",
                                                json_num(p.value), "lo", json_num(p.lo), "hi",
                                                json_num(p.hi), "verdict", p.verdict));
    }
    *out = NULL;
    if (n == 0 || (part != PART_OPTIMUM && n < 2)) {
        json_decref(points);
        return OK;
    }
    int need = sizes(&q->var) ? 2 : 3; // two points always make a line: enough for sizes alone
    bool all = sound < need && sizes(&q->var) && n >= 2;
    if (sound < need && !all) {
        *out = constant_json(pts, n, points);
        return OK;
    }
    for (int i = 0; i < n; i++)
        if (all || pts[i].sound)
            pp[used++] =
                (struct power_point){pts[i].C, pts[i].value, pts[i].boot, pts[i].n_boot};
    struct power_fit fit;
    enum err e = power_fit_run(pp, used, s->cfg->seed, &fit);
    if (e != OK) {
        json_decref(points);
        return e;
    }
    char rule[160];
    snprintf(rule, sizeof rule, "power law through %d %s%s", used,
             all ? "adopted values, not all of them interior optima: take it with care"
                 : "interior optima",
             used == 2 ? " (two scales: nothing tests the line)" : "");
    *out = power_json(&fit, points, rule);
    power_fit_free(&fit);
    return OK;
}

// D = C/M: the other half of the (C, M, D) law.
static json_t *law_D(const json_t *law_M)
{
    json_t *d = json_deep_copy(law_M), *v;
    double k = json_number_value(json_object_get(law_M, "k"));
    double p = json_number_value(json_object_get(law_M, "p"));
    json_object_set_new(d, "k", json_num(1 / k));
    json_object_set_new(d, "p", json_num(1 - p));
    json_t *p_lo = json_object_get(law_M, "p_lo"), *p_hi = json_object_get(law_M, "p_hi");
    if (json_is_number(p_lo) && json_is_number(p_hi)) {
        json_object_set_new(d, "p_lo", json_num(1 - json_number_value(p_hi)));
        json_object_set_new(d, "p_hi", json_num(1 - json_number_value(p_lo)));
    }
    size_t i;
    json_array_foreach(json_object_get(d, "boot"), i, v)
    {
        json_array_set_new(v, 0, json_num(-json_number_value(json_array_get(v, 0))));
        json_array_set_new(v, 1, json_num(1 - json_number_value(json_array_get(v, 1))));
    }
    json_array_foreach(json_object_get(d, "points"), i, v)
    {
        double C = json_number_value(json_object_get(v, "C"));
        double value = json_number_value(json_object_get(v, "value"));
        double lo = json_number_value(json_object_get(v, "lo"));
        double hi = json_number_value(json_object_get(v, "hi"));
        json_object_set_new(v, "value", json_num(C / value));
        json_object_set_new(v, "lo", json_num(C / hi));
        json_object_set_new(v, "hi", json_num(C / lo));
    }
    v = json_object_get(law_M, "constant"); // of k: 1/0 becomes null
    if (v)
        json_object_set_new(d, "constant",
                            json_interval(1 / k,
                                          1 / json_number_value(json_object_get(v, "hi")),
                                          1 / json_number_value(json_object_get(v, "lo"))));
    json_object_set_new(d, "rule", json_string("D = C/M"));
    return d;
}

// Where an adopted d and its interval lie in the feasible list of their scale's adopted triad:
// how a width that has no law of its own is carried to other sizes.
static void fractions_of_d(const struct steer *s, const struct quantity *q, json_t *law)
{
    int last = q->n - 1;
    const struct cell *c = q->cell[last];
    const struct curve_fit *f = &c->fits[q->fit[last]];
    struct wish w;
    wish_init(&w);
    wish_settings(&w, s->cfg->start, s->cfg->n_start, c->C);
    struct quantity all[MAX_QUANTITIES];
    int n = quantities(s, all);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < all[i].n; k++)
            if (all[i].cell[k]->C == c->C) {
                struct wish upper;
                wish_init(&upper);
                wish_set(&upper, &all[i].var, all[i].cell[k]->adopted[all[i].fit[k]]);
                wish_layer(&w, &upper);
            }
    const char *const names[] = {"fraction", "fraction_lo", "fraction_hi"};
    const double d[] = {c->adopted[q->fit[last]], f->opt_lo, f->opt_hi};
    w.d_fraction = NAN;
    for (int i = 0; i < 3; i++) {
        struct solution sol;
        double fraction = NAN;
        w.dim[DIM_d] = d[i];
        if (isnan(d[i]) || wish_solve(&s->cfg->solve, &w, &sol, &fraction, NULL) != OK)
            fraction = NAN;
        json_object_set_new(law, names[i], json_num(fraction));
    }
}

static bool is_d(const struct var *v)
{
    return v->kind == VAR_DIM && v->index == DIM_d;
}

static enum err laws_json(const struct steer *s, json_t *laws)
{
    static const char *const suffix[] = {"", ".band_lo", ".band_hi"};
    struct quantity q[MAX_QUANTITIES];
    int n = quantities(s, q);
    for (int i = 0; i < n; i++)
        for (int part = PART_OPTIMUM; part <= PART_BAND_HI; part++) {
            char name[32];
            json_t *law;
            TRY(law_of(s, &q[i], (enum part)part, INFINITY, &law));
            if (!law)
                continue;
            snprintf(name, sizeof name, "%s%s", q[i].var.name, suffix[part]);
            if (part == PART_OPTIMUM && is_d(&q[i].var) &&
                !json_is_true(json_object_get(law, "fitted"))) {
                fractions_of_d(s, &q[i], law);
                json_object_set_new(
                    law, "rule",
                    json_string("no power law: carried as its position in the list "
                                "of feasible d (0 narrowest, 1 widest)"));
            }
            json_object_set_new(laws, name, law);
            if (strcmp(name, "M") == 0)
                json_object_set_new(laws, "D", law_D(law));
        }
    return OK;
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
    struct quantity q[MAX_QUANTITIES];
    int nq = quantities(s, q);
    *out = json_null();
    for (int i = 0; i < nq; i++) {
        if (strcmp(q[i].var.name, "M") != 0 || q[i].n < 3)
            continue;
        struct law_point last = law_point_of(&q[i], q[i].n - 1, PART_OPTIMUM);
        json_t *law, *loss;
        TRY(law_of(s, &q[i], PART_OPTIMUM, last.C, &law));
        double v, lo, hi, predicted = last.C, measured = NAN;
        recommend_predict(law, last.C, &v, &lo, &hi);
        json_decref(law);
        TRY(loss_json(s->cfg, sc, n, last.C, &loss, &predicted));
        json_decref(loss);
        for (int k = 0; k < n; k++)
            if (sc[k].C == last.C && sc[k].best_job)
                measured = sc[k].best_loss;
        *out = json_pack("{s:f, s:{s:o, s:o, s:o, s:o, s:o, s:o}, s:{s:o, s:o}}", "C", last.C,
                         "M", "predicted", json_num(v), "lo", json_num(lo), "hi", json_num(hi),
                         "measured", json_num(last.value), "measured_lo", json_num(last.lo),
                         "measured_hi", json_num(last.hi), "loss", "predicted",
                         json_num(predicted), "measured", json_num(measured));
    }
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

// The last decided cell that holds an analysis, in an order that arrivals do not change.
static const struct cell *last_with(const struct steer *s, bool (*has)(const struct cell *))
{
    const struct cell *last = NULL;
    for (int i = 0; i < s->n_cells; i++) {
        const struct cell *c = &s->cells[i];
        if (c->state == CELL_DECIDED && has(c) && (!last || cell_order(&c, &last) > 0))
            last = c;
    }
    return last;
}

static bool has_rank(const struct cell *c)
{
    return c->has_rank;
}

static bool has_spread(const struct cell *c)
{
    return c->has_spread;
}

static json_t *rank_json(const struct steer *s)
{
    const struct cell *c = last_with(s, has_rank);
    if (!c)
        return json_null();
    const struct rank_stats *r = &c->rank;
    return json_pack("{s:s, s:f, s:i, s:o, s:o, s:o, s:o, s:O}", "phase",
                     s->cfg->phases[c->phase].name, "C", c->C, "n", r->n, "pearson",
                     json_interval(r->pearson, r->lo[0], r->hi[0]), "spearman",
                     json_interval(r->spearman, r->lo[1], r->hi[1]), "kendall",
                     json_interval(r->kendall, r->lo[2], r->hi[2]), "r2",
                     json_interval(r->r2, r->lo[3], r->hi[3]), "pairs", c->rank_pairs);
}

static json_t *fairness_json(const struct steer *s)
{
    const struct cell *c = last_with(s, has_spread);
    if (!c)
        return json_null();
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

static enum err cells_json(const struct steer *s, json_t *out)
{
    const struct cell **list = malloc(((size_t)s->n_cells + 1) * sizeof(const void *));
    ENSURE(list, ERR_FAILED, "out of memory");
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
            json_array_append_new(out, j);
    }
    free(list);
    return e;
}

static enum err law_fill(const struct steer *s, const struct steer_job **jobs, json_t *doc)
{
    const struct sweep *cfg = s->cfg;
    struct scale_summary sc[CONFIG_MAX_SCALES];
    json_t *noise = json_array(), *cells = json_array(), *laws = json_object(), *j;
    for (int i = 0; i < cfg->n_scales; i++) {
        sc[i] = scale_summarise(jobs, s->n_jobs, cfg->scales[i]);
        json_array_append_new(noise, json_pack("{s:f, s:o, s:i}", "C", sc[i].C, "sd_ln",
                                               json_num(sc[i].noise), "n", sc[i].noise_n));
    }
    json_object_set_new(doc, "runs", runs_json(jobs, s->n_jobs));
    json_object_set_new(doc, "range", range_json(jobs, s->n_jobs));
    json_object_set_new(doc, "noise", noise);
    json_object_set_new(doc, "cells", cells);
    json_object_set_new(doc, "laws", laws);
    TRY(recommend_spec_json(cfg, &j));
    json_object_set_new(doc, "spec", j);
    TRY(cells_json(s, cells));
    TRY(laws_json(s, laws));
    double unused = cfg->scales[cfg->n_scales - 1];
    TRY(loss_json(cfg, sc, cfg->n_scales, INFINITY, &j, &unused));
    json_object_set_new(doc, "loss", j);
    json_object_set_new(doc, "rank_preservation", rank_json(s));
    json_object_set_new(doc, "fairness", fairness_json(s));
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
