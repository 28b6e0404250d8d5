// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/simulate.h"
#include "core/rng.h"
#include "orchestrator/runtime.h"
#include "orchestrator/sched.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Something that happens at a worker: its first job ends; it dies; it is back.
enum what { JOB_ENDS, WORKER_DIES, WORKER_BACK };
struct event {
    double at;
    enum what what;
    int worker;
    int64_t turn; // of the worker when this was foreseen: a death makes it void
};

struct worker {
    struct sched_assign held[2]; // the first one runs
    double arrives[2];           // when the manager's message is there
    int n;
    double began; // the first one
    int64_t turn;
};

struct simulation {
    const struct simulate_options *o;
    struct sched *sched;
    struct event *heap;
    int64_t n_events, cap;
    struct worker *workers;
    float *seconds; // by job: of one uninterrupted training
    int64_t cap_jobs, n_jobs;
    struct rng rng;
    double now, manager_free, manager_busy, total, longest;
    struct simulate_result *out;
    // With steering
    struct steer *steer;
    const struct truth *truth;
    int *steer_of, queued;
    struct runtime runtime;
};

// ---- the queue of events

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at < b->at || (!(b->at < a->at) && a->worker < b->worker);
}

static enum err foresee(struct simulation *s, double at, enum what what, int worker)
{
    if (s->n_events == s->cap) {
        int64_t cap = s->cap > 0 ? 2 * s->cap : 1024;
        struct event *p = realloc(s->heap, (size_t)cap * sizeof *p);
        ENSURE(p, ERR_FAILED, "out of memory");
        s->heap = p;
        s->cap = cap;
    }
    struct event e = {at, what, worker, s->workers[worker].turn};
    int64_t i = s->n_events++;
    for (; i > 0 && earlier(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
    return OK;
}

static struct event next_event(struct simulation *s)
{
    struct event top = s->heap[0], last = s->heap[--s->n_events];
    int64_t i = 0;
    for (int64_t k; (k = 2 * i + 1) < s->n_events; i = k) {
        k += k + 1 < s->n_events && earlier(&s->heap[k + 1], &s->heap[k]);
        if (!earlier(&s->heap[k], &last))
            break;
        s->heap[i] = s->heap[k];
    }
    s->heap[i] = last;
    return top;
}

// ---- jobs

static enum err add_job(struct simulation *s, const char *id, int priority, double predicted)
{
    if (s->n_jobs == s->cap_jobs) {
        int64_t cap = s->cap_jobs > 0 ? 2 * s->cap_jobs : 1024;
        float *t = realloc(s->seconds, (size_t)cap * sizeof *t);
        if (t)
            s->seconds = t;
        int *of = realloc(s->steer_of, (size_t)cap * sizeof *of);
        if (of)
            s->steer_of = of;
        ENSURE(t && of, ERR_FAILED, "out of memory");
        s->cap_jobs = cap;
    }
    // Of a number of its own, so that what happens to others does not change it.
    struct rng r;
    rng_seed(&r, s->o->seed, (uint64_t)s->n_jobs);
    double t = predicted * exp(s->o->spread * rng_normal(&r));
    s->seconds[s->n_jobs++] = (float)t;
    s->total += t;
    s->longest = fmax(s->longest, t);
    struct sched_job j = {.id = id, .priority = priority, .seconds = predicted};
    return sched_add(s->sched, &j);
}

static double speed_of(const struct simulation *s, int worker)
{
    return s->o->n_speeds > 0 ? s->o->speeds[worker % s->o->n_speeds] : 1;
}

// The worker's first job begins, as soon as it is there.
static enum err begin(struct simulation *s, int worker)
{
    struct worker *w = &s->workers[worker];
    w->began = fmax(s->now, w->arrives[0]);
    double t = (double)s->seconds[w->held[0].job] / speed_of(s, worker);
    return foresee(s, w->began + t, JOB_ENDS, worker);
}

// The manager's time for one message: they queue up.
static double served(struct simulation *s)
{
    s->manager_free = fmax(s->manager_free, s->now) + s->o->service;
    s->manager_busy += s->o->service;
    return s->manager_free;
}

static enum err dispatch(struct simulation *s)
{
    struct sched_assign a;
    while (sched_next(s->sched, s->now, &a)) {
        struct worker *w = &s->workers[a.worker];
        s->out->assigned++;
        w->arrives[w->n] = served(s);
        w->held[w->n++] = a;
        if (w->n == 1)
            TRY(begin(s, a.worker));
    }
    return OK;
}

static enum err take_up(struct simulation *s)
{
    for (; s->queued < steer_n_jobs(s->steer); s->queued++) {
        const struct steer_job *sj = steer_job_at(s->steer, s->queued);
        struct runtime_work w = runtime_work_of(&sj->job);
        TRY(add_job(s, sj->job.id, sj->priority, runtime_predict(&s->runtime, &w, NULL)));
        s->steer_of[s->n_jobs - 1] = s->queued;
    }
    return OK;
}

static enum err give_result(struct simulation *s, int job)
{
    const struct steer_job *sj = steer_job_at(s->steer, s->steer_of[job]);
    struct job_result r = {.status = JOB_OK,
                           .tokens = sj->job.train.tokens,
                           .seconds = (double)s->seconds[job],
                           .loss = truth_loss(s->truth, sj, s->o->seed),
                           .epochs = NAN};
    snprintf(r.id, sizeof r.id, "%s", sj->job.id);
    r.loss_per_byte = r.loss;
    TRY(steer_result(s->steer, &r));
    TRY(steer_advance(s->steer));
    return take_up(s);
}

// ---- events

static enum err job_ends(struct simulation *s, int worker)
{
    struct worker *w = &s->workers[worker];
    struct sched_assign a = w->held[0];
    s->out->busy += s->now - w->began;
    s->out->jobs++;
    s->out->makespan = s->now;
    w->held[0] = w->held[1];
    w->arrives[0] = w->arrives[1];
    if (--w->n > 0)
        TRY(begin(s, worker));
    served(s);
    ENSURE(sched_report(s->sched, s->now, a, SCHED_DONE) == SCHED_FINAL, ERR_FAILED,
           "simulation: a result was not expected");
    return s->steer ? give_result(s, a.job) : OK;
}

static enum err worker_dies(struct simulation *s)
{
    int worker = (int)rng_below(&s->rng, (uint64_t)s->o->workers);
    TRY(foresee(s, s->now - s->o->mtbf * log(1 - rng_uniform(&s->rng)), WORKER_DIES, 0));
    struct worker *w = &s->workers[worker];
    if (!sched_present(s->sched, worker))
        return OK;
    s->out->deaths++;
    s->out->lost += w->n;
    s->out->wasted += w->n > 0 ? fmax(0, s->now - w->began) : 0;
    w->n = 0;
    w->turn++;
    served(s);
    sched_leave(s->sched, worker);
    return foresee(s, s->now + s->o->repair, WORKER_BACK, worker);
}

static enum err take(struct simulation *s, const struct event *e)
{
    s->now = e->at;
    switch (e->what) {
    case JOB_ENDS:
        return e->turn == s->workers[e->worker].turn ? job_ends(s, e->worker) : OK;
    case WORKER_DIES:
        return worker_dies(s);
    case WORKER_BACK:
        sched_join(s->sched, e->worker);
        return OK;
    }
    return OK;
}

static bool over(const struct simulation *s)
{
    return s->steer ? steer_done(s->steer) : s->out->jobs == s->n_jobs;
}

static enum err play(struct simulation *s)
{
    if (s->o->mtbf > 0)
        TRY(foresee(s, s->o->mtbf, WORKER_DIES, 0));
    TRY(dispatch(s));
    while (!over(s)) {
        ENSURE(s->n_events > 0, ERR_FAILED, "simulation: nothing happens any more");
        struct event e = next_event(s);
        TRY(take(s, &e));
        TRY(dispatch(s));
    }
    double fastest = 0, sum = 0;
    for (int w = 0; w < s->o->workers; w++) {
        fastest = fmax(fastest, speed_of(s, w));
        sum += speed_of(s, w);
    }
    s->out->bound = fmax(s->longest / fastest, s->total / sum);
    s->out->manager = s->out->makespan > 0 ? s->manager_busy / s->out->makespan : 0;
    return OK;
}

static enum err start(struct simulation *s, const struct sweep *cfg)
{
    *s->out = (struct simulate_result){0};
    rng_seed(&s->rng, s->o->seed, UINT64_MAX);
    runtime_init(&s->runtime, s->o->rate > 0 ? s->o->rate : runtime_guess(&cfg->base));
    s->workers = calloc((size_t)s->o->workers, sizeof *s->workers);
    ENSURE(s->workers, ERR_FAILED, "out of memory");
    TRY(sched_create(s->o->workers, cfg->retries, &s->sched));
    for (int w = 0; w < s->o->workers; w++) {
        if (!s->o->blind)
            sched_speed(s->sched, w, speed_of(s, w));
        sched_join(s->sched, w);
    }
    return OK;
}

static void end(struct simulation *s)
{
    sched_free(s->sched);
    steer_free(s->steer);
    free(s->heap);
    free(s->workers);
    free(s->seconds);
    free(s->steer_of);
}

static enum err open_steering(struct simulation *s, const struct sweep *cfg)
{
    TRY(steer_create(cfg, &s->steer));
    TRY(steer_advance(s->steer));
    return take_up(s);
}

enum err simulate_sweep(const struct sweep *cfg, const struct truth *t,
                        const struct simulate_options *o, struct simulate_result *out,
                        json_t **law)
{
    struct simulation s = {.o = o, .truth = t, .out = out};
    *law = NULL;
    enum err e = start(&s, cfg);
    if (e == OK)
        e = open_steering(&s, cfg);
    if (e == OK)
        e = play(&s);
    if (e == OK)
        e = steer_law(s.steer, law);
    end(&s);
    return e;
}

// Predicted times of the jobs that the sweep begins with.
static enum err times_of_plan(const struct sweep *cfg, const struct runtime *r, double **times,
                              int *n)
{
    struct steer *s = NULL;
    enum err e = steer_create(cfg, &s);
    if (e == OK)
        e = steer_advance(s);
    *n = e == OK ? steer_n_jobs(s) : 0;
    *times = malloc((size_t)(*n + 1) * sizeof **times);
    if (!*times)
        e = err_set(ERR_FAILED, "out of memory");
    for (int i = 0; e == OK && i < *n; i++) {
        struct runtime_work w = runtime_work_of(&steer_job_at(s, i)->job);
        (*times)[i] = runtime_predict(r, &w, NULL);
    }
    steer_free(s);
    return e;
}

static enum err draw_jobs(struct simulation *s, const struct sweep *cfg, int64_t n)
{
    double *times = NULL;
    int n_times;
    enum err e = times_of_plan(cfg, &s->runtime, &times, &n_times);
    if (e == OK && n_times == 0)
        e = err_set(ERR_INPUT, "simulate: the sweep has no jobs to draw from");
    for (int64_t i = 0; e == OK && i < n; i++) {
        char id[JOB_ID_LEN];
        snprintf(id, sizeof id, "%llx", (unsigned long long)i);
        e = add_job(s, id, 0, times[rng_below(&s->rng, (uint64_t)n_times)]);
    }
    free(times);
    return e;
}

enum err simulate_jobs(const struct sweep *cfg, int64_t n, const struct simulate_options *o,
                       struct simulate_result *out)
{
    struct simulation s = {.o = o, .out = out};
    enum err e = start(&s, cfg);
    if (e == OK)
        e = draw_jobs(&s, cfg, n);
    if (e == OK)
        e = play(&s);
    end(&s);
    return e;
}
