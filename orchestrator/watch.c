// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/watch.h"
#include "core/json.h"
#include "orchestrator/origin.h"
#include "orchestrator/watch_state.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANK = 1 << 20, LATEST = 8 };

static void say(struct watch *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct watch *w, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_append_new(w->latest, json_string(text));
    if (json_array_size(w->latest) > LATEST)
        json_array_remove(w->latest, 0);
}

// ---- phases and scales

static int phase_of(struct watch *w, const char *name)
{
    int n = (int)json_array_size(w->names);
    for (int i = 0; i < n; i++)
        if (strcmp(json_string_value(json_array_get(w->names, (size_t)i)), name) == 0)
            return i;
    json_array_append_new(w->names, json_string(name));
    return n;
}

// The cell's number, made if it is new; -1: no memory.
static int cell_of(struct watch *w, const char *phase, double C)
{
    int p = phase_of(w, phase);
    for (int i = 0; i < w->n_cells; i++)
        if (w->cells[i].phase == p && w->cells[i].C == C)
            return i;
    if (w->n_cells == w->cap_cells) {
        int cap = w->cap_cells ? 2 * w->cap_cells : 32;
        struct watch_cell *grown = realloc(w->cells, (size_t)cap * sizeof *grown);
        if (!grown)
            return -1;
        w->cells = grown;
        w->cap_cells = cap;
    }
    w->cells[w->n_cells] = (struct watch_cell){.phase = p, .C = C};
    return w->n_cells++;
}

static enum err cells_expected(struct watch *w)
{
    for (int p = 0; w->cfg && p < w->cfg->n_phases; p++) {
        const struct phase *ph = &w->cfg->phases[p];
        int points = ph->seeds; // as steer_expected_jobs counts them
        for (int a = 0; a < ph->n_axes; a++)
            points *= ph->axes[a].n;
        for (int i = 0; i < ph->n_scales; i++) {
            int c = cell_of(w, ph->name, ph->scales[i]);
            ENSURE(c >= 0, ERR_FAILED, "out of memory");
            w->cells[c].expected = points;
        }
    }
    return OK;
}

// ---- jobs

static struct watch_job *job_of(struct watch *w, const char *id)
{
    const json_t *n = json_object_get(w->job_of, id);
    return n ? &w->jobs[json_integer_value(n)] : NULL;
}

static void set_fate(struct watch *w, struct watch_job *j, enum watch_fate fate)
{
    w->cells[j->cell].count[j->fate]--;
    j->fate = fate;
    w->cells[j->cell].count[fate]++;
}

// Whether two jobs (as journalled) differ by seed alone: then they take the same time.
static bool same_but_seed(const json_t *a, const json_t *b)
{
    json_t *x = json_object_get(a, "train"), *y = json_object_get(b, "train"), *v;
    const char *key;
    if (!a || json_object_size(x) != json_object_size(y) ||
        !json_equal(json_object_get(a, "arch"), json_object_get(b, "arch")) ||
        !json_equal(json_object_get(a, "model"), json_object_get(b, "model")))
        return false;
    json_object_foreach(x, key, v) if (strcmp(key, "seed") != 0 &&
                                       !json_equal(v, json_object_get(y, key))) return false;
    return true;
}

// What the training is, as far as predictions need it.
static void read_work(struct watch *w, const json_t *rec, struct watch_job *j)
{
    static const char *const parts[] = {"arch", "train", "model"};
    struct job job;
    json_t *spec = json_object_get(rec, "job");
    if (w->n_jobs > 0 && same_but_seed(w->last_job, spec)) {
        const struct watch_job *before = &w->jobs[w->n_jobs - 1];
        j->steps = before->steps;
        j->tokens = before->tokens;
        j->work = before->work;
        return;
    }
    json_decref(w->last_job);
    w->last_job = json_incref(spec);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        json_object_set(w->base, parts[i], json_object_get(spec, parts[i]));
    if (job_from_json(w->base, "job", &job) != OK)
        return; // of a later version: shown without predictions
    j->steps = job_steps(&job);
    j->tokens = job_tokens_after(&job, j->steps);
    j->work = runtime_work_of(&job);
    job_free(&job);
}

static enum watch_fate fate_of(const char *status)
{
    return strcmp(status, "ok") == 0       ? WATCH_OK
           : strcmp(status, "pruned") == 0 ? WATCH_PRUNED
                                           : WATCH_FAILED;
}

