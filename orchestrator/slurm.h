// SPDX-License-Identifier: GPL-3.0-or-later
// The Slurm job that this process is in, from its environment and squeue.
#ifndef ORCHESTRATOR_SLURM_H
#define ORCHESTRATOR_SLURM_H
#include "core/err.h"
#include <stdbool.h>

// The job's number as text; NULL outside of a job.
const char *slurm_job(void);
// Seconds until the time limit: SLURM_JOB_END_TIME (Slurm 23.02 and newer), else one call of
// squeue; INFINITY without a limit, NaN if nobody knows.
double slurm_time_left(void);
// "1-02:03:04", "2:03:04", "03:04", "UNLIMITED" as squeue prints them; NaN for anything else.
double slurm_duration(const char *text);
// Nodes and processors of the allocation; 0 if not known.
int slurm_nodes(void);
int slurm_processors(void);
// The sum of "4(x2),3".
int slurm_counts(const char *text);
// Puts the running job back into the queue.
enum err slurm_requeue(const char *job);
#endif
