// SPDX-License-Identifier: GPL-3.0-or-later
// Times of the laws' engine on rows of chinchilla: bench_law [DATA.csv]. With 245 rows (DATA's
// N, D and loss instead, where given): a cold fit, the same search from 4,500 starts with 64
// polished (what the published fits use), 4,000 resamples. Then refits of more rows, up to 1e6.
// Synthetic rows have sd .005 of ln L. Columns: what, rows, seconds (best of several; of
// processor but for the threads), objective.
#include "core/rng.h"
#include "fit/dataset.h"
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

static struct rows load(const char *path)
{
    const struct law *law = law_find("chinchilla", 0);
    struct dataset d;
    if (dataset_read(path, NULL, NULL, 0, &law, 1, &d) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(2);
    }
    struct rows r = {d.n, dataset_x(&d, law), malloc((size_t)d.n * sizeof(double))};
    if (!r.x || !r.y)
        exit(1);
    for (int64_t i = 0; i < d.n; i++)
        r.y[i] = d.y[i];
    dataset_free(&d);
    return r;
}

static void print(const char *what, const struct rows *r, double time, double objective)
{
    printf("%-20s %8lld %.3e %.15g\n", what, (long long)r->n, time, objective);
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

static void cold(const struct rows *r, int times)
{
    double best = 1e9, objective = 0;
    for (int k = 0; k < times; k++) {
        struct law_fit f = fit(r, (struct law_options){0}, &best);
        objective = f.objective;
        law_fit_free(&f);
    }
    print("cold", r, best, objective);
}

static void resamples(const struct rows *r, enum law_boot kind, const char *what)
{
    double time = 1e9;
    struct law_fit f =
        fit(r, (struct law_options){.n_boot = 4000, .boot = kind, .threads = 2}, &time);
    print(what, r, time, f.objective);
    law_fit_free(&f);
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
    print("4500_starts", r, seconds(CLOCK_PROCESS_CPUTIME_ID) - start, m.at[0].objective);
    law_problem_free(&p);
    polish_free(w);
}

int main(int argc, char **argv)
{
    fit_init();
    struct rows r = argc > 1 ? load(argv[1]) : make(245);
    cold(&r, 20);
    many_starts(&r);
    resamples(&r, LAW_BOOT_CASES, "4000_cases");
    resamples(&r, LAW_BOOT_RESIDUALS, "4000_residuals");
    free(r.x);
    free(r.y);
    for (int64_t n = 1000; n <= 1000000; n *= 10) {
        r = make(n);
        cold(&r, n < 100000 ? 10 : 2);
        free(r.x);
        free(r.y);
    }
    return 0;
}
