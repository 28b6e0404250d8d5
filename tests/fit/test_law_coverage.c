// SPDX-License-Identifier: GPL-3.0-or-later
// Do 95 % intervals of laws hold the truth? Simulated data sets with sd of ln L .005, each
// fitted with 400 resamples: chinchilla at 245 points on the published isoFLOP budgets, routed
// at Clark's 58 points; every parameter, and D*(1e24). Arguments: number of data sets (default
// 1,000), where intervals come from (residuals, cases: that bootstrap; profile: the profile),
// objective (huber, log).
#include "core/err.h"
#include "core/rng.h"
#include "fit/fit.h"
#include "fit/isoflop.h"
#include "tests/fit/clark.h"
#include "tests/fit/law_cases.h"
#include <unistd.h>

enum { MAX_POINTS = 256, RESAMPLES = 400, PROFILE = -1 };
static const double noise = .005;

struct setting {
    const struct law *law;
    const double *truth;
    int n;
    double x[2 * MAX_POINTS];
};

// The nine budgets of Hoffmann 2022, 27 sizes each (28 at both ends) within a factor of 6 of
// the optimum.
static void published_grid(struct setting *s)
{
    static const double C[9] = {6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21};
    s->n = 0;
    for (int b = 0; b < 9; b++) {
        int sizes = b == 0 || b == 8 ? 28 : 27;
        double N, D;
        chinchilla_optimum(s->truth, C[b], &N, &D, NULL);
        for (int i = 0; i < sizes; i++) {
            double *x = s->x + 2 * s->n++;
            x[0] = N * pow(6, 2. * i / (sizes - 1) - 1);
            x[1] = C[b] / 6 / x[0];
        }
    }
}

// Shares of sets outside 92 to 98 % are failures; with few sets, outside by more than chance
// allows (three standard errors of 95 %).
static void judge(const char *name, int hit, int sets)
{
    double slack = sets >= 1000 ? 0 : fmax(0, 3 * sqrt(.95 * .05 / sets) - .03);
    double share = (double)hit / sets;
    printf("  %-7s %.1f %%\n", name, 100 * share);
    CHECK(share >= .92 - slack && share <= .98 + slack);
}

static bool holds(const struct law_fit *f, const struct law_data *d, int j, double truth)
{
    double lo = f->lo[j], hi = f->hi[j];
    if (!f->n_boot) { // NaN: no end
        struct law_profile p;
        if (law_fit_profile_interval(f, d, j, &p) != OK)
            exit(1);
        lo = isnan(p.lo) ? -INFINITY : p.lo;
        hi = isnan(p.hi) ? INFINITY : p.hi;
        CHECK(p.least >= f->objective * (1 - 1e-6));
    }
    return lo <= truth && truth <= hi;
}

// boot: an enum law_boot, or PROFILE.
static void coverage(const struct setting *s, int sets, int boot, enum law_objective objective)
{
    int hit[LAW_MAX_PARAMS + 1] = {0}, p = law_params(s->law, NULL), failed = 0;
    const struct law_param *info;
    bool dense = boot != PROFILE && strcmp(law_name(s->law), "chinchilla") == 0;
    double N, D = 0, y[MAX_POINTS];
    law_params(s->law, &info);
    if (dense)
        chinchilla_optimum(s->truth, 1e24, &N, &D, NULL);
    struct law_options o = {.n_boot = boot == PROFILE ? 0 : RESAMPLES,
                            .boot = boot == PROFILE ? LAW_BOOT_CASES : (enum law_boot)boot,
                            .objective = objective,
                            .seed = 2,
                            .threads = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    for (int k = 0; k < sets; k++) {
        struct rng r;
        struct law_fit f;
        rng_seed(&r, 11, (uint64_t)k);
        for (int i = 0; i < s->n; i++)
            y[i] =
                law_value(s->law, s->truth, s->x + 2 * i, NULL) * exp(noise * rng_normal(&r));
        struct law_data d = {.n = s->n, .x = s->x, .y = y};
        if (law_fit_run(s->law, &d, &o, &f) != OK)
            exit(1);
        for (int j = 0; j < p; j++)
            hit[j] += holds(&f, &d, j, s->truth[j]);
        if (dense) {
            struct optimum best;
            CHECK(chinchilla_optimum_fit(&f, 1e24, &best) == OK);
            hit[p] += best.D_lo <= D && D <= best.D_hi;
        }
        failed += !f.converged;
        law_fit_free(&f);
    }
    printf("%s, %d points, %d sets, %s: %d not converged\n", law_name(s->law), s->n, sets,
           boot == PROFILE          ? "profiles"
           : boot == LAW_BOOT_CASES ? "400 resamples by cases"
                                    : "400 resamples by residuals",
           failed);
    for (int j = 0; j < p; j++)
        judge(info[j].name, hit[j], sets);
    if (dense)
        judge("D*(1e24)", hit[p], sets);
    CHECK(failed <= .01 * sets);
}

int main(int argc, char **argv)
{
    fit_init();
    int sets = argc > 1 ? atoi(argv[1]) : 1000;
    const char *kind = argc > 2 ? argv[2] : "residuals";
    int boot = strcmp(kind, "profile") == 0 ? PROFILE
               : strcmp(kind, "cases") == 0 ? (int)LAW_BOOT_CASES
                                            : (int)LAW_BOOT_RESIDUALS;
    enum law_objective objective =
        argc > 3 && strcmp(argv[3], "log") == 0 ? LAW_SQUARES_LOG : LAW_HUBER_LOG;
    static struct setting s;
    s.law = law_find("chinchilla", 0);
    s.truth = law_cases[0].truth;
    published_grid(&s);
    CHECK(s.n == 245);
    coverage(&s, sets, boot, objective);
    struct clark c = clark_load();
    s.law = law_find("routed", 0);
    s.truth = law_cases[2].truth;
    s.n = c.n;
    memcpy(s.x, c.x, sizeof c.x);
    CHECK(s.n == 58);
    coverage(&s, sets, boot, objective);
    return test_summary();
}
