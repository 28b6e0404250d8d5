// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/supervise.h"
#include "core/job.h"
#include "core/json.h"
#include "orchestrator/identity.h"
#include "orchestrator/signals.h"
#include "orchestrator/trainer.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 10 }; // between two looks at the link while a trainer runs
static const double GRACE =
    20; // s from SIGTERM to SIGKILL: a checkpoint of a large model takes a while

struct order {
    bool set;
    int job, attempt;
    json_t *spec;        // job.json
    char *dir, *command; // of this job; of the trainer
    double silence;      // of a trainer that hangs, s; 0: none
    double start;        // monotonic s
};

struct supervisor {
    struct link *link;
    struct trainer *trainer;
    struct order run, next; // what the trainer does; what waits behind it
    bool stopping, quit, clean;
    double heard, beat; // when the manager was last heard, when it last heard from us
    double silence;     // after which the manager is gone, s
    pid_t parent;
};

static void order_free(struct order *o)
{
    json_decref(o->spec);
    free(o->dir);
    free(o->command);
    *o = (struct order){0};
}

static enum err send(struct supervisor *s, enum link_kind kind, json_t *body)
{
    ENSURE(body, ERR_FAILED, "out of memory for a message");
    json_object_set_new(body, "now", json_real(signals_clock()));
    return link_send(s->link, 0, kind, body);
}

static enum err send_ready(struct supervisor *s)
{
    char host[256] = "", isa[128];
    gethostname(host, sizeof host - 1);
    identity_isa(isa, sizeof isa);
    return send(
        s, LINK_READY,
        json_pack("{s:s, s:I, s:s}", "host", host, "pid", (json_int_t)getpid(), "isa", isa));
}

static enum err send_result(struct supervisor *s, const struct order *o, json_t *result)
{
    ENSURE(result, ERR_FAILED, "out of memory for a result");
    json_t *body = json_pack("{s:i, s:i, s:f, s:f, s:o}", "job", o->job, "attempt", o->attempt,
                             "start", o->start, "end", signals_clock(), "result", result);
    if (body && s->trainer && o == &s->run) {
        json_object_set_new(body, "curve", trainer_curve(s->trainer));
        json_object_set_new(body, "backend", json_string(trainer_backend(s->trainer)));
        json_object_set_new(body, "stderr", json_string(trainer_stderr(s->trainer)));
    }
    return send(s, LINK_RESULT, body);
}

// A job that never ran is given back.
static enum err give_back(struct supervisor *s, const struct order *o)
{
    struct job_result r = {.status = JOB_STOPPED,
                           .loss = NAN,
                           .loss_per_byte = NAN,
                           .balance = NAN,
                           .epochs = NAN};
    return send_result(s, o, job_result_to_json(&r));
}

static enum err start_trainer(struct order *o, struct trainer **out)
{
    char file[JOB_PATH_MAX + 32], err_file[JOB_PATH_MAX + 32];
    ENSURE(mkdir(o->dir, 0777) == 0 || errno == EEXIST, ERR_FAILED, "%s: %s", o->dir,
           strerror(errno));
    snprintf(file, sizeof file, "%s/job.json", o->dir);
    snprintf(err_file, sizeof err_file, "%s/stderr.txt", o->dir);
    // Written anew for every attempt, so it need not survive a crash.
    errno = 0;
    ENSURE(json_dump_file(o->spec, file, JSON_INDENT(2)) == 0, ERR_FAILED, "%s: %s", file,
           errno ? strerror(errno) : "cannot be written");
    int64_t threads = 1;
    TRY(json_get_i64(o->spec, file, "threads", false, 1, INT32_MAX, &threads));
    struct trainer_spec spec = {o->command, file, err_file, (int)threads, GRACE, o->silence};
    return trainer_start(&spec, out);
}

static enum err begin(struct supervisor *s)
{
    s->run = s->next;
    s->next = (struct order){0};
    s->run.start = signals_clock();
    if (start_trainer(&s->run, &s->trainer) !=
        OK) { // no job's fault: a full disk, no processes left
        order_free(&s->run);
        json_t *why = json_sprintf("%.250s", err_message()); // NULL if that cuts a character
        return send(
            s, LINK_UNFIT,
            json_pack("{s:o}", "why", why ? why : json_string("no process can be started")));
    }
    return send(s, LINK_STARTED,
                json_pack("{s:i, s:i, s:f}", "job", s->run.job, "attempt", s->run.attempt,
                          "start", s->run.start));
}

static enum err stop(struct supervisor *s)
{
    s->stopping = true;
    if (s->trainer)
        trainer_stop(s->trainer);
    if (!s->next.set)
        return OK;
    enum err e = give_back(s, &s->next);
    order_free(&s->next);
    return e;
}

