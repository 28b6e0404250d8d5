// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/steer.h"
#include "core/rng.h"
#include "orchestrator/steer_state.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Smaller first: a grid that grows holds up a decision.
enum { PRIORITY_GROWN, PRIORITY_GRID };
enum { MAX_JOBS = 1000000, MAX_POINTS_PER_CELL = 100000 };

bool steer_job_ok(const struct steer_job *sj)
{
    return sj->final && sj->result.status == JOB_OK && isfinite(sj->result.loss);
}

bool steer_job_pruned(const struct steer_job *sj)
{
    return sj->final && sj->result.status == JOB_PRUNED;
}

int steer_n_jobs(const struct steer *s)
{
    return s->n_jobs;
}

const struct steer_job *steer_job_at(const struct steer *s, int i)
{
    ASSERT(i >= 0 && i < s->n_jobs);
    return s->jobs[i];
}

int steer_n_decisions(const struct steer *s)
{
    return s->n_decisions;
}

json_t *steer_decision_at(const struct steer *s, int i)
{
    return json_array_get(s->decisions, (size_t)i);
}

bool steer_is_before(const struct sweep *cfg, int q, int p)
{
    const struct phase *ph = &cfg->phases[p];
    for (int i = 0; i < ph->n_after; i++)
        if (ph->after[i] == q || steer_is_before(cfg, q, ph->after[i]))
            return true;
    return false;
}

const struct cell *steer_cell_last(const struct steer *s, int phase, double C)
{
    const struct cell *last = NULL;
    for (int i = 0; i < s->n_cells; i++) {
        const struct cell *c = &s->cells[i];
        if (c->phase == phase && c->C == C && (!last || c->round > last->round))
            last = c;
    }
    return last;
}

static enum err cell_add(struct steer *s, int phase, double C, int round)
{
    if (s->n_cells == s->cap_cells) {
        int cap = s->cap_cells ? 2 * s->cap_cells : 32;
        struct cell *grown = realloc(s->cells, (size_t)cap * sizeof *grown);
        ENSURE(grown, ERR_FAILED, "out of memory: %d cells", cap);
        s->cells = grown;
        s->cap_cells = cap;
    }
    struct cell *c = &s->cells[s->n_cells++];
    memset(c, 0, sizeof *c);
    c->phase = phase;
    c->C = C;
    c->round = round;
    for (int i = 0; i < CONFIG_MAX_AXES; i++)
        c->adopted[i] = NAN;
    c->infeasible = json_array();
    return OK;
}

enum err steer_create(const struct sweep *cfg, struct steer **out)
{
    struct steer *s = calloc(1, sizeof *s);
    ENSURE(s, ERR_FAILED, "out of memory");
    s->cfg = cfg;
    s->decisions = json_array();
    for (int p = 0; p < cfg->n_phases; p++)
        for (int i = 0; i < cfg->phases[p].n_scales; i++) {
            enum err e = cell_add(s, p, cfg->phases[p].scales[i], 0);
            if (e != OK) {
                steer_free(s);
                return e;
            }
        }
    *out = s;
    return OK;
}

void steer_free(struct steer *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n_jobs; i++) {
        job_free(&s->jobs[i]->job);
        json_decref(s->jobs[i]->origin);
        free(s->jobs[i]);
    }
    free(s->jobs);
    free(s->by_id.at);
    free(s->by_work.at);
    for (int i = 0; i < s->n_cells; i++) {
        decide_cell_free(&s->cells[i]);
        free(s->cells[i].entries);
        json_decref(s->cells[i].infeasible);
    }
    free(s->cells);
    json_decref(s->decisions);
    steer_known_free(s);
    feasible_free(&s->solved);
    free(s);
}

// What a job is in the table by.
static const char *key_of(const struct steer *s, const struct job_table *t, int job)
{
    return t == &s->by_id ? s->jobs[job]->job.id : s->jobs[job]->work;
}

// Where the key is in the table, or would be.
static int *place_of(const struct steer *s, const struct job_table *t, const char *key)
{
    uint64_t at = rng_hash(key, strlen(key), RNG_HASH_START);
    for (;; at++) {
        int *place = &t->at[at & (uint64_t)(t->n - 1)];
        if (*place == 0 || strcmp(key_of(s, t, *place - 1), key) == 0)
            return place;
    }
}

