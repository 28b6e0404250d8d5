// SPDX-License-Identifier: Apache-2.0
// The learning rate as a pure function of the step. With n steps, w = round(warmup n), k =
// round(decay n):
//   warm-up   step s <= w        s / w of the peak
//   wsd       w < s <= n - k     the peak, then linear to zero: (n + 1 - s) / (k + 1), so that
//                                zero would be reached one step after the end and no step is
//                                wasted
//   linear    s > w              as wsd with k = n - w: falls from the peak all the way
//   cosine    s > w              f + (1 - f) (1 + cos(pi (s - w) / (n - w))) / 2, f = 10 %
//                                (Hoffmann et al. 2022, arXiv 2203.15556, section 3.1)
// Where warm-up and decay overlap, the smaller factor holds.
#ifndef WORKER_SCHEDULE_H
#define WORKER_SCHEDULE_H
#include "core/job.h"

// Learning rate of step (1 .. steps).
double schedule_lr(const struct job_train *t, int64_t steps, int64_t step);
#endif
