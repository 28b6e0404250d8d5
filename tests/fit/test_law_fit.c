// SPDX-License-Identifier: GPL-3.0-or-later
// The engine around the solver: objectives, weights, bootstraps, profile, what data cannot fix,
// bad data.
#include "core/rng.h"
#include "fit/fit.h"
#include "fit/law.h"
#include "tests/fit/law_cases.h"
#include "tests/test.h"

enum { ROWS = 120 };
static const double truth[5] = {1.8172, 482.01, 2085.43, .3478, .3658};
struct sample {
    double x[2 * ROWS], y[ROWS], weight[ROWS];
    int scale[ROWS];
};

// Twelve sizes by ten lengths, noise of sd in ln L; the scale is the size.
static struct sample sample(double sd, uint64_t seed)
{
    struct sample s;
    struct rng r;
    rng_seed(&r, seed, 0);
    for (int i = 0; i < ROWS; i++) {
        s.x[2 * i] = 5e7 * pow(1.7, i % 12);
        s.x[2 * i + 1] = 1e9 * pow(2, i / 12);
        s.y[i] = law_value(law_find("chinchilla", 0), truth, s.x + 2 * i, NULL) *
                 exp(sd * rng_normal(&r));
        s.weight[i] = 1;
        s.scale[i] = i % 12;
    }
    return s;
}

