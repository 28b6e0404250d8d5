// SPDX-License-Identifier: GPL-3.0-or-later
// Rank statistics against values worked out by hand; spreads against their definitions.
#include "fit/fit.h"
#include "fit/rank.h"
#include "tests/test.h"

static struct rank_stats ranks(const double *x, const double *y, int n)
{
    struct rank_stats s;
    if (rank_stats_run(x, y, n, 400, 1, &s) != OK)
        exit(1);
    return s;
}

static struct spread_stats spread(const double *loss, const int *group, const int *structure,
                                  int n)
{
    struct spread_stats s;
    if (spread_run(loss, group, structure, n, 400, 1, &s) != OK)
        exit(1);
    return s;
}

static void test_by_hand(void)
{
    // x 1..5, y 2 1 4 3 5: sxy = 8, sxx = syy = 10: Pearson .8; as ranks the same: Spearman .8;
    // 8 pairs agree, 2 do not: tau = .6.
    static const double x[5] = {1, 2, 3, 4, 5}, y[5] = {2, 1, 4, 3, 5};
    struct rank_stats s = ranks(x, y, 5);
    CHECK_NEAR(s.pearson, .8, 1e-12);
    CHECK_NEAR(s.spearman, .8, 1e-12);
    CHECK_NEAR(s.kendall, .6, 1e-12);
    CHECK_NEAR(s.r2, .64, 1e-12);
    // Monotone but bent: ranks agree fully, Pearson does not.
    static const double bent[5] = {1, 10, 100, 1000, 10000};
    s = ranks(x, bent, 5);
    CHECK_NEAR(s.spearman, 1, 1e-12);
    CHECK_NEAR(s.kendall, 1, 1e-12);
    CHECK(s.pearson < .8);
    CHECK_NEAR(s.lo[1], 1, 1e-12);
    CHECK_NEAR(s.hi[2], 1, 1e-12);
    // Ties: x 1 1 2 3, y 1 2 2 3. Pairs: 4 agree, none disagree, 1 tied in x, 1 in y:
    // tau-b = 4 / sqrt(5 * 5) = .8. Mean ranks 1.5 1.5 3 4 and 1 2.5 2.5 4: deviations
    // -1 -1 .5 1.5 and -1.5 0 0 1.5: sxy 3.75, both squares 4.5: Spearman 5/6.
    static const double tx[4] = {1, 1, 2, 3}, ty[4] = {1, 2, 2, 3};
    s = ranks(tx, ty, 4);
    CHECK_NEAR(s.kendall, .8, 1e-12);
    CHECK_NEAR(s.spearman, 5. / 6, 1e-12);
}

static void test_rank_input(void)
{
    double x[12], y[12];
    struct rng r;
    rng_seed(&r, 5, 5);
    for (int i = 0; i < 10; i++) {
        x[i] = 1.7 + .03 * i;
        y[i] = x[i] + .04 * rng_normal(&r);
    }
    struct rank_stats a = ranks(x, y, 10);
    double all[4] = {a.pearson, a.spearman, a.kendall, a.r2};
    for (int k = 0; k < 4; k++)
        CHECK(a.lo[k] <= all[k] && all[k] <= a.hi[k] && a.lo[k] < a.hi[k]);
    x[10] = (double)NAN, y[10] = 1;
    x[11] = 1, y[11] = (double)INFINITY;
    struct rank_stats b = ranks(x, y, 12);
    CHECK(b.n == 10 && memcmp(&a, &b, sizeof a) == 0);
    for (int i = 0; i < 5; i++) { // reversed order
        double t = x[i];
        x[i] = x[9 - i], x[9 - i] = t;
        t = y[i];
        y[i] = y[9 - i], y[9 - i] = t;
    }
    b = ranks(x, y, 10);
    CHECK(memcmp(&a, &b, sizeof a) == 0);
    b = ranks(x, y, 2);
    CHECK(b.n == 2 && isnan(b.pearson) && isnan(b.lo[0]));
    for (int i = 0; i < 10; i++)
        y[i] = 2;
    b = ranks(x, y, 10);
    CHECK(isnan(b.pearson) && isnan(b.kendall));
}

static void test_spread(void)
{
    // Two groups, two structures each, two seeds each; ln loss = group +- structure +- seed,
    // all exact.
    double loss[10];
    int group[10], structure[10];
    for (int i = 0; i < 8; i++) {
        group[i] = i / 4;
        structure[i] = i / 2;
        loss[i] = exp(.5 + .08 * (i / 4 - .5) + .02 * (i / 2 % 2 - .5) + .01 * (i % 2 - .5));
    }
    loss[8] = (double)NAN, loss[9] = -1;
    group[8] = group[9] = structure[8] = structure[9] = 9;
    struct spread_stats s = spread(loss, group, structure, 10);
    CHECK(s.n == 8 && s.n_groups == 2);
    // Sums of squares: seeds 8 * .005^2, structures 8 * .01^2, groups 8 * .04^2.
    double seeds = 8 * .005 * .005, structures = 8 * .01 * .01, groups = 8 * .04 * .04;
    CHECK_REL(s.before, sqrt((seeds + structures + groups) / 7), 1e-9);
    CHECK_REL(s.after, sqrt((seeds + structures) / 6), 1e-9);
    CHECK_REL(s.noise, sqrt(seeds / 4), 1e-9);
    CHECK_REL(s.after_lo, s.after, 1e-9); // both groups are alike
    CHECK_REL(s.after_hi, s.after, 1e-9);
    CHECK(s.before_lo <= s.before && s.before <= s.before_hi);
    struct spread_stats t = spread(loss, group, NULL, 8);
    CHECK(isnan(t.noise) && t.after == s.after);
    for (int i = 0; i < 8; i++)
        group[i] = 0;
    t = spread(loss, group, structure, 8);
    CHECK(t.n_groups == 1 && isnan(t.after_lo));
    CHECK_REL(t.after, t.before, 1e-12);
    t = spread(loss, group, structure, 0);
    CHECK(t.n == 0 && isnan(t.before) && isnan(t.after));
}

// Intervals of both spreads: 300 sets of 12 groups of 4; true sds: within .01, between .03.
static void test_spread_coverage(void)
{
    struct rng r;
    rng_seed(&r, 6, 6);
    int hit = 0, below = 0;
    for (int k = 0; k < 300; k++) {
        double loss[48], mean = 0;
        int group[48];
        for (int i = 0; i < 48; i++) {
            group[i] = i / 4;
            if (i % 4 == 0)
                mean = .03 * rng_normal(&r);
            loss[i] = exp(.5 + mean + .01 * rng_normal(&r));
        }
        struct spread_stats s = spread(loss, group, NULL, 48);
        hit += s.after_lo <= .01 && .01 <= s.after_hi;
        below += s.after_hi < s.before_lo;
    }
    printf("spread inside groups: covered %.1f %%, below the whole %.1f %%\n", hit / 3.,
           below / 3.);
    // The percentile interval of a sd from a dozen groups is known to run short of 95 %.
    CHECK(hit >= .85 * 300 && hit <= .99 * 300);
    CHECK(below >= .9 * 300);
}

int main(void)
{
    fit_init();
    test_by_hand();
    test_rank_input();
    test_spread();
    test_spread_coverage();
    return test_summary();
}
