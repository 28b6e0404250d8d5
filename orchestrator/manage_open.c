// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/json.h"
#include "orchestrator/forecast.h"
#include "orchestrator/identity.h"
#include "orchestrator/manage_state.h"
#include "orchestrator/need.h"
#include "orchestrator/signals.h"
#include "orchestrator/slurm.h"
#include "orchestrator/sweepdir.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum err keep_record(void *ctx, json_t *rec)
{
    return json_array_append(ctx, rec) == 0 ? OK : err_set(ERR_FAILED, "out of memory");
}

enum err manage_reread(struct manager *m)
{
    json_decref(m->records);
    m->records = json_array();
    ENSURE(m->records, ERR_FAILED, "out of memory");
    return journal_again(m->journal, keep_record, m->records);
}

static enum err own_identity(struct manager *m, struct records_identity *id)
{
    memcpy(id->name, m->cfg.name, sizeof id->name);
    id->hash = m->cfg.hash;
    identity_isa(id->isa, sizeof id->isa);
    return identity_trainer(m->cfg.trainer, id->build, sizeof id->build);
}

static enum err other_sweep(struct manager *m, const char *journal, const char *resolved)
{
    struct sweep was;
    char keys[512] = "";
    if (access(resolved, R_OK) == 0 && config_load(resolved, &was) == OK) {
        config_differences(&was, &m->cfg, keys, sizeof keys);
        config_free(&was);
    }
    return err_set(ERR_INPUT,
                   "%s belongs to another sweep, \"%s\"%s%s; nothing was changed (more scales, "
                   "seeds or phases: --extend)",
                   journal, m->identity.name, *keys ? ": " : "", keys);
}

// An existing journal must be of this sweep, this trainer and this instruction set.
static enum err check_identity(struct manager *m, const char *journal, const char *resolved)
{
    const struct records_identity *own = &m->own;
    TRY(records_head(m->records, journal, &m->identity));
    if (m->identity.hash != own->hash && !m->opt.extend)
        return other_sweep(m, journal, resolved);
    if (m->opt.allow_mixed)
        return OK;
    ENSURE(strcmp(m->identity.build, own->build) == 0, ERR_INPUT,
           "%s was written with another trainer, %s; here it is %s. Losses would not be "
           "comparable bit "
           "for bit; --allow-mixed goes on all the same",
           journal, m->identity.build, own->build);
    ENSURE(strcmp(m->identity.isa, own->isa) == 0, ERR_INPUT,
           "%s was written on another instruction set, %s; here it is %s. Losses would not be "
           "comparable bit for bit; --allow-mixed goes on all the same",
           journal, m->identity.isa, own->isa);
    return OK;
}

static enum err write_resolved(struct manager *m, const char *path)
{
    char *text = NULL, fresh[JOB_PATH_MAX + 64];
    TRY(sweepdir_path(m->dir, "config.resolved.cfg.new", fresh, sizeof fresh));
    TRY(config_resolved(&m->cfg, &text));
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    size_t n = strlen(text);
    bool good = fd >= 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
    int cause = errno;
    if (fd >= 0)
        close(fd);
    free(text);
    if (!good || rename(fresh, path) != 0) {
        cause = good ? errno : cause;
        unlink(fresh);
        return err_set(ERR_FAILED, "%s: %s", path, strerror(cause));
    }
    return OK;
}

// A disk that fills up stops the sweep; better to know now.
static void check_room(struct manager *m)
{
    char found[JOB_PATH_MAX];
    int left = steer_expected_jobs(m->steer) - m->n_final;
    struct forecast_disk d = forecast_disk(&m->cfg, m->steer, left, left, m->n_workers);
    double room = forecast_free(m->dir, found, sizeof found);
    if (left > 0 && room < d.hi)
        manage_say(m,
                   "disk: %.3g MB are free in %s, and what is left of this sweep may take %.3g "
                   "to %.3g MB: it stops when the disk is full, and goes on when there is room",
                   1e-6 * room, m->dir, 1e-6 * d.lo, 1e-6 * d.hi);
}

static enum err begin_session(struct manager *m, int64_t torn)
{
    if (torn > 0)
        manage_say(m, "journal: the last record was cut short (%lld bytes); it is dropped",
                   (long long)torn);
    if (!journal_locked(m->journal))
        manage_say(m,
                   "journal: this file system has no locks; see to it that no second moesweep "
                   "writes here");
    int done = 0;
    for (int i = 0; i < steer_n_jobs(m->steer); i++) {
        const struct steer_job *sj = steer_job_at(m->steer, i);
        done += sj->final;
        if (steer_job_ok(sj)) {
            struct runtime_work work = runtime_work_of(&sj->job);
            runtime_add(&m->runtime, &work, "an earlier session", sj->result.seconds);
        }
    }
    if (m->past.sessions > 0)
        manage_say(m, "%s: resuming, %d of %d known jobs are done", m->cfg.name, done,
                   steer_n_jobs(m->steer));
    else
        manage_say(m, "%s: %d jobs to begin with, about %d in all, %d workers", m->cfg.name,
                   steer_n_jobs(m->steer), steer_expected_jobs(m->steer), m->n_workers);
    check_room(m);
    if (!m->past.done)
        TRY(manage_record(m, records_session(m->past.sessions + 1, m->n_workers, m->wall0)));
    TRY(manage_take_up(m));
    if (m->runtime.n > 0)
        manage_predict(m);
    return journal_sync(m->journal);
}

