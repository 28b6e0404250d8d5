// SPDX-License-Identifier: GPL-3.0-or-later
// Which job goes to which worker: a pure state machine without MPI and without a clock; time
// enters as `now`, s on any clock that does not go back. The queue is ordered by priority, then
// predicted time (longest first), then id. A worker holds one running job and, while the queue
// is longer than there are workers, one more, so that it never waits for the manager; near the
// end nobody holds a second job that an idle worker could have had.
//
// A job may need several workers of one host (width), memory of its host, and memory of its
// worker's GPU. The first job that must wait for one of these gets the host where it can start
// soonest by the predicted times: until it has started there, only jobs that will have ended by
// then start on that host. So everything that fits anywhere is trained, and nobody waits for it
// on other hosts.
#ifndef ORCHESTRATOR_SCHED_H
#define ORCHESTRATOR_SCHED_H
#include "core/err.h"
#include <stdbool.h>

struct sched;

struct sched_job {
    const char *id;
    int priority;
    double seconds;        // predicted, by a worker of speed 1
    int attempts, crashes; // it was tried so often already, of which so many crashed
    int width;             // workers of one host that it takes; 0: 1
    double memory;         // bytes of its host
    double gpu;            // bytes of the GPU of each of its workers
    bool whole;            // cannot go on where it was stopped: starts only if it will end
};

// Where a worker is. All workers of a host tell the same memory.
struct sched_place {
    int host;           // below the number of workers
    double memory, gpu; // bytes; INFINITY: no limit is known
};

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
    int late;          // of the queued: too long for the time that is left
    int workers, idle; // present; present and holding nothing
};

enum { SCHED_NONE = -1 };

// Workers are numbered from 0; none is present until sched_join. A job may crash `retries`
// times and still be tried again. Until told otherwise each worker is a host of its own without
// limits, and has speed 1.
enum err sched_create(int n_workers, int retries, struct sched **out);
void sched_free(struct sched *s);
// While the worker is not present.
void sched_settle(struct sched *s, int worker, struct sched_place place);
// How fast the worker is, 1 a typical one. The first jobs in the queue go to the fastest; near
// the end none goes to a slow worker that a faster, busy one is expected to finish sooner.
void sched_speed(struct sched *s, int worker, double speed);
// From now on a `whole` job starts only where margin times its predicted time ends before `at`.
void sched_deadline(struct sched *s, double at, double margin);

enum err sched_add(struct sched *s, const struct sched_job *job);
// New predictions for all jobs that have not ended, and so a new order of the queue.
void sched_predict(struct sched *s, double (*seconds)(const void *ctx, int job),
                   const void *ctx);
void sched_join(struct sched *s, int worker);
// The worker is lost: what it held is queued again, and what it may still report is stale. If
// it was lent to a job of several workers, the one that runs it is returned and has to drop it;
// SCHED_NONE otherwise.
int sched_leave(struct sched *s, int worker);
bool sched_present(const struct sched *s, int worker);
// The next assignment, now made; false when there is none to make. Of several workers, the
// assignment names the one that runs the job.
bool sched_next(struct sched *s, double now, struct sched_assign *out);
// The workers whose slots the job has that this worker runs, itself first, at most max; 1 for a
// job of width 1.
int sched_slots(const struct sched *s, int worker, int *workers, int max);
// Whether this attempt is being waited for.
bool sched_holds(const struct sched *s, struct sched_assign which);
enum sched_verdict sched_report(struct sched *s, double now, struct sched_assign which,
                                enum sched_outcome outcome);
// A queued job that would not fit on any host even if nothing else ran, present workers only or
// all; SCHED_NONE if there is none.
int sched_misfit(const struct sched *s, bool present_only);
// From now on nothing is assigned any more.
void sched_drain(struct sched *s);
struct sched_counts sched_count(const struct sched *s);
#endif
