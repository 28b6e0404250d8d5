// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/sched_state.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t words(int n_workers)
{
    return ((size_t)n_workers + 63) / 64;
}

static bool allocate(struct sched *s, size_t n)
{
    s->workers = calloc(n, sizeof *s->workers);
    s->hosts = calloc(n, sizeof *s->hosts);
    s->order = calloc(n, sizeof *s->order);
    s->scratch = calloc(n, sizeof *s->scratch);
    bool got = s->workers && s->hosts && s->order && s->scratch;
    for (int h = 0; h < HELD; h++) {
        s->holding[h] = calloc(words((int)n), sizeof **s->holding);
        got = got && s->holding[h];
    }
    return got;
}

enum err sched_create(int n_workers, int retries, struct sched **out)
{
    ASSERT(n_workers > 0 && retries >= 0);
    struct sched *s = calloc(1, sizeof *s);
    ENSURE(s, ERR_FAILED, "out of memory");
    if (!allocate(s, (size_t)n_workers)) {
        sched_free(s);
        return err_set(ERR_FAILED, "out of memory");
    }
    s->n_workers = n_workers;
    s->retries = retries;
    s->deadline = INFINITY;
    s->waiting = NONE;
    for (int w = 0; w < n_workers; w++) {
        s->workers[w] = (struct slot){.held = {NONE, NONE},
                                      .lead = NONE,
                                      .speed = 1,
                                      .gpu = INFINITY,
                                      .host = w,
                                      .next = NONE,
                                      .position = w};
        s->hosts[w] = (struct host){.memory = INFINITY, .first = w};
        s->order[w] = w;
    }
    *out = s;
    return OK;
}

void sched_free(struct sched *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n; i++)
        free(s->jobs[i].id);
    for (int k = 0; k < s->n_kinds; k++)
        free(s->kinds[k].heap);
    free(s->jobs);
    free(s->kinds);
    free(s->workers);
    free(s->hosts);
    free(s->order);
    free(s->scratch);
    for (int h = 0; h < HELD; h++)
        free(s->holding[h]);
    free(s);
}

// ---- workers

static int n_held(const struct slot *w)
{
    return (w->held[0] != NONE) + (w->held[1] != NONE);
}

static bool idle(const struct slot *w)
{
    return w->present && w->lead == NONE && n_held(w) == 0;
}

// After every change of a worker: its bits. Who shares in a job of several is in none.
void sched_note(struct sched *s, int worker)
{
    const struct slot *w = &s->workers[worker];
    uint64_t bit = UINT64_C(1) << w->position % 64;
    for (int h = 0; h < HELD; h++) {
        uint64_t *word = &s->holding[h][w->position / 64];
        bool in = w->present && w->lead == NONE && n_held(w) == h;
        *word = in ? *word | bit : *word & ~bit;
    }
}

static double memory_of(const struct sched *s, int job)
{
    return job == NONE ? 0 : s->kinds[s->jobs[job].kind].memory;
}

double sched_claim(const struct sched *s, const struct slot *w)
{
    return fmax(memory_of(s, w->held[0]), memory_of(s, w->held[1]));
}

double sched_free_at(const struct sched *s, int worker, double now)
{
    const struct slot *w = &s->workers[worker];
    if (w->lead != NONE)
        w = &s->workers[w->lead];
    if (w->held[0] == NONE)
        return now;
    double end = w->began + s->jobs[w->held[0]].seconds / w->speed;
    end = end > now ? end : now + (now - end);
    return w->held[1] == NONE ? end : end + s->jobs[w->held[1]].seconds / w->speed;
}

// Brackets every change of a worker, and keeps its host's sums.
static void before_change(struct sched *s, const struct slot *w)
{
    struct host *h = &s->hosts[w->host];
    h->idle -= idle(w);
    h->present -= w->present;
    s->n_present -= w->present;
    h->used -= sched_claim(s, w);
}

static void after_change(struct sched *s, int worker)
{
    const struct slot *w = &s->workers[worker];
    struct host *h = &s->hosts[w->host];
    h->idle += idle(w);
    h->present += w->present;
    s->n_present += w->present;
    h->used += sched_claim(s, w);
    sched_note(s, worker);
}

void sched_give(struct sched *s, int job, const int *workers, int n, double now)
{
    for (int i = 0; i < n; i++) {
        struct slot *w = &s->workers[workers[i]];
        before_change(s, w);
        if (n > 1)
            w->lead = workers[0];
        if (i == 0) {
            w->began = n_held(w) == 0 ? now : w->began;
            w->held[n_held(w)] = job;
        }
        after_change(s, workers[i]);
    }
    s->n_held++;
    s->jobs[job].state = ASSIGNED;
    s->jobs[job].worker = workers[0];
}

