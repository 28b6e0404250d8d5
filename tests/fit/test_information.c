// SPDX-License-Identifier: GPL-3.0-or-later
// What follows from a fit's derivatives, against doing it: leaving a row out and fitting again,
// adding runs and fitting again; held-out errors against a law that is known.
#include "core/rng.h"
#include "fit/fit.h"
#include "fit/holdout.h"
#include "fit/information.h"
#include "tests/test.h"
#include <sys/mman.h>
#include <unistd.h>

static const double truth[] = {1.8172, 482.01, 2085.43, .3478, .3658}; // E A B alpha beta

// Five scales of nine runs each, noise sd in ln loss; a table as a user would have it.
static void make(struct dataset *d, const struct law *l, double sd, const char *map)
{
    char path[64];
    struct rng r;
    rng_seed(&r, 3, 0);
    const int fd = memfd_create("runs", 0);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f)
        exit(1);
    fputs("N,D,loss\n", f);
    for (double C = 1e18; C < 2e20; C *= 3)
        for (int k = -4; k <= 4; k++) {
            const double N = 2e8 * sqrt(C / 1e18) * pow(1.4, k), D = C / 6 / N;
            fprintf(f, "%.17g,%.17g,%.17g\n", N, D,
                    law_value(l, truth, (double[]){N, D}, NULL) * exp(sd * rng_normal(&r)));
        }
    fflush(f);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(dataset_read(path, map, NULL, 0, &l, 1, d) == OK);
    fclose(f);
}

static void fit(const struct dataset *d, const struct law *l, struct law_fit *f)
{
    double *x = dataset_x(d, l);
    struct law_data ld = {.n = d->n, .x = x, .y = d->y};
    struct law_options o = {.objective = LAW_SQUARES_LOG, .seed = 1, .threads = 1};
    CHECK(law_fit_run(l, &ld, &o, f) == OK && f->converged);
    free(x);
}

// Without each of the rows named most influential the fit is done again. Linearised, a shift of
// s standard errors is off by what the law bends over it, some s^2 times the curvature: a
// quarter of a standard error and a quarter of the shift hold that with room for a steep law,
// and are far from a wrong sign or another row's shift.
static void test_influence(const struct law *l, const struct dataset *d)
{
    enum { K = 5 };
    struct law_fit f;
    struct influence top[K];
    int n;
    int64_t outliers;
    fit(d, l, &f);
    double *x = dataset_x(d, l);
    CHECK(influence_of(&f, x, d->n, K, top, &n, &outliers) == OK && n == K);
    struct information info = {.p = 5};
    double j[LAW_MAX_PARAMS], s2 = 0;
    for (int64_t i = 0; i < d->n; i++) {
        CHECK(information_gradient(&f, x + 2 * i, j));
        information_add(&info, j, 1);
        s2 += f.residual[i] * f.residual[i] / (double)(d->n - 5);
    }
    CHECK(information_invert(&info) == OK);
    bool keep[64];
    for (int t = 0; t < n; t++) {
        CHECK(t == 0 || top[t].distance <= top[t - 1].distance);
        struct dataset part;
        struct law_fit g;
        for (int64_t i = 0; i < d->n; i++)
            keep[i] = i != top[t].row;
        CHECK(dataset_subset(d, keep, &part) == OK && part.n == d->n - 1);
        fit(&part, l, &g);
        const int k = top[t].param;
        const double se = sqrt(s2 * info.inv[k * LAW_MAX_PARAMS + k]);
        const double moved = (g.value[k] - f.value[k]) / se;
        CHECK_NEAR(top[t].moves, moved, .25 + .25 * fabs(moved));
        CHECK(fabs(top[t].moves) > .1);
        law_fit_free(&g);
        dataset_free(&part);
    }
    free(x);
    law_fit_free(&f);
}

// The variance of a prediction is that of the same linear model by the normal equations; after
// the planned runs it is what the plan says; and a plan of a twentieth of the budget spends no
// more.
static void test_next(const struct law *l, const struct dataset *d)
{
    const double at[] = {7e9, 1.4e11};
    struct law_fit f;
    struct next_plan plan;
    fit(d, l, &f);
    CHECK(next_runs(&f, d, at, 0, &plan) == OK && !plan.hopeless && plan.n > 0);
    CHECK(plan.left < 1 && plan.sd > 0);
    struct information info = {.p = 5};
    double j[LAW_MAX_PARAMS], g[LAW_MAX_PARAMS];
    double *x = dataset_x(d, l);
    for (int64_t i = 0; i < d->n; i++) {
        information_gradient(&f, x + 2 * i, j);
        information_add(&info, j, 1);
    }
    CHECK(information_invert(&info) == OK && information_gradient(&f, at, g));
    const double before = information_form(&info, g, g);
    const struct information info0 = info;
    double C = 0;
    for (int i = 0; i < plan.n; i++) {
        CHECK(plan.run[i].count >= 1 && plan.run[i].alone <= 1);
        CHECK_REL(plan.run[i].C, 6 * plan.run[i].x[0] * plan.run[i].x[1], 1e-12);
        C += plan.run[i].count * plan.run[i].C;
        struct information one = info0;
        information_gradient(&f, plan.run[i].x, j);
        information_add(&one, j, 1);
        CHECK(information_invert(&one) == OK);
        CHECK_REL(plan.run[i].alone, sqrt(information_form(&one, g, g) / before), 1e-8);
        information_gradient(&f, plan.run[i].x, j);
        information_add(&info, j, plan.run[i].count);
    }
    CHECK(information_invert(&info) == OK);
    // The inverse loses the condition number of the scaled matrix, some 1e6, times rounding.
    CHECK_REL(plan.left, sqrt(information_form(&info, g, g) / before), 1e-8);
    CHECK_REL(plan.C, C, 1e-12);
    struct next_plan small;
    CHECK(next_runs(&f, d, at, plan.C / 20, &small) == OK);
    CHECK(small.C <= plan.C / 20 && small.left >= plan.left);
    free(x);
    law_fit_free(&f);
}