static int find_in(const struct steer *s, const struct job_table *t, const char *key)
{
    return t->n > 0 ? *place_of(s, t, key) - 1 : -1;
}

int steer_find(const struct steer *s, const char *id)
{
    return find_in(s, &s->by_id, id);
}

int steer_find_work(const struct steer *s, const char *work)
{
    return find_in(s, &s->by_work, work);
}

// Puts the job in unless its key is there. Keeps the table at most half full.
static enum err table_add(struct steer *s, struct job_table *t, int job)
{
    if (2 * (job + 1) > t->n) {
        int n = t->n ? 2 * t->n : 256; // a power of two
        int *at = calloc((size_t)n, sizeof *at);
        ENSURE(at, ERR_FAILED, "out of memory: %d jobs", n);
        free(t->at);
        t->at = at;
        t->n = n;
        for (int i = job - 1; i >= 0; i--) // of equal keys the first job's stays
            *place_of(s, t, key_of(s, t, i)) = i + 1;
    }
    int *place = place_of(s, t, key_of(s, t, job));
    *place = *place ? *place : job + 1;
    return OK;
}

enum err steer_result(struct steer *s, const struct job_result *r)
{
    int i = steer_find(s, r->id);
    ENSURE(i >= 0, ERR_INPUT, "result of job '%s', which is not a job of this sweep", r->id);
    if (s->jobs[i]->final)
        return OK;
    s->jobs[i]->final = true;
    s->jobs[i]->result = *r;
    return OK;
}

bool steer_is_behind(const struct steer *s, const struct cell *q, const struct cell *c)
{
    if (q->C != c->C || q->state != CELL_DECIDED)
        return false;
    return q->phase == c->phase ? q->round < c->round
                                : steer_is_before(s->cfg, q->phase, c->phase);
}

void steer_wish(const struct steer *s, const struct cell *c, struct wish *w)
{
    const struct sweep *cfg = s->cfg;
    wish_init(w);
    wish_settings(w, cfg->start, cfg->n_start, c->C);
    for (int p = 0; p < cfg->n_phases; p++) {
        for (int i = 0; i < s->n_cells; i++) {
            const struct cell *q = &s->cells[i];
            if (q->phase != p || !steer_is_behind(s, q, c))
                continue;
            struct wish upper;
            wish_init(&upper);
            const struct phase *ph = &cfg->phases[p];
            for (int f = 0; f < ph->n_fits; f++)
                if (ph->fits[f].adopt && !isnan(q->adopted[f]))
                    wish_set(&upper, &ph->axes[ph->fits[f].axis].var, q->adopted[f]);
            wish_layer(w, &upper);
        }
    }
    struct wish own;
    wish_init(&own);
    const struct phase *ph = &cfg->phases[c->phase];
    wish_settings(&own, ph->set, ph->n_set, c->C);
    wish_layer(w, &own);
}

// The value on a variable that the wishes stand for, as the centre of an axis "around adopted".
static enum err wish_center(const struct sweep *cfg, const struct wish *w,
                            const struct var *var, double C, double *center)
{
    double direct = NAN;
    if (var->kind == VAR_COORD)
        direct = w->coord[var->index];
    else if (var->kind == VAR_DIM)
        direct = w->dim[var->index];
    if (!isnan(direct)) {
        *center = direct;
        return OK;
    }
    struct solution sol;
    TRY(wish_solve(&cfg->solve, w, NULL, &sol, NULL, NULL));
    struct training t = wish_training(w, &cfg->lr, &cfg->batch_tokens, &sol, C);
    *center = var_value(var, &sol.arch, &sol.counts, t.lr, t.batch_tokens);
    return OK;
}

static enum err axis_values(const struct steer *s, const struct cell *c, const struct wish *w,
                            const struct axis *ax, struct cell_axis *out)
{
    out->n = ax->n;
    if (ax->source != AXIS_AROUND) {
        memcpy(out->asked, ax->values, (size_t)ax->n * sizeof *ax->values);
        return OK;
    }
    double center = rule_at(&ax->center, c->C);
    if (ax->around_adopted)
        TRY(wish_center(s->cfg, w, &ax->var, c->C, &center));
    for (int i = 0; i < ax->n; i++)
        out->asked[i] = center * pow(ax->factor, i - 0.5 * (ax->n - 1));
    return OK;
}