// Whether a trainer that failed did so because the whole job is being ended: we were told to
// stop already, or a signal for us comes with the one that ended it. Then it is not to blame,
// whatever it said on its way out.
static enum err stopped_together(struct supervisor *s, enum job_status status, bool *together)
{
    const bool failed = status == JOB_FAILED || status == JOB_OOM;
    const int looks = trainer_terminated(s->trainer) ? 100 : 1; // 10 ms each
    *together = failed && s->stopping;
    for (int i = 0; failed && !*together && i < looks; i++) {
        if (i > 0)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        if (signals_pending()) {
            *together = true;
            s->beat = 0; // tell the manager now
            return stop(s);
        }
    }
    return OK;
}

static enum err report_end(struct supervisor *s)
{
    struct job_result r = *trainer_result(s->trainer);
    bool together;
    TRY(stopped_together(s, r.status, &together));
    if (together) {
        r.status = JOB_STOPPED;
        r.loss = r.loss_per_byte = NAN;
    }
    const char *id = json_string_value(json_object_get(s->run.spec, "id"));
    if (r.id[0] && id && strcmp(r.id, id) != 0) {
        r.status = JOB_FAILED;
        r.loss = r.loss_per_byte = NAN;
        snprintf(r.cause, sizeof r.cause, "the trainer reported on job %s", r.id);
    }
    snprintf(r.id, sizeof r.id, "%s", id ? id : "");
    enum err e = send_result(s, &s->run, job_result_to_json(&r));
    trainer_free(s->trainer);
    s->trainer = NULL;
    order_free(&s->run);
    return e;
}

// We were silent for too long and our jobs are with others now.
static void drop(struct supervisor *s)
{
    trainer_free(s->trainer);
    s->trainer = NULL;
    order_free(&s->run);
    order_free(&s->next);
}

static enum err take_job(struct supervisor *s, json_t *body)
{
    struct order o = {.set = true};
    const char *dir = NULL, *command = NULL;
    if (json_unpack(body, "{s:i, s:i, s:s, s:s, s:F, s:O}", "job", &o.job, "attempt",
                    &o.attempt, "dir", &dir, "command", &command, "silence", &o.silence, "spec",
                    &o.spec) != 0)
        return err_set(ERR_FAILED, "an unreadable JOB message");
    o.dir = strdup(dir);
    o.command = strdup(command);
    if (!o.dir || !o.command || s->next.set) {
        order_free(&o);
        return err_set(ERR_FAILED,
                       s->next.set ? "a job more than was agreed" : "out of memory");
    }
    s->next = o;
    if (s->stopping)
        return stop(s);
    return s->trainer ? OK : begin(s);
}

static enum err take(struct supervisor *s, const struct link_msg *m)
{
    s->heard = signals_clock();
    switch (m->kind) {
    case LINK_JOB:
        return take_job(s, m->body);
    case LINK_STOP:
        return stop(s);
    case LINK_DROP:
        drop(s);
        return OK;
    case LINK_QUIT:
        s->quit = true;
        s->clean = json_is_true(json_object_get(m->body, "clean"));
        return OK;
    default:
        return OK; // BEAT
    }
}

static enum err take_messages(struct supervisor *s)
{
    for (;;) {
        struct link_msg m;
        bool got;
        TRY(link_poll(s->link, &m, &got));
        if (!got)
            return OK;
        enum err e = take(s, &m);
        json_decref(m.body);
        TRY(e);
    }
}

static enum err give_sign_of_life(struct supervisor *s)
{
    double now = signals_clock();
    if (now - s->beat < SUPERVISE_BEAT)
        return OK;
    s->beat = now;
    json_t *body = json_object();
    if (s->stopping)
        json_object_set_new(body, "stopping", json_true());
    if (s->trainer) {
        struct trainer_state st = trainer_state(s->trainer);
        json_object_set_new(body, "job", json_integer(s->run.job));
        json_object_set_new(body, "step", json_integer(st.step));
        json_object_set_new(body, "loss", json_num(st.loss));
        json_object_set_new(body, "tok_s", json_num(st.tok_s));
    }
    return send(s, LINK_BEAT, body);
}

static enum err check_manager(const struct supervisor *s)
{
    ENSURE(getppid() == s->parent, ERR_FAILED, "the MPI launcher is gone");
    ENSURE(signals_clock() - s->heard < s->silence, ERR_FAILED,
           "no sign of life from the manager for %.0f s", s->silence);
    return OK;
}

static enum err turn(struct supervisor *s)
{
    TRY(take_messages(s));
    int sig = signals_pending();
    if (sig && !s->stopping) {
        TRY(stop(s));
        s->beat = 0; // tell the manager now
    }
    if (s->trainer) {
        if (trainer_poll(s->trainer, POLL_MS))
            TRY(report_end(s));
    } else if (!s->next.set) {
        link_nap(s->link);
    }
    if (!s->trainer && s->next.set)
        TRY(begin(s));
    TRY(give_sign_of_life(s));
    return check_manager(s);
}

enum err supervise_run(struct link *l, double silence, bool *clean)
{
    struct supervisor s = {.link = l,
                           .heard = signals_clock(),
                           .silence = SUPERVISE_MANAGER_SILENCE * silence,
                           .parent = getppid()};
    enum err e = send_ready(&s);
    while (e == OK && !s.quit)
        e = turn(&s);
    drop(&s);
    *clean = s.clean;
    return e;
}
