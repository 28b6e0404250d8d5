// SPDX-License-Identifier: Apache-2.0
// Exact values: all fractions below are exact in binary or compared to a few units of rounding
// (1e-15).
#include "tests/test.h"
#include "worker/schedule.h"

static struct job_train base(enum job_schedule schedule, double warmup, double decay)
{
    return (struct job_train){.lr = 1, .schedule = schedule, .warmup = warmup, .decay = decay};
}

static void test_wsd(void)
{
    struct job_train t = base(SCHEDULE_WSD, .1, .3); // of 100 steps: 10 up, 30 down
    CHECK_NEAR(schedule_lr(&t, 100, 1), .1, 1e-15);
    CHECK_NEAR(schedule_lr(&t, 100, 9), .9, 1e-15);
    CHECK_NEAR(schedule_lr(&t, 100, 10), 1, 0);
    CHECK_NEAR(schedule_lr(&t, 100, 70), 1, 0);
    CHECK_NEAR(schedule_lr(&t, 100, 71), 30. / 31, 1e-15);
    CHECK_NEAR(schedule_lr(&t, 100, 85), 16. / 31, 1e-15);
    CHECK_NEAR(schedule_lr(&t, 100, 100), 1. / 31, 1e-15);
    t.lr = 3e-3;
    CHECK_NEAR(schedule_lr(&t, 100, 5), 1.5e-3, 1e-18);
}

static void test_cosine(void)
{
    struct job_train t = base(SCHEDULE_COSINE, .2, .3); // the decay share is WSD's alone
    CHECK_NEAR(schedule_lr(&t, 100, 10), .5, 1e-15);
    CHECK_NEAR(schedule_lr(&t, 100, 20), 1, 0);
    CHECK_NEAR(schedule_lr(&t, 100, 60), .55, 1e-15); // half way: (1 + .1) / 2
    CHECK_NEAR(schedule_lr(&t, 100, 40), .1 + .45 * (1 + sqrt(.5)), 1e-15); // a quarter
    CHECK_NEAR(schedule_lr(&t, 100, 100), .1, 1e-15);
}

static void test_linear(void)
{
    struct job_train t = base(SCHEDULE_LINEAR, .2, .9); // the decay share is WSD's alone
    CHECK_NEAR(schedule_lr(&t, 100, 10), .5, 1e-15);
    CHECK_NEAR(schedule_lr(&t, 100, 20), 1, 0);
    CHECK_NEAR(schedule_lr(&t, 100, 21), 80. / 81, 1e-15);
    CHECK_NEAR(schedule_lr(&t, 100, 60), 41. / 81, 1e-15);
    CHECK_NEAR(schedule_lr(&t, 100, 100), 1. / 81, 1e-15);
    struct job_train wsd = base(SCHEDULE_WSD, .2, .8); // which is linear where nothing is flat
    for (int64_t step = 1; step <= 100; step++)
        CHECK(schedule_lr(&t, 100, step) == schedule_lr(&wsd, 100, step));
}

// No warm-up, no decay, a single step, warm-up only: finite, positive, at most the peak.
static void test_edges(void)
{
    static const double share[] = {0, .001, .5, 1};
    for (int s = 0; s < 3; s++)
        for (int i = 0; i < 4; i++)
            for (int k = 0; k < 4; k++)
                for (int64_t steps = 1; steps <= 7; steps++)
                    for (int64_t step = 1; step <= steps; step++) {
                        struct job_train t = base((enum job_schedule)s, share[i], share[k]);
                        double lr = schedule_lr(&t, steps, step);
                        CHECK(lr > 0 && lr <= 1);
                    }
    struct job_train flat = base(SCHEDULE_WSD, 0, 0);
    CHECK_NEAR(schedule_lr(&flat, 1, 1), 1, 0);
}

int main(void)
{
    test_wsd();
    test_cosine();
    test_linear();
    test_edges();
    return test_summary();
}
