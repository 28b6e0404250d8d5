// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/report/report.h"
#include <stdlib.h>

enum err report_write(const char *dir, const json_t *law, const json_t *arch,
                      const struct steer *s, const json_t *records)
{
    const int n = steer_n_jobs(s);
    const struct steer_job **jobs = calloc((size_t)n + 1, sizeof *jobs);
    ENSURE(jobs, ERR_FAILED, "out of memory for a report of %d jobs", n);
    for (int i = 0; i < n; i++)
        jobs[i] = steer_job_at(s, i);
    const enum err e = report_write_jobs(dir, law, arch, jobs, n, records);
    free(jobs);
    return e;
}
