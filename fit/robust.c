// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/robust.h"
#include <gsl/gsl_linalg.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>

enum { LAD_ITERATIONS = 25, HUBER_ITERATIONS = 50, FAR_ITERATIONS = 20 };

static enum err robust_alloc(struct robust *r, int n, int p)
{
    size_t sn = (size_t)n, sp = (size_t)p;
    *r = (struct robust){.n = n, .p = p};
    r->U = gsl_matrix_alloc(sn, sp);
    r->V = gsl_matrix_alloc(sp, sp);
    r->A = gsl_matrix_alloc(sp, sp);
    r->S = gsl_vector_alloc(sp);
    r->g = gsl_vector_alloc(sp);
    r->leverage = calloc(sn, sizeof(double));
    r->w = calloc(sn, sizeof(double));
    r->work = calloc(sn, sizeof(double));
    r->colscale = calloc(sp, sizeof(double));
    if (r->U && r->V && r->A && r->S && r->g && r->leverage && r->w && r->work && r->colscale)
        return OK;
    robust_free(r);
    return err_set(ERR_FAILED, "out of memory for a fit of %d points", n);
}

enum err robust_create(struct robust *r, const double *X, int n, int p)
{
    ASSERT(p >= 1 && n > p);
    TRY(robust_alloc(r, n, p));
    for (int j = 0; j < p; j++) {
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += X[i * p + j] * X[i * p + j];
        r->colscale[j] = sum > 0 ? sqrt(sum) : 1;
        for (int i = 0; i < n; i++)
            gsl_matrix_set(r->U, (size_t)i, (size_t)j, X[i * p + j] / r->colscale[j]);
    }
    r->condition = (double)INFINITY;
    if (gsl_linalg_SV_decomp_jacobi(r->U, r->V, r->S))
        return OK;
    double least = gsl_vector_get(r->S, (size_t)p - 1);
    if (least > 0)
        r->condition = gsl_vector_get(r->S, 0) / least;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < p; j++) {
            double u = gsl_matrix_get(r->U, (size_t)i, (size_t)j);
            r->leverage[i] += u * u;
        }
    return OK;
}

// Weighted least squares with the weights r->w in the orthogonal basis: r->g, then the
// residuals.
static bool weighted_solve(struct robust *r, const double *y, double *residual)
{
    size_t p = (size_t)r->p;
    gsl_matrix_set_zero(r->A);
    gsl_vector_set_zero(r->g);
    double *A = r->A->data, *g = r->g->data; // own allocations: A->tda == p, g->stride == 1
    const double *U = r->U->data;
    for (int i = 0; i < r->n; i++) {
        const double *u = U + (size_t)i * p;
        for (size_t j = 0; j < p; j++) {
            double wu = r->w[i] * u[j];
            g[j] += wu * y[i];
            for (size_t k = 0; k <= j; k++)
                A[j * p + k] += wu * u[k];
        }
    }
    if (gsl_linalg_cholesky_decomp1(r->A) || gsl_linalg_cholesky_svx(r->A, r->g))
        return false;
    for (int i = 0; i < r->n; i++) {
        double fitted = 0;
        for (size_t j = 0; j < p; j++)
            fitted += U[(size_t)i * p + j] * g[j];
        residual[i] = y[i] - fitted;
    }
    return true;
}

// Huber's weight; beyond `far` leverage-corrected it falls on as the third power of the
// residual.
static double huber_weight(const struct robust *r, int i, double residual, double corner,
                           double far)
{
    double a = fabs(residual), w = a <= corner ? 1 : corner / a;
    double corrected = a / sqrt(fmax(1 - r->leverage[i], 1e-6));
    return corrected <= far ? w : w * (far / corrected) * (far / corrected);
}

