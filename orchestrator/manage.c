// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/manage.h"
#include "core/json.h"
#include "orchestrator/manage_state.h"
#include "orchestrator/need.h"
#include "orchestrator/outputs.h"
#include "orchestrator/signals.h"
#include "orchestrator/status.h"
#include "orchestrator/sweepdir.h"
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double SHOW_EVERY = 1;      // s between two status files
static const double COMMIT_EVERY = .05;  // s that results may wait for company
static const double LISTEN_MOST = 1;     // s that one turn of the loop adds to any silence
static const double TOUCH_EVERY = 5;     // s between two signs of life to the workers
static const double SYNC_EVERY = 1;      // s that a start record may wait for company
static const double DRAIN_PATIENCE = 30; // s; a worker's own is 20 (supervise.c), then it kills
static const double START_PATIENCE = 30; // s until all workers have said READY
static const double IN_TIME = 1.25;      // times its prediction that a run must have left
static const double SECOND_SIGNAL = 1;   // s; launchers send bursts, an impatient user does not
enum { MAX_WIDTH = 4096 };               // core/job.c

const struct steer_job *manage_job(const struct manager *m, int job)
{
    return steer_job_at(m->steer, m->steer_of[job]);
}

double manage_seconds(const struct manager *m, int steer_number)
{
    return runtime_predict(&m->runtime, &m->jobs[steer_number].work, NULL);
}

static double seconds_of(const void *m, int job)
{
    return manage_seconds(m, ((const struct manager *)m)->steer_of[job]);
}

void manage_predict(struct manager *m)
{
    sched_predict(m->sched, seconds_of, m);
    for (int w = 0; w < m->n_workers; w++)
        if (m->workers[w].ready)
            sched_speed(m->sched, w, runtime_speed(&m->runtime, m->workers[w].host));
    sched_deadline(m->sched, m->deadline, IN_TIME);
}

double manage_time(const struct manager *m, double clock)
{
    return m->wall0 + (clock - m->clock0);
}

void manage_note_unsynced(struct manager *m)
{
    if (!isfinite(m->unsynced_since))
        m->unsynced_since = signals_clock();
}

enum err manage_record(struct manager *m, json_t *rec)
{
    ENSURE(rec, ERR_FAILED, "out of memory for a record");
    manage_note_unsynced(m);
    enum err e = journal_append(m->journal, rec);
    json_decref(rec);
    return e;
}

static enum err sync_journal(struct manager *m)
{
    m->unsynced_since = INFINITY;
    return journal_sync(m->journal);
}

// ---- what the steering wants

// What the scheduler has to know besides time and history.
static struct sched_job sched_job_of(const struct manager *m, const struct steer_job *sj)
{
    struct sched_job j = {.id = sj->job.id,
                          .priority = sj->priority,
                          .width = sj->job.width,
                          .whole = !m->cfg.checkpoints};
    if (m->moetrain)
        need_of(&sj->job, &j);
    return j;
}

static enum err queue(struct manager *m, int number)
{
    const struct steer_job *sj = steer_job_at(m->steer, number);
    int attempts, crashes;
    if (sj->final)
        return OK;
    if (m->n_sched == m->cap_sched) {
        int cap = m->cap_sched ? 2 * m->cap_sched : 256;
        int *p = realloc(m->steer_of, (size_t)cap * sizeof *p);
        ENSURE(p, ERR_FAILED, "out of memory");
        m->steer_of = p;
        m->cap_sched = cap;
    }
    records_attempts(&m->past, sj->job.id, &attempts, &crashes);
    m->steer_of[m->n_sched++] = number;
    struct sched_job j = sched_job_of(m, sj);
    j.seconds = manage_seconds(m, number);
    j.attempts = attempts;
    j.crashes = crashes;
    return sched_add(m->sched, &j);
}

// job.json, n bytes, not terminated.
static enum err job_text(const struct manager *m, const struct steer_job *sj, char **out,
                         size_t *n)
{
    char dir[JOB_PATH_MAX + 64], name[JOB_ID_LEN + 8];
    snprintf(name, sizeof name, "jobs/%s", sj->job.id);
    TRY(sweepdir_path(m->dir, name, dir, sizeof dir));
    json_t *spec = job_to_json(&sj->job), *checkpoint = json_object_get(spec, "checkpoint");
    json_object_set_new(checkpoint, "dir", json_string(dir));
    *out = json_dumps(spec, 0);
    json_decref(spec);
    ENSURE(*out, ERR_FAILED, "out of memory for a job");
    *n = strlen(*out);
    (*out)[(*n)++] = '\n'; // in the terminator's place
    return OK;
}

