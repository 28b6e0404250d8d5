// SPDX-License-Identifier: GPL-3.0-or-later
// Which job goes to which worker: a pure state machine without MPI and without a clock. The
// queue is ordered by priority, then predicted time (longest first), then id. A worker holds
// one running job and, while the queue is longer than there are workers, one more, so that it
// never waits for the manager; near the end nobody holds a second job that an idle worker could
// have had.
#ifndef ORCHESTRATOR_SCHED_H
#define ORCHESTRATOR_SCHED_H
#include "core/err.h"
#include <stdbool.h>

struct sched;

struct sched_assign {
    int worker, job, attempt; // job: number in order of sched_add; attempt: 1, 2, ..
};

// How an attempt ended.
enum sched_outcome {
    SCHED_DONE,       // with a result that counts
    SCHED_CRASHED,    // consumes a retry
    SCHED_INTERRUPTED // by us or with its worker: consumes none
};
enum sched_verdict {
    SCHED_FINAL, // over: done, or its retries are used up
    SCHED_RETRY, // queued again
    SCHED_STALE  // not an attempt that is being waited for: drop it
};

struct sched_counts {
    int jobs, queued, held, final;
    int workers, idle; // present; present and holding nothing
};

// Workers are numbered from 0; none is present until sched_join. A job may crash `retries`
// times and still be tried again.
enum err sched_create(int n_workers, int retries, struct sched **out);
void sched_free(struct sched *s);
// Adds a job that was already tried `attempts` times, of which `crashes` crashed (0, 0 for a
// fresh one). seconds is any number that grows with the predicted time.
enum err sched_add(struct sched *s, const char *id, int priority, double seconds, int attempts,
                   int crashes);
void sched_join(struct sched *s, int worker);
// The worker is lost: what it held is queued again, and what it may still report is stale.
void sched_leave(struct sched *s, int worker);
bool sched_present(const struct sched *s, int worker);
// The next assignment, now made; false when there is none to make.
bool sched_next(struct sched *s, struct sched_assign *out);
// Whether this attempt is being waited for.
bool sched_holds(const struct sched *s, struct sched_assign which);
enum sched_verdict sched_report(struct sched *s, struct sched_assign which,
                                enum sched_outcome outcome);
// From now on nothing is assigned any more.
void sched_drain(struct sched *s);
struct sched_counts sched_count(const struct sched *s);
#endif
