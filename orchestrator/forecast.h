// SPDX-License-Identifier: GPL-3.0-or-later
// What a sweep will take, with intervals, before anything runs.
#ifndef ORCHESTRATOR_FORECAST_H
#define ORCHESTRATOR_FORECAST_H
#include "orchestrator/runtime.h"
#include "orchestrator/steer.h"

// Where predicted seconds come from.
struct forecast_basis {
    const char *from; // "guess", "given" or "calibrated"
    struct runtime runtime;
    double overhead; // s of a worker beside each training: start, data, checkpoint
    double factor;   // a prediction is right to within this factor in 95 of 100 sweeps
    int workers;
};
// A sweep that nobody has tried yet: executed FLOP/s of a worker (0: guessed).
void forecast_begin(struct forecast_basis *b, const struct sweep *cfg, double rate,
                    int workers);
double forecast_seconds(const struct forecast_basis *b, const struct job *j);

// s holds the jobs of every phase, opened at once (plan.h); cfg says what waits for what; more:
// runs that may be added at most. {"from", "runs", "worker_hours", "core_hours", "gpu_hours",
// "makespan_s", "memory_bytes", "disk_bytes", "cost"}, each but the first {"value", "lo", "hi"}
// or null. NULL when memory is short.
json_t *forecast_json(const struct forecast_basis *b, const struct sweep *cfg,
                      const struct steer *s, int64_t more);

// Bytes that jobs leave in a sweep's directory: journal, outputs, their folders, and
// checkpoints, of those that run or, with checkpoint_keep, of all.
struct forecast_disk {
    double value, lo, hi;
};
// jobs: still to be trained, of which those known to s are typical; most: they may become so
// many.
struct forecast_disk forecast_disk(const struct sweep *cfg, const struct steer *s, double jobs,
                                   double most, int workers);
// Free bytes of the file system that holds dir or would, and the nearest folder that exists;
// NaN: nobody knows.
double forecast_free(const char *dir, char *found, size_t size);
#endif
