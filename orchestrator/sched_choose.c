// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/sched_state.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_AHEAD = 16 }; // jobs that may wait for faster workers; later ones are not looked at

// ---- before a search

static int by_speed(const void *a, const void *b, void *ctx)
{
    const struct sched *s = ctx;
    int x = *(const int *)a, y = *(const int *)b;
    double u = s->workers[x].speed, v = s->workers[y].speed;
    return u > v ? -1 : u < v ? 1 : (x > y) - (x < y);
}

static void reorder(struct sched *s)
{
    qsort_r(s->order, (size_t)s->n_workers, sizeof *s->order, by_speed, s);
    for (int i = 0; i < s->n_workers; i++)
        s->workers[s->order[i]].position = i;
    for (int h = 0; h < HELD; h++)
        memset(s->holding[h], 0, ((size_t)s->n_workers + 63) / 64 * sizeof **s->holding);
    for (int w = 0; w < s->n_workers; w++)
        sched_note(s, w);
    s->unordered = false;
    s->changes++;
}

static void measure(struct sched *s)
{
    double slowest = INFINITY;
    s->fastest = s->all = 0;
    s->look_at = -INFINITY;
    for (int i = 0; i < s->n_workers; i++)
        if (s->workers[i].present) {
            s->all += s->workers[i].speed;
            s->fastest = fmax(s->fastest, s->workers[i].speed);
            slowest = fmin(slowest, s->workers[i].speed);
        }
    s->uneven = s->fastest > slowest;
    s->measured = s->changes;
}

// A job that even the fastest worker could not end in time never will: time only passes.
static void set_late_aside(struct sched *s, double now)
{
    for (int k = 0; k < s->n_kinds && s->fastest > 0; k++)
        while (s->kinds[k].whole && s->kinds[k].n > 0) {
            int top = s->kinds[k].heap[0];
            if (now + s->margin * s->jobs[top].seconds / s->fastest <= s->deadline)
                break;
            sched_take(s, k, 0);
            s->jobs[top].state = LATE;
            s->n_late++;
        }
}

// ---- what fits

static bool gpu_fits(const struct kind *k, const struct slot *w)
{
    return k->gpu <= w->gpu;
}

static bool host_could(const struct sched *s, const struct kind *k, const struct host *h,
                       bool present_only)
{
    int n = 0;
    if (h->first == NONE || k->memory > h->memory)
        return false;
    for (int w = h->first; w != NONE && n < k->width; w = s->workers[w].next)
        n += gpu_fits(k, &s->workers[w]) && (s->workers[w].present || !present_only);
    return n == k->width;
}

static bool somewhere(const struct sched *s, const struct kind *k, bool present_only)
{
    for (int h = 0; h < s->n_workers; h++)
        if (host_could(s, k, &s->hosts[h], present_only))
            return true;
    return false;
}

static bool modest(const struct kind *k) // fits wherever there is a worker
{
    return k->width == 1 && !(k->memory > 0) && !(k->gpu > 0);
}

static bool fits(const struct sched *s, struct kind *k)
{
    if (modest(k))
        return s->n_present > 0;
    if (k->seen != s->changes) {
        k->fits = somewhere(s, k, true);
        k->seen = s->changes;
    }
    return k->fits;
}

int sched_misfit(const struct sched *s, bool present_only)
{
    for (int i = 0; i < s->n_kinds; i++)
        if (s->kinds[i].n > 0 && !somewhere(s, &s->kinds[i], present_only))
            return s->kinds[i].heap[0];
    return NONE;
}

// ---- who can take a job now

static double seconds_on(const struct sched *s, int job, int worker)
{
    return s->jobs[job].seconds / s->workers[worker].speed;
}

// Whether the job may start there at that time: in what is left of it, and not in the way of
// a job before it that the host is kept for.
static bool may_start(struct sched *s, int job, int worker, double at)
{
    const struct kind *k = &s->kinds[s->jobs[job].kind];
    double t = seconds_on(s, job, worker);
    if (k->whole && at + s->margin * t > s->deadline)
        return false;
    bool may = s->waiting == NONE || s->waiting == job || s->kept != s->workers[worker].host ||
               at + t <= s->kept_until || sched_before(s, job, s->waiting);
    s->refused = s->refused || !may;
    return may;
}

static bool memory_fits(const struct sched *s, const struct kind *k, const struct slot *w)
{
    const struct host *h = &s->hosts[w->host];
    return h->used + fmax(0, k->memory - sched_claim(s, w)) <= h->memory;
}

