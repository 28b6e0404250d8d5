// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/sched.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HELD = 2, NONE = -1 };

enum state { QUEUED, ASSIGNED, FINAL };

struct entry {
    char *id;
    int priority, attempt, crashes;
    double seconds;
    enum state state;
    int worker; // when ASSIGNED
};

struct slot {
    bool present;
    int held[HELD]; // running first, then the one that waits there; NONE
};

struct sched {
    struct entry *jobs;
    int n, cap;
    int *heap; // of queued jobs, the first to go on top; as large as jobs
    int n_heap;
    struct slot *workers;
    uint64_t *holding[HELD]; // bit w: worker w is present and holds that many
    int n_workers, n_present, n_held, n_final, retries;
    bool draining;
};

static int words(int n_workers)
{
    return (n_workers + 63) / 64;
}

enum err sched_create(int n_workers, int retries, struct sched **out)
{
    ASSERT(n_workers > 0 && retries >= 0);
    struct sched *s = calloc(1, sizeof *s);
    ENSURE(s, ERR_FAILED, "out of memory");
    s->workers = calloc((size_t)n_workers, sizeof *s->workers);
    bool got = s->workers != NULL;
    for (int h = 0; h < HELD; h++) {
        s->holding[h] = calloc((size_t)words(n_workers), sizeof **s->holding);
        got = got && s->holding[h];
    }
    if (!got) {
        sched_free(s);
        return err_set(ERR_FAILED, "out of memory");
    }
    s->n_workers = n_workers;
    s->retries = retries;
    for (int w = 0; w < n_workers; w++)
        for (int i = 0; i < HELD; i++)
            s->workers[w].held[i] = NONE;
    *out = s;
    return OK;
}

void sched_free(struct sched *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n; i++)
        free(s->jobs[i].id);
    free(s->jobs);
    free(s->heap);
    free(s->workers);
    for (int h = 0; h < HELD; h++)
        free(s->holding[h]);
    free(s);
}

static bool before(const struct sched *s, int a, int b)
{
    const struct entry *x = &s->jobs[a], *y = &s->jobs[b];
    if (x->priority != y->priority)
        return x->priority < y->priority;
    if (x->seconds > y->seconds || x->seconds < y->seconds)
        return x->seconds > y->seconds;
    return strcmp(x->id, y->id) < 0;
}

static void swap(struct sched *s, int i, int k)
{
    int t = s->heap[i];
    s->heap[i] = s->heap[k];
    s->heap[k] = t;
}

