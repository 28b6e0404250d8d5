// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/rng.h"
#include "orchestrator/sched.h"
#include "tests/test.h"

static struct sched *make(int n_workers, int retries, int joined)
{
    struct sched *s = NULL;
    CHECK(sched_create(n_workers, retries, &s) == OK);
    for (int w = 0; w < joined; w++)
        sched_join(s, w);
    return s;
}

static void test_order(void)
{
    struct sched *s = make(1, 0, 1);
    sched_add(s, "b", 1, 5, 0, 0);
    sched_add(s, "a", 1, 5, 0, 0);
    sched_add(s, "long", 1, 9, 0, 0);
    sched_add(s, "first", 0, 1, 0, 0);
    const int want[] = {3, 2, 1, 0};
    for (int i = 0; i < 4; i++) {
        struct sched_assign a;
        CHECK(sched_next(s, &a) && a.job == want[i] && a.worker == 0 && a.attempt == 1);
        CHECK(sched_report(s, a, SCHED_DONE) == SCHED_FINAL);
    }
    struct sched_counts c = sched_count(s);
    CHECK(c.final == 4 && c.queued == 0 && c.held == 0 && c.idle == 1);
    sched_free(s);
}

// Two workers, five jobs: each gets one, then one more while more than two are queued.
static void test_prefetch(void)
{
    struct sched *s = make(2, 0, 2);
    const char *ids[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 5; i++)
        sched_add(s, ids[i], 0, 5 - i, 0, 0);
    struct sched_assign a[3], none;
    CHECK(sched_next(s, &a[0]) && a[0].job == 0 && a[0].worker == 0);
    CHECK(sched_next(s, &a[1]) && a[1].job == 1 && a[1].worker == 1);
    CHECK(sched_next(s, &a[2]) && a[2].job == 2 && a[2].worker == 0); // 3 queued > 2 workers
    CHECK(!sched_next(s, &none)); // 2 queued: kept for who is free
    CHECK(sched_report(s, a[1], SCHED_DONE) == SCHED_FINAL);
    CHECK(sched_next(s, &a[1]) && a[1].job == 3 && a[1].worker == 1);
    CHECK(!sched_next(s, &none));
    sched_free(s);
}

static void test_retries(void)
{
    struct sched *s = make(1, 2, 1);
    sched_add(s, "a", 0, 1, 0, 0);
    struct sched_assign a;
    for (int i = 1; i <= 2; i++) {
        CHECK(sched_next(s, &a) && a.attempt == i);
        CHECK(sched_report(s, a, SCHED_CRASHED) == SCHED_RETRY);
    }
    CHECK(sched_next(s, &a) && a.attempt == 3);
    CHECK(sched_report(s, a, SCHED_INTERRUPTED) == SCHED_RETRY); // consumes nothing
    CHECK(sched_next(s, &a) && a.attempt == 4);
    CHECK(sched_report(s, a, SCHED_CRASHED) == SCHED_FINAL);
    CHECK(sched_report(s, a, SCHED_CRASHED) == SCHED_STALE);
    CHECK(!sched_next(s, &a));
    sched_free(s);
    // What an earlier run of the program used up stays used up.
    s = make(1, 2, 1);
    sched_add(s, "a", 0, 1, 7, 2);
    CHECK(sched_next(s, &a) && a.attempt == 8);
    CHECK(sched_report(s, a, SCHED_CRASHED) == SCHED_FINAL);
    sched_free(s);
}

static void test_lost_worker(void)
{
    struct sched *s = make(2, 0, 1);
    sched_add(s, "a", 0, 3, 0, 0);
    sched_add(s, "b", 0, 2, 0, 0);
    sched_add(s, "c", 0, 1, 0, 0);
    struct sched_assign a, b, again;
    CHECK(sched_next(s, &a) && a.job == 0);
    CHECK(sched_next(s, &b) && b.job == 1 && b.worker == 0);
    sched_leave(s, 0);
    CHECK(!sched_present(s, 0) && !sched_next(s, &again));
    CHECK(sched_report(s, a, SCHED_DONE) == SCHED_STALE);
    sched_join(s, 1);
    CHECK(sched_next(s, &again) && again.job == 0 && again.worker == 1 && again.attempt == 2);
    CHECK(sched_report(s, a, SCHED_DONE) == SCHED_STALE); // the late duplicate
    sched_join(s, 0);
    CHECK(sched_report(s, a, SCHED_DONE) == SCHED_STALE);
    CHECK(sched_report(s, again, SCHED_DONE) == SCHED_FINAL);
    const struct sched_assign absurd[] = {{0, -1, 1}, {0, 99, 1}, {-1, 0, 1}, {99, 0, 1}};
    for (int i = 0; i < 4; i++)
        CHECK(sched_report(s, absurd[i], SCHED_DONE) == SCHED_STALE);
    sched_free(s);
}

static void test_drain(void)
{
    struct sched *s = make(1, 0, 1);
    sched_add(s, "a", 0, 1, 0, 0);
    sched_add(s, "b", 0, 1, 0, 0);
    struct sched_assign a, none;
    CHECK(sched_next(s, &a));
    sched_drain(s);
    CHECK(!sched_next(s, &none));
    CHECK(sched_report(s, a, SCHED_INTERRUPTED) == SCHED_RETRY);
    CHECK(!sched_next(s, &none));
    CHECK(sched_count(s).queued == 2 && sched_count(s).held == 0);
    sched_free(s);
}

