// SPDX-License-Identifier: GPL-3.0-or-later
// The test of the five-factor law's claim that G* and s* do not depend on scale: how often it
// rejects at 5 % where the claim is true (size), and where a drift is planted (power).
// Arguments: number of simulated sets of each kind, resamples of each, "huber" for that
// objective instead of least squares.
#include "core/rng.h"
#include "fit/analysis.h"
#include "fit/fit.h"
#include "tests/test.h"

// 216 runs: 4 sizes x 3 lengths, and a design of 18 points in (N_a/N, G, s) each; noise .1 %.
enum { ROWS = 216, VARS = 5 };
static const double published[14] = {.1577, 7.2446,   5.1395, -3.2363, .0013,  .0450, 38.051,
                                     .2383, 27129.05, .4694,  31.096,  1.8182, 0,     0};

static void simulate(const double *truth, double noise, struct rng *r, double *x, double *y)
{
    const struct law *l = law_find("fivefactor_c", 0);
    static const double share[3] = {.04, .1, .25}, G[6] = {1, 2, 4, 8, 12, 20};
    static const double s[6] = {.4, 0, .2, .5, .1, .3};
    for (int i = 0; i < ROWS; i++) {
        double *at = x + i * VARS;
        at[0] = 1e9 * pow(4, i % 4);
        at[1] = 2e10 * pow(4, i / 4 % 3);
        at[2] = at[0] * share[i / 12 % 3];
        at[3] = G[i / 36];
        at[4] = s[(i / 36 + 2 * (i / 12 % 3) + i % 4 + i / 4 % 3) % 6];
        y[i] = law_value(l, truth, at, NULL) * exp(noise * rng_normal(r));
    }
}

// What ten times the compute does to s*, in q_s.
#define S_DECADE(change) (-(change)*2 * 5.1395 / log(10))

static enum law_objective objective = LAW_SQUARES_LOG;

static double rejects(const char *what, double q_G, double s_decade, int sets, int boot)
{
    double x[ROWS * VARS], y[ROWS], truth[14];
    int rejected = 0, sound = 0, covered[2] = {0};
    memcpy(truth, published, sizeof truth);
    truth[12] = q_G;
    truth[13] = S_DECADE(s_decade);
    for (int i = 0; i < sets; i++) {
        struct rng r;
        struct claim c;
        rng_seed(&r, 7, (uint64_t)i + (q_G > 0 ? 10000 : s_decade > 0 ? 20000 : 0));
        simulate(truth, .001, &r, x, y);
        struct law_data d = {.n = ROWS, .x = x, .y = y};
        struct law_options o = {.objective = objective,
                                .n_boot = boot,
                                .boot = LAW_BOOT_RESIDUALS,
                                .seed = 1,
                                .threads = 2};
        CHECK(claim_test(&d, &o, &c) == OK);
        sound += c.fit.converged;
        rejected += c.p < .05;
        covered[0] += c.fit.lo[12] <= q_G && q_G <= c.fit.hi[12];
        covered[1] += c.s_decade.lo <= s_decade && s_decade <= c.s_decade.hi;
        law_fit_free(&c.fit);
    }
    printf("%-34s rejected in %5.1f %% of %d sets; intervals hold q_G in %.1f %%, s* in %.1f "
           "%%; %d converged\n",
           what, 100. * rejected / sets, sets, 100. * covered[0] / sets,
           100. * covered[1] / sets, sound);
    return (double)rejected / sets;
}

int main(int argc, char **argv)
{
    fit_init();
    const int sets = argc > 1 ? atoi(argv[1]) : 60, boot = argc > 2 ? atoi(argv[2]) : 100;
    objective = argc > 3 ? LAW_HUBER_LOG : LAW_SQUARES_LOG;
    const double size = rejects("no drift", 0, 0, sets, boot);
    const double G = rejects("G* +20 % a decade of C", log10(1.2), 0, sets, boot);
    const double s = rejects("s* +.1 a decade of C", 0, .1, sets, boot);
    CHECK(size <= .05 + 3 * sqrt(.05 * .95 / sets)); // three standard errors
    CHECK(G >= .8);
    CHECK(s >= .8);
    return test_summary();
}