static void push(struct sched *s, int job)
{
    s->jobs[job].state = QUEUED;
    int i = s->n_heap++;
    s->heap[i] = job;
    while (i > 0 && before(s, s->heap[i], s->heap[(i - 1) / 2])) {
        swap(s, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static int pop(struct sched *s)
{
    int top = s->heap[0];
    s->heap[0] = s->heap[--s->n_heap];
    for (int i = 0;;) {
        int best = i, left = 2 * i + 1;
        for (int k = left; k <= left + 1 && k < s->n_heap; k++)
            if (before(s, s->heap[k], s->heap[best]))
                best = k;
        if (best == i)
            return top;
        swap(s, i, best);
        i = best;
    }
}

static enum err grow(struct sched *s)
{
    if (s->n < s->cap)
        return OK;
    int cap = s->cap ? 2 * s->cap : 64;
    struct entry *jobs = realloc(s->jobs, (size_t)cap * sizeof *jobs);
    if (jobs)
        s->jobs = jobs;
    int *heap = realloc(s->heap, (size_t)cap * sizeof *heap);
    if (heap)
        s->heap = heap;
    ENSURE(jobs && heap, ERR_FAILED, "out of memory");
    s->cap = cap;
    return OK;
}

enum err sched_add(struct sched *s, const char *id, int priority, double seconds, int attempts,
                   int crashes)
{
    TRY(grow(s));
    char *copy = strdup(id);
    ENSURE(copy, ERR_FAILED, "out of memory");
    s->jobs[s->n] = (struct entry){.id = copy,
                                   .priority = priority,
                                   .seconds = seconds,
                                   .attempt = attempts,
                                   .crashes = crashes};
    push(s, s->n++);
    return OK;
}

static int n_held(const struct slot *w)
{
    return (w->held[0] != NONE) + (w->held[1] != NONE);
}

// After every change of a worker: its bits.
static void note(struct sched *s, int worker)
{
    const struct slot *w = &s->workers[worker];
    uint64_t bit = UINT64_C(1) << worker % 64;
    for (int h = 0; h < HELD; h++) {
        uint64_t *word = &s->holding[h][worker / 64];
        *word = w->present && n_held(w) == h ? *word | bit : *word & ~bit;
    }
}

void sched_join(struct sched *s, int worker)
{
    struct slot *w = &s->workers[worker];
    s->n_present += !w->present;
    w->present = true;
    note(s, worker);
}

bool sched_present(const struct sched *s, int worker)
{
    return s->workers[worker].present;
}

void sched_leave(struct sched *s, int worker)
{
    struct slot *w = &s->workers[worker];
    s->n_present -= w->present;
    w->present = false;
    for (int i = 0; i < HELD; i++) {
        if (w->held[i] == NONE)
            continue;
        push(s, w->held[i]);
        w->held[i] = NONE;
        s->n_held--;
    }
    note(s, worker);
}

// The first worker that holds so many.
static int worker_holding(const struct sched *s, int count)
{
    for (int i = 0; i < words(s->n_workers); i++)
        if (s->holding[count][i])
            return 64 * i + __builtin_ctzll(s->holding[count][i]);
    return NONE;
}

bool sched_next(struct sched *s, struct sched_assign *out)
{
    if (s->draining || s->n_heap == 0)
        return false;
    int worker = worker_holding(s, 0);
    if (worker == NONE && s->n_heap > s->n_present)
        worker = worker_holding(s, 1);
    if (worker == NONE)
        return false;
    int job = pop(s);
    struct slot *w = &s->workers[worker];
    w->held[n_held(w)] = job;
    s->n_held++;
    note(s, worker);
    s->jobs[job].state = ASSIGNED;
    s->jobs[job].worker = worker;
    *out = (struct sched_assign){worker, job, ++s->jobs[job].attempt};
    return true;
}

bool sched_holds(const struct sched *s, struct sched_assign which)
{
    // These numbers come from another process.
    if (which.job < 0 || which.job >= s->n || which.worker < 0 || which.worker >= s->n_workers)
        return false;
    const struct entry *j = &s->jobs[which.job];
    return j->state == ASSIGNED && j->worker == which.worker && j->attempt == which.attempt;
}

enum sched_verdict sched_report(struct sched *s, struct sched_assign which,
                                enum sched_outcome outcome)
{
    if (!sched_holds(s, which))
        return SCHED_STALE;
    struct entry *j = &s->jobs[which.job];
    struct slot *w = &s->workers[which.worker];
    if (w->held[0] == which.job)
        w->held[0] = w->held[1];
    w->held[1] = NONE;
    s->n_held--;
    note(s, which.worker);
    j->crashes += outcome == SCHED_CRASHED;
    if (outcome == SCHED_DONE || (outcome == SCHED_CRASHED && j->crashes > s->retries)) {
        j->state = FINAL;
        s->n_final++;
        return SCHED_FINAL;
    }
    push(s, which.job);
    return SCHED_RETRY;
}

void sched_drain(struct sched *s)
{
    s->draining = true;
}

struct sched_counts sched_count(const struct sched *s)
{
    struct sched_counts c = {.jobs = s->n,
                             .queued = s->n_heap,
                             .held = s->n_held,
                             .final = s->n_final,
                             .workers = s->n_present};
    for (int i = 0; i < words(s->n_workers); i++)
        c.idle += __builtin_popcountll(s->holding[0][i]);
    return c;
}
