// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/polish_space.h"
#include <gsl/gsl_vector.h>
#include <gsl/gsl_multifit_nlinear.h>
#include <math.h>
#include <string.h>

#define FAR_OUT 1e150 // its square is still a number

struct inner { // GSL's view of the problem
    struct polish_work *w;
    const struct polish_problem *pr;
    int evaluations;
};

static bool inside(const struct polish_problem *pr, const double *theta)
{
    for (int j = 0; j < pr->p; j++)
        if (!isfinite(theta[j]) || !(theta[j] >= pr->lo[j] && theta[j] <= pr->hi[j]))
            return false;
    return true;
}

// Outside the box or the domain: so bad that the trust region shrinks.
static int gsl_residuals(const gsl_vector *theta, void *params, gsl_vector *f)
{
    struct inner *in = params;
    const struct polish_problem *pr = in->pr;
    double at[P_MAX];
    for (int j = 0; j < pr->p; j++)
        at[j] = gsl_vector_get(theta, (size_t)j);
    in->evaluations++;
    bool ok = inside(pr, at) && pr->eval(pr->context, at, in->w->trial_value, NULL);
    for (int64_t i = 0; i < pr->n; i++) {
        double v = FAR_OUT, w = pr->weight ? pr->weight[i] : 1;
        if (ok) {
            double r = in->w->trial_value[i] - pr->target[i];
            v = copysign(sqrt(2 * w * polish_rho(pr, r).rho), r);
        }
        gsl_vector_set(f, (size_t)i, fabs(v) < FAR_OUT ? v : FAR_OUT);
    }
    return GSL_SUCCESS;
}

static int gsl_jacobian(const gsl_vector *theta, void *params, gsl_matrix *J)
{
    struct inner *in = params;
    const struct polish_problem *pr = in->pr;
    double at[P_MAX];
    for (int j = 0; j < pr->p; j++)
        at[j] = gsl_vector_get(theta, (size_t)j);
    in->evaluations++;
    if (!pr->eval(pr->context, at, in->w->trial_value, in->w->trial_jacobian))
        return GSL_EDOM;
    for (int64_t i = 0; i < pr->n; i++) {
        double w = pr->weight ? pr->weight[i] : 1;
        struct rho r = polish_rho(pr, in->w->trial_value[i] - pr->target[i]);
        double root = sqrt(2 * r.rho), slope = root > 0 ? fabs(r.psi) / root : 1;
        const double *row = in->w->trial_jacobian + i * pr->p;
        for (int j = 0; j < pr->p; j++)
            gsl_matrix_set(J, (size_t)i, (size_t)j,
                           pr->lo[j] < pr->hi[j] ? sqrt(w) * slope * row[j] : 0);
    }
    return GSL_SUCCESS;
}

// Levenberg-Marquardt with geodesic acceleration (Transtrum 2012) and Levenberg's scaling: of
// GSL's methods and scalings the one that solves all NIST sets from both starts.
struct polish_result polish_gsl(struct polish_work *w, const struct polish_problem *pr,
                                double *theta, int iterations)
{
    struct polish_result out = {.objective = polish_objective(w, pr, theta)};
    if (!isfinite(out.objective) || pr->n < pr->p || !inside(pr, theta))
        return out;
    struct inner in = {w, pr, 0};
    size_t n = (size_t)pr->n, p = (size_t)pr->p;
    gsl_multifit_nlinear_fdf fdf = {
        .f = gsl_residuals, .df = gsl_jacobian, .n = n, .p = p, .params = &in};
    gsl_multifit_nlinear_parameters par = gsl_multifit_nlinear_default_parameters();
    par.trs = gsl_multifit_nlinear_trs_lmaccel;
    par.scale = gsl_multifit_nlinear_scale_levenberg;
    gsl_multifit_nlinear_workspace *g =
        gsl_multifit_nlinear_alloc(gsl_multifit_nlinear_trust, &par, n, p);
    double best[P_MAX];
    gsl_vector_view start = gsl_vector_view_array(theta, p);
    if (g && !gsl_multifit_nlinear_init(&start.vector, &fdf, g)) {
        int info = 0, status = gsl_multifit_nlinear_driver((size_t)iterations, 1e-12, 1e-14, 0,
                                                           NULL, NULL, &info, g);
        for (int j = 0; j < pr->p; j++)
            best[j] = gsl_vector_get(gsl_multifit_nlinear_position(g), (size_t)j);
        double objective = polish_objective(w, pr, best);
        if (objective <= out.objective && inside(pr, best)) {
            memcpy(theta, best, p * sizeof *best);
            out.objective = objective;
        }
        // No progress: at rounding.
        out.converged = status == GSL_SUCCESS || status == GSL_ENOPROG || info == GSL_ENOPROG;
    }
    out.evaluations = in.evaluations;
    gsl_multifit_nlinear_free(g);
    return out;
}

struct polish_result polish(struct polish_work *w, const struct polish_problem *pr,
                            double *theta, int iterations)
{
    int spent = polish_gsl(w, pr, theta, iterations).evaluations;
    struct polish_result out = polish_newton(w, pr, theta, iterations);
    out.evaluations += spent;
    return out;
}
