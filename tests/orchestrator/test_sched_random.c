// SPDX-License-Identifier: GPL-3.0-or-later
// The scheduler under random orders of events, against a plain model of what must hold: every
// job is final exactly once; no job is with two workers; a worker holds two at most and the
// second only while others need not wait; crashes never exceed the limit, attempts only grow;
// the slots of a job are different idle workers of one host; memory of hosts and GPUs is never
// exceeded; a job that cannot go on starts only if it ends in time; what could start does,
// except on the one host that is kept for a job that cannot start anywhere.
#include "core/rng.h"
#include "orchestrator/sched.h"
#include "tests/test.h"
#include <math.h>

enum { W = 7, HOSTS = 3, MAX_JOBS = 60, RETRIES = 2, MAX_LIVE = 2 * W };
static const int host_of[W] = {0, 0, 0, 0, 1, 1, 2};
static const double host_memory[HOSTS] = {16, 8, INFINITY};
static const double gpu_of[W] = {4, 4, 4, 4, 8, 8, 2};

struct job {
    char id[16];
    double seconds, memory, gpu;
    int priority, width;
    bool whole;
    int finals, crashes, attempt;
    bool live;
};

struct live {
    struct sched_assign a;
    int slots[W], n;
};

struct model {
    struct sched *s;
    struct rng rng;
    double now, deadline, margin;
    bool shapes, even; // jobs of several kinds; workers of one speed
    int n, n_live, n_stale;
    struct job jobs[MAX_JOBS];
    struct live live[MAX_LIVE];
    struct sched_assign stale[64];
    bool present[W];
    double speed[W];
};

static int below(struct model *m, int n)
{
    return (int)rng_below(&m->rng, (uint64_t)n);
}

// Jobs that a worker has, those included whose slots it lends.
static int holds(const struct model *m, int worker)
{
    int n = 0;
    for (int i = 0; i < m->n_live; i++)
        for (int k = 0; k < m->live[i].n; k++)
            n += m->live[i].slots[k] == worker;
    return n;
}

// A worker's jobs run one after the other: the larger counts.
static double memory_used(const struct model *m, int host)
{
    double sum = 0;
    for (int w = 0; w < W; w++) {
        double most = 0;
        for (int i = 0; i < m->n_live && host_of[w] == host; i++)
            if (m->live[i].a.worker == w)
                most = fmax(most, m->jobs[m->live[i].a.job].memory);
        sum += most;
    }
    return sum;
}

static bool could_start(const struct model *m, const struct job *j, int host)
{
    int n = 0;
    double fastest = 0;
    for (int w = 0; w < W; w++)
        if (host_of[w] == host && m->present[w] && holds(m, w) == 0 && gpu_of[w] >= j->gpu) {
            n++;
            fastest = fmax(fastest, m->speed[w]);
        }
    return n >= j->width && memory_used(m, host) + j->memory <= host_memory[host] &&
           (!j->whole || m->now + m->margin * j->seconds / fastest <= m->deadline);
}

static bool queued(const struct job *j)
{
    return !j->live && j->finals == 0;
}

static bool goes_first(const struct job *a, const struct job *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    if (a->seconds > b->seconds || a->seconds < b->seconds)
        return a->seconds > b->seconds;
    return strcmp(a->id, b->id) < 0;
}

// What could start now and goes before `than` (NULL: all) can only do so on one host, and that
// one only because a job before it cannot start anywhere.
static void check_nothing_left(const struct model *m, const struct job *than)
{
    const struct job *left = NULL, *blocked = NULL; // the first of each
    int left_on = -1;
    for (int i = 0; i < m->n; i++) {
        const struct job *j = &m->jobs[i];
        bool anywhere = false;
        if (!queued(j))
            continue;
        for (int h = 0; h < HOSTS; h++) {
            if (!could_start(m, j, h))
                continue;
            anywhere = true;
            if (than && !goes_first(j, than))
                continue;
            CHECK(left_on < 0 || left_on == h);
            left_on = h;
            left = left && goes_first(left, j) ? left : j;
        }
        if (!anywhere && (j->width > 1 || j->memory > 0 || j->gpu > 0))
            blocked = blocked && goes_first(blocked, j) ? blocked : j;
    }
    CHECK(!left || (blocked && goes_first(blocked, left)));
}

