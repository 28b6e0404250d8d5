// SPDX-License-Identifier: GPL-3.0-or-later
// Minimum of sum_i w_i rho(value_i(theta) - target_i), theta inside a box, from a start near
// enough: the nonlinear solver under every fit of this room.
//
// polish_gsl: GSL's trust region on residuals sign(r) sqrt(2 rho(r)), so that half the sum of
// squares is the objective. Stays inside the box; where the minimum is at a bound or rho has no
// curvature (Huber beyond the corner) it is slow.
// polish_newton: damped Newton steps on the objective itself, with an active set of bounds, in
// coordinates phi, theta = theta_0 + W phi, W from the singular value decomposition of the
// Jacobian at theta_0: the problem is then close to a sphere, whatever the parameters' units
// and correlations, and directions that the data do not fix stay where they are. polish: both,
// in this order. Deterministic.
#ifndef FIT_POLISH_H
#define FIT_POLISH_H
#include "core/err.h"
#include "fit/law.h"
#include <stdbool.h>
#include <stdint.h>

struct polish_problem {
    int64_t n;
    int p; // 1..LAW_MAX_PARAMS
    // value[n] and, where not NULL, jacobian[n * p] by rows. false: theta is out of the domain.
    bool (*eval)(const void *context, const double *theta, double *value, double *jacobian);
    const void *context;
    const double *target, *weight; // n each; weight NULL: all one
    enum law_objective objective;
    double corner;         // of LAW_HUBER_LOG
    const double *lo, *hi; // p each
    const double *reach;   // p: the most that one step may move a parameter
    double size;           // sum of w (1 or target^2): what residuals are small against
};

struct polish_work;                                 // buffers for problems up to n and p
struct polish_work *polish_alloc(int64_t n, int p); // NULL: no memory
void polish_free(struct polish_work *w);

// theta: start and result. objective: +infinity where the start is out of the domain.
// converged: the step that is left would lower the objective by less than 1e-10 of it, or moves
// values by rounding alone.
struct polish_result {
    double objective;
    bool converged;
    int evaluations;
};
struct polish_result polish_gsl(struct polish_work *w, const struct polish_problem *pr,
                                double *theta, int iterations);
struct polish_result polish_newton(struct polish_work *w, const struct polish_problem *pr,
                                   double *theta, int iterations);
struct polish_result polish(struct polish_work *w, const struct polish_problem *pr,
                            double *theta, int iterations);
double polish_objective(struct polish_work *w, const struct polish_problem *pr,
                        const double *theta);

// One row's rho; psi = d rho / d r, curvature = d2 rho / d r2, iterated weight = psi / r.
struct rho {
    double rho, psi, curvature, weight;
};
struct rho polish_rho(const struct polish_problem *pr, double r);

// What the Jacobian says at theta (in theta's coordinates, of value): norm[j] of each column,
// inflation[j]: the square root of the diagonal of (J'J)^-1 times norm[j] (infinity in null
// directions), condition of the column-scaled J.
struct polish_shape {
    double norm[LAW_MAX_PARAMS], inflation[LAW_MAX_PARAMS], condition;
};
// The values at theta are polish_values(w) then.
const double *polish_values(const struct polish_work *w);
bool polish_shape(struct polish_work *w, const struct polish_problem *pr, const double *theta,
                  struct polish_shape *out);
#endif