static enum err note_job(struct manager *m, int number)
{
    const struct steer_job *sj = steer_job_at(m->steer, number);
    if (number >= m->cap_jobs) {
        int cap = m->cap_jobs ? 2 * m->cap_jobs : 256;
        struct manage_job *p = realloc(m->jobs, (size_t)cap * sizeof *p);
        ENSURE(p, ERR_FAILED, "out of memory");
        m->jobs = p;
        m->cap_jobs = cap;
    }
    struct manage_job *j = &m->jobs[number];
    *j = (struct manage_job){.work = runtime_work_of(&sj->job),
                             .memory_limit = need_limit(&m->cfg, m->moetrain, &sj->job)};
    return sj->final ? OK : job_text(m, sj, &j->text, &j->n_text);
}

void manage_count(struct manager *m, const struct job_result *final)
{
    m->n_final++;
    m->n_ok += final->status == JOB_OK;
    m->n_pruned += final->status == JOB_PRUNED;
    m->n_failed = m->n_final - m->n_ok - m->n_pruned;
}

enum err manage_take_up(struct manager *m)
{
    for (; m->seen_decisions < steer_n_decisions(m->steer); m->seen_decisions++) {
        json_t *d = steer_decision_at(m->steer, m->seen_decisions);
        const char *id = json_string_value(json_object_get(d, "id"));
        if (json_object_get(m->past.decisions, id ? id : ""))
            continue;
        TRY(manage_record(m, json_deep_copy(d)));
        manage_say_decision(m, d);
    }
    for (; m->seen_jobs < steer_n_jobs(m->steer); m->seen_jobs++) {
        const struct steer_job *sj = steer_job_at(m->steer, m->seen_jobs);
        if (!json_object_get(m->past.jobs, sj->job.id))
            TRY(manage_record(m, records_job(&m->cfg, sj)));
        if (sj->final)
            manage_count(m, &sj->result);
        TRY(note_job(m, m->seen_jobs));
        TRY(queue(m, m->seen_jobs));
    }
    return OK;
}

// What a worker has to know of a job besides the job.
static enum err terms_for(const struct manager *m, const struct sched_assign *a, json_t **out)
{
    const struct steer_job *sj = manage_job(m, a->job);
    int slots[MAX_WIDTH], n = sched_slots(m->sched, a->worker, slots, MAX_WIDTH);
    json_t *terms = json_pack("{s:s, s:s, s:i, s:i, s:f}", "dir", m->dir, "command",
                              m->cfg.trainer, "threads", m->cfg.base.threads, "width",
                              sj->job.width, "silence", m->cfg.trainer_silence_s);
    ENSURE(terms, ERR_FAILED, "out of memory for a job");
    double limit = m->jobs[m->steer_of[a->job]].memory_limit;
    if (limit > 0)
        json_object_set_new(terms, "memory_limit", json_real(limit));
    enum err e = slots_bind(m->slots, slots, n, terms);
    if (e != OK)
        json_decref(terms);
    *out = e == OK ? terms : NULL;
    return e;
}

static enum err send_job(struct manager *m, const struct sched_assign *a)
{
    struct manage_worker *w = &m->workers[a->worker];
    const struct manage_job *j = &m->jobs[m->steer_of[a->job]];
    const int width = manage_job(m, a->job)->job.width;
    json_t *terms = NULL;
    // Jobs of one worker differ only in what they may have of memory.
    if (!w->told || w->width > 1 || width > 1 || fabs(w->memory_limit - j->memory_limit) > 0)
        TRY(terms_for(m, a, &terms));
    w->told = true;
    w->width = width;
    w->memory_limit = j->memory_limit;
    struct link_msg msg = {.peer = a->worker + 1,
                           .kind = LINK_JOB,
                           .job = a->job,
                           .attempt = a->attempt,
                           .text = j->text,
                           .n_text = j->n_text,
                           .body = terms};
    memcpy(msg.id, manage_job(m, a->job)->job.id, sizeof msg.id);
    return link_send(m->link, &msg);
}

// Jobs may go to the worker.
void manage_enter(struct manager *m, int worker)
{
    sched_settle(m->sched, worker, slots_place(m->slots, worker));
    sched_speed(m->sched, worker, runtime_speed(&m->runtime, m->workers[worker].host));
    sched_join(m->sched, worker);
}

static void say_misfit(const struct manager *m, int job, char *buf, size_t size)
{
    const struct steer_job *sj = manage_job(m, job);
    const struct sched_job need = sched_job_of(m, sj);
    need_misfit(&sj->job, &need, buf, size);
}

