// SPDX-License-Identifier: Apache-2.0
// Analytic gradients against central differences. With Richardson's extrapolation of steps h
// and h/2,
//     d = (4 D(h/2) - D(h)) / 3,   D(h) = (f(x + h) - f(x - h)) / (2 h),
// the truncation error is h^4 f^(5)/480 + .., for h = 2e-4 about 3e-18 f^(5) (which norms of
// short rows can make as large as 1e7), and rounding contributes about 2^-53 |f| / h = 6e-13
// |f|. With derivatives of order 1 and losses of order 1 to 100 that leaves 1e-12 to 1e-10 of a
// tensor's largest entry, so that GRAD_TOL, the project's bound, has two digits to spare while
// any wrong term exceeds it.
#ifndef TESTS_KERNELS_GRADCHECK_H
#define TESTS_KERNELS_GRADCHECK_H
#include "core/rng.h"
#include "kernels/real.h"
#include "tests/test.h"
#include <stdint.h>

#define GRAD_TOL 1e-7
#define GRAD_STEP 2e-4

// One differentiable input: its values, its analytic gradient.
struct grad_input {
    const char *name;
    real *x;
    const real *dx;
    int64_t n;
};

static inline double grad_numeric(double (*f)(void *), void *ctx, real *x)
{
    const real at = *x;
    double d[2];
    for (int i = 0; i < 2; i++) {
        const double h = i == 0 ? GRAD_STEP : GRAD_STEP / 2;
        *x = (real)(at + h);
        double up = f(ctx);
        *x = (real)(at - h);
        d[i] = (up - f(ctx)) / (2 * h);
    }
    *x = at;
    return (4 * d[1] - d[0]) / 3;
}

// Every stride-th entry of every input; the error is relative to the tensor's largest entry.
static inline void grad_check(const char *op, double (*f)(void *), void *ctx,
                              const struct grad_input *in, int n_in, int64_t stride)
{
    for (int i = 0; i < n_in; i++) {
        double largest = 0, worst = 0;
        for (int64_t j = 0; j < in[i].n; j++)
            largest = fmax(largest, fabs((double)in[i].dx[j]));
        for (int64_t j = 0; j < in[i].n; j += stride) {
            double error = fabs(grad_numeric(f, ctx, in[i].x + j) - (double)in[i].dx[j]);
            if (!(error <= worst))
                worst = error;
        }
        test_checks++;
        if (!(worst <= GRAD_TOL * largest)) {
            test_failures++;
            fprintf(stderr, "%s: d%s: error %.3g of the largest entry %.3g, allowed %.3g\n", op,
                    in[i].name, worst / largest, largest, GRAD_TOL);
        } else if (getenv("MOESWEEP_VERBOSE") != NULL) {
            printf("%-24s d%-8s %.1e\n", op, in[i].name, worst / largest);
        }
    }
}

// A fresh array of normal numbers times sd, from stream of one fixed seed.
static inline real *grad_random(int64_t n, double sd, uint64_t stream)
{
    struct rng r;
    real *x = malloc((size_t)n * sizeof *x);
    if (x == NULL)
        abort();
    rng_seed(&r, 1, stream);
    for (int64_t i = 0; i < n; i++)
        x[i] = (real)(sd * rng_normal(&r));
    return x;
}

// A fresh array of NaN, for outputs that must be overwritten.
static inline real *grad_output(int64_t n)
{
    real *x = malloc((size_t)n * sizeof *x);
    if (x == NULL)
        abort();
    for (int64_t i = 0; i < n; i++)
        x[i] = (real)NAN;
    return x;
}

// The loss of every operation's test: the output's product with fixed random numbers.
static inline double grad_dot(const real *a, const real *b, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += (double)a[i] * (double)b[i];
    return s;
}
#endif