static struct law_fit fit(const char *law, const struct law_data *d, struct law_options o)
{
    struct law_fit f;
    if (law_fit_run(law_find(law, 2), d, &o, &f) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    return f;
}

static void test_bootstrap(void)
{
    struct sample s = sample(.005, 1);
    struct law_data d = {.n = ROWS, .x = s.x, .y = s.y, .scale = s.scale};
    for (int kind = 0; kind < 3; kind++) {
        struct law_options o = {
            .n_boot = 60, .boot = (enum law_boot)kind, .seed = 4, .threads = 1};
        struct law_fit one = fit("chinchilla", &d, o);
        o.threads = 3;
        struct law_fit many = fit("chinchilla", &d, o);
        o.seed = 5;
        struct law_fit other = fit("chinchilla", &d, o);
        size_t bytes = 60 * 5 * sizeof(double);
        CHECK(one.n_boot == 60 && memcmp(one.boot, many.boot, bytes) == 0);
        CHECK(memcmp(one.boot, other.boot, bytes) != 0);
        for (int j = 0; j < 5; j++)
            CHECK(one.lo[j] < one.value[j] && one.value[j] < one.hi[j]);
        law_fit_free(&one);
        law_fit_free(&many);
        law_fit_free(&other);
    }
    // Too few for a quantile; none.
    struct law_fit f = fit("chinchilla", &d, (struct law_options){.n_boot = FIT_MIN_BOOT - 1});
    CHECK(isnan(f.lo[0]) && isnan(f.hi[0]));
    law_fit_free(&f);
    f = fit("chinchilla", &d, (struct law_options){0});
    double v, lo, hi;
    law_fit_predict(&f, (double[]){1e9, 1e11}, &v, &lo, &hi);
    CHECK(isfinite(v) && isnan(lo) && isnan(hi) && f.boot == NULL);
    law_fit_free(&f);
}

// A new observation's interval has the noise in it: 2 x 1.96 sd, for the law's own is small
// here. 400 draws know either quantile to about 10 % of an sd.
static void test_prediction(void)
{
    struct sample s = sample(.01, 2);
    struct law_data d = {.n = ROWS, .x = s.x, .y = s.y};
    struct law_options o = {.n_boot = 400, .boot = LAW_BOOT_RESIDUALS, .threads = 2};
    struct law_fit f = fit("chinchilla", &d, o);
    double x[2] = {1e9, 5e10}, v, lo, hi, new_lo, new_hi;
    law_fit_predict(&f, x, &v, &lo, &hi);
    CHECK(lo < v && v < hi && hi - lo < .01 * v);
    law_fit_predict_new(&f, x, &v, &new_lo, &new_hi);
    CHECK(new_lo < lo && hi < new_hi);
    CHECK_REL(log(new_hi / new_lo), 2 * 1.96 * .01, .25);
    law_fit_free(&f);
}

// A line in logarithms has Student's interval: 2.364624 standard errors, 7 degrees of freedom.
static void profile_is_students(const struct law_fit *f, const struct law_data *d, double mean,
                                double sxx)
{
    struct law_profile p, k;
    double n = (double)d->n, s2 = 2 * f->objective / (n - 2),
           half = 2.364624252 * sqrt(s2 / sxx);
    CHECK(law_fit_profile_interval(f, d, 1, &p) == OK);
    CHECK_NEAR(p.lo, f->value[1] - half, 2e-6 * half); // ends are known to 1e-6 of it
    CHECK_NEAR(p.hi, f->value[1] + half, 2e-6 * half);
    CHECK(law_fit_profile_interval(f, d, 0, &k) == OK);
    half = 2.364624252 * sqrt(s2 * (1 / n + mean * mean / sxx));
    CHECK_NEAR(log(k.lo), log(f->value[0]) - half, 2e-6 * half);
    CHECK_NEAR(log(k.hi), log(f->value[0]) + half, 2e-6 * half);
    CHECK_REL(p.least, f->objective, 1e-9);
    for (int i = 0; i < LAW_PROFILE_POINTS; i++) {
        double u = (p.at[i] - f->value[1]) / (p.hi - f->value[1]);
        CHECK_NEAR(p.rise[i], u * u, 1e-5);
    }
}

// The profile of a linear problem is a parabola known in closed form: ln y = ln k + p ln X.
static void test_profile(void)
{
    enum { N = 9 };
    double x[N], y[N], mean = 0, sxx = 0, at[3], objective[3];
    struct rng r;
    rng_seed(&r, 3, 0);
    for (int i = 0; i < N; i++) {
        x[i] = 1e18 * pow(3, i);
        y[i] = 22.9 * pow(x[i], .456) * exp(.02 * rng_normal(&r));
        mean += log(x[i]) / N;
    }
    for (int i = 0; i < N; i++)
        sxx += (log(x[i]) - mean) * (log(x[i]) - mean);
    struct law_data d = {.n = N, .x = x, .y = y};
    struct law_fit f = fit("cmd", &d, (struct law_options){.objective = LAW_SQUARES_LOG});
    for (int k = 0; k < 3; k++)
        at[k] = f.value[1] + .01 * (k - 1);
    CHECK(law_fit_profile(&f, &d, 1, at, 3, objective) == OK);
    CHECK_REL(objective[1], f.objective, 1e-9); // two minima, each to 1e-10 of itself
    for (int k = 0; k < 3; k += 2)
        CHECK_REL(objective[k] - objective[1], .5 * 1e-4 * sxx, 1e-7);
    at[0] = -1;
    CHECK(law_fit_profile(&f, &d, 0, at, 1, objective) == OK && isnan(objective[0]));
    profile_is_students(&f, &d, mean, sxx);
    law_fit_free(&f);

    struct sample s = sample(.005, 7);
    d = (struct law_data){.n = ROWS, .x = s.x, .y = s.y};
    f = fit("chinchilla", &d, (struct law_options){0});
    for (int k = 0; k < 3; k++)
        at[k] = f.value[3] * (1 + .05 * (k - 1));
    CHECK(law_fit_profile(&f, &d, 3, at, 3, objective) == OK);
    CHECK_REL(objective[1], f.objective, 1e-9);
    CHECK(objective[0] > objective[1] && objective[2] > objective[1]);
    law_fit_free(&f);
}

// First order: weighted residuals of an intercept sum to nothing. The minimum is known to 1e-10
// of the objective, its gradient to the root of that.
static void test_objectives(void)
{
    struct sample s = sample(.01, 3);
    struct law_data d = {.n = ROWS, .x = s.x, .y = s.y};
    static const enum law_objective kinds[3] = {LAW_SQUARES_LOG, LAW_ASYMMETRIC, LAW_SQUARES};
    double level[3] = {0};
    for (int k = 0; k < 3; k++) {
        struct law_fit f = fit("chinchilla", &d, (struct law_options){.objective = kinds[k]});
        double sum = 0, size = 0;
        for (int i = 0; i < ROWS; i++) {
            // d value / d E: 1/L in logarithms.
            double slope =
                kinds[k] == LAW_SQUARES ? 1 : 1 / law_value(f.law, f.value, s.x + 2 * i, NULL);
            double w = kinds[k] == LAW_ASYMMETRIC && f.residual[i] > 0 ? .25 : 1;
            sum += w * slope * f.residual[i];
            size += fabs(w * slope * f.residual[i]);
            level[k] += law_value(f.law, f.value, s.x + 2 * i, NULL) / ROWS;
        }
        CHECK(f.converged && f.r2 > .9);
        CHECK_NEAR(sum, 0, 1e-5 * size);
        law_fit_free(&f);
    }
    CHECK(level[1] < level[0]); // below the mean: nearer to the best runs
    // Squares mind the unit of y, only as a unit.
    struct law_fit f = fit("chinchilla", &d, (struct law_options){.objective = LAW_SQUARES}), g;
    for (int i = 0; i < ROWS; i++)
        s.y[i] *= 1e6;
    g = fit("chinchilla", &d, (struct law_options){.objective = LAW_SQUARES});
    CHECK_REL(g.value[3], f.value[3], 1e-6);
    CHECK_REL(g.value[0], 1e6 * f.value[0], 1e-6);
    law_fit_free(&f);
    law_fit_free(&g);
    // Huber: a tenth of the rows 10 % off; the corner bounds the pull of each to 1e-3 of ln L.
    s = sample(0, 3);
    for (int i = 0; i < ROWS; i += 10)
        s.y[i] *= 1.1;
    f = fit("chinchilla", &d, (struct law_options){0});
    g = fit("chinchilla", &d, (struct law_options){.objective = LAW_SQUARES_LOG});
    double robust = fabs(f.value[3] - truth[3]), plain = fabs(g.value[3] - truth[3]);
    CHECK(f.converged && robust < 2e-3 && robust < .1 * plain);
    law_fit_free(&f);
    law_fit_free(&g);
}

// A weight of two is the row twice; of nothing, no row.
static void test_weights(void)
{
    struct sample s = sample(.01, 5), t = s;
    double x[2 * (ROWS + 3)], y[ROWS + 3];
    memcpy(x, s.x, sizeof s.x);
    memcpy(y, s.y, sizeof s.y);
    for (int k = 0; k < 3; k++) {
        t.weight[7 * k] = 2;
        memcpy(x + 2 * (ROWS + k), s.x + 14 * k, 2 * sizeof *x);
        y[ROWS + k] = s.y[7 * k];
    }
    t.weight[5] = 0;
    t.y[5] = 1e3; // and so of no matter
    struct law_data with = {.n = ROWS, .x = t.x, .y = t.y, .weight = t.weight};
    memmove(x + 10, x + 12, sizeof x - 12 * sizeof *x);
    memmove(y + 5, y + 6, sizeof y - 6 * sizeof *y);
    struct law_data twice = {.n = ROWS + 2, .x = x, .y = y};
    struct law_fit f = fit("chinchilla", &with, (struct law_options){0});
    struct law_fit g = fit("chinchilla", &twice, (struct law_options){0});
    for (int j = 0; j < 5; j++)
        CHECK_REL(f.value[j], g.value[j], 1e-6);
    CHECK_REL(f.objective, g.objective, 1e-9);
    law_fit_free(&f);
    law_fit_free(&g);
}

// Rows without a term in N: A and alpha may be anything, yet every resample has an answer (of
// Newton's iteration alone half of them are still on their way down a bent valley).
static void test_no_term(void)
{
    static const double flat[5] = {1.8172, 0, 2085.43, .3478, .3658};
    for (uint64_t seed = 27; seed < 31; seed += 3) {
        struct sample s = sample(0, 1), t = sample(.005, seed);
        for (int i = 0; i < ROWS; i++)
            s.y[i] =
                t.y[i] / s.y[i] * law_value(law_find("chinchilla", 0), flat, s.x + 2 * i, NULL);
        struct law_data d = {.n = ROWS, .x = s.x, .y = s.y};
        struct law_fit f = fit("chinchilla", &d, (struct law_options){.n_boot = 100});
        int failed = 0;
        for (int b = 0; b < f.n_boot; b++)
            failed += !isfinite(f.boot[5 * b]);
        CHECK(f.converged && f.identified[2] && f.identified[4]);
        CHECK(failed <= 2);
        law_fit_free(&f);
    }
}

static void unidentified(const struct law_fit *f, const char *want)
{
    const struct law_param *info;
    char names[128] = "";
    for (int j = 0; j < law_params(f->law, &info); j++)
        if (!f->identified[j])
            snprintf(names + strlen(names), sizeof names - strlen(names), " %s", info[j].name);
    CHECK_STR(names, want);
}

static void test_identified(void)
{
    for (int noisy = 0; noisy < 2; noisy++)
        for (int sizes = 1; sizes <= 3; sizes++) {
            struct sample s = sample(0, 6), t = sample(.003, 6);
            for (int i = 0; i < ROWS; i++) {
                double factor = noisy ? t.y[i] / s.y[i] : 1;
                s.x[2 * i] = 1e8 * pow(30, i % sizes);
                s.y[i] =
                    factor * law_value(law_find("chinchilla", 0), truth, s.x + 2 * i, NULL);
            }
            struct law_data d = {.n = ROWS, .x = s.x, .y = s.y};
            struct law_fit f = fit("chinchilla", &d, (struct law_options){0});
            // One or two sizes leave a family of A N^-alpha + E.
            unidentified(&f, sizes < 3 ? " E A alpha" : "");
            CHECK(f.converged);
            CHECK_NEAR(f.value[4], truth[4], noisy ? .05 : 1e-6);
            law_fit_free(&f);
        }
    // Sizes within 1 %: without noise alpha is there; with noise of .5 % it may be anything.
    for (int noisy = 0; noisy < 2; noisy++) {
        struct sample t = sample(0, 6), u = sample(.005, 6);
        for (int i = 0; i < ROWS; i++) {
            double factor = noisy ? u.y[i] / t.y[i] : 1;
            t.x[2 * i] = 1e8 * pow(1.01, i % 12 / 11.);
            t.y[i] = factor * law_value(law_find("chinchilla", 0), truth, t.x + 2 * i, NULL);
        }
        struct law_data d = {.n = ROWS, .x = t.x, .y = t.y};
        struct law_fit f = fit("chinchilla", &d, (struct law_options){0});
        CHECK(f.identified[3] == !noisy && f.identified[4]);
        law_fit_free(&f);
    }
    // One row again and again.
    struct sample s = sample(0, 6);
    for (int i = 1; i < ROWS; i++) {
        memcpy(s.x + 2 * i, s.x, 2 * sizeof *s.x);
        s.y[i] = s.y[0];
    }
    struct law_data d = {.n = ROWS, .x = s.x, .y = s.y};
    struct law_fit f = fit("chinchilla", &d, (struct law_options){0});
    unidentified(&f, " E A B alpha beta");
    CHECK_REL(law_value(f.law, f.value, s.x, NULL), s.y[0], 1e-9);
    law_fit_free(&f);
    // No floor: E = 0 is reached, and is an answer.
    s = sample(0, 6);
    for (int i = 0; i < ROWS; i++)
        s.y[i] -= truth[0];
    f = fit("chinchilla", &d, (struct law_options){0});
    CHECK_NEAR(f.value[0], 0, 1e-9);
    CHECK_REL(f.value[3], truth[3], 1e-6);
    unidentified(&f, "");
    law_fit_free(&f);
}

static void refused(const char *law, const double *x, double y, const char *says)
{
    enum { N = 40 };
    double xs[N * LAW_MAX_VARS], ys[N];
    const struct law *l = law_find(law, 2);
    struct law_fit f;
    int v = law_vars(l, NULL);
    for (int i = 0; i < N; i++) {
        ys[i] = i == 3 ? y : 2;
        for (int j = 0; j < v; j++)
            xs[i * v + j] = i == 3 ? x[j] : .5 * (6 + j);
    }
    for (int i = 0; i < N; i++) // inside every domain but for row 4
        if (i != 3)
            for (int j = 0; j < v; j++)
                if (strcmp(law, "allocation") == 0 && j == 2)
                    xs[i * v + j] = .5;
    struct law_data d = {.n = N, .x = xs, .y = ys};
    CHECK(law_fit_run(l, &d, &(struct law_options){0}, &f) == ERR_INPUT);
    if (!strstr(err_message(), says))
        fprintf(stderr, "'%s' is not in: %s\n", says, err_message());
    CHECK(strstr(err_message(), says) != NULL);
    law_fit_free(&f);
}

static void test_refused(void)
{
    refused("chinchilla", (double[]){0, 5}, 2, "row 4: N is 0");
    refused("chinchilla", (double[]){5, (double)NAN}, 2, "row 4: D is nan");
    refused("chinchilla", (double[]){5, 5}, 0, "row 4: the value to fit is 0");
    refused("chinchilla", (double[]){5, 5}, (double)INFINITY, "row 4: the value to fit is inf");
    refused("allocation", (double[]){5, 5, 1, 5}, 2, "row 4: z is 1");
    refused("allocation", (double[]){5, 5, -.1, 5}, 2, "row 4: z is -0.1");
    refused("routed", (double[]){5, .5}, 2, "row 4: E is 0.5");
    struct sample s = sample(.005, 1);
    struct law_fit f;
    struct law_data d = {.n = 4, .x = s.x, .y = s.y, .weight = s.weight};
    const struct law *l = law_find("chinchilla", 0);
    CHECK(law_fit_run(l, &d, &(struct law_options){0}, &f) == ERR_INPUT);
    CHECK(strstr(err_message(), "5 parameters") && strstr(err_message(), "4"));
    d.n = ROWS;
    struct law_options o = {.n_boot = 50, .boot = LAW_BOOT_SCALES};
    CHECK(law_fit_run(l, &d, &o, &f) == ERR_INPUT && strstr(err_message(), "scale"));
    s.weight[2] = -1;
    CHECK(law_fit_run(l, &d, &(struct law_options){0}, &f) == ERR_INPUT);
    CHECK(strstr(err_message(), "row 3: weight -1") != NULL);
}

// More rows than the search looks at: sought on a part, polished on all.
static void test_many_rows(void)
{
    enum { N = 20000 };
    double *x = malloc(2 * N * sizeof *x), *y = malloc(N * sizeof *y);
    struct rng r;
    rng_seed(&r, 9, 0);
    for (int i = 0; x && y && i < N; i++) {
        x[2 * i] = 5e7 * pow(400, rng_uniform(&r));
        x[2 * i + 1] = 1e9 * pow(1000, rng_uniform(&r));
        y[i] = law_value(law_find("chinchilla", 0), truth, x + 2 * i, NULL) *
               exp(.005 * rng_normal(&r));
    }
    struct law_data d = {.n = N, .x = x, .y = y};
    struct law_fit f = fit("chinchilla", &d, (struct law_options){0});
    CHECK(f.converged);
    CHECK_NEAR(f.value[3], truth[3], .003); // its standard error is about .0007
    CHECK_NEAR(f.rmse_log, .005, .0002);
    law_fit_free(&f);
    free(x);
    free(y);
}

int main(void)
{
    fit_init();
    test_bootstrap();
    test_prediction();
    test_profile();
    test_objectives();
    test_weights();
    test_identified();
    test_no_term();
    test_refused();
    test_many_rows();
    return test_summary();
}