// Once every worker has said what its machine has, or has had the time for it.
static enum err share_out(struct manager *m)
{
    char why[512];
    bool all = true;
    for (int w = 0; w < m->n_workers && all; w++)
        all = m->workers[w].ready || m->workers[w].lost;
    if (!all && signals_clock() - m->clock0 < START_PATIENCE)
        return OK;
    m->shared = true;
    TRY(slots_share(m->slots, &m->cfg.base, m->cfg.pin, why, sizeof why));
    if (*why)
        manage_say(m, "trainers are not bound to parts of a machine: %s", why);
    for (int w = 0; w < m->n_workers; w++)
        if (m->workers[w].ready && !m->workers[w].lost && !m->workers[w].unfit)
            manage_enter(m, w);
    int job = sched_misfit(m->sched, false);
    if (job != SCHED_NONE) {
        say_misfit(m, job, why, sizeof why);
        manage_say(m, "%s; the others are trained", why);
    }
    return OK;
}

static enum err dispatch(struct manager *m)
{
    struct sched_assign a;
    if (!m->shared)
        TRY(share_out(m));
    while (m->shared && sched_next(m->sched, signals_clock(), &a))
        TRY(send_job(m, &a));
    return OK;
}

// Journalled results reach the steering, the steering's answers the journal, in this order:
// nothing is acted on that a crash could undo. Nobody waits for that while jobs are queued, so
// that many results may share one write.
static enum err steer_on(struct manager *m)
{
    double now = signals_clock();
    bool due = sched_count(m->sched).queued == 0 || now - m->finals_since > COMMIT_EVERY ||
               now - m->shown > SHOW_EVERY || m->why[0];
    if (m->n_finals == 0 || !due)
        return OK;
    TRY(sync_journal(m));
    for (int i = 0; i < m->n_finals; i++)
        TRY(steer_result(m->steer, &m->finals[i]));
    m->n_finals = 0;
    m->finals_since = INFINITY;
    if (m->why[0])
        return OK; // stopping: the next run of the program takes the decisions
    TRY(steer_advance(m->steer));
    TRY(manage_take_up(m));
    return sync_journal(m);
}

// ---- what happens besides

static enum err take_messages(struct manager *m)
{
    // Bounded, so that a flood of messages cannot starve the rest.
    for (int i = 0; i < 4096; i++) {
        struct link_msg msg;
        bool got;
        TRY(link_poll(m->link, &msg, &got));
        if (!got)
            return OK;
        enum err e = manage_take(m, &msg);
        json_decref(msg.body);
        TRY(e);
    }
    return OK;
}

static enum err check_silence(struct manager *m)
{
    int lost = 0, unfit = 0;
    for (int i = 0; i < m->n_workers; i++) {
        struct manage_worker *w = &m->workers[i];
        if (!w->lost && m->listened - w->heard > m->opt.silence) {
            w->lost = true;
            TRY(manage_leave(m, i));
            manage_say(m, "rank %d (%s): no sign of life for %.0f s; its jobs go to others",
                       i + 1, w->host, m->opt.silence);
        }
        lost += w->lost;
        unfit += w->unfit && !w->lost;
    }
    ENSURE(lost < m->n_workers, ERR_FAILED, "no worker has given a sign of life for %.0f s",
           m->opt.silence);
    ENSURE(lost + unfit < m->n_workers, ERR_FAILED, "no worker can start a trainer: %s",
           m->last_cause);
    ENSURE(link_dropped(m->link) == 0, ERR_FAILED, "a message could not be read");
    return OK;
}

// A training may last for hours in which a worker has nothing to hear.
static enum err keep_in_touch(struct manager *m, double now)
{
    if (now - m->touched < TOUCH_EVERY)
        return OK;
    m->touched = now;
    for (int w = 0; w < m->n_workers; w++)
        if (m->workers[w].ready && !m->workers[w].lost)
            TRY(manage_send_word(m, w, LINK_BEAT));
    return OK;
}

static void look_for_reasons_to_stop(struct manager *m)
{
    int sig = signals_pending();
    double now = signals_clock();
    if (isfinite(m->drain_since)) {
        if (sig && now - m->drain_since > SECOND_SIGNAL)
            m->drain_since = -INFINITY; // at once
    } else if (sig) {
        snprintf(m->why, sizeof m->why, "%s", signals_name(sig));
    } else if (m->opt.time_limit > 0 && now - m->clock0 > m->opt.time_limit && !m->why[0]) {
        snprintf(m->why, sizeof m->why, "time limit of %.0f s", m->opt.time_limit);
    }
}

static enum err begin_drain(struct manager *m)
{
    m->drain_since = signals_clock();
    sched_drain(m->sched);
    if (sched_count(m->sched).held == 0)
        manage_say(m, "%s: stopping", m->why);
    else
        manage_say(m, "%s: stopping; trainers write checkpoints (a second signal ends at once)",
                   m->why);
    for (int w = 0; w < m->n_workers; w++)
        if (m->workers[w].ready && !m->workers[w].lost)
            TRY(manage_send_word(m, w, LINK_STOP));
    return OK;
}