static enum err take_job(struct watch *w, const json_t *rec)
{
    const char *id = jstr(rec, "id");
    if (!*id || strlen(id) >= JOB_ID_LEN || job_of(w, id))
        return OK;
    if (w->n_jobs == w->cap_jobs) {
        int cap = w->cap_jobs ? 2 * w->cap_jobs : 256;
        struct watch_job *grown = realloc(w->jobs, (size_t)cap * sizeof *grown);
        ENSURE(grown, ERR_FAILED, "out of memory: %d jobs", cap);
        w->jobs = grown;
        w->cap_jobs = cap;
    }
    struct watch_job *j = &w->jobs[w->n_jobs];
    *j = (struct watch_job){.cell = cell_of(w, jstr(rec, "phase"), jnum(rec, "C"))};
    ENSURE(j->cell >= 0, ERR_FAILED, "out of memory");
    memcpy(j->id, id, strlen(id) + 1);
    read_work(w, rec, j);
    w->cells[j->cell].known++;
    w->cells[j->cell].count[j->fate]++;
    json_object_set_new(w->job_of, id, json_integer(w->n_jobs++));
    const char *early = json_string_value(json_object_get(w->early, id));
    if (early)
        set_fate(w, j, fate_of(early));
    return OK;
}

// ---- attempts and results

static enum err take_start(struct watch *w, const json_t *rec)
{
    struct watch_job *j = job_of(w, jstr(rec, "id"));
    int rank = (int)json_integer_value(json_object_get(rec, "worker"));
    if (!j || rank < 1 || rank > MAX_RANK || j->fate >= WATCH_OK)
        return OK;
    if (rank >= w->n_on) {
        int n = 2 * rank + 16;
        int *grown = realloc(w->on, (size_t)n * sizeof *grown);
        ENSURE(grown, ERR_FAILED, "out of memory");
        for (int i = w->n_on; i < n; i++)
            grown[i] = -1;
        w->on = grown;
        w->n_on = n;
    }
    if (w->on[rank] >= 0 && w->jobs[w->on[rank]].fate == WATCH_RUNNING)
        set_fate(w, &w->jobs[w->on[rank]], WATCH_QUEUED); // it was lost with the worker
    if (j->fate == WATCH_RUNNING && w->on[j->worker] == j - w->jobs)
        w->on[j->worker] = -1;
    w->on[rank] = (int)(j - w->jobs);
    set_fate(w, j, WATCH_RUNNING);
    j->worker = rank;
    j->attempt = (int)json_integer_value(json_object_get(rec, "attempt"));
    j->t0 = jnum(rec, "t0");
    return OK;
}

static void leave(struct watch *w, struct watch_job *j)
{
    if (j->fate == WATCH_RUNNING && w->on[j->worker] == j - w->jobs)
        w->on[j->worker] = -1;
}

static void count_cause(struct watch *w, const json_t *rec)
{
    char cause[64];
    snprintf(cause, sizeof cause, "%s%s%s", jstr(rec, "status"),
             *jstr(rec, "cause") ? ": " : "", jstr(rec, "cause"));
    json_int_t n = json_integer_value(json_object_get(w->causes, cause));
    if (n > 0 || json_object_size(w->causes) < 64)
        json_object_set_new(w->causes, cause, json_integer(n + 1));
}

static void measure(struct watch *w, const struct watch_job *j, const json_t *rec)
{
    double seconds = jnum(rec, "seconds"), tokens = jnum(rec, "tokens");
    if (!(seconds > 0) || !(j->work.x[0] > 0))
        return;
    if (w->runtime.n > 0) {
        w->measured += seconds;
        w->predicted += runtime_predict(&w->runtime, &j->work, NULL);
        w->n_predicted++;
    }
    w->seconds += seconds;
    w->tokens += tokens > 0 ? tokens : 0;
    w->flops += j->work.x[0];
    // Hosts are not journalled: one class. Of thousands of runs some are enough.
    if (w->results < 4096 || w->results % 8 == 0)
        runtime_add(&w->runtime, &j->work, "a worker", seconds);
}

static enum err take_result(struct watch *w, json_t *rec)
{
    const char *id = jstr(rec, "id"), *status = jstr(rec, "status");
    struct watch_job *j = job_of(w, id);
    struct job_result r;
    if (w->n_jobs > WATCH_LAW_JOBS) {
        steer_free(w->steer);
        w->steer = NULL;
    }
    if (w->steer && job_result_from_json(rec, "journal", &r) == OK) {
        json_t *origin = origin_of(rec);
        enum err e = steer_know(w->steer, &r, origin);
        json_decref(origin);
        TRY(e);
    }
    if (!j || j->fate < WATCH_OK)
        w->results++;
    if (!j) {
        json_object_set_new(w->early, id, json_string(status));
        return OK;
    }
    if (j->fate >= WATCH_OK)
        return OK;
    leave(w, j);
    set_fate(w, j, fate_of(status));
    if (j->fate == WATCH_OK)
        measure(w, j, rec);
    else if (j->fate == WATCH_FAILED) {
        count_cause(w, rec);
        say(w, "job %s: %s %s", id, status, jstr(rec, "cause"));
    }
    return OK;
}