static void check_assign(struct model *m, const struct sched_assign *a,
                         const struct sched_counts *before)
{
    struct job *j = &m->jobs[a->job];
    struct live l = {.a = *a};
    int host = host_of[a->worker];
    l.n = sched_slots(m->s, a->worker, l.slots, W);
    CHECK(l.n == j->width && l.slots[0] == a->worker && queued(j));
    int behind = holds(m, a->worker);
    for (int i = 0; i < l.n; i++) {
        int w = l.slots[i];
        CHECK(m->present[w] && host_of[w] == host && gpu_of[w] >= j->gpu);
        CHECK(holds(m, w) == (j->width > 1 ? 0 : behind));
        for (int k = 0; k < i; k++)
            CHECK(l.slots[k] != w);
    }
    CHECK(behind == 0 || (behind == 1 && before->queued - before->late > before->workers));
    CHECK(behind == 0 || m->shapes || before->idle == 0);
    CHECK(!j->whole || m->now + m->margin * j->seconds / m->speed[a->worker] <= m->deadline);
    CHECK(a->attempt == ++j->attempt);
    if (m->even && behind == 0)
        check_nothing_left(m, j);
    for (int i = 0; i < m->n_live; i++)
        CHECK(m->live[i].a.job != a->job);
    j->live = true;
    m->live[m->n_live++] = l;
    CHECK(memory_used(m, host) <= host_memory[host]);
}

static void event_assign(struct model *m)
{
    struct sched_counts before = sched_count(m->s);
    struct sched_assign a;
    bool got = sched_next(m->s, m->now, &a);
    before.late = sched_count(m->s).late;
    if (got)
        check_assign(m, &a, &before);
    else if (m->even)
        check_nothing_left(m, NULL);
    if (!got && !m->shapes && m->even)
        CHECK(before.queued == 0 || before.idle == 0);
}

static void retire(struct model *m, int i)
{
    m->jobs[m->live[i].a.job].live = false;
    m->stale[m->n_stale++ % 64] = m->live[i].a;
    m->live[i] = m->live[--m->n_live];
}

static void event_report(struct model *m)
{
    if (m->n_live == 0)
        return;
    int i = below(m, m->n_live);
    struct sched_assign a = m->live[i].a;
    struct job *j = &m->jobs[a.job];
    enum sched_outcome how = (enum sched_outcome)below(m, 3);
    j->crashes += how == SCHED_CRASHED;
    bool over = how == SCHED_DONE || (how == SCHED_CRASHED && j->crashes > RETRIES);
    CHECK(sched_report(m->s, m->now, a, how) == (over ? SCHED_FINAL : SCHED_RETRY));
    j->finals += over;
    retire(m, i);
}

static void join(struct model *m, int w)
{
    m->present[w] = true;
    sched_join(m->s, w);
}

static void event_worker(struct model *m)
{
    int w = below(m, W), drop = SCHED_NONE;
    if (!m->present[w]) {
        join(m, w);
        return;
    }
    for (int i = 0; i < m->n_live; i++)
        for (int k = 1; k < m->live[i].n; k++)
            drop = m->live[i].slots[k] == w ? m->live[i].a.worker : drop;
    m->present[w] = false;
    CHECK(sched_leave(m->s, w) == drop);
    for (int i = m->n_live - 1; i >= 0; i--)
        if (m->live[i].a.worker == w || (drop != SCHED_NONE && m->live[i].a.worker == drop))
            retire(m, i);
}

static void event_stale(struct model *m)
{
    int n = m->n_stale < 64 ? m->n_stale : 64;
    if (n > 0)
        CHECK(sched_report(m->s, m->now, m->stale[below(m, n)], SCHED_DONE) == SCHED_STALE);
}