// Nothing runs, and nothing of what is queued can ever start here.
static void look_for_dead_end(struct manager *m)
{
    struct sched_counts c = sched_count(m->sched);
    if (!m->shared || m->why[0] || c.held > 0 || c.queued == 0 || c.workers == 0)
        return;
    int job = sched_misfit(m->sched, true);
    if (c.late == c.queued)
        snprintf(m->why, sizeof m->why, "no run that is left " STATUS_TOO_LATE);
    else if (job != SCHED_NONE)
        say_misfit(m, job, m->why, sizeof m->why);
}

static bool drained(const struct manager *m)
{
    return m->why[0] && (sched_count(m->sched).held == 0 ||
                         !(signals_clock() - m->drain_since < DRAIN_PATIENCE));
}

// Silence counts on a clock that stands still while nobody listens: during a fit, and when this
// process or the machine was stopped, what the workers said waits unread.
static void listen(struct manager *m)
{
    double now = signals_clock();
    m->listened += fmin(now - m->turned, LISTEN_MOST);
    m->turned = now;
}

static enum err turn(struct manager *m)
{
    listen(m);
    TRY(take_messages(m));
    look_for_reasons_to_stop(m);
    if (m->why[0] && m->drain_since == INFINITY)
        TRY(begin_drain(m));
    TRY(dispatch(m)); // what is queued is on disk
    TRY(steer_on(m));
    TRY(dispatch(m));
    look_for_dead_end(m);
    TRY(check_silence(m));
    double now = signals_clock();
    TRY(keep_in_touch(m, now));
    if (now - m->unsynced_since > SYNC_EVERY)
        TRY(sync_journal(m));
    if (now - m->shown > SHOW_EVERY)
        TRY(manage_show(m, m->why[0] ? "draining" : "running"));
    struct sched_counts c = sched_count(m->sched);
    ENSURE(c.queued + c.held > 0 || steer_done(m->steer), ERR_FAILED,
           "no job is left, yet the sweep is not decided: a bug in the steering");
    link_nap(m->link);
    return OK;
}

// ---- the end

static enum err finish_done(struct manager *m)
{
    const char *why = "";
    if (!m->past.done)
        TRY(manage_record(m, records_stop("done", manage_time(m, signals_clock()))));
    TRY(sync_journal(m));
    TRY(manage_reread(m));
    TRY(outputs_write(m->dir, m->steer, m->records, &why));
    if (*why)
        manage_say(m, "no architecture.json: %s", why);
    TRY(manage_show(m, "done"));
    char pruned[64] = "";
    if (m->n_pruned > 0)
        snprintf(pruned, sizeof pruned, ", %d stopped early", m->n_pruned);
    manage_say(m, "done: %d jobs, %d failed%s; %s/law.json, %s/report.html", m->n_final,
               m->n_failed, pruned, m->dir, m->dir);
    return OK;
}

static enum err finish_stopped(struct manager *m)
{
    char path[JOB_PATH_MAX + 32];
    json_t *law = NULL;
    TRY(manage_record(m, records_stop(m->why, manage_time(m, signals_clock()))));
    TRY(sync_journal(m));
    TRY(manage_show(m, "stopped"));
    TRY(sweepdir_path(m->dir, "law.json", path, sizeof path));
    TRY(steer_law(m->steer, &law));
    enum err e = json_write_file(path, law);
    json_decref(law);
    TRY(e);
    return err_set(ERR_STOPPED,
                   "stopped (%s) with %d of about %d jobs done; the same command resumes",
                   m->why, m->n_final, steer_expected_jobs(m->steer));
}

static enum err finish(struct manager *m, enum err e)
{
    if (e == OK)
        e = steer_done(m->steer) ? finish_done(m) : finish_stopped(m);
    if (e == OK || e == ERR_STOPPED)
        return e;
    // Keep what came in, if that is still possible, and say how things stand.
    char message[1024];
    snprintf(message, sizeof message, "%s", err_message());
    (void)(journal_sync(m->journal) == OK && manage_show(m, "failed") == OK);
    return err_set(e, "%s", message);
}

enum err manage_run(struct manager *m, bool *clean)
{
    enum err e = OK;
    while (e == OK && !steer_done(m->steer) && !drained(m))
        e = turn(m);
    e = finish(m, e);
    *clean = true;
    for (int w = 0; w < m->n_workers; w++)
        *clean = *clean && !m->workers[w].lost;
    for (int w = 0; w < m->n_workers; w++)
        if (!m->workers[w].lost &&
            link_send(m->link,
                      &(struct link_msg){.peer = w + 1,
                                         .kind = LINK_QUIT,
                                         .body = json_pack("{s:b}", "clean", *clean)}) != OK)
            *clean = false;
    return e;
}
