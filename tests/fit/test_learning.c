// SPDX-License-Identifier: GPL-3.0-or-later
// Final losses from the first part of learning curves: real curves (tests/data/curves.csv), how
// often the 95 % intervals hold the final loss of runs left out; and curves with a known end.
#include "core/rng.h"
#include "fit/fit.h"
#include "fit/learning.h"
#include "fit/table.h"
#include "tests/test.h"

enum { MAX_RUNS = 64, MAX_POINTS = 4096 };
struct curves {
    int n;
    struct learning_run run[MAX_RUNS];
    double D[MAX_POINTS], loss[MAX_POINTS];
};

static double number(const struct table *t, const char *name, int64_t row)
{
    return t->col[table_find(t, name)].number[row];
}

static void read_curves(struct curves *c)
{
    struct table t = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/data/curves.csv", getenv("MOESWEEP_SOURCE"));
    if (table_read(path, &t) != OK || t.n > MAX_POINTS) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    double last = 0;
    for (int64_t i = 0; i < t.n; i++) {
        const double run = number(&t, "run", i);
        if (run != last && c->n < MAX_RUNS)
            c->run[c->n++] = (struct learning_run){.name = "",
                                                   .D = c->D + i,
                                                   .loss = c->loss + i,
                                                   .D_end = number(&t, "D_end", i),
                                                   .final = number(&t, "final", i),
                                                   .C = number(&t, "C", i)};
        last = run;
        c->D[i] = number(&t, "D", i);
        c->loss[i] = number(&t, "loss", i);
        c->run[c->n - 1].n++;
    }
    table_free(&t);
}

// The intervals must hold, by the binomial's three standard errors, and errors must be smaller
// than those of a guess without the curve: chinchilla fitted to these runs is off by 2.3 %.
static void test_real(const struct curves *c)
{
    static const double parts[3] = {.25, .5, .7}, most[3] = {.02, .015, .012};
    const double least = .95 - 3 * sqrt(.95 * .05 / c->n);
    printf("%-8s %5s %8s %8s %8s   %s\n", "method", "part", "rmse, %", "+-, %", "held, %",
           "largest C from smaller: rmse, held (runs)");
    for (int m = 0; m < LEARNING_law; m++)
        for (int k = 0; k < 3; k++) {
            struct learning_score s;
            CHECK(learning_test(c->run, c->n, (enum learning_method)m, parts[k], &s) == OK);
            printf("%-8s %5.2f %8.2f %8.2f %8.0f   %.2f %.0f (%d)\n",
                   learning_method_name((enum learning_method)m), parts[k], 100 * s.rmse,
                   100 * s.half, 100 * s.cover, 100 * s.rmse_large, 100 * s.cover_large,
                   s.n_large);
            CHECK(s.n == c->n && s.cover >= least);
            if (m == LEARNING_last_D)
                CHECK(s.rmse <= most[k]);
        }
}

// Curves E + k D^-p with a drop towards the end that grows with what is left above E, as under
// a decaying rate; noise of 1 % on points, .5 % on final losses.
static void plant(struct curves *c, struct rng *r, int n, bool drop)
{
    c->n = n;
    for (int i = 0; i < n; i++) {
        double *D = c->D + 50 * i, *loss = c->loss + 50 * i;
        const double end = 1e6 * pow(30, rng_uniform(r)), k = 8 * exp(.1 * rng_normal(r));
        for (int j = 0; j < 50; j++) {
            D[j] = end * (j + 1) / 50;
            loss[j] = (1.2 + k * pow(D[j], -.2)) * exp(.01 * rng_normal(r));
        }
        const double left = k * pow(end, -.2);
        c->run[i] = (struct learning_run){.name = "",
                                          .n = 50,
                                          .D = D,
                                          .loss = loss,
                                          .D_end = end,
                                          .C = end,
                                          .final = (1.2 + (drop ? .7 : 1) * left) *
                                                   exp(.005 * rng_normal(r))};
    }
}

static void test_planted(void)
{
    static struct curves c;
    struct rng r;
    int held[N_LEARNING_METHODS] = {0}, of[N_LEARNING_METHODS] = {0}, alone = 0, fooled = 0;
    rng_seed(&r, 11, 0);
    for (int i = 0; i < 20; i++) {
        plant(&c, &r, 30, true);
        for (int k = 0; k < 10; k++) {
            struct learning_run hidden = c.run[k];
            struct learning_guess g;
            // form fits 30 curves each time: one set of it is enough
            for (int m = 0; m < (i < 1 ? LEARNING_law : LEARNING_form); m++) {
                const double truth = c.run[k].final;
                c.run[k].final = (double)NAN;
                CHECK(learning_predict(c.run, c.n, (enum learning_method)m, .5, &hidden, &g) ==
                      OK);
                c.run[k].final = truth;
                CHECK(g.n == 29);
                held[m] += g.lo <= truth && truth <= g.hi;
                of[m]++;
            }
        }
        if (i >= 6)
            continue;
        // Alone, a curve says what comes at the same learning rate, and nothing of a drop.
        struct learning_guess g;
        CHECK(learning_extrapolate(&c.run[0], .5, &g) == OK);
        fooled += g.lo > c.run[0].final;
        plant(&c, &r, 1, false);
        CHECK(learning_extrapolate(&c.run[0], .5, &g) == OK);
        alone += g.lo <= c.run[0].final && c.run[0].final <= g.hi;
    }
    printf("planted: ");
    for (int m = 0; m < LEARNING_law; m++) {
        printf("%s %d of %d held, ", learning_method_name((enum learning_method)m), held[m],
               of[m]);
        // Runs of a set share their calibration: four standard errors.
        CHECK_NEAR((double)held[m] / of[m], .95, 4 * sqrt(.95 * .05 / of[m]));
    }
    printf("alone %d of 6 held, with a drop %d of 6 far above\n", alone, fooled);
    CHECK(alone >= 4); // fewer by chance in one test of 450
    CHECK(fooled == 6);
}

static void test_few(const struct curves *c)
{
    struct learning_score s;
    struct learning_guess g;
    CHECK(learning_test(c->run, 5, LEARNING_last, .5, &s) == OK && isnan(s.rmse));
    CHECK(learning_predict(c->run, 5, LEARNING_last, .5, &c->run[0], &g) == OK);
    CHECK(isnan(g.value));
    // No law, no method `law`; nothing seen, no prediction.
    CHECK(learning_test(c->run, c->n, LEARNING_law, .5, &s) == OK && isnan(s.rmse));
    CHECK(learning_predict(c->run, c->n, LEARNING_last, 0, &c->run[0], &g) == OK);
    CHECK(isnan(g.value) && isnan(g.lo));
    CHECK_NEAR(learning_share(&c->run[0]), 1, 1e-12);
}

int main(void)
{
    static struct curves c;
    fit_init();
    read_curves(&c);
    test_real(&c);
    test_planted();
    test_few(&c);
    return test_summary();
}
