// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep from start to end on the machine or allocation at hand: mpirun with the right flags,
// again after a dead manager, the exit codes of the contract. docs/clusters.md.
#ifndef ORCHESTRATOR_LAUNCH_H
#define ORCHESTRATOR_LAUNCH_H
#include "core/err.h"
#include "orchestrator/cmd.h"
#include <stdbool.h>

struct launch_options {
    const char *config, *out; // out NULL: the configuration's name without .cfg, here
    const char *mpirun;       // NULL: "mpirun"
    int ranks;                // 0: tasks of the Slurm job, else processors + 1
    int restarts;             // in a row without a new result
    double margin;     // s before Slurm's time limit at which the sweep drains; 0: a default
    double time_limit; // s; 0: none but Slurm's
    double silence;    // as moesweep run has them; 0, NULL, false: its defaults
    const char *progress;
    bool allow_mixed, extend;
    const struct cmd_list *imports; // NULL: none
    bool requeue; // put the Slurm job back into the queue when its time is over
};

// OK, ERR_FAILED, ERR_INPUT or ERR_STOPPED as `moesweep run` would, with one line of advice in
// err_message().
enum err launch_sweep(const struct launch_options *opt);
// The folder that a configuration's results go to when none is given: "configs/mine.cfg" gives
// "mine".
enum err launch_default_out(const char *config, char *buf, size_t size);
#endif