static void event_add(struct model *m)
{
    if (m->n == MAX_JOBS)
        return;
    struct job *j = &m->jobs[m->n];
    *j = (struct job){.priority = below(m, 3), .seconds = 1 + below(m, 4), .width = 1};
    snprintf(j->id, sizeof j->id, "job%d", m->n++);
    if (m->shapes) { // any of them fits on the first or the second host
        j->width = below(m, 3) > 0 ? 1 : 1 + below(m, 4);
        j->memory = below(m, 2) > 0 ? 0 : 1 + below(m, j->width > 2 ? 16 : 8);
        j->gpu = below(m, 3) > 0 ? 0 : j->width > 2 ? 4 : 2 + 2 * below(m, 4);
        if (j->gpu > 4)
            j->width = j->width > 2 ? 2 : j->width;
        j->whole = isfinite(m->deadline) && below(m, 2) > 0;
    }
    const struct sched_job job = {.id = j->id,
                                  .priority = j->priority,
                                  .seconds = j->seconds,
                                  .width = j->width,
                                  .memory = j->memory,
                                  .gpu = j->gpu,
                                  .whole = j->whole};
    CHECK(sched_add(m->s, &job) == OK);
}

static void event_speed(struct model *m)
{
    int w = below(m, W);
    m->speed[w] = 1 + below(m, 4);
    sched_speed(m->s, w, m->speed[w]);
}

static double of_model(const void *ctx, int job)
{
    return ((const struct model *)ctx)->jobs[job].seconds;
}

static void event_predict(struct model *m)
{
    for (int i = 0; i < m->n; i++)
        if (m->jobs[i].finals == 0)
            m->jobs[i].seconds = 1 + below(m, 4);
    sched_predict(m->s, of_model, m);
}

static void check_counts(const struct model *m)
{
    struct sched_counts c = sched_count(m->s);
    int final = 0, idle = 0, present = 0;
    for (int i = 0; i < m->n; i++) {
        CHECK(m->jobs[i].finals <= 1);
        final += m->jobs[i].finals;
    }
    for (int w = 0; w < W; w++) {
        present += m->present[w];
        idle += m->present[w] && holds(m, w) == 0;
        CHECK(holds(m, w) <= 2);
    }
    CHECK(c.jobs == m->n && c.final == final && c.held == m->n_live);
    CHECK(c.queued + c.held + c.final == c.jobs);
    CHECK(c.workers == present && c.idle == idle);
}

static void step(struct model *m)
{
    m->now += .02 * below(m, 3);
    switch (below(m, 8)) {
    case 0:
        event_add(m);
        break;
    case 1:
        event_stale(m);
        break;
    case 2:
        if (below(m, 4) == 0)
            event_worker(m);
        if (!m->even && below(m, 4) == 0)
            event_speed(m);
        if (below(m, 20) == 0)
            event_predict(m);
        break;
    case 3:
    case 4:
        event_report(m);
        break;
    default:
        event_assign(m);
    }
    check_counts(m);
}

static void test_random(uint64_t seed)
{
    struct model m = {.deadline = INFINITY, .margin = 1.25};
    m.shapes = seed % 4 != 0;
    m.even = seed % 3 != 0;
    CHECK(sched_create(W, RETRIES, &m.s) == OK);
    rng_seed(&m.rng, seed, 0);
    if (seed % 5 == 0) {
        m.deadline = 50;
        sched_deadline(m.s, m.deadline, m.margin);
    }
    for (int w = 0; w < W; w++) {
        m.speed[w] = 1;
        sched_settle(m.s, w,
                     (struct sched_place){host_of[w], host_memory[host_of[w]], gpu_of[w]});
    }
    for (int i = 0; i < 3000; i++)
        step(&m);
    // Whatever happened, the rest gets done once everybody is there; but for what would not
    // end in time.
    while (m.n < MAX_JOBS)
        event_add(&m);
    for (int w = 0; w < W; w++)
        if (!m.present[w])
            join(&m, w);
    int late = 0, open = 1;
    for (int i = 0; i < 20000 && open > 0; i++) {
        event_assign(&m);
        event_report(&m);
        m.now += .1; // one that is waited for and does not end is given up at last
        late = sched_count(m.s).late;
        open = MAX_JOBS - sched_count(m.s).final - late;
    }
    check_counts(&m);
    CHECK(open == 0 && (late == 0 || isfinite(m.deadline)));
    CHECK(sched_misfit(m.s, true) == SCHED_NONE);
    sched_free(m.s);
}

int main(void)
{
    for (uint64_t seed = 1; seed <= 240; seed++)
        test_random(seed);
    return test_summary();
}
