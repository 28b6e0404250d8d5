// SPDX-License-Identifier: GPL-3.0-or-later
// L = E + A X^-p. In the solver: x = ln X - centre, so that A is a loss at the middle of the
// range; parameters ln E, ln A, q with p = 2 / (1 + exp(-q)); and the same without E, for E = 0
// is a minimum that ln E cannot reach.
#include "fit/fit.h"
#include "fit/power.h"
#include <gsl/gsl_blas.h>
#include <gsl/gsl_linalg.h>
#include <gsl/gsl_multifit_nlinear.h>
#include <math.h>
#include <stdlib.h>

// Huber's corner in ln L. Chinchilla's 1e-3 is below the noise of a small sweep, where it would
// mean least absolute deviations: a curve through three of the handful of points.
#define LOSS_CORNER 1e-2
enum { P_GRID = 32, MAX_STARTS = 3, MAX_PARAMS = 3 };
static const double p_least = .01, p_most = 2;

struct points {
    int n;
    double *x, *y; // ln X - centre, ln L; sorted by X
};

struct candidate {
    bool with_E, ok;
    double E, A, p; // A at the centre
    double objective, condition;
};

static double huber(double r)
{
    double a = fabs(r);
    return a <= LOSS_CORNER ? .5 * r * r : LOSS_CORNER * (a - .5 * LOSS_CORNER);
}

static double candidate_ln(const struct candidate *c, double x)
{
    return log(c->E + c->A * exp(-c->p * x));
}

static double objective(const struct points *pts, const struct candidate *c)
{
    double sum = 0;
    for (int i = 0; i < pts->n; i++)
        sum += huber(pts->y[i] - candidate_ln(c, pts->x[i]));
    return sum;
}

// For one p: relative least squares of E + A exp(-p x), neither negative.
static struct candidate profile(const struct points *pts, double p, bool with_E)
{
    double s11 = 0, s12 = 0, s22 = 0, b1 = 0, b2 = 0;
    for (int i = 0; i < pts->n; i++) {
        double u = exp(-pts->y[i]), v = u * exp(-p * pts->x[i]);
        s11 += u * u;
        s12 += u * v;
        s22 += v * v;
        b1 += u;
        b2 += v;
    }
    double det = s11 * s22 - s12 * s12;
    struct candidate c = {.with_E = with_E, .p = p, .A = b2 / s22};
    if (with_E && det > 0) {
        double E = (b1 * s22 - b2 * s12) / det, A = (s11 * b2 - s12 * b1) / det;
        if (A <= 0) {
            E = b1 / s11;
            A = 1e-6 * E; // A = 0 leaves p without meaning; the solver decides from next to it
        }
        if (E > 0) {
            c.E = E;
            c.A = A;
        }
    }
    c.objective = objective(pts, &c);
    return c;
}

static void from_theta(const gsl_vector *theta, struct candidate *c)
{
    size_t at = 0;
    c->E = c->with_E ? exp(gsl_vector_get(theta, at++)) : 0;
    c->A = exp(gsl_vector_get(theta, at++));
    c->p = p_most / (1 + exp(-gsl_vector_get(theta, at)));
}

struct problem {
    const struct points *pts;
    bool with_E;
};

// Each residual is the signed root of 2 rho, so that half the sum of squares is Huber's
// objective.
static int residuals(const gsl_vector *theta, void *params, gsl_vector *f)
{
    const struct problem *pr = params;
    struct candidate c = {.with_E = pr->with_E};
    from_theta(theta, &c);
    for (int i = 0; i < pr->pts->n; i++) {
        double r = candidate_ln(&c, pr->pts->x[i]) - pr->pts->y[i];
        gsl_vector_set(f, (size_t)i, copysign(sqrt(2 * huber(r)), r));
    }
    return GSL_SUCCESS;
}

static int jacobian(const gsl_vector *theta, void *params, gsl_matrix *J)
{
    const struct problem *pr = params;
    struct candidate c = {.with_E = pr->with_E};
    from_theta(theta, &c);
    for (int i = 0; i < pr->pts->n; i++) {
        double x = pr->pts->x[i], term = c.A * exp(-c.p * x), L = c.E + term;
        double a = fabs(log(L) - pr->pts->y[i]);
        double slope = a <= LOSS_CORNER ? 1 : LOSS_CORNER / sqrt(2 * huber(a));
        size_t row = (size_t)i, at = 0;
        if (c.with_E)
            gsl_matrix_set(J, row, at++, slope * c.E / L);
        gsl_matrix_set(J, row, at++, slope * term / L);
        gsl_matrix_set(J, row, at, -slope * x * term / L * c.p * (1 - c.p / p_most));
    }
    return GSL_SUCCESS;
}

