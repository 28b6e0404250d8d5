// SPDX-License-Identifier: GPL-3.0-or-later
// What the workers say, and what follows from it.
#include "core/json.h"
#include "orchestrator/manage_state.h"
#include "orchestrator/origin.h"
#include "orchestrator/said.h"
#include "orchestrator/signals.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HOPELESS = 10 }; // crashes without a single success: nothing will work

// Takes origin's reference.
static enum err keep_final(struct manager *m, int job, const struct job_result *r,
                           json_t *origin)
{
    // The steering is told, and takes no decision, before the journal is synced.
    enum err e = origin ? steer_know(m->steer, r, origin) : OK;
    json_decref(origin);
    TRY(e);
    struct manage_job *j = &m->jobs[m->steer_of[job]];
    free(j->text);
    j->text = NULL;
    if (m->n_finals == m->cap_finals) {
        int cap = m->cap_finals ? 2 * m->cap_finals : 64;
        struct job_result *p = realloc(m->finals, (size_t)cap * sizeof *p);
        ENSURE(p, ERR_FAILED, "out of memory");
        m->finals = p;
        m->cap_finals = cap;
    }
    if (m->n_finals == 0)
        m->finals_since = signals_clock();
    m->finals[m->n_finals++] = *r;
    manage_count(m, r);
    return OK;
}

static void note_end(struct manager *m, int worker, double t0, double t1)
{
    struct manage_worker *w = &m->workers[worker];
    m->busy += (t1 - t0) * manage_job(m, w->job)->job.width;
    m->first_start = fmin(m->first_start, t0);
    m->last_end = fmax(m->last_end, t1);
    w->job = -1;
    w->step = 0;
    w->loss = NAN;
}

static enum err take_crash(struct manager *m, const struct sched_assign *a,
                           const struct job_result *r, bool final)
{
    m->n_crashes++;
    snprintf(m->last_cause, sizeof m->last_cause, "%s", r->cause);
    manage_say(m, "job %s, attempt %d, rank %d (%s): %s: %s; %s", r->id, a->attempt,
               a->worker + 1, m->workers[a->worker].host, job_status_name(r->status), r->cause,
               final ? "given up" : "will be tried again");
    ENSURE(m->n_ok > 0 || m->n_crashes < HOPELESS, ERR_FAILED,
           "%d attempts to train have failed and none has worked; the last: %s", m->n_crashes,
           r->cause);
    return OK;
}

static enum sched_outcome outcome_of(enum job_status status)
{
    switch (status) {
    case JOB_OK:
    case JOB_DIVERGED: // the same job would diverge again
    case JOB_PRUNED:
        return SCHED_DONE;
    case JOB_STOPPED:
        return SCHED_INTERRUPTED;
    default:
        return SCHED_CRASHED;
    }
}

// Of a result of that worker; NULL: the sweep's own.
static json_t *origin_here(const struct manager *m, int worker)
{
    json_t *origin = json_object();
    origin_mark(origin, &m->identity, m->own.build, m->workers[worker].isa);
    if (json_object_size(origin) > 0)
        return origin;
    json_decref(origin);
    return NULL;
}

static enum err record_end(struct manager *m, const struct sched_assign *a, bool final,
                           double t0, double t1, const struct link_msg *msg,
                           const json_t *origin)
{
    char *text;
    size_t n;
    struct records_attempt at = {manage_job(m, a->job)->job.id,
                                 a->attempt,
                                 a->worker + 1,
                                 manage_time(m, t0),
                                 manage_time(m, t1),
                                 origin};
    TRY(records_end(&at, final, msg->text, msg->n_text, &text, &n));
    manage_note_unsynced(m);
    enum err e = journal_append_text(m->journal, text, n);
    free(text);
    return e;
}

