// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/run.h"
#include "orchestrator/attempt.h"
#include "orchestrator/journal.h"
#include "orchestrator/manage.h"
#include "orchestrator/records.h"
#include "orchestrator/signals.h"
#include "orchestrator/supervise.h"
#include "orchestrator/sweepdir.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// MPI_Finalize would wait for ranks that may be dead.
static void leave(enum err e)
{
    if (e != OK && *err_message())
        fprintf(stderr, "moesweep: %s\n", err_message());
    fflush(NULL);
    _exit((int)e);
}

// `moesweep launch` hears the exit code from us; mpirun need not comment on it.
static enum err last_word(const struct run_options *opt, enum err e)
{
    if (!attempt_tell_code(opt->tell, (int)e) || e == OK)
        return e;
    if (*err_message())
        fprintf(stderr, "moesweep: %s\n", err_message());
    return err_set(OK, "%s", "");
}

static enum err run_worker(struct link *l, double silence)
{
    enum err e = link_agree(l, OK);
    if (e == OK) {
        bool clean = false;
        e = supervise_run(l, silence, &clean);
        if (e != OK || !clean)
            leave(e);
    }
    link_close(l, true);
    return err_set(OK, "%s", "");
}

static enum err run_manager(struct link *l, const char *config_path, const char *out_dir,
                            const struct run_options *opt)
{
    struct manager *m = NULL;
    bool clean = true;
    enum err e = manage_open(config_path, out_dir, opt, l, &m);
    char message[1024];
    snprintf(message, sizeof message, "%s", err_message());
    enum err agreed = link_agree(l, e);
    if (agreed == OK)
        e = manage_run(m, &clean);
    else if (e != OK)
        err_set(e, "%s", message);
    else
        e = agreed;
    manage_free(m);
    e = last_word(opt, e);
    link_close(l, clean);
    if (!clean)
        leave(e);
    return e;
}

enum err run_sweep(const char *config_path, const char *out_dir,
                   const struct run_options *options)
{
    struct link *l = NULL;
    struct run_options copy = *options, *opt = &copy;
    if (!(copy.silence > 0))
        copy.silence = RUN_SILENCE;
    signals_block();
    attempt_tell_start(opt->tell);
    TRY(link_open(&l));
    return link_rank(l) == 0 ? run_manager(l, config_path, out_dir, opt)
                             : run_worker(l, opt->silence);
}

// ---- a directory read back

static enum err keep_record(void *ctx, json_t *rec)
{
    return json_array_append(ctx, rec) == 0 ? OK : err_set(ERR_FAILED, "out of memory");
}

static enum err load_steer(const struct sweep *cfg, const json_t *records, const char *journal,
                           struct steer **out)
{
    struct records_identity id;
    TRY(records_head(records, journal, &id));
    ENSURE(id.hash == cfg->hash, ERR_INPUT,
           "%s is not the journal of config.resolved.cfg beside it", journal);
    struct steer *s = NULL;
    TRY(steer_create(cfg, &s));
    enum err e = records_replay(records, cfg, journal, s, NULL);
    if (e == OK)
        *out = s;
    else
        steer_free(s);
    return e;
}

enum err run_load(const char *dir, struct sweep *cfg, struct steer **steer, json_t **records)
{
    char journal[JOB_PATH_MAX + 32], resolved[JOB_PATH_MAX + 32];
    TRY(sweepdir_path(dir, "journal", journal, sizeof journal));
    TRY(sweepdir_path(dir, "config.resolved.cfg", resolved, sizeof resolved));
    ENSURE(access(journal, R_OK) == 0, ERR_INPUT,
           "%s: expected a sweep's directory, found no journal", dir);
    json_t *all = json_array();
    ENSURE(all, ERR_FAILED, "out of memory");
    enum err e = journal_read(journal, keep_record, all, NULL);
    if (e == OK)
        e = config_load(resolved, cfg);
    if (e == OK && steer) {
        e = load_steer(cfg, all, journal, steer);
        if (e != OK)
            config_free(cfg);
    }
    if (e == OK && records)
        *records = all;
    else
        json_decref(all);
    return e;
}
