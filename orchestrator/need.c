// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/need.h"
#include "core/executed.h"
#include "orchestrator/identity.h"
#include "orchestrator/status.h"
#include <math.h>
#include <string.h>

static const double MARGIN = 1.1;
static const double STEPS = 8; // an octave: jobs of about the same need are of one kind

enum err need_known(const struct sweep *cfg, bool *known)
{
    char build[128];
    TRY(identity_trainer(cfg->trainer, build, sizeof build));
    *known = strncmp(build, "moetrain ", 9) == 0;
    return OK;
}

static double set_aside(double bytes)
{
    return bytes > 0 ? ceil(exp2(ceil(STEPS * log2(MARGIN * bytes)) / STEPS)) : 0;
}

void need_of(const struct job *j, struct sched_job *out)
{
    struct executed e = executed_of(j);
    out->memory = set_aside((double)e.mem_total);
    out->gpu = job_on_device(j) ? set_aside((double)e.mem_device + EXECUTED_CUDA) : 0;
}

double need_limit(const struct sweep *cfg, bool known, const struct job *j)
{
    if (cfg->memory_limit > 0)
        return 1e9 * cfg->memory_limit;
    // What CUDA takes of the host is its own affair.
    return known && !job_on_device(j) ? 2 * (double)executed_of(j).mem_total + 1e9 : 0;
}

void need_misfit(const struct job *j, const struct sched_job *need, char *buf, size_t size)
{
    int n = snprintf(buf, size, "job %s needs", j->id);
    if (need->width > 1)
        n += snprintf(buf + n, size - (size_t)n, " %d workers of one machine,", need->width);
    if (need->memory > 0)
        n += snprintf(buf + n, size - (size_t)n, " %.3g GB of memory,", 1e-9 * need->memory);
    if (need->gpu > 0)
        n += snprintf(buf + n, size - (size_t)n, " %.3g GB of a GPU,", 1e-9 * need->gpu);
    snprintf(buf + n - 1, size - (size_t)n + 1, ": " STATUS_MISFIT);
}
