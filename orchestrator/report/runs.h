// SPDX-License-Identifier: GPL-3.0-or-later
// The trainings of a sweep as the report shows them: jobs joined with what the journal and the
// law say about each.
#ifndef ORCHESTRATOR_REPORT_RUNS_H
#define ORCHESTRATOR_REPORT_RUNS_H
#include "core/err.h"
#include "orchestrator/steer.h"
#include <jansson.h>
#include <stdbool.h>

struct run {
    const struct steer_job *job;
    const char *phase;   // that asked for it first; "" if nothing tells
    int phase_index;     // into phases
    int scale;           // into scales
    bool ok;             // ended well with a finite loss
    bool outlier;        // flagged by a fit; never dropped
    bool best;           // lowest loss of its scale
    const json_t *curve; // [[step, training loss], ..] of the last result; NULL
};

// One attempt on a worker: what the time chart draws.
struct span {
    int run;               // into runs; -1: of a job the steer does not know
    int session;           // into sessions
    double worker, t0, t1; // s; begins at 0, with the pauses between sessions left out
    double training; // s that the trainer spent in training; 0 of an attempt that was lost
    bool lost;       // crashed or given up, and tried again
};

// The sweep from one start of the program to its end; a resumed one has several.
struct session {
    double workers;     // as the journal says, at least as many as reported
    double first, last; // s on the clock of the spans; first > last: nothing ended in it
};

struct runs {
    struct run *v;
    int n, n_ok, n_pruned, n_failed, n_open; // n_open: no final result
    int *by_id;                              // numbers of runs, sorted by id
    double *scales;                          // ascending
    int n_scales;
    const char **phases; // in order of first appearance
    int n_phases;
    struct span *spans;
    int n_spans;
    struct session *sessions;
    int n_sessions;
};

// Borrows everything; runs_free releases only the tables. law and records may be NULL.
enum err runs_collect(const struct steer_job *const *jobs, int n, const json_t *law,
                      const json_t *records, struct runs *out);
void runs_free(struct runs *r);
// Index of the run with this id, -1 if none.
int runs_find(const struct runs *r, const char *id);
// Index of a scale (within rounding), 0 if none.
int runs_scale(const struct runs *r, double C);
// Sums over sessions. All zero without spans.
struct usage {
    double workers;        // of the largest session
    double span;           // s between first dispatch and last result
    double capacity;       // worker-seconds in it
    double busy, training; // of these: a trainer ran; it trained for a result
};
struct usage runs_usage(const struct runs *r);
#endif
