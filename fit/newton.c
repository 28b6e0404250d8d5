// SPDX-License-Identifier: GPL-3.0-or-later
// Damped Newton with bounds. With psi = rho'(r), the Hessian's part H = sum w rho'' g g' (that
// of second derivatives of the model is left out, as in Gauss-Newton) and Q = sum w (psi/r) g
// g' (reweighted least squares, never below H): steps solve (H + d (Q + I)) step = -gradient in
// phi. Large d is the reweighted, safe step; small d is Newton's.
#include "fit/polish_space.h"
#include <math.h>
#include <string.h>

#define DAMP_LEAST 1e-10
#define DAMP_MOST 1e12
#define AT_BOUND 1e-9  // part of a step after which a bound stops it
#define DAMP_TEST 1e-6 // at which the step that is left is judged

struct state {
    struct polish_work *w;
    const struct polish_problem *pr;
    double *theta;
    bool is_free[P_MAX];
    int released[P_MAX]; // how often a bound was let go
    struct polish_space space;
    int age; // iterations since the space was made
    double objective, damp;
    double gradient[P_MAX], H[P_MAX][P_MAX], Q[P_MAX][P_MAX]; // in phi
    int evaluations;
};

// Sums over rows; m and p are constants where it is expanded below, so that the loops unroll.
// In every rho of ours a row has either rho'' = psi / r or rho'' = 0.
static inline __attribute__((always_inline)) void sums(struct state *s, int m, int p)
{
    const struct polish_problem *pr = s->pr;
    double g[P_MAX] = {0}, near[P_MAX][P_MAX] = {{0}}, far[P_MAX][P_MAX] = {{0}};
    for (int64_t i = 0; i < pr->n; i++) {
        const double *row = s->w->jacobian + i * p;
        double a[P_MAX], w = pr->weight ? pr->weight[i] : 1;
        struct rho r = polish_rho(pr, s->w->value[i] - pr->target[i]);
        for (int k = 0; k < m; k++)
            a[k] = 0;
        for (int j = 0; j < p; j++)
            for (int k = 0; k < m; k++)
                a[k] += row[j] * s->space.W[j][k];
        double(*sum)[P_MAX] = r.curvature > 0 ? near : far;
        double q = w * r.weight, slope = w * r.psi;
        for (int j = 0; j < m; j++) {
            double qa = q * a[j];
            g[j] += slope * a[j];
            for (int k = 0; k <= j; k++)
                sum[j][k] += qa * a[k];
        }
    }
    for (int j = 0; j < m; j++) {
        s->gradient[j] = g[j];
        for (int k = 0; k <= j; k++) {
            s->H[j][k] = near[j][k];
            s->Q[j][k] = near[j][k] + far[j][k];
        }
    }
}

static void accumulate(struct state *s)
{
    int m = s->space.rank, p = s->pr->p;
    if (m == 3 && p == 3)
        sums(s, 3, 3);
    else if (m == 5 && p == 5)
        sums(s, 5, 5);
    else if (m == 6 && p == 6)
        sums(s, 6, 6);
    else
        sums(s, m, p);
}

// Solves (H + d (Q + I)) step = -gradient by Cholesky; *spread: ratio of the factor's diagonal.
static bool solve(const struct state *s, double d, double *step, double *spread)
{
    int m = s->space.rank;
    double C[P_MAX][P_MAX], least = (double)INFINITY, most = 0;
    for (int j = 0; j < m; j++)
        for (int k = 0; k <= j; k++) {
            double sum = s->H[j][k] + d * s->Q[j][k] + (j == k ? d : 0);
            for (int i = 0; i < k; i++)
                sum -= C[j][i] * C[k][i];
            if (j == k) {
                if (!(sum > 0))
                    return false;
                C[j][j] = sqrt(sum);
                least = fmin(least, C[j][j]);
                most = fmax(most, C[j][j]);
            } else {
                C[j][k] = sum / C[k][k];
            }
        }
    for (int j = 0; j < m; j++) {
        double sum = -s->gradient[j];
        for (int k = 0; k < j; k++)
            sum -= C[j][k] * step[k];
        step[j] = sum / C[j][j];
    }
    for (int j = m - 1; j >= 0; j--) {
        double sum = step[j];
        for (int k = j + 1; k < m; k++)
            sum -= C[k][j] * step[k];
        step[j] = sum / C[j][j];
    }
    *spread = most / least;
    return true;
}

// Twice the decrease that the step left promises.
static double decrement(const struct state *s)
{
    double step[P_MAX], spread, d = DAMP_TEST;
    while (!solve(s, d, step, &spread))
        if ((d *= 100) > DAMP_MOST)
            return (double)INFINITY;
    double sum = 0;
    for (int k = 0; k < s->space.rank; k++)
        sum -= s->gradient[k] * step[k];
    return sum;
}

static bool remake(struct state *s)
{
    s->age = 0;
    if (!polish_space_make(s->w, s->pr, s->is_free, &s->space))
        return false;
    accumulate(s);
    return true;
}

// The step cut to each parameter's reach and to the box; *hit: the bound that it ends at, or
// -1.
static double cut(const struct state *s, const double *move, int *hit)
{
    double t = 1;
    *hit = -1;
    for (int j = 0; j < s->pr->p; j++)
        if (fabs(move[j]) * t > s->pr->reach[j])
            t = s->pr->reach[j] / fabs(move[j]);
    for (int j = 0; j < s->pr->p; j++) {
        double room = move[j] > 0   ? s->pr->hi[j] - s->theta[j]
                      : move[j] < 0 ? s->pr->lo[j] - s->theta[j]
                                    : 0;
        if (move[j] != 0 && fabs(move[j]) * t >= fabs(room)) {
            t = room / move[j];
            *hit = j;
        }
    }
    return t;
}

