// SPDX-License-Identifier: GPL-3.0-or-later
// The scheduler's insides, shared by sched.c (jobs, workers, what happens to them) and
// sched_choose.c (who gets what next).
#ifndef ORCHESTRATOR_SCHED_STATE_H
#define ORCHESTRATOR_SCHED_STATE_H
#include "orchestrator/sched.h"
#include <stdint.h>

enum { HELD = 2, NONE = SCHED_NONE };

enum entry_state { QUEUED, LATE, ASSIGNED, FINAL };

struct entry {
    char *id;
    double seconds;
    int priority, attempt, crashes;
    int kind;   // index
    int worker; // when ASSIGNED
    enum entry_state state;
};

// Jobs that need the same have a queue of their own: whether one of them can start depends on
// its time alone.
struct kind {
    int width;
    double memory, gpu;
    bool whole;
    int *heap;       // of queued jobs, the first to go on top
    int n, cap, all; // all: that were ever added
    bool passed;     // in the running search: its first one cannot start
    bool fits;       // some host could take it if nothing else ran there
    int64_t seen;    // the `changes` that fits is of
};

struct slot {
    bool present;
    int held[HELD]; // running first, then the one that waits there; NONE
    int lead;       // the worker that runs the job of several that this one is part of; NONE
    double began;   // the running one, or when it was given to the worker
    double speed, gpu;
    int host, next; // on the host, in ascending order; NONE
    int position;   // in `order`
};

struct host {
    double memory, used;
    int first; // worker; NONE
    int present, idle;
};

struct sched {
    struct entry *jobs;
    int n, cap;
    struct kind *kinds;
    int n_kinds;
    struct slot *workers;
    struct host *hosts;      // as many as workers
    int *order;              // workers, the fastest first
    uint64_t *holding[HELD]; // bit p: the worker order[p] is present and holds that many
    int *scratch;            // [n_workers]
    bool uneven, unordered;  // speeds differ; order is to be made anew
    int64_t changes;         // of who is present and where
    int64_t measured;        // the `changes` that fastest and uneven are of
    int n_workers, n_present, n_queued, n_held, n_late, n_final, retries;
    double work;             // of queued jobs: seconds times width
    double fastest, all;     // speeds of present workers: the largest, the sum
    double horizon, look_at; // when all would be done if work could be divided; until when
                             // that is taken to hold
    double deadline, margin;
    // The job that waits for a host, which is kept for it until then; NONE.
    int waiting, kept;
    double kept_until;
    int64_t kept_changes;
    bool refused; // in the running search: a job for its time, since a host is kept
    bool draining;
};

// Whether job a goes first.
bool sched_before(const struct sched *s, int a, int b);
void sched_push(struct sched *s, int job);
// The job at this place of the heap, no longer queued; place 0 is the first.
int sched_take(struct sched *s, int kind, int at);
// Brings a worker's bits up to date.
void sched_note(struct sched *s, int worker);
// What a worker's jobs, the one that waits there included, take of its host's memory.
double sched_claim(const struct sched *s, const struct slot *w);
// When a worker will have nothing to do, as predicted; a job that should have ended by now is
// taken to need as long again as it is late.
double sched_free_at(const struct sched *s, int worker, double now);
// The first worker gets the job, the others lend it their slots.
void sched_give(struct sched *s, int job, const int *workers, int n, double now);
#endif