int sched_slots(const struct sched *s, int worker, int *workers, int max)
{
    int n = 0;
    if (max > 0)
        workers[n++] = worker;
    if (s->workers[worker].lead != worker)
        return n;
    for (int w = s->hosts[s->workers[worker].host].first; w != NONE; w = s->workers[w].next)
        if (w != worker && s->workers[w].lead == worker && n < max)
            workers[n++] = w;
    return n;
}

// Takes a job from a worker; slots that were lent to it are its workers' own again.
static void take_away(struct sched *s, int worker, int job, double now)
{
    struct slot *lead = &s->workers[worker];
    for (int w = lead->lead == worker ? s->hosts[lead->host].first : NONE; w != NONE;
         w = s->workers[w].next) {
        if (w == worker || s->workers[w].lead != worker)
            continue;
        before_change(s, &s->workers[w]);
        s->workers[w].lead = NONE;
        after_change(s, w);
    }
    before_change(s, lead);
    lead->lead = NONE;
    if (lead->held[0] == job) {
        lead->held[0] = lead->held[1];
        lead->began = now;
    }
    lead->held[1] = NONE;
    s->n_held--;
    after_change(s, worker);
}

void sched_join(struct sched *s, int worker)
{
    struct slot *w = &s->workers[worker];
    before_change(s, w);
    w->present = true;
    after_change(s, worker);
    s->changes++;
}

bool sched_present(const struct sched *s, int worker)
{
    return s->workers[worker].present;
}

int sched_leave(struct sched *s, int worker)
{
    struct slot *w = &s->workers[worker];
    int lead = w->lead, drop = lead == worker ? NONE : lead;
    if (drop != NONE) {
        int job = s->workers[lead].held[0];
        take_away(s, lead, job, s->workers[lead].began);
        sched_push(s, job);
    }
    while (w->held[0] != NONE) {
        int job = w->held[0];
        take_away(s, worker, job, w->began);
        sched_push(s, job);
    }
    before_change(s, w);
    w->present = false;
    after_change(s, worker);
    s->changes++;
    return drop;
}

void sched_settle(struct sched *s, int worker, struct sched_place place)
{
    struct slot *w = &s->workers[worker];
    ASSERT(!w->present && place.host >= 0 && place.host < s->n_workers);
    int *at = &s->hosts[w->host].first;
    while (*at != worker)
        at = &s->workers[*at].next;
    *at = w->next;
    w->host = place.host;
    w->gpu = place.gpu;
    s->hosts[place.host].memory = place.memory;
    for (at = &s->hosts[place.host].first; *at != NONE && *at < worker;)
        at = &s->workers[*at].next;
    w->next = *at;
    *at = worker;
    s->changes++;
}

void sched_speed(struct sched *s, int worker, double speed)
{
    s->workers[worker].speed = speed;
    s->unordered = true;
}

// ---- ends

bool sched_holds(const struct sched *s, struct sched_assign which)
{
    // These numbers come from another process.
    if (which.job < 0 || which.job >= s->n || which.worker < 0 || which.worker >= s->n_workers)
        return false;
    const struct entry *j = &s->jobs[which.job];
    return j->state == ASSIGNED && j->worker == which.worker && j->attempt == which.attempt;
}

enum sched_verdict sched_report(struct sched *s, double now, struct sched_assign which,
                                enum sched_outcome outcome)
{
    if (!sched_holds(s, which))
        return SCHED_STALE;
    struct entry *j = &s->jobs[which.job];
    take_away(s, which.worker, which.job, now);
    j->crashes += outcome == SCHED_CRASHED;
    if (outcome == SCHED_DONE || (outcome == SCHED_CRASHED && j->crashes > s->retries)) {
        j->state = FINAL;
        s->n_final++;
        return SCHED_FINAL;
    }
    sched_push(s, which.job);
    return SCHED_RETRY;
}

void sched_deadline(struct sched *s, double at, double margin)
{
    s->deadline = at;
    s->margin = margin;
}

void sched_drain(struct sched *s)
{
    s->draining = true;
}

struct sched_counts sched_count(const struct sched *s)
{
    struct sched_counts c = {.jobs = s->n,
                             .queued = s->n_queued + s->n_late,
                             .held = s->n_held,
                             .final = s->n_final,
                             .late = s->n_late,
                             .workers = s->n_present};
    for (size_t i = 0; i < words(s->n_workers); i++)
        c.idle += __builtin_popcountll(s->holding[0][i]);
    return c;
}
