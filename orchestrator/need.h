// SPDX-License-Identifier: GPL-3.0-or-later
// What a training needs of a machine, as far as it is known before it runs: moetrain's needs
// are (core/executed.h), another trainer's are not.
#ifndef ORCHESTRATOR_NEED_H
#define ORCHESTRATOR_NEED_H
#include "orchestrator/config.h"
#include "orchestrator/sched.h"

// Whether the sweep's command runs moetrain itself. ERR_INPUT: no such program.
enum err need_known(const struct sweep *cfg, bool *known);
// Bytes of its machine's memory and of its GPU that the scheduler sets aside: a tenth more than
// predicted, in steps of a twelfth or less. Mapped data are not among them: they give way.
void need_of(const struct job *j, struct sched_job *out);
// Bytes above which the trainer is ended: the configuration's, else for moetrain on processors
// twice what it should need and 1 GB; 0: no limit.
double need_limit(const struct sweep *cfg, bool known, const struct job *j);
// Why no machine can take the job, one line.
void need_misfit(const struct job *j, const struct sched_job *need, char *buf, size_t size);
#endif
