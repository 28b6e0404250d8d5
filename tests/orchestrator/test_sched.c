// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/sched.h"
#include "tests/test.h"
#include <math.h>

static struct sched *make(int n_workers, int retries, int joined)
{
    struct sched *s = NULL;
    CHECK(sched_create(n_workers, retries, &s) == OK);
    for (int w = 0; w < joined; w++)
        sched_join(s, w);
    return s;
}

static void add(struct sched *s, const char *id, int priority, double seconds, int attempts,
                int crashes)
{
    const struct sched_job j = {.id = id,
                                .priority = priority,
                                .seconds = seconds,
                                .attempts = attempts,
                                .crashes = crashes};
    CHECK(sched_add(s, &j) == OK);
}

static void test_order(void)
{
    struct sched *s = make(1, 0, 1);
    add(s, "b", 1, 5, 0, 0);
    add(s, "a", 1, 5, 0, 0);
    add(s, "long", 1, 9, 0, 0);
    add(s, "first", 0, 1, 0, 0);
    const int want[] = {3, 2, 1, 0};
    for (int i = 0; i < 4; i++) {
        struct sched_assign a;
        CHECK(sched_next(s, 0, &a) && a.job == want[i] && a.worker == 0 && a.attempt == 1);
        CHECK(sched_report(s, 0, a, SCHED_DONE) == SCHED_FINAL);
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
        add(s, ids[i], 0, 5 - i, 0, 0);
    struct sched_assign a[3], none;
    CHECK(sched_next(s, 0, &a[0]) && a[0].job == 0 && a[0].worker == 0);
    CHECK(sched_next(s, 0, &a[1]) && a[1].job == 1 && a[1].worker == 1);
    CHECK(sched_next(s, 0, &a[2]) && a[2].job == 2 && a[2].worker == 0); // 3 queued > 2 workers
    CHECK(!sched_next(s, 0, &none)); // 2 queued: kept for who is free
    CHECK(sched_report(s, 0, a[1], SCHED_DONE) == SCHED_FINAL);
    CHECK(sched_next(s, 0, &a[1]) && a[1].job == 3 && a[1].worker == 1);
    CHECK(!sched_next(s, 0, &none));
    sched_free(s);
}

static void test_retries(void)
{
    struct sched *s = make(1, 2, 1);
    add(s, "a", 0, 1, 0, 0);
    struct sched_assign a;
    for (int i = 1; i <= 2; i++) {
        CHECK(sched_next(s, 0, &a) && a.attempt == i);
        CHECK(sched_report(s, 0, a, SCHED_CRASHED) == SCHED_RETRY);
    }
    CHECK(sched_next(s, 0, &a) && a.attempt == 3);
    CHECK(sched_report(s, 0, a, SCHED_INTERRUPTED) == SCHED_RETRY); // consumes nothing
    CHECK(sched_next(s, 0, &a) && a.attempt == 4);
    CHECK(sched_report(s, 0, a, SCHED_CRASHED) == SCHED_FINAL);
    CHECK(sched_report(s, 0, a, SCHED_CRASHED) == SCHED_STALE);
    CHECK(!sched_next(s, 0, &a));
    sched_free(s);
    // What an earlier run of the program used up stays used up.
    s = make(1, 2, 1);
    add(s, "a", 0, 1, 7, 2);
    CHECK(sched_next(s, 0, &a) && a.attempt == 8);
    CHECK(sched_report(s, 0, a, SCHED_CRASHED) == SCHED_FINAL);
    sched_free(s);
}

static void test_lost_worker(void)
{
    struct sched *s = make(2, 0, 1);
    add(s, "a", 0, 3, 0, 0);
    add(s, "b", 0, 2, 0, 0);
    add(s, "c", 0, 1, 0, 0);
    struct sched_assign a, b, again;
    CHECK(sched_next(s, 0, &a) && a.job == 0);
    CHECK(sched_next(s, 0, &b) && b.job == 1 && b.worker == 0);
    sched_leave(s, 0);
    CHECK(!sched_present(s, 0) && !sched_next(s, 0, &again));
    CHECK(sched_report(s, 0, a, SCHED_DONE) == SCHED_STALE);
    sched_join(s, 1);
    CHECK(sched_next(s, 0, &again) && again.job == 0 && again.worker == 1 &&
          again.attempt == 2);
    CHECK(sched_report(s, 0, a, SCHED_DONE) == SCHED_STALE); // the late duplicate
    sched_join(s, 0);
    CHECK(sched_report(s, 0, a, SCHED_DONE) == SCHED_STALE);
    CHECK(sched_report(s, 0, again, SCHED_DONE) == SCHED_FINAL);
    const struct sched_assign absurd[] = {{0, -1, 1}, {0, 99, 1}, {-1, 0, 1}, {99, 0, 1}};
    for (int i = 0; i < 4; i++)
        CHECK(sched_report(s, 0, absurd[i], SCHED_DONE) == SCHED_STALE);
    sched_free(s);
}

static void test_drain(void)
{
    struct sched *s = make(1, 0, 1);
    add(s, "a", 0, 1, 0, 0);
    add(s, "b", 0, 1, 0, 0);
    struct sched_assign a, none;
    CHECK(sched_next(s, 0, &a));
    sched_drain(s);
    CHECK(!sched_next(s, 0, &none));
    CHECK(sched_report(s, 0, a, SCHED_INTERRUPTED) == SCHED_RETRY);
    CHECK(!sched_next(s, 0, &none));
    CHECK(sched_count(s).queued == 2 && sched_count(s).held == 0);
    sched_free(s);
}

// A job of a shape: width, memory, memory of a GPU.
static void add_shape(struct sched *s, const char *id, double seconds, int width, double memory,
                      double gpu)
{
    const struct sched_job j = {
        .id = id, .seconds = seconds, .width = width, .memory = memory, .gpu = gpu};
    CHECK(sched_add(s, &j) == OK);
}

// Hosts of so many workers each, all present.
static struct sched *make_hosts(int n, const int *sizes, const double *memory)
{
    int total = 0, w = 0;
    for (int h = 0; h < n; h++)
        total += sizes[h];
    struct sched *s = make(total, 0, 0);
    for (int h = 0; h < n; h++)
        for (int i = 0; i < sizes[h]; i++) {
            sched_settle(s, w, (struct sched_place){h, memory[h], INFINITY});
            sched_join(s, w++);
        }
    return s;
}

static void test_width(void)
{
    struct sched *s = make_hosts(2, (int[]){2, 3}, (double[]){INFINITY, INFINITY});
    struct sched_assign a, b, none;
    int slots[4];
    add_shape(s, "wide", 9, 3, 0, 0);
    add_shape(s, "too wide", 8, 4, 0, 0);
    add_shape(s, "narrow", 1, 1, 0, 0);
    CHECK(sched_next(s, 0, &a) && a.job == 0 && a.worker == 2);
    CHECK(sched_slots(s, 2, slots, 4) == 3 && slots[0] == 2 && slots[1] == 3 && slots[2] == 4);
    CHECK(sched_next(s, 0, &b) && b.job == 2 && b.worker == 0);
    CHECK(sched_slots(s, 0, slots, 4) == 1 && slots[0] == 0);
    CHECK(!sched_next(s, 0, &none) && sched_misfit(s, false) == 1);
    CHECK(sched_count(s).idle == 1);
    // A lent slot is lost: the worker that runs the job must drop it.
    CHECK(sched_leave(s, 4) == 2);
    CHECK(sched_report(s, 1, a, SCHED_DONE) == SCHED_STALE);
    CHECK(sched_count(s).idle == 3 && sched_count(s).queued == 2);
    CHECK(!sched_next(s, 1, &none) && sched_misfit(s, true) == 0);
    sched_join(s, 4);
    CHECK(sched_next(s, 2, &a) && a.job == 0 && a.attempt == 2 && a.worker == 2);
    // The one that runs it is lost: nobody has anything to drop.
    CHECK(sched_leave(s, 2) == SCHED_NONE);
    CHECK(sched_report(s, 3, a, SCHED_DONE) == SCHED_STALE && sched_count(s).idle == 3);
    sched_join(s, 2);
    CHECK(sched_next(s, 4, &a) && a.job == 0 && a.attempt == 3);
    CHECK(sched_report(s, 5, a, SCHED_DONE) == SCHED_FINAL && sched_count(s).idle == 4);
    sched_free(s);
}

// On a host that is kept, what ends before it is needed may start.
static void test_gap(void)
{
    struct sched *s = make_hosts(1, (int[]){3}, (double[]){INFINITY});
    struct sched_assign a, b, c, none;
    add_shape(s, "a", 20, 1, 0, 0);
    add_shape(s, "b", 10, 1, 0, 0);
    CHECK(sched_next(s, 0, &a) && a.job == 0);
    CHECK(sched_next(s, 0, &b) && b.job == 1);
    add_shape(s, "wide", 99, 3, 0, 0);
    add_shape(s, "c", 25, 1, 0, 0);
    CHECK(!sched_next(s, 1, &none));
    add_shape(s, "d", 24, 2, 0, 0);
    CHECK(!sched_next(s, 2, &none));
    CHECK(sched_report(s, 10, b, SCHED_DONE) == SCHED_FINAL);
    CHECK(!sched_next(s, 10, &none));
    add_shape(s, "e", 5, 1, 0, 1); // of a kind that no longer one stands before
    CHECK(sched_next(s, 14, &c) && c.job == 5);
    CHECK(sched_report(s, 15, c, SCHED_CRASHED) == SCHED_FINAL);
    add_shape(s, "f", 5, 1, 0, 1);
    CHECK(!sched_next(s, 16, &none)); // until 21
    CHECK(sched_report(s, 22, a, SCHED_DONE) == SCHED_FINAL);
    CHECK(sched_next(s, 22, &a) && a.job == 2);
    sched_free(s);
}

// A job of four slots waits at a host of four while short ones keep coming.
static void test_no_starvation(void)
{
    struct sched *s = make_hosts(2, (int[]){4, 4}, (double[]){INFINITY, INFINITY});
    struct sched_assign live[16], a;
    double ends[16];
    int n = 0, started_wide = 0, others = 0;
    double now = 0, wide_at = -1;
    for (int i = 0; i < 8; i++)
        add_shape(s, "early", 10 + i, 1, 0, 0);
    while (sched_next(s, now, &a))
        ends[n] = now + 10 + a.job, live[n++] = a;
    CHECK(n == 8);
    add_shape(s, "wide", 100, 4, 0, 0);
    for (int step = 0; step < 200; step++) {
        while (sched_count(s).queued < 20)
            add_shape(s, "short", 7, 1, 0, 0);
        while (sched_next(s, now, &a)) {
            bool is_wide = a.job == 8;
            if (is_wide)
                wide_at = now, started_wide++;
            others += a.job > 8 && wide_at < 0;
            ends[n] = now + (is_wide ? 100 : 7);
            for (int i = 0; i < n; i++) // behind the one that the worker trains already
                if (live[i].worker == a.worker)
                    ends[n] = ends[i] + 7;
            live[n++] = a;
        }
        int first = 0;
        for (int i = 1; i < n; i++)
            if (ends[i] < ends[first])
                first = i;
        now = ends[first];
        CHECK(sched_report(s, now, live[first], SCHED_DONE) == SCHED_FINAL);
        live[first] = live[--n];
        ends[first] = ends[n];
    }
    // The early ones with 17, 16, 15 and 14 s are at one host: it starts when the last of the
    // others, 13 s, has ended. The other host's workers get two jobs each as ever.
    CHECK(started_wide == 1);
    CHECK_REL(wide_at, 13, 1e-12);
    CHECK(others == 4);
    sched_free(s);
}

static void test_memory(void)
{
    struct sched *s = make_hosts(2, (int[]){3, 2}, (double[]){10, 4});
    struct sched_assign a, b, c, none;
    add_shape(s, "large", 9, 1, 8, 0);
    add_shape(s, "larger", 8, 1, 9, 0);
    add_shape(s, "small", 7, 1, 2, 0);
    add_shape(s, "huge", 6, 1, 11, 0);
    CHECK(sched_next(s, 0, &a) && a.job == 0 && a.worker == 0);
    CHECK(sched_next(s, 0, &b) && b.job == 2 && b.worker == 1); // beside it: 10 in all
    CHECK(!sched_next(s, 0, &none) && sched_misfit(s, false) == 3);
    add_shape(s, "two", 5, 1, 2, 0);
    add_shape(s, "two more", 4, 1, 2, 0);
    add_shape(s, "three", 3, 1, 3, 0);
    CHECK(sched_next(s, 1, &c) && c.job == 4 && c.worker == 3); // the host with room
    CHECK(sched_next(s, 1, &c) && c.job == 5 && c.worker == 4);
    CHECK(!sched_next(s, 1, &none)); // nothing more: the first host is kept for the large one
    CHECK(sched_report(s, 2, b, SCHED_DONE) == SCHED_FINAL);
    CHECK(!sched_next(s, 2, &none));
    CHECK(sched_report(s, 9, a, SCHED_CRASHED) == SCHED_FINAL);
    CHECK(sched_next(s, 9, &a) && a.job == 1 && a.worker == 0);
    sched_free(s);
    // Of a GPU: a worker's own.
    s = make(2, 0, 0);
    sched_settle(s, 0, (struct sched_place){0, INFINITY, 5});
    sched_settle(s, 1, (struct sched_place){0, INFINITY, 8});
    sched_join(s, 0);
    sched_join(s, 1);
    add_shape(s, "a", 2, 1, 0, 8);
    add_shape(s, "b", 1, 1, 0, 6);
    CHECK(sched_next(s, 0, &a) && a.job == 0 && a.worker == 1);
    CHECK(!sched_next(s, 0, &none) && sched_misfit(s, true) == SCHED_NONE);
    CHECK(sched_leave(s, 1) == SCHED_NONE && sched_misfit(s, true) != SCHED_NONE);
    sched_free(s);
}

static void test_time_left(void)
{
    struct sched *s = make(1, 0, 1);
    struct sched_assign a, none;
    const struct sched_job whole = {.id = "whole", .seconds = 50, .whole = true};
    const struct sched_job brief = {.id = "brief", .seconds = 20, .whole = true};
    const struct sched_job any = {.id = "any", .seconds = 500};
    sched_deadline(s, 100, 1.5);
    CHECK(sched_add(s, &whole) == OK && sched_add(s, &brief) == OK);
    CHECK(!sched_next(s, 80, &none)); // 80 + 30 is too late, for the other all the more
    CHECK(sched_count(s).late == 2 && sched_count(s).queued == 2 && sched_count(s).held == 0);
    CHECK(sched_add(s, &any) == OK); // goes on where it was stopped
    CHECK(sched_next(s, 80, &a) && a.job == 2);
    sched_free(s);
    s = make(1, 0, 1);
    sched_deadline(s, 100, 1.5);
    CHECK(sched_add(s, &whole) == OK && sched_add(s, &brief) == OK);
    CHECK(sched_next(s, 60, &a) && a.job == 1 && sched_count(s).late == 1);
    CHECK(sched_report(s, 80, a, SCHED_INTERRUPTED) == SCHED_RETRY);
    CHECK(!sched_next(s, 80, &none) && sched_count(s).late == 2);
    sched_free(s);
    // In time on the fast worker, once it is free: not on the slow one, nor behind another.
    s = make(2, 0, 2);
    sched_deadline(s, 100, 1.5);
    sched_speed(s, 1, 4);
    add(s, "other", 0, 180, 0, 0); // until 85 there
    CHECK(sched_next(s, 40, &a) && a.worker == 1);
    for (int i = 0; i < 4; i++)
        CHECK(sched_add(s, &whole) == OK);
    CHECK(!sched_next(s, 41, &none));
    CHECK(sched_report(s, 81, a, SCHED_DONE) == SCHED_FINAL);
    CHECK(sched_next(s, 81, &a) && a.worker == 1 && !sched_next(s, 81, &none)); // to 99.75
    sched_free(s);
}

static double half_or_more(const void *ctx, int job)
{
    return job == 0 ? *(const double *)ctx : 40;
}

// What was too late may be in time by a better prediction, and the order is a new one.
static void test_predictions(void)
{
    struct sched *s = make(1, 0, 1);
    struct sched_assign a, none;
    const struct sched_job first = {.id = "first", .seconds = 60, .whole = true};
    const struct sched_job second = {.id = "second", .seconds = 50, .whole = true};
    sched_deadline(s, 100, 1);
    CHECK(sched_add(s, &first) == OK && sched_add(s, &second) == OK);
    CHECK(!sched_next(s, 55, &none) && sched_count(s).late == 2);
    double seconds = 30;
    sched_predict(s, half_or_more, &seconds);
    CHECK(sched_count(s).late == 0 && sched_count(s).queued == 2);
    CHECK(sched_next(s, 55, &a) && a.job == 1);
    CHECK(sched_report(s, 60, a, SCHED_DONE) == SCHED_FINAL);
    CHECK(sched_next(s, 60, &a) && a.job == 0);
    seconds = 20;
    sched_predict(s, half_or_more, &seconds); // of a running one, too
    CHECK(!sched_next(s, 61, &none) && sched_count(s).held == 1);
    sched_free(s);
}

static void test_speeds(void)
{
    struct sched *s = make(3, 0, 3);
    struct sched_assign a, b, c, none;
    sched_speed(s, 1, 4);
    sched_speed(s, 2, 2);
    add(s, "a", 0, 80, 0, 0);
    add(s, "b", 0, 40, 0, 0);
    add(s, "c", 0, 30, 0, 0);
    CHECK(sched_next(s, 0, &a) && a.job == 0 && a.worker == 1);
    CHECK(sched_next(s, 0, &b) && b.job == 1 && b.worker == 2);
    // The slow one would need 30 s, the fast one 20 s for what it has and 7.5 s.
    CHECK(!sched_next(s, 0, &none));
    add(s, "d", 0, 10, 0, 0); // 10 s there, later elsewhere
    CHECK(sched_next(s, 0, &c) && c.job == 3 && c.worker == 0);
    CHECK(sched_report(s, 20, a, SCHED_DONE) == SCHED_FINAL);
    CHECK(sched_next(s, 20, &a) && a.job == 2 && a.worker == 1);
    // One that should have ended long ago is not waited for.
    CHECK(sched_report(s, 21, c, SCHED_DONE) == SCHED_FINAL);
    add(s, "e", 0, 8, 0, 0);
    CHECK(!sched_next(s, 22, &none)); // 8 s here; the fast one 5.5 s and 2
    CHECK(sched_next(s, 40, &c) && c.worker == 0);
    sched_free(s);
}

int main(void)
{
    test_order();
    test_prefetch();
    test_retries();
    test_lost_worker();
    test_drain();
    test_width();
    test_gap();
    test_no_starvation();
    test_memory();
    test_time_left();
    test_predictions();
    test_speeds();
    return test_summary();
}