// The job's number: one that is there, its own or of the same work, or a new one.
static enum err job_add(struct steer *s, struct job *job, const struct counts *counts,
                        const struct cell *c, int priority, int *index)
{
    char work[JOB_ID_LEN];
    job->n_stop = 0;
    job_set_id(job);
    memcpy(work, job->id, sizeof work);
    *index = steer_stand_in(s, c, work);
    if (*index >= 0)
        return OK;
    if (c->n_stop > 0)
        steer_set_stops(c, job);
    *index = steer_find(s, job->id);
    if (*index >= 0)
        return OK;
    ENSURE(s->n_jobs < MAX_JOBS, ERR_INPUT, "the sweep asks for more than %d runs", MAX_JOBS);
    if (s->n_jobs == s->cap_jobs) {
        int cap = s->cap_jobs ? 2 * s->cap_jobs : 128;
        struct steer_job **grown = realloc(s->jobs, (size_t)cap * sizeof *grown);
        ENSURE(grown, ERR_FAILED, "out of memory: %d jobs", cap);
        s->jobs = grown;
        s->cap_jobs = cap;
    }
    struct steer_job *sj = calloc(1, sizeof *sj);
    ENSURE(sj, ERR_FAILED, "out of memory");
    enum err e = job_copy(&sj->job, job);
    if (e != OK) {
        free(sj);
        return e;
    }
    memcpy(sj->work, work, sizeof work);
    sj->counts = *counts;
    sj->C = c->C;
    sj->phase = c->phase;
    sj->priority = priority;
    steer_take_known(s, sj);
    int first = steer_find_work(s, work);
    *index = s->n_jobs;
    s->jobs[s->n_jobs++] = sj;
    if (first >= 0) { // behind the first, which the table has
        sj->twin = s->jobs[first]->twin;
        s->jobs[first]->twin = *index + 1;
    }
    TRY(table_add(s, &s->by_work, *index));
    return table_add(s, &s->by_id, *index);
}

static void job_fill(const struct sweep *cfg, const struct wish *w, const struct solution *sol,
                     double C, struct job *j)
{
    struct training t = wish_training(w, &cfg->lr, &cfg->batch_tokens, sol, C);
    j->arch = sol->arch;
    j->arch.V = cfg->solve.base.V > 0 ? cfg->solve.base.V : 0;
    j->train.tokens = (int64_t)t.tokens;
    j->train.batch_tokens = (int64_t)t.batch_tokens;
    j->train.lr = t.lr;
    j->train.aux = rule_at(&cfg->aux, C);
    j->width = (int)rule_at(&cfg->width, C);
    // A single weight divided by itself is 1: the router would get no gradient from the loss.
    j->model.norm_topk = cfg->base.model.norm_topk && sol->arch.K > 1;
}

static enum err point_jobs(struct steer *s, struct cell *c, const struct wish *w,
                           const struct solution *sol, double median_d, const int *at,
                           const char *what, int priority)
{
    const struct sweep *cfg = s->cfg;
    double epochs = c->C / (double)sol->counts.M / (double)cfg->corpus_train;
    if (cfg->max_epochs > 0 && epochs > cfg->max_epochs) {
        json_array_append_new(
            c->infeasible,
            json_pack("{s:s, s:o}", "point", what, "why",
                      json_sprintf("would see the training text %.2f times, max_epochs is %g",
                                   epochs, cfg->max_epochs)));
        return OK;
    }
    struct job j;
    TRY(job_copy(&j, &cfg->base));
    job_fill(cfg, w, sol, c->C, &j);
    enum err e = OK;
    for (int seed = 1; e == OK && seed <= cfg->phases[c->phase].seeds; seed++) {
        j.train.seed = seed;
        int index, known = s->n_jobs;
        e = job_add(s, &j, &sol->counts, c, priority, &index);
        for (int i = 0; e == OK && index < known && i < c->n_entries; i++)
            if (c->entries[i].job == index)
                index = -1; // another point of this cell already came to the same structure
        if (e == OK && index < 0 && seed == 1)
            json_array_append_new(c->infeasible,
                                  json_pack("{s:s, s:s}", "point", what, "why",
                                            "comes to the same structure as another point"));
        if (e != OK || index < 0)
            continue;
        struct entry *grown = realloc(c->entries, (size_t)(c->n_entries + 1) * sizeof *grown);
        if (!grown) {
            e = err_set(ERR_FAILED, "out of memory");
            break;
        }
        c->entries = grown;
        struct entry *en = &c->entries[c->n_entries++];
        memset(en, 0, sizeof *en);
        en->job = index;
        en->median_d = median_d;
        memcpy(en->at, at, sizeof en->at);
    }
    job_free(&j);
    return e;
}