// Random events against a plain model of what must hold: every job is final exactly once, no
// job is with two workers, a worker holds two at most and the second only while others need not
// wait, crashes never exceed the limit, attempts only grow.
enum { W = 5, MAX_JOBS = 60, RETRIES = 2, MAX_LIVE = 2 * W };

struct model {
    struct sched *s;
    struct rng rng;
    int n, finals[MAX_JOBS], crashes[MAX_JOBS], attempt[MAX_JOBS];
    struct sched_assign live[MAX_LIVE], stale[64];
    int n_live, n_stale;
    bool present[W];
};

static int below(struct model *m, int n)
{
    return (int)rng_below(&m->rng, (uint64_t)n);
}

static void event_assign(struct model *m)
{
    struct sched_counts before = sched_count(m->s);
    struct sched_assign a;
    if (!sched_next(m->s, &a)) {
        CHECK(before.queued == 0 || before.idle == 0);
        return;
    }
    int holds = 0;
    for (int i = 0; i < m->n_live; i++) {
        CHECK(m->live[i].job != a.job);
        holds += m->live[i].worker == a.worker;
    }
    CHECK(m->present[a.worker] && m->finals[a.job] == 0);
    CHECK(holds == 0 || (holds == 1 && before.idle == 0 && before.queued > before.workers));
    CHECK(a.attempt == ++m->attempt[a.job]);
    m->live[m->n_live++] = a;
}

static void retire(struct model *m, int i)
{
    m->stale[m->n_stale++ % 64] = m->live[i];
    m->live[i] = m->live[--m->n_live];
}

static void event_report(struct model *m)
{
    if (m->n_live == 0)
        return;
    int i = below(m, m->n_live);
    struct sched_assign a = m->live[i];
    enum sched_outcome how = (enum sched_outcome)below(m, 3);
    m->crashes[a.job] += how == SCHED_CRASHED;
    bool over = how == SCHED_DONE || (how == SCHED_CRASHED && m->crashes[a.job] > RETRIES);
    CHECK(sched_holds(m->s, a));
    CHECK(sched_report(m->s, a, how) == (over ? SCHED_FINAL : SCHED_RETRY));
    m->finals[a.job] += over;
    retire(m, i);
}

static void event_worker(struct model *m)
{
    int w = below(m, W);
    m->present[w] = !m->present[w];
    if (m->present[w]) {
        sched_join(m->s, w);
        return;
    }
    sched_leave(m->s, w);
    for (int i = m->n_live - 1; i >= 0; i--)
        if (m->live[i].worker == w)
            retire(m, i);
}

static void event_stale(struct model *m)
{
    int n = m->n_stale < 64 ? m->n_stale : 64;
    if (n > 0) {
        struct sched_assign stale = m->stale[below(m, n)];
        CHECK(!sched_holds(m->s, stale));
        CHECK(sched_report(m->s, stale, SCHED_DONE) == SCHED_STALE);
    }
}

static void event_add(struct model *m)
{
    if (m->n == MAX_JOBS)
        return;
    char id[16];
    snprintf(id, sizeof id, "job%d", m->n++);
    CHECK(sched_add(m->s, id, below(m, 3), below(m, 4), 0, 0) == OK);
}

static void check_counts(const struct model *m)
{
    struct sched_counts c = sched_count(m->s);
    int final = 0;
    for (int i = 0; i < m->n; i++) {
        CHECK(m->finals[i] <= 1);
        final += m->finals[i];
    }
    CHECK(c.jobs == m->n && c.final == final && c.held == m->n_live);
    CHECK(c.queued + c.held + c.final == c.jobs);
}

static void test_random(uint64_t seed)
{
    struct model m = {.s = make(W, RETRIES, 0)};
    rng_seed(&m.rng, seed, 0);
    for (int step = 0; step < 3000; step++) {
        switch (below(&m, 8)) {
        case 0:
            event_add(&m);
            break;
        case 1:
            event_stale(&m);
            break;
        case 2:
            if (below(&m, 4) == 0)
                event_worker(&m);
            break;
        case 3:
        case 4:
            event_report(&m);
            break;
        default:
            event_assign(&m);
        }
        check_counts(&m);
    }
    // Whatever happened, the rest gets done once somebody is there.
    while (m.n < MAX_JOBS)
        event_add(&m);
    for (int w = 0; w < W; w++) {
        m.present[w] = true;
        sched_join(m.s, w);
    }
    for (int step = 0; step < 5000 && sched_count(m.s).final < MAX_JOBS; step++) {
        event_assign(&m);
        event_report(&m);
    }
    check_counts(&m);
    CHECK(sched_count(m.s).final == MAX_JOBS);
    sched_free(m.s);
}

int main(void)
{
    test_order();
    test_prefetch();
    test_retries();
    test_lost_worker();
    test_drain();
    for (uint64_t seed = 1; seed <= 20; seed++)
        test_random(seed);
    return test_summary();
}
