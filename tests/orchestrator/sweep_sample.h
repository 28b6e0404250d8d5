// SPDX-License-Identifier: GPL-3.0-or-later
// The directory of a small made-up sweep: two phases at two scales, losses that are a function
// of the job, a failed attempt here and there; as `moesweep run` would leave it.
#ifndef TESTS_ORCHESTRATOR_SWEEP_SAMPLE_H
#define TESTS_ORCHESTRATOR_SWEEP_SAMPLE_H
#include "orchestrator/journal.h"
#include "orchestrator/records.h"
#include "orchestrator/steer.h"
#include <jansson.h>

// What a training of this job gives.
struct job_result sample_result(const struct steer_job *sj);
// Writes config.resolved.cfg and journal into dir, which exists; cfg is the sweep's, to be
// freed by the caller. Trainings are seconds long on the journal's clock, which begins at 1e9,
// on two workers. results < 0: all of them, and a stop record.
void sample_sweep(const char *dir, int results, struct sweep *cfg);
// The law that results lead to, missing ones filled in. The caller's.
json_t *sample_law(const struct sweep *cfg, const json_t *records);
// The records of an attempt as the manager journals them: its start, its end. final: a result,
// else a failure that will be tried again; rest: what the worker says besides, whose reference
// is taken.
void sample_start(struct journal *j, const struct records_attempt *at);
void sample_end(struct journal *j, const struct job_result *r, const struct records_attempt *at,
                bool final, json_t *rest);
#endif