// The fastest worker that holds so many and can take the job.
static int find_worker(struct sched *s, int job, int held, double now)
{
    const struct kind *k = &s->kinds[s->jobs[job].kind];
    for (int i = 0; i < (s->n_workers + 63) / 64; i++)
        for (uint64_t bits = s->holding[held][i]; bits; bits &= bits - 1) {
            int w = s->order[64 * i + __builtin_ctzll(bits)];
            const struct slot *at = &s->workers[w];
            if (gpu_fits(k, at) && memory_fits(s, k, at) &&
                may_start(s, job, w, held == 0 ? now : sched_free_at(s, w, now)))
                return w;
        }
    return NONE;
}

// Idle workers of one host for a job of several: into scratch.
static bool find_workers(struct sched *s, int job, double now)
{
    const struct kind *k = &s->kinds[s->jobs[job].kind];
    for (int h = 0; h < s->n_workers; h++) {
        const struct host *host = &s->hosts[h];
        int n = 0;
        if (host->idle < k->width || host->used + k->memory > host->memory)
            continue;
        for (int w = host->first; w != NONE && n < k->width; w = s->workers[w].next) {
            const struct slot *at = &s->workers[w];
            if (at->present && at->lead == NONE && at->held[0] == NONE && gpu_fits(k, at))
                s->scratch[n++] = w;
        }
        if (n == k->width && may_start(s, job, s->scratch[0], now))
            return true;
    }
    return false;
}

// ---- keeping a host

struct step {
    double at, claim;
    bool counts;
};

static int by_time(const void *a, const void *b)
{
    double x = ((const struct step *)a)->at, y = ((const struct step *)b)->at;
    return (x > y) - (x < y);
}

// When enough of the host will be free for the job, if nothing else starts there.
static double host_ready_at(const struct sched *s, const struct kind *k, int host,
                            struct step *steps, double now)
{
    const struct host *h = &s->hosts[host];
    double used = h->used;
    int n = 0, free = 0;
    for (int w = h->first; w != NONE; w = s->workers[w].next)
        if (s->workers[w].present)
            steps[n++] = (struct step){sched_free_at(s, w, now), sched_claim(s, &s->workers[w]),
                                       gpu_fits(k, &s->workers[w])};
    qsort(steps, (size_t)n, sizeof *steps, by_time);
    for (int i = 0; i < n; i++) {
        free += steps[i].counts;
        used -= steps[i].claim;
        if (free >= k->width && used + k->memory <= h->memory)
            return steps[i].at;
    }
    return INFINITY;
}

// The host where it can start soonest is the job's until it has started.
static void keep_host(struct sched *s, int job, double now)
{
    const struct kind *k = &s->kinds[s->jobs[job].kind];
    if (s->waiting == job && s->kept_changes == s->changes)
        return;
    struct step *steps = malloc((size_t)s->n_workers * sizeof *steps);
    s->waiting = NONE;
    s->kept_until = INFINITY;
    for (int h = 0; steps && h < s->n_workers; h++) {
        if (!host_could(s, k, &s->hosts[h], true))
            continue;
        double at = host_ready_at(s, k, h, steps, now);
        if (at < s->kept_until) {
            s->kept_until = at;
            s->kept = h;
            s->waiting = job;
        }
    }
    s->kept_changes = s->changes;
    free(steps);
}

// Whether a job that cannot start now would be passed over for ever: one of several, or one
// that not even a worker who is free next would have the memory for.
static bool needs_host(struct sched *s, int job, double now)
{
    const struct kind *k = &s->kinds[s->jobs[job].kind];
    return k->width > 1 || (!modest(k) && find_worker(s, job, 1, now) == NONE);
}

// ---- the search

static int best_kind(const struct sched *s)
{
    int best = NONE;
    for (int i = 0; i < s->n_kinds; i++) {
        const struct kind *k = &s->kinds[i];
        if (k->n > 0 && !k->passed &&
            (best == NONE || sched_before(s, k->heap[0], s->kinds[best].heap[0])))
            best = i;
    }
    return best;
}

// Kinds that need at least as much as one that found nothing find nothing either, if it was not
// for its time.
static void pass(struct sched *s, int kind, bool refused)
{
    const struct kind *a = &s->kinds[kind];
    for (int i = 0; i < s->n_kinds; i++) {
        struct kind *b = &s->kinds[i];
        b->passed = b->passed || i == kind ||
                    (a->width == 1 && !a->whole && !refused && b->memory >= a->memory &&
                     b->gpu >= a->gpu);
    }
}

static void begin_search(struct sched *s)
{
    for (int i = 0; i < s->n_kinds; i++)
        s->kinds[i].passed = false;
}

// When all would be done if it could be divided at will. Work that is being done already only
// moves that moment when predictions fail, so it is looked up seldom.
static double horizon(struct sched *s, double now)
{
    if (now < s->look_at)
        return s->horizon;
    double work = s->work;
    for (int w = 0; w < s->n_workers; w++)
        if (s->workers[w].present)
            work += (sched_free_at(s, w, now) - now) * s->workers[w].speed;
    s->horizon = now + work / s->all;
    s->look_at = now + (s->horizon - now) / 64;
    return s->horizon;
}