static enum err begin_run(struct manager *m, const struct sched_assign *a, double t0)
{
    char text[RECORDS_START_MAX];
    struct manage_worker *w = &m->workers[a->worker];
    struct records_attempt at = {
        manage_job(m, a->job)->job.id, a->attempt, a->worker + 1, manage_time(m, t0), 0, NULL};
    w->job = a->job;
    w->t0 = t0;
    w->step = 0;
    w->loss = NAN;
    m->first_start = fmin(m->first_start, t0);
    manage_note_unsynced(m);
    return journal_append_text(m->journal, text, records_start(&at, text));
}

static enum err take_end(struct manager *m, const struct sched_assign *a, struct job_result *r,
                         const struct link_msg *msg)
{
    memcpy(r->id, manage_job(m, a->job)->job.id, sizeof r->id);
    const double offset = m->workers[a->worker].offset;
    double t0 = msg->start + offset, t1 = msg->end + offset;
    if (m->workers[a->worker].job != a->job && msg->start > 0 && sched_holds(m->sched, *a))
        TRY(begin_run(m, a, t0));
    if (m->workers[a->worker].job == a->job)
        note_end(m, a->worker, t0, t1);
    enum sched_outcome outcome = outcome_of(r->status);
    enum sched_verdict verdict = sched_report(m->sched, t1, *a, outcome);
    if (verdict == SCHED_STALE)
        return OK;
    if (r->status == JOB_OK) {
        runtime_add(&m->runtime, &m->jobs[m->steer_of[a->job]].work, m->workers[a->worker].host,
                    r->seconds > 0 ? r->seconds : t1 - t0); // not every trainer tells
        if ((m->runtime.n & (m->runtime.n - 1)) == 0) // rarely: it takes all that is queued
            manage_predict(m);
    }
    json_t *origin = origin_here(m, a->worker);
    enum err e = OK;
    if (verdict == SCHED_FINAL || outcome == SCHED_CRASHED)
        e = record_end(m, a, verdict == SCHED_FINAL, t0, t1, msg, origin);
    if (e == OK && verdict == SCHED_FINAL)
        e = keep_final(m, a->job, r, json_incref(origin));
    json_decref(origin);
    TRY(e);
    return outcome == SCHED_CRASHED ? take_crash(m, a, r, verdict == SCHED_FINAL) : OK;
}

static enum err on_ready(struct manager *m, int worker, const struct link_msg *msg)
{
    char host[sizeof m->workers->host], *isa = m->workers[worker].isa;
    ENSURE(!m->workers[worker].ready, ERR_FAILED, "rank %d said READY twice", worker + 1);
    TRY(json_get_str(msg->body, "READY", "host", true, host, sizeof host));
    TRY(json_get_str(msg->body, "READY", "isa", true, isa, sizeof m->workers->isa));
    snprintf(m->workers[worker].host, sizeof host, "%s", host);
    ENSURE(m->opt.allow_mixed || strcmp(isa, m->identity.isa) == 0, ERR_INPUT,
           "rank %d on %s has another instruction set, %s, than this sweep's, %s. Losses would "
           "not be "
           "comparable bit for bit; --allow-mixed goes on all the same",
           worker + 1, host, isa, m->identity.isa);
    TRY(slots_ready(m->slots, worker, host, msg->body));
    m->workers[worker].ready = true;
    m->workers[worker].told = false;
    if (m->shared)
        manage_enter(m, worker);
    return OK;
}

static enum err on_beat(struct manager *m, int worker, const struct link_msg *msg)
{
    const json_t *body = msg->body;
    struct manage_worker *w = &m->workers[worker];
    const json_t *job = json_object_get(body, "job"), *loss = json_object_get(body, "loss");
    if (json_is_integer(job) && json_integer_value(job) == w->job) {
        w->step = json_integer_value(json_object_get(body, "step"));
        w->loss = json_is_number(loss) ? json_number_value(loss) : NAN;
    }
    if (json_is_true(json_object_get(body, "stopping")) && !isfinite(m->drain_since))
        snprintf(m->why, sizeof m->why, "rank %d (%s) was told to stop", worker + 1, w->host);
    return OK;
}