// Ratio of the extreme singular values of the column-scaled Jacobian.
static double jacobian_condition(const gsl_matrix *J)
{
    size_t p = J->size2;
    double condition = (double)INFINITY;
    gsl_matrix *U = gsl_matrix_alloc(J->size1, p), *V = gsl_matrix_alloc(p, p);
    gsl_vector *S = gsl_vector_alloc(p);
    if (U && V && S) {
        gsl_matrix_memcpy(U, J);
        for (size_t j = 0; j < p; j++) {
            gsl_vector_view col = gsl_matrix_column(U, j);
            double norm = gsl_blas_dnrm2(&col.vector);
            if (norm > 0)
                gsl_vector_scale(&col.vector, 1 / norm);
        }
        if (!gsl_linalg_SV_decomp_jacobi(U, V, S) && gsl_vector_get(S, p - 1) > 0)
            condition = gsl_vector_get(S, 0) / gsl_vector_get(S, p - 1);
    }
    gsl_matrix_free(U);
    gsl_matrix_free(V);
    gsl_vector_free(S);
    return condition;
}

// Trust region from the candidate; keeps the start, not ok, where that fails.
static struct candidate polish(const struct points *pts, struct candidate start)
{
    struct problem pr = {pts, start.with_E};
    size_t p = start.with_E ? 3 : 2, n = (size_t)pts->n;
    double q = -log(p_most / fmin(start.p, .999 * p_most) - 1), theta[MAX_PARAMS], *at = theta;
    if (start.with_E)
        *at++ = log(start.E > 0 ? start.E : 1e-3 * start.A);
    *at++ = log(start.A);
    *at = q;
    gsl_multifit_nlinear_fdf fdf = {
        .f = residuals, .df = jacobian, .n = n, .p = p, .params = &pr};
    gsl_multifit_nlinear_parameters par = gsl_multifit_nlinear_default_parameters();
    gsl_multifit_nlinear_workspace *w =
        gsl_multifit_nlinear_alloc(gsl_multifit_nlinear_trust, &par, n, p);
    gsl_vector_view x0 = gsl_vector_view_array(theta, p);
    struct candidate best = start;
    best.ok = false;
    if (w && !gsl_multifit_nlinear_init(&x0.vector, &fdf, w)) {
        int info = 0, status;
        status = gsl_multifit_nlinear_driver(500, 1e-13, 1e-15, 0, NULL, NULL, &info, w);
        from_theta(gsl_multifit_nlinear_position(w), &best);
        best.objective = objective(pts, &best);
        // No progress: at rounding, or, already at the first step (GSL's EMAXITER with that
        // info), on a plateau of Huber's rho with every residual beyond the corner.
        best.ok = status == GSL_SUCCESS || status == GSL_ENOPROG || info == GSL_ENOPROG;
        best.ok = best.ok && isfinite(best.objective);
        best.condition = jacobian_condition(gsl_multifit_nlinear_jac(w));
    }
    gsl_multifit_nlinear_free(w);
    return best;
}

static bool better(const struct candidate *a, const struct candidate *b)
{
    return a->ok && (!b->ok || a->objective < b->objective);
}

// Local minima of the profile over p are the starts; E = 0 wins a tie, having a parameter less.
static struct candidate search(const struct points *pts)
{
    struct candidate grid[P_GRID], best = {.ok = false};
    for (int k = 0; k < P_GRID; k++)
        grid[k] = profile(pts, p_least * pow(p_most / p_least, k / (P_GRID - 1.)), true);
    for (int s = 0; s < MAX_STARTS; s++) {
        int at = -1;
        for (int k = 0; k < P_GRID; k++) {
            bool low = (k == 0 || grid[k].objective <= grid[k - 1].objective) &&
                       (k == P_GRID - 1 || grid[k].objective <= grid[k + 1].objective);
            if (low && !grid[k].ok && (at < 0 || grid[k].objective < grid[at].objective))
                at = k;
        }
        if (at < 0)
            break;
        grid[at].ok = true; // taken
        struct candidate c = polish(pts, grid[at]);
        if (better(&c, &best))
            best = c;
    }
    struct candidate zero = profile(pts, p_least, false);
    for (int k = 1; k < P_GRID; k++) {
        struct candidate c = profile(pts, grid[k].p, false);
        if (c.objective < zero.objective)
            zero = c;
    }
    zero = polish(pts, zero);
    double slack = 1e-9 * best.objective + 1e-26 * pts->n; // rounding of the logs, squared
    if (zero.ok && (!best.ok || zero.objective <= best.objective + slack))
        best = zero;
    return best;
}

