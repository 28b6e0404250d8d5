// SPDX-License-Identifier: GPL-3.0-or-later
// How a sweep stands: the document in status.json, shown by progress and by `moesweep status`.
// Numbers for the eye; nothing is computed from them.
//
// {"v":1, "name", "state": "running|draining|stopped|done|failed", "updated": s since 1970,
// "elapsed_s",
//  "jobs": {"done", "failed", "pruned" (stopped early), "running", "queued", "known",
//  "expected"}, "decisions", "eta_s", "eta_lo_s", "eta_hi_s": numbers or null, "runtime_error":
//  median relative error of predicted times or null, "training_share": share of the workers'
//  time since this session's first start in which they trained, or null, "workers": [{"rank",
//  "host", "state": "training|idle|lost|unfit|absent", "job", "phase", "C", "fraction", "loss",
//  "seconds", "step", "steps", "tokens": so far, "predicted_s": of the whole training}, ..]
//  (from "job" on only when training), "latest": [text, ..] newest last}
#ifndef ORCHESTRATOR_STATUS_H
#define ORCHESTRATOR_STATUS_H
#include "core/err.h"
#include <jansson.h>

// Reads DIR/status.json and checks its shape. ERR_INPUT if there is none.
enum err status_read(const char *dir, json_t **out);
// Atomic.
// What the last line of "latest" holds where a run has stopped unasked: because nothing that is
// left ends in time, or fits a machine.
#define STATUS_TOO_LATE "would end within the time limit"
#define STATUS_MISFIT "no machine here has that"
enum err status_write(const char *dir, const json_t *status);
// "42 of about 60 jobs, 1 failed, 3 running, 82 % training, about 1 min 20 s left" into buf.
void status_line(const json_t *status, char *buf, size_t size);
// "42 s", "4 min 05 s", "2 h 05 min".
void status_duration(double s, char *buf, size_t size);
// One worker's line: "  2  training 3f2a..  allocation 1e11   45 %  loss 1.93".
void status_worker_line(const json_t *worker, char *buf, size_t size);
#endif
