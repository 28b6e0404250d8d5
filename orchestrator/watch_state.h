// SPDX-License-Identifier: GPL-3.0-or-later
// The inside of a watch: watch.c folds records into it, watch_json.c reads it.
#ifndef ORCHESTRATOR_WATCH_STATE_H
#define ORCHESTRATOR_WATCH_STATE_H
#include "orchestrator/runtime.h"
#include "orchestrator/steer.h"
#include "orchestrator/watch.h"

// Larger sweeps are shown without provisional fits and laws of their own: replaying the
// steering takes more than an eye's patience.
enum { WATCH_LAW_JOBS = 5000 };

enum watch_fate {
    WATCH_QUEUED,
    WATCH_RUNNING,
    WATCH_OK,
    WATCH_PRUNED,
    WATCH_FAILED,
    N_WATCH_FATES
};

struct watch_cell { // a phase at a scale
    int phase;      // into names
    double C;
    int expected; // jobs to begin with, by the configuration; 0: not known
    int known, count[N_WATCH_FATES];
    json_t *decision; // the last one; NULL
};

struct watch_job {
    char id[JOB_ID_LEN];
    int cell;
    enum watch_fate fate;
    int worker, attempt;
    double t0; // of the attempt that runs
    int64_t steps, tokens;
    struct runtime_work work;
};

struct watch {
    const struct sweep *cfg;
    struct steer *steer; // NULL: without
    json_t *base;        // job.json around a record's arch, train and model
    json_t *last_job;    // of the last job record
    json_t *names;       // of phases, in order
    struct watch_cell *cells;
    int n_cells, cap_cells;
    struct watch_job *jobs;
    int n_jobs, cap_jobs;
    json_t *job_of; // id -> number
    json_t *early;  // results whose job comes later: {id: status}
    int *on;        // by rank: number of the job that it trains, -1
    int n_on;
    struct runtime runtime;
    double measured, predicted; // s of the runs that were predicted before they ended
    int n_predicted;
    double tokens, flops, seconds; // of all runs that ended well
    json_t *causes;                // {cause: count}
    json_t *latest;                // lines
    int sessions, workers, decisions, results, crashes;
    double first, session, last; // times of the first and the last session's start, last record
    char stop[64];               // why it stopped; "" while a session is open
    char name[CONFIG_NAME];
    // Of the steering: what was found when so many results were in
    int law_at, fits_at;
    json_t *law, *provisional;
};

// Gives queued jobs the fate that the steering knows of: with early stops, results of the same
// work under another id make jobs final, too.
void watch_settle(struct watch *w);
// Brings laws and provisional fits up to date.
void watch_laws(struct watch *w);
#endif