// Reweights until no weight moves by more than 1e-10. far = infinity: Huber's fit for that
// corner, least absolute deviations as the corner goes to zero.
static bool reweight(struct robust *r, const double *y, double corner, double far,
                     int iterations, double *residual)
{
    for (int it = 0; it < iterations; it++) {
        double moved = 0;
        for (int i = 0; i < r->n; i++) {
            double w = huber_weight(r, i, residual[i], corner, far);
            moved = fmax(moved, fabs(w - r->w[i]));
            r->w[i] = w;
        }
        if (!(moved > 1e-10))
            return true;
        if (!weighted_solve(r, y, residual))
            return false;
    }
    return true; // as good as the limit: the fits change by far less than their errors by now
}

// Median of the n - p largest |residuals|, as a Gaussian sd.
static double residual_scale(struct robust *r, const double *residual)
{
    for (int i = 0; i < r->n; i++)
        r->work[i] = fabs(residual[i]);
    gsl_sort(r->work, 1, (size_t)r->n);
    return 1.4826 * gsl_stats_median_from_sorted_data(r->work + r->p, 1, (size_t)(r->n - r->p));
}

// Huber (1973): sd that makes sigma^2 (X'X)^-1 the covariance of the robust coefficients.
static double effective_sigma(const struct robust *r, const double *residual, double s)
{
    double sum = 0, inside = 0, corner = ROBUST_HUBER * s;
    for (int i = 0; i < r->n; i++) {
        double psi = fmin(fabs(residual[i]), corner);
        sum += psi * psi;
        inside += fabs(residual[i]) <= corner;
    }
    double m = fmax(inside / r->n, .5);
    double k = 1 + (double)r->p / r->n * (1 - m) / m;
    return k * sqrt(sum / (r->n - r->p)) / m;
}

struct robust_result robust_fit(struct robust *r, const double *y, double *coef,
                                double *residual)
{
    struct robust_result out = {.ok = false};
    double size = 0;
    for (int i = 0; i < r->n; i++) {
        r->w[i] = 1;
        size = fmax(size, fabs(y[i]));
    }
    if (!weighted_solve(r, y, residual))
        return out;
    const double none = (double)INFINITY;
    double floor = 1e-12 * size; // rounding: below it residuals carry no information
    double spread = residual_scale(r, residual);
    if (!reweight(r, y, fmax(1e-3 * spread, floor), none, LAD_ITERATIONS, residual))
        return out;
    out.scale = fmax(residual_scale(r, residual), floor);
    double corner = ROBUST_HUBER * out.scale, far = ROBUST_FAR * out.scale;
    if (!reweight(r, y, corner, none, HUBER_ITERATIONS, residual) ||
        !reweight(r, y, corner, far, FAR_ITERATIONS, residual))
        return out;
    out.sigma = effective_sigma(r, residual, out.scale);
    for (int j = 0; j < r->p; j++) {
        double sum = 0;
        for (int k = 0; k < r->p; k++)
            sum += gsl_matrix_get(r->V, (size_t)j, (size_t)k) *
                   gsl_vector_get(r->g, (size_t)k) / gsl_vector_get(r->S, (size_t)k);
        coef[j] = sum / r->colscale[j];
    }
    out.ok = true;
    return out;
}

double robust_se(const struct robust *r, double sigma, const double *g)
{
    double sum = 0;
    for (int k = 0; k < r->p; k++) {
        double a = 0;
        for (int j = 0; j < r->p; j++)
            a += gsl_matrix_get(r->V, (size_t)j, (size_t)k) * g[j] / r->colscale[j];
        a /= gsl_vector_get(r->S, (size_t)k);
        sum += a * a;
    }
    return sigma * sqrt(sum);
}

void robust_free(struct robust *r)
{
    gsl_matrix_free(r->U);
    gsl_matrix_free(r->V);
    gsl_matrix_free(r->A);
    gsl_vector_free(r->S);
    gsl_vector_free(r->g);
    free(r->leverage);
    free(r->w);
    free(r->work);
    free(r->colscale);
    *r = (struct robust){0};
}
