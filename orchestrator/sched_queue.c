// SPDX-License-Identifier: GPL-3.0-or-later
// The queue of the scheduler: a heap for each kind of job.
#include "orchestrator/sched_state.h"
#include <stdlib.h>
#include <string.h>

bool sched_before(const struct sched *s, int a, int b)
{
    const struct entry *x = &s->jobs[a], *y = &s->jobs[b];
    if (x->priority != y->priority)
        return x->priority < y->priority;
    if (x->seconds > y->seconds || x->seconds < y->seconds)
        return x->seconds > y->seconds;
    return strcmp(x->id, y->id) < 0;
}

static void swap(int *heap, int i, int k)
{
    int t = heap[i];
    heap[i] = heap[k];
    heap[k] = t;
}

static void rise(const struct sched *s, struct kind *k, int i)
{
    for (; i > 0 && sched_before(s, k->heap[i], k->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(k->heap, i, (i - 1) / 2);
}

static void sink(const struct sched *s, struct kind *k, int i)
{
    for (;;) {
        int best = i, left = 2 * i + 1;
        for (int c = left; c <= left + 1 && c < k->n; c++)
            if (sched_before(s, k->heap[c], k->heap[best]))
                best = c;
        if (best == i)
            return;
        swap(k->heap, i, best);
        i = best;
    }
}

void sched_push(struct sched *s, int job)
{
    struct kind *k = &s->kinds[s->jobs[job].kind];
    s->jobs[job].state = QUEUED;
    s->n_queued++;
    s->work += s->jobs[job].seconds * k->width;
    k->heap[k->n] = job;
    rise(s, k, k->n++);
}

int sched_take(struct sched *s, int kind, int at)
{
    struct kind *k = &s->kinds[kind];
    int job = k->heap[at];
    s->n_queued--;
    s->work = s->n_queued > 0 ? s->work - s->jobs[job].seconds * k->width : 0;
    k->heap[at] = k->heap[--k->n];
    if (at < k->n) {
        rise(s, k, at);
        sink(s, k, at);
    }
    return job;
}

static bool same_need(const struct kind *k, const struct sched_job *j, int width)
{
    return k->width == width && k->whole == j->whole && !(k->memory < j->memory) &&
           !(k->memory > j->memory) && !(k->gpu < j->gpu) && !(k->gpu > j->gpu);
}

static enum err find_kind(struct sched *s, const struct sched_job *j, int *out)
{
    int width = j->width > 1 ? j->width : 1;
    for (int i = 0; i < s->n_kinds; i++)
        if (same_need(&s->kinds[i], j, width)) {
            *out = i;
            return OK;
        }
    struct kind *kinds = realloc(s->kinds, ((size_t)s->n_kinds + 1) * sizeof *kinds);
    ENSURE(kinds, ERR_FAILED, "out of memory");
    s->kinds = kinds;
    kinds[s->n_kinds] = (struct kind){
        .width = width, .memory = j->memory, .gpu = j->gpu, .whole = j->whole, .seen = -1};
    *out = s->n_kinds++;
    return OK;
}

static enum err grow(void **at, int *cap, int n, size_t size)
{
    if (n < *cap)
        return OK;
    int more = *cap ? 2 * *cap : 64;
    void *p = realloc(*at, (size_t)more * size);
    ENSURE(p, ERR_FAILED, "out of memory");
    *at = p;
    *cap = more;
    return OK;
}

// A kind's heap has room for all its jobs, queued or not: giving one back never fails.
static enum err make_room(struct sched *s, int kind)
{
    struct kind *k = &s->kinds[kind];
    void *jobs = s->jobs, *heap = k->heap;
    enum err e = grow(&jobs, &s->cap, s->n, sizeof *s->jobs);
    s->jobs = jobs;
    TRY(e);
    e = grow(&heap, &k->cap, k->all, sizeof *k->heap);
    k->heap = heap;
    return e;
}

enum err sched_add(struct sched *s, const struct sched_job *j)
{
    int kind = 0;
    TRY(find_kind(s, j, &kind));
    TRY(make_room(s, kind));
    char *copy = strdup(j->id);
    ENSURE(copy, ERR_FAILED, "out of memory");
    s->kinds[kind].all++;
    s->jobs[s->n] = (struct entry){.id = copy,
                                   .priority = j->priority,
                                   .seconds = j->seconds,
                                   .attempt = j->attempts,
                                   .crashes = j->crashes,
                                   .kind = kind};
    sched_push(s, s->n++);
    s->measured = NONE;
    return OK;
}

void sched_predict(struct sched *s, double (*seconds)(const void *ctx, int job),
                   const void *ctx)
{
    for (int i = 0; i < s->n_kinds; i++)
        s->kinds[i].n = 0;
    s->n_queued = s->n_late = 0;
    s->work = 0;
    s->kept_changes = s->measured = NONE;
    for (int i = 0; i < s->n; i++)
        if (s->jobs[i].state != FINAL)
            s->jobs[i].seconds = seconds(ctx, i);
    for (int i = 0; i < s->n; i++)
        if (s->jobs[i].state == QUEUED || s->jobs[i].state == LATE)
            sched_push(s, i);
}
