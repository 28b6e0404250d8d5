// SPDX-License-Identifier: GPL-3.0-or-later
// What a worker writes into a sweep's directory for one job. Its trainer makes the folder
// SWEEP/jobs/ID itself if it has a checkpoint to keep: of most jobs one file is all.
#ifndef ORCHESTRATOR_JOBFILES_H
#define ORCHESTRATOR_JOBFILES_H
#include "core/job.h"

struct jobfiles {
    char job[JOB_PATH_MAX + 96], err[JOB_PATH_MAX + 96]; // SWEEP/jobs/ID.json, .stderr.txt
};

// Writes `text`, n bytes, to ID.json. Where there is one already, the standard error of that
// attempt is removed. ERR_FAILED: the file system's refusal.
enum err jobfiles_make(const char *sweep, const char *id, const char *text, size_t n,
                       struct jobfiles *out);
#endif