void watch_settle(struct watch *w)
{
    for (int i = 0; i < steer_n_jobs(w->steer); i++) {
        const struct steer_job *sj = steer_job_at(w->steer, i);
        struct watch_job *j = sj->final ? job_of(w, sj->job.id) : NULL;
        if (j && j->fate == WATCH_QUEUED)
            set_fate(w, j, fate_of(job_status_name(sj->result.status)));
    }
}

static void take_failure(struct watch *w, const json_t *rec)
{
    struct watch_job *j = job_of(w, jstr(rec, "id"));
    w->crashes++;
    count_cause(w, rec);
    say(w, "job %s, attempt %.0f: %s %s; tried again", jstr(rec, "id"), jnum(rec, "attempt"),
        jstr(rec, "status"), jstr(rec, "cause"));
    if (j && j->fate == WATCH_RUNNING) {
        leave(w, j);
        set_fate(w, j, WATCH_QUEUED);
    }
}

// Nobody trains any more.
static void all_idle(struct watch *w)
{
    for (int i = 0; i < w->n_on; i++) {
        if (w->on[i] >= 0)
            set_fate(w, &w->jobs[w->on[i]], WATCH_QUEUED);
        w->on[i] = -1;
    }
}

static enum err take_decision(struct watch *w, json_t *rec)
{
    w->decisions++;
    say(w, "decided %s: %s", jstr(rec, "id"), jstr(rec, "verdict"));
    if (!json_is_number(json_object_get(rec, "C")))
        return OK; // whether there is another round
    int c = cell_of(w, jstr(rec, "phase"), jnum(rec, "C"));
    ENSURE(c >= 0, ERR_FAILED, "out of memory");
    json_decref(w->cells[c].decision);
    w->cells[c].decision = json_incref(rec);
    return OK;
}

double watch_time(const json_t *rec)
{
    static const char *const keys[] = {"t1", "t0", "time"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_is_number(json_object_get(rec, keys[i])))
            return jnum(rec, keys[i]);
    return NAN;
}

enum err watch_take(struct watch *w, json_t *rec)
{
    const char *t = jstr(rec, "t");
    double time = watch_time(rec);
    w->last = fmax(w->last, time);
    if (strcmp(t, "job") == 0)
        return take_job(w, rec);
    if (strcmp(t, "start") == 0)
        return take_start(w, rec);
    if (strcmp(t, "result") == 0 || strcmp(t, "import") == 0)
        return take_result(w, rec);
    if (strcmp(t, "decision") == 0)
        return take_decision(w, rec);
    if (strcmp(t, "failure") == 0)
        take_failure(w, rec);
    if (strcmp(t, "sweep") == 0)
        snprintf(w->name, sizeof w->name, "%s", jstr(rec, "name"));
    if (strcmp(t, "session") == 0) {
        all_idle(w);
        w->sessions++;
        w->workers = (int)json_integer_value(json_object_get(rec, "workers"));
        w->session = time;
        w->first = fmin(w->first, time);
        w->stop[0] = '\0';
    }
    if (strcmp(t, "stop") == 0) {
        all_idle(w);
        snprintf(w->stop, sizeof w->stop, "%s", jstr(rec, "why"));
        say(w, "stopped: %s", w->stop);
    }
    return OK;
}

// ---- begin and end

enum err watch_create(const struct sweep *cfg, struct watch **out)
{
    struct watch *w = calloc(1, sizeof *w);
    ENSURE(w, ERR_FAILED, "out of memory");
    *out = w;
    w->cfg = cfg;
    w->first = INFINITY;
    w->last = w->session = -INFINITY;
    w->law_at = w->fits_at = -1;
    w->names = json_array();
    w->job_of = json_object();
    w->early = json_object();
    w->causes = json_object();
    w->latest = json_array();
    struct job job;
    job_init(&job);
    w->base = job_to_json(cfg ? &cfg->base : &job);
    json_object_del(w->base, "id");
    if (!cfg) // a job needs data; what they are is no matter here
        json_object_set_new(
            w->base, "data",
            json_pack("{s:s, s:[s]}", "kind", "external", "paths", "elsewhere"));
    runtime_init(&w->runtime, runtime_guess(cfg ? &cfg->base : &job));
    job_free(&job);
    enum err e = cells_expected(w);
    int expected = 0;
    for (int i = 0; i < w->n_cells; i++)
        expected += w->cells[i].expected;
    if (e == OK && cfg && expected <= WATCH_LAW_JOBS)
        e = steer_create(cfg, &w->steer);
    if (e != OK) {
        watch_free(w);
        *out = NULL;
    }
    return e;
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    for (int i = 0; i < w->n_cells; i++)
        json_decref(w->cells[i].decision);
    json_t *const owned[] = {w->base,   w->last_job, w->names, w->job_of,     w->early,
                             w->causes, w->latest,   w->law,   w->provisional};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        json_decref(owned[i]);
    steer_free(w->steer);
    free(w->cells);
    free(w->jobs);
    free(w->on);
    free(w);
}