static enum err point_add(struct steer *s, struct cell *c, const struct wish *before,
                          const int *at, int priority)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    struct wish own, w = *before;
    wish_init(&own);
    char what[200] = "";
    size_t used = 0;
    bool has_d = false;
    for (int a = 0; a < ph->n_axes; a++) {
        double v = c->axes[a].asked[at[a]];
        struct var var = ph->axes[a].var;
        if (ph->axes[a].source == AXIS_FRACTIONS)
            var.kind = VAR_D_FRACTION;
        has_d =
            has_d || var.kind == VAR_D_FRACTION || (var.kind == VAR_DIM && var.index == DIM_d);
        wish_set(&own, &var, v);
        int n = snprintf(what + used, sizeof what - used, "%s%s = %.4g", a ? ", " : "",
                         var.name, v);
        used += n > 0 && (size_t)n < sizeof what - used ? (size_t)n : 0;
    }
    wish_layer(&w, &own);
    struct solution sol;
    int64_t median = 0;
    bool need_median = has_d && ph->analysis == ANALYSIS_RANK;
    enum err e =
        wish_solve(&s->cfg->solve, &w, &s->solved, &sol, NULL, need_median ? &median : NULL);
    if (e == ERR_INPUT) {
        json_array_append_new(c->infeasible,
                              json_pack("{s:s, s:s}", "point", what, "why", err_message()));
        return OK;
    }
    TRY(e);
    return point_jobs(s, c, &w, &sol, (double)median, at, what, priority);
}

// All points of the axes' product whose index on axis `only` is `only_at` (only < 0: all
// points).
static enum err points_add(struct steer *s, struct cell *c, int only, int only_at, int priority)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    struct wish before;
    steer_wish(s, c, &before);
    int at[CONFIG_MAX_AXES] = {0};
    if (only >= 0)
        at[only] = only_at;
    for (int64_t count = 0; count < MAX_POINTS_PER_CELL; count++) {
        TRY(point_add(s, c, &before, at, priority));
        int a = 0;
        for (; a < ph->n_axes; a++) {
            if (a == only)
                continue;
            if (++at[a] < c->axes[a].n)
                break;
            at[a] = 0;
        }
        if (a == ph->n_axes)
            return OK;
    }
    return err_set(ERR_INPUT, "%s: phase '%s' asks for more than %d points at one scale",
                   s->cfg->path, ph->name, MAX_POINTS_PER_CELL);
}

static enum err cell_open(struct steer *s, struct cell *c)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    struct wish before;
    steer_wish(s, c, &before);
    for (int a = 0; a < ph->n_axes; a++) {
        enum err e = axis_values(s, c, &before, &ph->axes[a], &c->axes[a]);
        if (e ==
            ERR_INPUT) { // the centre itself cannot be built: said, and the cell stays empty
            json_array_append_new(c->infeasible, json_pack("{s:s, s:s}", "point", "centre",
                                                           "why", err_message()));
            c->state = CELL_OPEN;
            return OK;
        }
        TRY(e);
    }
    c->state = CELL_OPEN;
    if (ph->stop.n > 0)
        steer_find_reference(s, c);
    return points_add(s, c, -1, 0, PRIORITY_GRID);
}

static bool cell_ready(const struct steer *s, const struct cell *c)
{
    // Every ancestor: one named in `after` may not run at this scale, but what it waits for
    // may.
    for (int q = 0; q < c->phase; q++) {
        if (!steer_is_before(s->cfg, q, c->phase))
            continue;
        if (s->cfg->phases[q].rounds > 1) {
            if (!s->phase_closed[q])
                return false;
            continue;
        }
        const struct cell *dep = steer_cell_last(s, q, c->C);
        if (dep && dep->state != CELL_DECIDED)
            return false;
    }
    return true;
}