static void bootstrap(struct points *pts, const struct candidate *fit, double centre,
                      uint64_t seed, double *scratch, struct loss_law *out)
{
    int n = pts->n, df = n - MAX_PARAMS;
    double *fitted = scratch, *left = scratch + n, inflate = sqrt((double)n / df);
    double E[LOSS_LAW_BOOT], p[LOSS_LAW_BOOT];
    uint64_t h = rng_hash(pts->x, (uint64_t)n * sizeof(double), RNG_HASH_START);
    h = rng_hash(pts->y, (uint64_t)n * sizeof(double), h);
    struct rng rng;
    rng_seed(&rng, seed ^ h, 0);
    for (int i = 0; i < n; i++) {
        fitted[i] = candidate_ln(fit, pts->x[i]);
        left[i] = inflate * (pts->y[i] - fitted[i]);
    }
    for (int b = 0; b < LOSS_LAW_BOOT; b++) {
        double factor = fit_student_factor(&rng, df);
        for (int i = 0; i < n; i++)
            pts->y[i] = fitted[i] + factor * left[rng_below(&rng, (uint64_t)n)];
        struct candidate c = search(pts);
        bool ok = c.ok && isfinite(c.A * exp(c.p * centre));
        E[b] = out->boot[b][0] = ok ? c.E : (double)NAN;
        out->boot[b][1] = ok ? c.A * exp(c.p * centre) : (double)NAN;
        p[b] = out->boot[b][2] = ok ? c.p : (double)NAN;
    }
    out->n_boot = LOSS_LAW_BOOT;
    fit_interval(E, LOSS_LAW_BOOT, &out->E_lo, &out->E_hi);
    fit_interval(p, LOSS_LAW_BOOT, &out->p_lo, &out->p_hi);
}

static int compare_xy(const void *va, const void *vb)
{
    const double *a = va, *b = vb;
    if (a[0] != b[0])
        return a[0] > b[0] ? 1 : -1;
    return (a[1] > b[1]) - (a[1] < b[1]);
}

// One or two points, or one X: what can be said without a search.
static void too_few(const struct points *pts, double centre, struct loss_law *out)
{
    double ln_mean = 0;
    for (int i = 0; i < pts->n; i++)
        ln_mean += pts->y[i] / pts->n;
    if (pts->n == 0)
        return;
    out->E = exp(ln_mean);
    out->A = out->p = 0;
    int last = pts->n - 1;
    double slope = (pts->y[0] - pts->y[last]) / (pts->x[last] - pts->x[0]);
    if (pts->n == 2 && slope > 0 && isfinite(slope)) { // the power law through both
        out->E = 0;
        out->p = slope;
        out->A = exp(ln_mean + slope * centre); // their x are symmetric about the centre
    }
}

// Intervals too; pts->y is overwritten.
static void fit_points(struct points *pts, double centre, uint64_t seed, double *scratch,
                       struct loss_law *out)
{
    struct candidate c = search(pts);
    if (!c.ok)
        return;
    double ss = 0;
    for (int i = 0; i < pts->n; i++) {
        double r = pts->y[i] - candidate_ln(&c, pts->x[i]);
        ss += r * r;
    }
    out->E = c.E;
    out->A = c.A * exp(c.p * centre);
    out->p = c.p;
    out->rmse_log = sqrt(ss / pts->n);
    out->condition = c.condition;
    if (pts->n <= MAX_PARAMS)
        return;
    out->converged = c.p > p_least && c.p < .999 * p_most && isfinite(out->A);
    if (out->converged)
        bootstrap(pts, &c, centre, seed, scratch, out);
}

enum err loss_law_fit(const double *X, const double *loss, int n, uint64_t seed,
                      struct loss_law *out)
{
    const double none = (double)NAN;
    ASSERT(n >= 0);
    *out = (struct loss_law){.E = none,
                             .A = none,
                             .p = none,
                             .E_lo = none,
                             .E_hi = none,
                             .p_lo = none,
                             .p_hi = none,
                             .rmse_log = none,
                             .condition = none};
    double *xy = calloc(6 * (size_t)n + 1, sizeof *xy);
    ENSURE(xy, ERR_FAILED, "out of memory for a loss law of %d points", n);
    struct points pts = {0, xy + 2 * n, xy + 3 * n};
    for (int i = 0; i < n; i++)
        if (isfinite(X[i]) && X[i] > 0 && isfinite(loss[i]) && loss[i] > 0) {
            xy[2 * pts.n] = log(X[i]);
            xy[2 * pts.n++ + 1] = log(loss[i]);
        }
    qsort(xy, (size_t)pts.n, 2 * sizeof *xy, compare_xy);
    double centre = 0;
    for (int i = 0; i < pts.n; i++)
        centre += xy[2 * i] / pts.n;
    int distinct = 0;
    for (int i = 0; i < pts.n; i++) {
        pts.x[i] = xy[2 * i] - centre;
        pts.y[i] = xy[2 * i + 1];
        distinct += i == 0 || pts.x[i] != pts.x[i - 1];
    }
    out->n = pts.n;
    if (distinct >= MAX_PARAMS)
        fit_points(&pts, centre, seed, xy + 4 * n, out);
    else
        too_few(&pts, centre, out);
    free(xy);
    return OK;
}

double loss_law_value(const struct loss_law *f, double X)
{
    return f->E + f->A * pow(X, -f->p);
}

void loss_law_predict(const struct loss_law *f, double X, double *value, double *lo, double *hi)
{
    double boot[LOSS_LAW_BOOT];
    *value = loss_law_value(f, X);
    for (int b = 0; b < f->n_boot; b++)
        boot[b] = f->boot[b][0] + f->boot[b][1] * pow(X, -f->boot[b][2]);
    fit_interval(boot, f->n_boot, lo, hi);
}
