// SPDX-License-Identifier: GPL-3.0-or-later
// Every law from a cold start on noise-free data of law_cases.h: predictions to 1e-9,
// parameters that the data fix to 1e-6, the others named. Prints time and condition number.
#include "fit/fit.h"
#include "fit/law.h"
#include "tests/fit/law_cases.h"
#include "tests/test.h"
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void recover(const struct law_case *c)
{
    const struct law *l = law_find(c->law, c->columns);
    const struct law_param *info;
    int p = law_params(l, &info), v = law_vars(l, NULL);
    struct law_data d = law_case_data(c, l);
    struct law_options o = {.objective = LAW_HUBER_LOG};
    struct law_fit f;
    double start = now();
    if (law_fit_run(l, &d, &o, &f) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    double time = now() - start, worst = 0, worst_param = 0;
    char names[256] = "";
    for (int64_t i = 0; i < d.n; i++) {
        double got = law_value(l, f.value, d.x + i * v, NULL);
        worst = fmax(worst, fabs(got / d.y[i] - 1));
    }
    for (int j = 0; j < p; j++) {
        if (f.identified[j])
            worst_param = fmax(worst_param, fabs(f.value[j] / c->truth[j] - 1));
        else
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                     *names ? " " : "", info[j].name);
        if (f.identified[j] && !(fabs(f.value[j] / c->truth[j] - 1) <= 1e-6))
            fprintf(stderr, "%s: %s = %.12g, truth %.12g\n", c->law, info[j].name, f.value[j],
                    c->truth[j]);
    }
    printf("%-13s %5lld %10.2f %10.2g %12.1e %12.1e %7d  %s\n", c->law, (long long)d.n,
           1e3 * time, f.condition, worst, worst_param, f.minima, names);
    fflush(stdout);
    CHECK(f.converged);
    CHECK(worst <= 1e-9);
    CHECK(worst_param <= 1e-6);
    CHECK_STR(names, c->unidentified);
    law_fit_free(&f);
    free((void *)(uintptr_t)d.x);
    free((void *)(uintptr_t)d.y);
}

int main(void)
{
    fit_init();
    printf("%-13s %5s %10s %10s %12s %12s %7s  %s\n", "law", "rows", "time, ms", "condition",
           "prediction", "parameters", "minima", "not identified");
    for (int k = 0; k < N_LAW_CASES; k++)
        recover(&law_cases[k]);
    return test_summary();
}
