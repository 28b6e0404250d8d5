// SPDX-License-Identifier: GPL-3.0-or-later
// Times of the laws' engine, chinchilla on synthetic rows with sd of ln L .005: a cold fit and
// the same search from 4,500 starts (what the published fits use), 4,000 resamples, a refit of
// 1,000 rows, and rows up to 1e6. Best of several; times are of processor but for the threads.
#include "core/rng.h"
#include "fit/fit.h"
#include "fit/law_search.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct rows {
    int64_t n;
    double *x, *y;
};

// C from 6e18 to 3e21, N within a factor of 5 of the root of C/120.
static struct rows make(int64_t n)
{
    static const double law[5] = {1.8172, 482.01, 2085.43, .3478, .3658};
    struct rows r = {n, malloc(2 * (size_t)n * sizeof(double)),
                     malloc((size_t)n * sizeof(double))};
    struct rng rng;
    if (!r.x || !r.y)
        exit(1);
    rng_seed(&rng, 5, 0);
    for (int64_t i = 0; i < n; i++) {
        double C = 6e18 * pow(500, rng_uniform(&rng));
        r.x[2 * i] = sqrt(C / 120) * pow(25, rng_uniform(&rng) - .5);
        r.x[2 * i + 1] = C / 6 / r.x[2 * i];
        r.y[i] = law_value(law_find("chinchilla", 0), law, r.x + 2 * i, NULL) *
                 exp(.005 * rng_normal(&rng));
    }
    return r;
}

static struct law_fit fit(const struct rows *r, struct law_options o, double *time)
{
    struct law_data d = {.n = r->n, .x = r->x, .y = r->y};
    struct law_fit f;
    clockid_t clock = o.threads > 1 ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID;
    double start = seconds(clock);
    if (law_fit_run(law_find("chinchilla", 0), &d, &o, &f) != OK)
        exit(1);
    *time = fmin(*time, seconds(clock) - start);
    return f;
}

static double cold(const struct rows *r, int times, double *objective)
{
    double best = 1e9;
    for (int k = 0; k < times; k++) {
        struct law_fit f = fit(r, (struct law_options){0}, &best);
        *objective = f.objective;
        law_fit_free(&f);
    }
    return best;
}

static void many_starts(const struct rows *r)
{
    const struct law *l = law_find("chinchilla", 0);
    struct law_options o = {0};
    struct law_problem p;
    struct law_minima m;
    struct polish_work *w = polish_alloc(r->n, 5);
    if (!w || law_problem_create(&p, l, r->n, &o) != OK)
        exit(1);
    for (int64_t i = 0; i < r->n; i++) {
        double t[2] = {log(r->x[2 * i]), log(r->x[2 * i + 1])};
        law_problem_add(&p, t, r->y[i], 1);
    }
    double start = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (law_search(&p, w, (struct law_effort){4500, 64}, 0, NULL, true, &m) != OK)
        exit(1);
    printf("4,500 starts, 245 rows  %10.2f ms, objective %.15g\n",
           1e3 * (seconds(CLOCK_PROCESS_CPUTIME_ID) - start), m.at[0].objective);
    law_problem_free(&p);
    polish_free(w);
}

int main(void)
{
    fit_init();
    struct rows r = make(245);
    double objective, time = cold(&r, 20, &objective);
    printf("cold fit, 245 rows      %10.2f ms, objective %.15g\n", 1e3 * time, objective);
    many_starts(&r);
    for (int kind = 0; kind < 2; kind++) {
        time = 1e9;
        struct law_options o = {.n_boot = 4000, .boot = kind, .threads = 2};
        struct law_fit f = fit(&r, o, &time);
        printf("4,000 resamples by %-9s %6.2f s on 2 threads\n",
               kind == LAW_BOOT_CASES ? "cases" : "residuals", time);
        law_fit_free(&f);
    }
    free(r.x);
    free(r.y);
    for (int64_t n = 1000; n <= 1000000; n *= 10) {
        r = make(n);
        time = cold(&r, n < 100000 ? 10 : 2, &objective);
        printf("%8lld rows           %10.2f ms, %.2f us a row\n", (long long)n, 1e3 * time,
               1e6 * time / (double)n);
        free(r.x);
        free(r.y);
    }
    return 0;
}