static bool fix(struct state *s, int j, double bound)
{
    double before = s->theta[j];
    s->theta[j] = bound;
    s->evaluations++;
    if (!s->pr->eval(s->pr->context, s->theta, s->w->value, s->w->jacobian)) {
        s->theta[j] = before; // on the edge of the domain: cannot be held here
        s->pr->eval(s->pr->context, s->theta, s->w->value, s->w->jacobian);
        return false;
    }
    s->objective = polish_sum(s->pr, s->w->value);
    s->is_free[j] = false;
    return true;
}

enum outcome { MOVED, FIXED, STUCK };

// One accepted step, from the least damping that lowers the objective; or a parameter fixed at
// its bound.
static enum outcome step_once(struct state *s)
{
    for (; s->damp <= DAMP_MOST; s->damp = fmax(10 * s->damp, 1e-6)) {
        double step[P_MAX], move[P_MAX], trial[P_MAX], spread;
        int hit, p = s->pr->p;
        if (!solve(s, s->damp, step, &spread))
            continue;
        polish_space_move(&s->space, step, move);
        double t = cut(s, move, &hit);
        for (int j = 0; j < p; j++)
            trial[j] = s->theta[j] + t * move[j];
        if (hit >= 0) {
            trial[hit] = move[hit] > 0 ? s->pr->hi[hit] : s->pr->lo[hit];
            if (t < AT_BOUND) // there, but for rounding, and pressing on
                return fix(s, hit, trial[hit]) ? FIXED : STUCK;
        }
        struct polish_work *w = s->w;
        s->evaluations++;
        double objective = (double)INFINITY;
        if (s->pr->eval(s->pr->context, trial, w->trial_value, w->trial_jacobian))
            objective = polish_sum(s->pr, w->trial_value);
        if (!(objective < s->objective))
            continue;
        double *value = w->value, *jacobian = w->jacobian;
        w->value = w->trial_value;
        w->jacobian = w->trial_jacobian;
        w->trial_value = value;
        w->trial_jacobian = jacobian;
        memcpy(s->theta, trial, (size_t)p * sizeof *trial);
        s->objective = objective;
        s->damp = fmax(.05 * s->damp, DAMP_LEAST);
        if (hit >= 0)
            s->is_free[hit] = false;
        bool far = spread > 1e3 || ++s->age >= 10;
        if ((hit >= 0 || far) && !remake(s))
            return STUCK;
        if (hit < 0 && !far)
            accumulate(s);
        return MOVED;
    }
    return STUCK;
}

// Lets go the fixed parameter whose release lowers the objective most; false: none.
static bool release(struct state *s)
{
    int best = -1, p = s->pr->p;
    double most = 0;
    for (int j = 0; j < p; j++) {
        if (s->is_free[j] || s->released[j] >= 2 || s->pr->lo[j] == s->pr->hi[j])
            continue;
        double slope = 0, square = 0;
        for (int64_t i = 0; i < s->pr->n; i++) {
            double w = s->pr->weight ? s->pr->weight[i] : 1;
            double g = s->w->jacobian[i * p + j];
            struct rho r = polish_rho(s->pr, s->w->value[i] - s->pr->target[i]);
            slope += w * r.psi * g;
            square += w * r.weight * g * g;
        }
        bool inward = s->theta[j] == s->pr->lo[j] ? slope < 0 : slope > 0;
        double gain = square > 0 ? slope * slope / square : 0;
        if (inward && gain > 1e-9 * s->objective && gain > most) {
            most = gain;
            best = j;
        }
    }
    if (best < 0)
        return false;
    s->is_free[best] = true;
    s->released[best]++;
    return remake(s);
}

struct polish_result polish_newton(struct polish_work *w, const struct polish_problem *pr,
                                   double *theta, int iterations)
{
    struct state s = {.w = w, .pr = pr, .theta = theta, .damp = 1e-2, .evaluations = 1};
    struct polish_result out = {.objective = (double)INFINITY, .evaluations = 1};
    for (int j = 0; j < pr->p; j++) {
        s.is_free[j] = pr->lo[j] < pr->hi[j];
        theta[j] = fmin(fmax(theta[j], pr->lo[j]), pr->hi[j]);
    }
    if (!pr->eval(pr->context, theta, w->value, w->jacobian))
        return out;
    s.objective = polish_sum(pr, w->value);
    if (!isfinite(s.objective) || !remake(&s))
        return out;
    // Rounding: values move by 3e-16 of the size (its square), the objective by 1e-15.
    double rounding = 1e-31 * pr->size;
    for (int it = 0; it < iterations; it++) {
        double left = decrement(&s);
        if (left <= fmax(1e-15 * s.objective, rounding)) {
            out.converged = true;
            if (!release(&s))
                break;
        }
        enum outcome o = step_once(&s);
        if (o == FIXED && !remake(&s))
            break;
        if (o == STUCK) {
            left = decrement(&s);
            // What cannot be lowered any more: rounding of sums, or a corner of rho.
            out.converged = left <= fmax(1e-9 * s.objective, 1e-26 * pr->size);
            if (s.age > 0 && remake(&s)) {
                s.damp = 1e-2;
                continue;
            }
            if (!release(&s))
                break;
            s.damp = 1e-2;
        }
        out.converged = false;
    }
    out.objective = s.objective;
    out.evaluations = s.evaluations;
    if (!out.converged)
        out.converged = decrement(&s) <= fmax(1e-10 * s.objective, 1e-28 * pr->size);
    return out;
}
