// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep under MPI, and a sweep's directory read back. Rank 0 manages: it steers, schedules
// and keeps the journal; every other rank supervises trainers. docs/clusters.md,
// docs/journal.md.
#ifndef ORCHESTRATOR_RUN_H
#define ORCHESTRATOR_RUN_H
#include "orchestrator/cmd.h"
#include "orchestrator/config.h"
#include "orchestrator/progress.h"
#include "orchestrator/steer.h"

// s; trainings may swap or wait for a file system, signs of life hardly ever
#define RUN_SILENCE 60.0

struct run_options {
    bool allow_mixed; // go on although build or instruction set changed since the journal began
    bool extend;      // the directory's sweep goes on under this configuration (extend.h)
    const struct cmd_list *imports; // directories whose results are taken over; NULL: none
    double time_limit;              // s after which the sweep drains as after a signal; 0: none
    double silence; // s without a sign of life until a worker counts as lost; 0: RUN_SILENCE
    enum progress_mode progress;
    const char *tell; // file for `moesweep launch` (attempt.h); NULL: none
};

// The whole of `moesweep run`: called once on every rank, initialises and finalises MPI itself;
// only rank 0 reads the configuration. Returns what the process exits with: on rank 0 OK when
// the sweep is done, ERR_STOPPED when it stopped early and can be resumed, ERR_INPUT,
// ERR_FAILED, with err_message() to print; every other rank returns OK, its message empty: one
// fault is told once.
enum err run_sweep(const char *config_path, const char *out_dir, const struct run_options *opt);

// What a finished, running or stopped sweep's directory holds: its configuration, the state of
// the steering (replayed from the journal and advanced as far as its results allow) and the
// journal's records in order. A torn tail is not an error; the directory is not written to. The
// caller frees all three (config_free, steer_free, json_decref). steer and records may be NULL
// when not wanted.
enum err run_load(const char *dir, struct sweep *cfg, struct steer **steer, json_t **records);
#endif