static bool cell_final(const struct steer *s, const struct cell *c)
{
    for (int i = 0; i < c->n_entries; i++)
        if (!s->jobs[c->entries[i].job]->final)
            return false;
    return true;
}

// One more value beyond the edge where the optimum lies; false when nothing (more) can be
// added.
static enum err cell_grow(struct steer *s, struct cell *c, int fit, bool *grew)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    const struct fit_spec *fs = &ph->fits[fit];
    struct cell_axis *ax = &c->axes[fs->axis];
    bool low = c->fits[fit].verdict == CURVE_EDGE_LOW;
    *grew = false;
    if (ax->closed || (!low && c->fits[fit].verdict != CURVE_EDGE_HIGH) ||
        steer_pruned_beyond(s, c, fs->axis, low) ||
        ax->grown_low + ax->grown_high >= fs->grow || ax->n >= CONFIG_MAX_POINTS || ax->n < 2 ||
        ph->axes[fs->axis].source == AXIS_FRACTIONS)
        return OK;
    // The two outermost values give the step; grown values were appended, so look for them.
    double edge = ax->asked[0], inner = NAN;
    for (int i = 1; i < ax->n; i++)
        if (low ? ax->asked[i] < edge : ax->asked[i] > edge)
            edge = ax->asked[i];
    for (int i = 0; i < ax->n; i++)
        if (ax->asked[i] != edge &&
            (isnan(inner) || fabs(log(ax->asked[i] / edge)) < fabs(log(inner / edge))))
            inner = ax->asked[i];
    if (isnan(inner))
        return OK;
    ax->asked[ax->n++] = edge * (edge / inner);
    *(low ? &ax->grown_low : &ax->grown_high) += 1;
    int before = c->n_entries;
    TRY(points_add(s, c, fs->axis, ax->n - 1, PRIORITY_GROWN));
    if (c->n_entries == before) {
        *(low ? &ax->grown_low : &ax->grown_high) -= 1;
        ax->closed = true; // infeasible there (said): no further
    } else {
        *grew = true;
    }
    return OK;
}

static enum err decision_append(struct steer *s, json_t *d)
{
    ENSURE(d && json_array_append_new(s->decisions, d) == 0, ERR_FAILED, "out of memory");
    s->n_decisions++;
    return OK;
}

static enum err cell_decide(struct steer *s, struct cell *c)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    TRY(decide_cell(s, c));
    bool grew = false;
    json_t *d;
    TRY(decide_cell_json(s, c, false, &d));
    int first_new = s->n_jobs;
    for (int f = 0; f < ph->n_fits; f++) {
        bool g;
        TRY(cell_grow(s, c, f, &g));
        grew = grew || g;
    }
    json_object_set_new(d, "verdict", json_string(grew ? "grow" : "decided"));
    if (grew) {
        json_t *ids = json_array();
        for (int i = first_new; i < s->n_jobs; i++)
            json_array_append_new(ids, json_string(s->jobs[i]->job.id));
        json_object_set_new(d, "jobs", ids);
        json_object_del(d, "adopted");
        size_t i;
        json_t *f;
        json_array_foreach(json_object_get(d, "fits"), i, f)
            json_object_set_new(f, "rule", json_string("not adopted yet: the grid grows"));
    } else { // with the reason why a grid could not grow
        json_object_set_new(d, "infeasible", json_deep_copy(c->infeasible));
        c->state = CELL_DECIDED;
    }
    return decision_append(s, d);
}