// Where speeds differ, a job that would end on this worker when everything else is done long
// since is not for it: the first one that would not, of the same priority. Its place in the
// heap; NONE if there is none. at: when it would start.
static int suitable(struct sched *s, const struct kind *k, int worker, double at, double now)
{
    double limit = (horizon(s, now) - at) * s->workers[worker].speed;
    int best = NONE, top = k->heap[0];
    if (s->jobs[top].seconds <= limit)
        return 0;
    for (int i = 1; i < k->n; i++) {
        const struct entry *j = &s->jobs[k->heap[i]];
        if (j->seconds <= limit && j->priority == s->jobs[top].priority &&
            (best == NONE || sched_before(s, k->heap[i], k->heap[best])))
            best = i;
    }
    return best;
}

// How many busy workers are expected to finish the job sooner than this one.
static int n_better(const struct sched *s, int job, int worker, double now)
{
    int n = 0;
    double end = now + seconds_on(s, job, worker);
    for (int p = 0; p < s->workers[worker].position; p++) {
        int v = s->order[p];
        const struct slot *at = &s->workers[v];
        n += at->present && at->held[0] != NONE && at->speed > s->workers[worker].speed &&
             gpu_fits(&s->kinds[s->jobs[job].kind], at) &&
             sched_free_at(s, v, now) + seconds_on(s, job, v) < end;
    }
    return n;
}

// at: the job's place in its kind's heap; first: the worker, for a job of one.
static bool give(struct sched *s, int kind, int at, int first, double now,
                 struct sched_assign *out)
{
    int width = s->kinds[kind].width;
    if (width == 1)
        s->scratch[0] = first;
    int job = sched_take(s, kind, at);
    struct entry *j = &s->jobs[job];
    sched_give(s, job, s->scratch, width, now);
    if (s->waiting == job)
        s->waiting = NONE;
    else if (s->kept == s->workers[s->scratch[0]].host)
        s->kept_changes = NONE; // when it will be ready is another time now
    *out = (struct sched_assign){s->scratch[0], job, ++j->attempt};
    return true;
}

// A job for idle workers.
static bool start_one(struct sched *s, double now, struct sched_assign *out)
{
    int kind, held_back[LOOK_AHEAD], n_back = 0;
    bool started = false, blocked = false;
    begin_search(s);
    while (!started && (kind = best_kind(s)) != NONE) {
        struct kind *k = &s->kinds[kind];
        int job = k->heap[0], worker = NONE;
        bool wide = k->width > 1;
        if (!fits(s, k)) {
            k->passed = true;
            continue;
        }
        s->refused = false;
        bool can =
            wide ? find_workers(s, job, now) : (worker = find_worker(s, job, 0, now)) != NONE;
        int at = can && !wide && s->uneven ? suitable(s, k, worker, now, now) : 0;
        if (at == NONE && n_back < LOOK_AHEAD && n_better(s, job, worker, now) > n_back) {
            held_back[n_back++] = sched_take(s, kind, 0);
            continue;
        }
        if (at > 0 && !may_start(s, k->heap[at], worker, now))
            at = 0;
        bool refused = s->refused;
        started = can && give(s, kind, at > 0 ? at : 0, worker, now, out);
        if (!can && !blocked && needs_host(s, job, now)) {
            keep_host(s, job, now);
            blocked = true;
        }
        if (!can)
            pass(s, kind, refused);
    }
    while (n_back > 0)
        sched_push(s, held_back[--n_back]);
    if (!started && !blocked)
        s->waiting = NONE;
    return started;
}

// A second job for busy workers.
static bool start_behind(struct sched *s, double now, struct sched_assign *out)
{
    int kind;
    begin_search(s);
    while ((kind = best_kind(s)) != NONE) {
        struct kind *k = &s->kinds[kind];
        int job = k->heap[0];
        int worker = k->width == 1 && fits(s, k) ? find_worker(s, job, 1, now) : NONE;
        double start = worker != NONE && s->uneven ? sched_free_at(s, worker, now) : now;
        int at = worker != NONE && s->uneven ? suitable(s, k, worker, start, now) : 0;
        if (worker != NONE && at != NONE &&
            (at == 0 || may_start(s, k->heap[at], worker, start)))
            return give(s, kind, at, worker, now, out);
        k->passed = true;
    }
    return false;
}

bool sched_next(struct sched *s, double now, struct sched_assign *out)
{
    if (s->draining || s->n_queued == 0)
        return false;
    if (s->unordered)
        reorder(s);
    if (s->measured != s->changes)
        measure(s);
    if (isfinite(s->deadline))
        set_late_aside(s, now);
    return start_one(s, now, out) || (s->n_queued > s->n_present && start_behind(s, now, out));
}
