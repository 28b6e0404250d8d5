// SPDX-License-Identifier: GPL-3.0-or-later
// How long a training will take. A job's time is a sum of what it does, each kind of work at a
// cost of its own:
//
//     seconds = sum_k b_k x_k,   b_k >= 0
//
//     x = executed FLOPs; elements that element-wise operations pass, D (L d + V); routing, D
//     L_m (K + N_e);
//         attention scores, D L N_q S; what an optimizer's step touches, steps N; rows, D L
//
// b is fitted to all runs that have ended, by non-negative least squares in relative errors,
// drawn towards equal shares of the time as far as the runs do not say otherwise. Workers come
// in classes, their hosts; a class is faster or slower by one factor. Before the first
// run there is only a rate in FLOP/s, given or guessed.
//
// Predictions order the queue, price a plan and tell an ETA; what is trained never depends on
// them.
#ifndef ORCHESTRATOR_RUNTIME_H
#define ORCHESTRATOR_RUNTIME_H
#include "core/job.h"

enum { RUNTIME_TERMS = 6, RUNTIME_CLASSES = 64 };

struct runtime_work {
    double x[RUNTIME_TERMS];
};
// Of a whole training, intermediate validations included; of one of its workers where it has
// several.
struct runtime_work runtime_work_of(const struct job *j);

struct runtime_class {
    char name[128];
    double log_factor; // sum of the logarithms of time over prediction
    int n;
};

struct runtime {
    double rate; // FLOP/s before the first run
    int n;       // runs seen
    int fitted;  // of them by the last fit: each of the first 64, then whenever 1.6 % came
    // Of y = x / seconds: sum y y^T and sum y, in units of the class's factor
    double gram[RUNTIME_TERMS][RUNTIME_TERMS], sum[RUNTIME_TERMS];
    double b[RUNTIME_TERMS];
    struct runtime_class classes[RUNTIME_CLASSES];
    int n_classes;
    // Errors of predictions made before the run was seen, of the last RUNTIME_RECENT
    double error[64];
    int n_errors;
};

// Executed FLOP/s that a worker is taken to reach when nobody says.
double runtime_guess(const struct job *j);
void runtime_init(struct runtime *r, double rate);
// A run that took seconds > 0 on a worker of the class (more classes than there is room for are
// one).
void runtime_add(struct runtime *r, const struct runtime_work *w, const char *class,
                 double seconds);
// class NULL: a typical one.
double runtime_predict(const struct runtime *r, const struct runtime_work *w,
                       const char *class);
// How fast workers of the class are, 1 a typical one, to the nearest eighth of an octave: less
// is noise.
double runtime_speed(const struct runtime *r, const char *class);
// Median of |ln(time / prediction)| of the last predictions; NaN before the tenth.
double runtime_error(const struct runtime *r);

// Seconds to the end of what is left: work shared evenly, or the longest job if that takes
// longer. NaN where nothing is known or left.
struct runtime_eta {
    double at, lo, hi; // 95 %
};
// left: predicted worker-seconds of `jobs` jobs, the longest of them `longest`. The interval:
// the predictions' own error, of which what jobs have in common does not average out (taken as
// a third of it), and above, the last job's worker working alone.
struct runtime_eta runtime_eta(const struct runtime *r, double left, double longest, int jobs,
                               int workers);
#endif