// The value that held at this scale before round r of an iterating phase, for the same
// variable.
static double value_before(const struct steer *s, int phase, int fit, double C, int round)
{
    const struct sweep *cfg = s->cfg;
    const struct var *var = &cfg->phases[phase].axes[cfg->phases[phase].fits[fit].axis].var;
    double v = NAN;
    for (int p = 0; p <= phase; p++) { // as steer_wish layers them
        if (p != phase && !steer_is_before(cfg, p, phase))
            continue;
        const struct phase *ph = &cfg->phases[p];
        for (int i = 0; i < s->n_cells; i++) {
            const struct cell *q = &s->cells[i];
            if (q->phase != p || q->C != C || q->state != CELL_DECIDED ||
                (p == phase && q->round >= round))
                continue;
            for (int f = 0; f < ph->n_fits; f++)
                if (ph->fits[f].adopt &&
                    strcmp(ph->axes[ph->fits[f].axis].var.name, var->name) == 0 &&
                    !isnan(q->adopted[f]))
                    v = q->adopted[f];
        }
    }
    return v;
}

// After a round is decided at every scale: did any adopted value move by more than its own
// uncertainty (half its 95 % interval, in ln)? Then there is another round, within the limit.
static enum err phase_close(struct steer *s, int p, bool *changed)
{
    const struct phase *ph = &s->cfg->phases[p];
    int round = 0;
    for (int i = 0; i < s->n_cells; i++)
        if (s->cells[i].phase == p && s->cells[i].round > round)
            round = s->cells[i].round;
    double worst = 0;
    for (int i = 0; i < s->n_cells; i++) {
        const struct cell *c = &s->cells[i];
        if (c->phase != p || c->round != round)
            continue;
        if (c->state != CELL_DECIDED)
            return OK;
        for (int f = 0; f < ph->n_fits; f++) {
            double old = value_before(s, p, f, c->C, round);
            double half = 0.5 * log(c->fits[f].opt_hi / c->fits[f].opt_lo);
            double ratio = c->adopted[f] == old ? 0 : fabs(log(c->adopted[f] / old)) / half;
            if (ph->fits[f].adopt &&
                !(ratio <= worst)) // NaN: nothing known yet, counts as moved
                worst = isnan(ratio) ? INFINITY : ratio;
        }
    }
    *changed = true;
    bool again = worst > 1 && round + 1 < ph->rounds;
    s->phase_closed[p] = !again;
    if (ph->rounds == 1)
        return OK;
    if (again)
        for (int i = 0; i < ph->n_scales; i++)
            TRY(cell_add(s, p, ph->scales[i], round + 1));
    return decision_append(s, json_pack("{s:s, s:o, s:s, s:i, s:o, s:s}", "t", "decision", "id",
                                        json_sprintf("%s.round%d", ph->name, round), "phase",
                                        ph->name, "round", round, "moved",
                                        isfinite(worst) ? json_real(worst) : json_null(),
                                        "verdict",
                                        again        ? "another round"
                                        : worst <= 1 ? "moved less than its uncertainty"
                                                     : "limit of rounds reached"));
}

enum err steer_advance(struct steer *s)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < s->n_cells; i++) {
            if (s->cells[i].state == CELL_WAITING && cell_ready(s, &s->cells[i])) {
                TRY(cell_open(s, &s->cells[i]));
                changed = true;
            }
            if (s->cells[i].state == CELL_OPEN && cell_final(s, &s->cells[i])) {
                TRY(cell_decide(s, &s->cells[i]));
                changed = true;
            }
        }
        for (int p = 0; p < s->cfg->n_phases; p++)
            if (!s->phase_closed[p])
                TRY(phase_close(s, p, &changed));
    }
    return OK;
}

enum err steer_open_all(struct steer *s)
{
    for (int i = 0; i < s->n_cells; i++)
        if (s->cells[i].state == CELL_WAITING)
            TRY(cell_open(s, &s->cells[i]));
    return OK;
}

bool steer_done(const struct steer *s)
{
    for (int i = 0; i < s->n_cells; i++)
        if (s->cells[i].state != CELL_DECIDED)
            return false;
    return true;
}

int steer_expected_jobs(const struct steer *s)
{
    int expected = s->n_jobs;
    for (int i = 0; i < s->n_cells; i++) {
        const struct cell *c = &s->cells[i];
        const struct phase *ph = &s->cfg->phases[c->phase];
        if (c->state != CELL_WAITING)
            continue;
        int64_t points = ph->seeds;
        for (int a = 0; a < ph->n_axes; a++)
            points *= ph->axes[a].n;
        expected += points < MAX_JOBS ? (int)points : MAX_JOBS;
    }
    return expected;
}
