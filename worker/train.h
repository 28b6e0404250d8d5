// SPDX-License-Identifier: Apache-2.0
// One training run, start to result, told on `out` in the lines of docs/trainer-protocol.md.
//
// Diverged: a training loss or gradient norm that is not finite, or a smoothed loss
// (exponential mean, weight 1/8) that stands ln V above its lowest value so far: ln V is the
// whole way from certainty to guessing uniformly among V symbols, so no ordinary spike gets
// there. A result, not an error.
//
// Learning curve: the points of job_curve_step, each the mean training loss of the steps since
// the point before. A function of the job alone, whatever was interrupted.
//
// Pruned: a point of it is above what the job allows there (stop_above). A result, too.
//
// Result: loss is the mean over the validation windows after the last step, loss_per_byte the
// same nats over the bytes behind them; seconds is the time inside training steps, all attempts
// together; flops counts what the steps executed (core/executed.h), validation apart; balance
// is the mean over the last tenth of the steps; epochs is tokens over the tokens of the
// training text.
#ifndef WORKER_TRAIN_H
#define WORKER_TRAIN_H
#include "core/job.h"
#include <stdio.h>

// SIGTERM and SIGINT must be blocked (train_block_signals) before any thread is started: the
// loop asks between steps whether one is pending, then writes a checkpoint and ends with status
// stopped and ERR_STOPPED. ERR_INPUT: nothing was written to out. OK: a result line was (ok,
// diverged, oom, pruned).
enum err train_run(const struct job *j, FILE *out);
void train_block_signals(void);
#endif
