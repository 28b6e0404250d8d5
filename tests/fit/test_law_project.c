// SPDX-License-Identifier: GPL-3.0-or-later
// The two parts of the solver on their own: projection with signs against all active sets, and
// Newton's convergence.
#include "core/rng.h"
#include "fit/fit.h"
#include "fit/law_problem.h"
#include "tests/test.h"

enum { ROWS = 30, COLUMNS = 3, TERMS = COLUMNS + 1 };

// Least squares over the columns in `set` by Gram-Schmidt; the sum of squares left, or infinity
// where a coefficient is negative.
static double subset(double a[TERMS][ROWS], const double *y, int set)
{
    double q[TERMS][ROWS], r[TERMS][TERMS] = {{0}}, c[TERMS], left[ROWS], x[TERMS], sum = 0;
    int at[TERMS], m = 0;
    for (int j = 0; j < TERMS; j++)
        if (set >> j & 1)
            at[m++] = j;
    memcpy(left, y, sizeof left);
    for (int j = 0; j < m; j++) {
        memcpy(q[j], a[at[j]], sizeof q[j]);
        for (int again = 0; again < 2; again++)
            for (int k = 0; k < j; k++) {
                double dot = 0;
                for (int i = 0; i < ROWS; i++)
                    dot += q[k][i] * q[j][i];
                for (int i = 0; i < ROWS; i++)
                    q[j][i] -= dot * q[k][i];
                r[k][j] += dot;
            }
        for (int i = 0; i < ROWS; i++)
            r[j][j] += q[j][i] * q[j][i];
        r[j][j] = sqrt(r[j][j]);
        c[j] = 0;
        for (int i = 0; i < ROWS; i++)
            c[j] += (q[j][i] /= r[j][j]) * left[i];
        for (int i = 0; i < ROWS; i++)
            left[i] -= c[j] * q[j][i];
    }
    for (int j = m - 1; j >= 0; j--) {
        x[j] = c[j];
        for (int k = j + 1; k < m; k++)
            x[j] -= r[j][k] * x[k];
        x[j] /= r[j][j];
        if (x[j] < 0)
            return (double)INFINITY;
    }
    for (int i = 0; i < ROWS; i++)
        sum += left[i] * left[i];
    return sum;
}

static void test_projection(void)
{
    const struct law *l = law_find("powersum", COLUMNS);
    struct rng r;
    int bound = 0;
    rng_seed(&r, 12, 0);
    for (int k = 0; k < 300; k++) {
        struct law_problem p;
        struct law_options o = {.objective = LAW_SQUARES_LOG};
        double params[1 + 2 * COLUMNS], a[TERMS][ROWS], ones[ROWS], best = (double)INFINITY;
        CHECK(law_problem_create(&p, l, ROWS, &o) == OK);
        for (int j = 0; j < COLUMNS; j++)
            params[2 * j + 2] = .1 + rng_uniform(&r);
        for (int i = 0; i < ROWS; i++) {
            double t[COLUMNS], y = exp(.3 * rng_normal(&r));
            for (int j = 0; j < COLUMNS; j++)
                t[j] = 3 * rng_uniform(&r);
            law_problem_add(&p, t, y, 1);
            ones[i] = 1;
            a[0][i] = 1 / y;
            for (int j = 0; j < COLUMNS; j++)
                a[j + 1][i] = exp(-params[2 * j + 2] * t[j]) / y;
        }
        for (int set = 0; set < 1 << TERMS; set++)
            best = fmin(best, subset(a, ones, set));
        bound += best > subset(a, ones, (1 << TERMS) - 1) * (1 + 1e-9) ||
                 isinf(subset(a, ones, (1 << TERMS) - 1));
        double got = 2 * law_project(&p, params);
        CHECK_REL(got, best, 1e-9); // normal equations of columns 1e2 from parallel: 1e4 eps
        for (int j = 0; j < COLUMNS; j++)
            CHECK(params[2 * j + 1] > 0); // its logarithm is what moves
        CHECK(params[0] >= 0);
        law_problem_free(&p);
    }
    CHECK(bound > 100 && bound < 300); // the signs matter in many of them
}

// Near the minimum Newton doubles the digits: few evaluations, also where most residuals are
// beyond Huber's corner; and a bound that holds the minimum is found and held.
static void test_newton(void)
{
    const struct law *l = law_find("chinchilla", 0);
    double truth[5] = {1.8, 480, 2000, .35, .36}, theta[5];
    for (int floor = 0; floor < 2; floor++) {
        struct law_problem p;
        struct law_options o = {0};
        struct rng r;
        rng_seed(&r, 13, 0);
        CHECK(law_problem_create(&p, l, 200, &o) == OK);
        for (int i = 0; i < 200; i++) {
            double x[2] = {5e7 * pow(400, rng_uniform(&r)), 1e9 * pow(1e3, rng_uniform(&r))};
            double t[2];
            law_transform(l, x, t);
            law_problem_add(
                &p, t,
                (law_value(l, truth, x, NULL) - 1.85 * floor) * exp(.005 * rng_normal(&r)), 1);
        }
        struct polish_problem pr = law_problem_polish(&p);
        struct polish_work *w = polish_alloc(200, 5);
        law_to_theta(l, truth, theta);
        theta[3] += .03;
        struct polish_result n = polish_newton(w, &pr, theta, 100);
        printf("Newton%s: %d evaluations\n", floor ? ", E at zero" : "", n.evaluations);
        CHECK(n.converged && n.evaluations <= (floor ? 40 : 20));
        CHECK(floor ? theta[0] == 0 : theta[0] > 0);
        double slow = n.objective; // GSL cannot do better
        polish_gsl(w, &pr, theta, 300);
        CHECK_REL(polish_objective(w, &pr, theta), slow, 1e-10);
        polish_free(w);
        law_problem_free(&p);
    }
}

int main(void)
{
    fit_init();
    test_projection();
    test_newton();
    return test_summary();
}
