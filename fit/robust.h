// SPDX-License-Identifier: GPL-3.0-or-later
// Robust regression, linear in its coefficients, made for n near 10 and for refitting the same
// design hundreds of times. Three steps, each from the one before, by reweighted least squares:
// 1. least absolute deviations (convex); noise scale s = 1.4826 times the median of the n - p
//    largest |residuals| (the p smallest are near zero by construction);
// 2. Huber's rho (convex), corner 1.345 s: on Gaussian noise 95 % as efficient as least
//    squares;
// 3. residuals over 4 s once corrected for leverage lose weight as their third power. Huber
//    alone lets one wild run at the end of a 5-point axis move the optimum by 1.7 of its sds;
//    this, .9.
// The design is orthogonalised once (SVD of the column-scaled matrix), so that a refit is a few
// p x p Cholesky solves. Deterministic; no weight is ever zero.
#ifndef FIT_ROBUST_H
#define FIT_ROBUST_H
#include "core/err.h"
#include <gsl/gsl_matrix.h>
#include <gsl/gsl_vector.h>
#include <stdbool.h>

#define ROBUST_HUBER 1.345
#define ROBUST_FAR 4.0

struct robust {
    int n, p;
    double condition;      // of the column-scaled design; infinite when singular
    double *leverage;      // n: diagonal of the unweighted hat matrix
    gsl_matrix *U, *V, *A; // n x p, p x p; A is scratch
    gsl_vector *S, *g;     // singular values; scratch
    double *colscale, *w, *work;
};

struct robust_result {
    double scale; // s above
    double sigma; // noise sd as it enters the coefficients' covariance (Huber 1973)
    bool ok;
};

// X: n x p, row-major, n > p >= 1. A singular design is no error: condition >=
// ROBUST_MAX_CONDITION.
#define ROBUST_MAX_CONDITION 1e10
enum err robust_create(struct robust *r, const double *X, int n, int p);
// coef: p; residual: n, observed - fitted. ok = false if a solve failed (numbers undefined).
struct robust_result robust_fit(struct robust *r, const double *y, double *coef,
                                double *residual);
// Standard error of sum_j g[j] coef[j] for a noise of sd sigma.
double robust_se(const struct robust *r, double sigma, const double *g);
void robust_free(struct robust *r);
#endif