static enum err read_assign(const struct manager *m, int worker, const struct link_msg *msg,
                            struct sched_assign *a)
{
    ENSURE(msg->job >= 0 && msg->job < m->n_sched && msg->attempt >= 1, ERR_FAILED,
           "rank %d: a %s message of attempt %d of job %d, which is none", worker + 1,
           link_kind_name(msg->kind), msg->attempt, msg->job);
    *a = (struct sched_assign){worker, msg->job, msg->attempt};
    return OK;
}

static enum err on_started(struct manager *m, int worker, const struct link_msg *msg)
{
    struct sched_assign a = {0};
    TRY(read_assign(m, worker, msg, &a));
    return begin_run(m, &a, msg->start + m->workers[worker].offset);
}

static enum err on_result(struct manager *m, int worker, const struct link_msg *msg)
{
    struct sched_assign a = {0};
    struct job_result r;
    TRY(read_assign(m, worker, msg, &a));
    enum err e = said_read(msg->text, msg->n_text, &r);
    if (e != OK)
        return err_prefix(e, "rank %d", worker + 1);
    return take_end(m, &a, &r, msg);
}

enum err manage_send_word(struct manager *m, int worker, enum link_kind kind)
{
    return link_send(m->link, &(struct link_msg){.peer = worker + 1, .kind = kind});
}

// Its jobs go to others. A worker that runs one with slots of this one must let go of it.
enum err manage_leave(struct manager *m, int worker)
{
    int lead = sched_leave(m->sched, worker);
    m->workers[worker].job = -1;
    if (lead == SCHED_NONE)
        return OK;
    m->workers[lead].job = -1;
    return manage_send_word(m, lead, LINK_DROP);
}

static enum err on_unfit(struct manager *m, int worker, const struct link_msg *msg)
{
    struct manage_worker *w = &m->workers[worker];
    TRY(json_get_str(msg->body, "UNFIT", "why", true, m->last_cause, sizeof m->last_cause));
    w->unfit = true;
    TRY(manage_leave(m, worker));
    manage_say(m, "rank %d (%s) cannot start trainers: %s; its jobs go to others", worker + 1,
               w->host, m->last_cause);
    return OK;
}

// A worker that was given up and is heard again: what it does is with others now, it starts
// afresh.
static enum err welcome_back(struct manager *m, int worker)
{
    struct manage_worker *w = &m->workers[worker];
    w->lost = false;
    w->job = -1;
    manage_say(m, "rank %d (%s) is back", worker + 1, w->host);
    TRY(manage_send_word(m, worker, LINK_DROP));
    if (isfinite(m->drain_since))
        return manage_send_word(m, worker, LINK_STOP);
    if (!w->unfit && w->ready && m->shared)
        manage_enter(m, worker);
    return OK;
}

enum err manage_take(struct manager *m, const struct link_msg *msg)
{
    static enum err (*const handlers[N_LINK_KINDS])(struct manager *, int,
                                                    const struct link_msg *) = {
        [LINK_READY] = on_ready,   [LINK_BEAT] = on_beat,   [LINK_STARTED] = on_started,
        [LINK_RESULT] = on_result, [LINK_UNFIT] = on_unfit,
    };
    int worker = msg->peer - 1;
    ENSURE(worker >= 0 && handlers[msg->kind], ERR_FAILED,
           "an unexpected %s message from rank %d", link_kind_name(msg->kind), msg->peer);
    struct manage_worker *w = &m->workers[worker];
    ENSURE(isfinite(msg->now) && isfinite(msg->start) && isfinite(msg->end), ERR_FAILED,
           "rank %d: a %s message without a time", msg->peer, link_kind_name(msg->kind));
    w->heard = m->listened;
    w->offset = fmin(w->offset, signals_clock() - msg->now);
    if (w->lost && msg->kind != LINK_STARTED && msg->kind != LINK_RESULT)
        TRY(welcome_back(m, worker));
    else if (w->lost)
        return OK; // stale
    return handlers[msg->kind](m, worker, msg);
}