static void test_holdout(const struct law *l, const struct dataset *d, double sd)
{
    int held[64], folds = dataset_scales(d, held), unsound;
    double error[64];
    int64_t used;
    struct law_options o = {.objective = LAW_SQUARES_LOG, .seed = 1, .threads = 1};
    CHECK(folds == 5);
    for (int64_t i = 0; i < d->n; i++)
        held[i]++;
    CHECK(holdout_errors(d, l, &o, held, folds, error, &unsound) == OK && unsound == 0);
    // The right law's held-out error is the noise, up to its own uncertainty: with 45 runs of 5
    // parameters within a factor of two.
    const double rmse = holdout_rmse(error, d->n, &used);
    CHECK(used == d->n && rmse > sd / 2 && rmse < sd * 2);
    const struct law *wrong = law_find("kaplan", 2);
    double other[64];
    CHECK(holdout_errors(d, wrong, &o, held, folds, other, &unsound) == OK);
    CHECK(holdout_rmse(other, d->n, &used) > 2 * rmse);
    CHECK(holdout_contrast(other, error, held, folds, d->n) > 0);
    CHECK_NEAR(holdout_contrast(other, error, held, folds, d->n),
               -holdout_contrast(error, other, held, folds, d->n), 0);
    holdout_largest(d, .1, held);
    int largest = 0;
    for (int64_t i = 0; i < d->n; i++)
        largest += held[i] == 1 && d->C[i] > 5e19;
    CHECK(largest == 9); // the whole last scale, as its nine rows tie
    // n ln(s^2) + 2k + 2k(k+1)/(n-k-1), k = 6, n = 45
    CHECK_REL(aicc(45, 5, .01), 45 * log(1e-4) + 12 + 84. / 38, 1e-14);
    CHECK(isinf(aicc(7, 5, .01)));
}

static void test_dataset(void)
{
    const struct law *l;
    CHECK(law_of("powersum", "X1=N,X2=D,loss=loss", &l) == OK && law_vars(l, NULL) == 2);
    CHECK(law_of("powersum", "loss=loss", &l) == ERR_INPUT);
    CHECK(law_of("chinchila", NULL, &l) == ERR_INPUT && strstr(err_message(), "kaplan"));
    CHECK_STR(law_output(law_find("leverage", 3)), "EL");
    CHECK_STR(law_output(law_find("routed", 2)), "loss");
    struct dataset d;
    l = law_find("chinchilla", 2);
    make(&d, l, 0, "loss=loss/ln(2),D=D/1e9");
    json_t *notes = json_array();
    CHECK(dataset_doubts(&d, l, notes) == OK && json_array_size(notes) == 1);
    CHECK(strstr(json_string_value(json_array_get(notes, 0)), "tokens: at most"));
    json_decref(notes);
    bool mixed[LAW_MAX_PARAMS];
    CHECK(dataset_confounded(&d, l, truth, mixed) == OK);
    CHECK(!mixed[0] && !mixed[1] && !mixed[2] && !mixed[3] && !mixed[4]);
    dataset_free(&d);
    make(&d, l, 0, "D=20*N");
    CHECK(dataset_confounded(&d, l, truth, mixed) == OK);
    CHECK(!mixed[0] && mixed[1] && mixed[2] && mixed[3] && mixed[4]); // all but E
    dataset_free(&d);
}

int main(void)
{
    fit_init();
    const double sd = .004;
    const struct law *l = law_find("chinchilla", 2);
    struct dataset d;
    make(&d, l, sd, NULL);
    CHECK(d.n == 45 && d.n_table == 45 && strcmp(d.C_rule, "6 N D") == 0);
    test_influence(l, &d);
    test_next(l, &d);
    test_holdout(l, &d, sd);
    dataset_free(&d);
    test_dataset();
    return test_summary();
}