static enum err open_journal(struct manager *m)
{
    char journal[JOB_PATH_MAX + 64], resolved[JOB_PATH_MAX + 64];
    int64_t torn = 0;
    TRY(own_identity(m, &m->own));
    TRY(sweepdir_path(m->dir, "journal", journal, sizeof journal));
    TRY(sweepdir_path(m->dir, "config.resolved.cfg", resolved, sizeof resolved));
    TRY(journal_open(journal, keep_record, m->records, &torn, &m->journal));
    bool begins = json_array_size(m->records) == 0;
    if (begins) {
        m->identity = m->own;
        json_t *first = records_sweep(&m->own);
        ENSURE(json_array_append(m->records, first) == 0, ERR_FAILED, "out of memory");
        TRY(manage_record(m, first));
    }
    TRY(check_identity(m, journal, resolved));
    TRY(manage_past(m, journal));
    TRY(records_replay(m->records, &m->cfg, journal, m->steer, &m->past));
    TRY(manage_past_keep(m, resolved));
    if (begins || access(resolved, F_OK) != 0)
        TRY(write_resolved(m, resolved));
    return begin_session(m, torn);
}

static enum err open_workers(struct manager *m)
{
    m->n_workers = link_size(m->link) - 1;
    m->workers = calloc((size_t)m->n_workers, sizeof *m->workers);
    ENSURE(m->workers, ERR_FAILED, "out of memory");
    for (int w = 0; w < m->n_workers; w++)
        m->workers[w] = (struct manage_worker){.offset = INFINITY, .job = -1, .loss = NAN};
    TRY(slots_create(m->n_workers, &m->slots));
    return sched_create(m->n_workers, m->cfg.retries, &m->sched);
}

// --extend makes no new sweep: a mistyped directory would begin one.
static enum err check_extended(const char *dir)
{
    char journal[JOB_PATH_MAX + 64];
    TRY(sweepdir_path(dir, "journal", journal, sizeof journal));
    ENSURE(access(journal, R_OK) == 0, ERR_INPUT,
           "--extend: %s: expected a sweep's directory, found no journal", dir);
    return OK;
}

static enum err open_all(struct manager *m, const char *config_path, const char *out_dir)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    m->wall0 = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
    m->clock0 = m->turned = signals_clock();
    m->first_start = m->unsynced_since = m->finals_since = m->drain_since = INFINITY;
    m->shown = -INFINITY;
    double left = m->opt.time_limit > 0 ? m->opt.time_limit : slurm_time_left();
    m->deadline = left >= 0 ? m->clock0 + left : INFINITY; // NaN: nobody knows
    m->records = json_array();
    m->latest = json_array();
    ENSURE(m->records && m->latest, ERR_FAILED, "out of memory");
    TRY(config_load(config_path, &m->cfg));
    runtime_init(&m->runtime, runtime_guess(&m->cfg.base));
    TRY(need_known(&m->cfg, &m->moetrain));
    TRY(steer_create(&m->cfg, &m->steer));
    TRY(open_workers(m));
    TRY(progress_open(m->opt.progress, stderr, &m->progress));
    if (m->opt.extend)
        TRY(check_extended(out_dir));
    TRY(sweepdir_open(out_dir, m->dir, sizeof m->dir));
    TRY(open_journal(m));
    json_decref(m->records); // the journal has them; they grow with every run
    m->records = NULL;
    return OK;
}

enum err manage_open(const char *config_path, const char *out_dir,
                     const struct run_options *opt, struct link *link, struct manager **out)
{
    *out = calloc(1, sizeof **out);
    ENSURE(*out, ERR_FAILED, "out of memory");
    (*out)->opt = *opt;
    (*out)->link = link;
    return open_all(*out, config_path, out_dir);
}

void manage_free(struct manager *m)
{
    if (!m)
        return;
    progress_close(m->progress);
    journal_close(m->journal);
    sched_free(m->sched);
    slots_free(m->slots);
    steer_free(m->steer);
    config_free(&m->cfg);
    records_past_free(&m->past);
    json_decref(m->records);
    json_decref(m->latest);
    json_decref(m->extension);
    free(m->steer_of);
    for (int i = 0; m->jobs && i < m->seen_jobs; i++)
        free(m->jobs[i].text);
    free(m->jobs);
    free(m->workers);
    free(m->finals);
    free(m);
}
