// SPDX-License-Identifier: GPL-3.0-or-later
// The folder of one job in a sweep's directory, as its trainer finds it.
#ifndef ORCHESTRATOR_JOBDIR_H
#define ORCHESTRATOR_JOBDIR_H
#include "core/job.h"

struct jobdir {
    char job[JOB_PATH_MAX + 96], err[JOB_PATH_MAX + 96]; // job.json, stderr.txt
};

// Makes SWEEP/jobs/ID and writes `text`, n bytes, to job.json in it. Where the folder is there
// already, the stderr.txt of an earlier attempt is removed. ERR_FAILED: the file system's
// refusal.
enum err jobdir_make(const char *sweep, const char *id, const char *text, size_t n,
                     struct jobdir *out);
#endif
