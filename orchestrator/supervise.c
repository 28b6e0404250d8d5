// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/supervise.h"
#include "core/job.h"
#include "core/json.h"
#include "orchestrator/identity.h"
#include "orchestrator/jobfiles.h"
#include "orchestrator/place.h"
#include "orchestrator/said.h"
#include "orchestrator/signals.h"
#include "orchestrator/trainer.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 50 }; // between two looks at the link while a trainer runs
static const double GRACE =
    20; // s from SIGTERM to SIGKILL: a checkpoint of a large model takes a while

struct order {
    bool set, told; // told: the manager knows that it runs
    int job, attempt;
    char id[JOB_ID_LEN];
    char *spec; // job.json, n_spec bytes
    size_t n_spec;
    json_t *terms; // the manager's besides the job: dir, command, threads, width, cpus, gpus,
                   // memory_limit, silence
    double start;  // monotonic s
};

struct supervisor {
    struct link *link;
    struct trainer *trainer;
    struct order run, next; // what the trainer does; what waits behind it
    json_t *terms;          // of the next order, unless it brings its own
    struct trainer_setup *setup;
    json_t *setup_terms; // what it was made from
    bool stopping, quit, clean;
    double heard, beat; // when the manager was last heard, when it last heard from us
    double silence;     // after which the manager is gone, s
    pid_t parent;
};

static void order_free(struct order *o)
{
    json_decref(o->terms);
    free(o->spec);
    *o = (struct order){0};
}

static enum err send(struct supervisor *s, struct link_msg m)
{
    m.now = signals_clock();
    return link_send(s->link, &m);
}

static enum err send_body(struct supervisor *s, enum link_kind kind, json_t *body)
{
    ENSURE(body, ERR_FAILED, "out of memory for a message");
    return send(s, (struct link_msg){.kind = kind, .body = body});
}

static enum err send_ready(struct supervisor *s)
{
    char host[256] = "", isa[128];
    gethostname(host, sizeof host - 1);
    identity_isa(isa, sizeof isa);
    json_t *body = place_facts();
    if (body) {
        json_object_set_new(body, "host", json_string(host));
        json_object_set_new(body, "pid", json_integer(getpid()));
        json_object_set_new(body, "isa", json_string(isa));
    }
    return send_body(s, LINK_READY, body);
}

static enum err send_result(struct supervisor *s, const struct order *o,
                            const struct job_result *r)
{
    json_t *rest = NULL;
    if (s->trainer && o == &s->run) {
        rest = json_object();
        json_object_set_new(rest, "backend", json_string(trainer_backend(s->trainer)));
        json_object_set_new(rest, "curve", trainer_curve(s->trainer));
        if (r->status == JOB_FAILED || r->status == JOB_OOM)
            json_object_set_new(rest, "stderr", json_string(trainer_stderr(s->trainer)));
    }
    size_t n;
    char *text = said_write(r, rest, &n);
    json_decref(rest);
    ENSURE(text, ERR_FAILED, "out of memory for a result");
    enum err e = send(s, (struct link_msg){.kind = LINK_RESULT,
                                           .job = o->job,
                                           .attempt = o->attempt,
                                           .start = o->start,
                                           .end = signals_clock(),
                                           .text = text,
                                           .n_text = n});
    free(text);
    return e;
}

// A job that never ran is given back.
static enum err give_back(struct supervisor *s, const struct order *o)
{
    struct job_result r = {.status = JOB_STOPPED,
                           .loss = NAN,
                           .loss_per_byte = NAN,
                           .balance = NAN,
                           .epochs = NAN};
    return send_result(s, o, &r);
}

static enum err prepare(struct supervisor *s, json_t *terms)
{
    char command[JOB_PATH_MAX];
    int64_t threads = 1, width = 1;
    if (terms == s->setup_terms)
        return OK;
    trainer_setup_free(s->setup);
    json_decref(s->setup_terms);
    s->setup = NULL;
    s->setup_terms = NULL;
    TRY(json_get_str(terms, "JOB", "command", true, command, sizeof command));
    TRY(json_get_i64(terms, "JOB", "threads", true, 1, INT32_MAX, &threads));
    TRY(json_get_i64(terms, "JOB", "width", true, 1, INT32_MAX, &width));
    struct trainer_spec spec = {
        .command = command,
        .threads = (int)threads,
        .width = (int)width,
        .cpus = json_string_value(json_object_get(terms, "cpus")),
        .gpus = json_string_value(json_object_get(terms, "gpus")),
        .memory_limit = json_number_value(json_object_get(terms, "memory_limit")),
        .grace = GRACE,
        .silence = json_number_value(json_object_get(terms, "silence")),
    };
    TRY(trainer_prepare(&spec, &s->setup));
    s->setup_terms = json_incref(terms);
    return OK;
}

static enum err start_trainer(struct supervisor *s, const struct order *o)
{
    char sweep[JOB_PATH_MAX];
    struct jobfiles files;
    TRY(json_get_str(o->terms, "JOB", "dir", true, sweep, sizeof sweep));
    TRY(prepare(s, o->terms));
    TRY(jobfiles_make(sweep, o->id, o->spec, o->n_spec, &files));
    return trainer_start(s->setup, files.job, files.err, &s->trainer);
}

static enum err begin(struct supervisor *s)
{
    s->run = s->next;
    s->next = (struct order){0};
    s->run.start = signals_clock();
    if (start_trainer(s, &s->run) != OK) { // no job's fault: a full disk, no processes left
        order_free(&s->run);
        json_t *why = json_sprintf("%.250s", err_message()); // NULL if that cuts a character
        return send_body(
            s, LINK_UNFIT,
            json_pack("{s:o}", "why", why ? why : json_string("no process can be started")));
    }
    return OK;
}

// Once it has run for a moment; that of a job which is shorter is told with its end.
static enum err tell_start(struct supervisor *s)
{
    if (s->run.told)
        return OK;
    s->run.told = true;
    return send(s, (struct link_msg){.kind = LINK_STARTED,
                                     .job = s->run.job,
                                     .attempt = s->run.attempt,
                                     .start = s->run.start});
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
    if (r.id[0] && strcmp(r.id, s->run.id) != 0) {
        r.status = JOB_FAILED;
        r.loss = r.loss_per_byte = NAN;
        snprintf(r.cause, sizeof r.cause, "the trainer reported on job %s", r.id);
    }
    enum err e = send_result(s, &s->run, &r);
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

static enum err take_job(struct supervisor *s, const struct link_msg *m)
{
    ENSURE(!s->next.set, ERR_FAILED, "a job more than was agreed");
    ENSURE(*m->id && strspn(m->id, "0123456789abcdef") == strlen(m->id) &&
               (m->body || s->terms),
           ERR_FAILED, "an unreadable JOB message");
    if (m->body) {
        json_decref(s->terms);
        s->terms = json_incref(m->body);
    }
    struct order o = {.set = true, .job = m->job, .attempt = m->attempt, .n_spec = m->n_text};
    memcpy(o.id, m->id, sizeof o.id);
    o.spec = malloc(m->n_text + 1);
    ENSURE(o.spec, ERR_FAILED, "out of memory");
    memcpy(o.spec, m->text, m->n_text);
    o.terms = json_incref(s->terms);
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
        return take_job(s, m);
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
    return send_body(s, LINK_BEAT, body);
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
        TRY(trainer_poll(s->trainer, POLL_MS) ? report_end(s) : tell_start(s));
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
    trainer_setup_free(s.setup);
    json_decref(s.setup_terms);
    json_decref(s.terms);
    *clean = s.clean;
    return e;
}
