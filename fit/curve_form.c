// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/curve_form.h"
#include <gsl/gsl_errno.h>
#include <gsl/gsl_roots.h>
#include <math.h>

static const char *const form_names[] = {
#define X(name, text) #name,
    CURVE_FORMS(X)
#undef X
};

const char *curve_form_name(enum curve_form f)
{
    ASSERT((int)f >= 0 && f < N_CURVE_FORMS);
    return form_names[f];
}

bool curve_shape_valid(const struct curve_shape *s, double t)
{
    if (!isfinite(t))
        return false;
    switch (s->form) {
    case CURVE_density:
        return t > 6;
    case CURVE_expansion:
        return t > 1 && t < s->t_max_form;
    default:
        return t > 0;
    }
}

void curve_shape_basis(const struct curve_shape *s, double t, double basis[2])
{
    switch (s->form) {
    case CURVE_density:
        basis[0] = 1 / (t - 6);
        basis[1] = t;
        return;
    case CURVE_expansion:
        basis[0] = 1 / (t - 1);
        basis[1] = 1 / (s->t_max_form - t);
        return;
    default:
        basis[0] = (s->form == CURVE_logquad ? log(t) : t) - s->centre;
        basis[1] = basis[0] * basis[0];
    }
}

// The interior stationary minimum; NaN where the form has none.
static double stationary(const struct curve_shape *s, const double c[2])
{
    if (s->form == CURVE_density)
        return c[0] > 0 && c[1] > 0 ? 6 + sqrt(c[0] / c[1]) : (double)NAN;
    if (s->form == CURVE_expansion) { // a/(t-1)^2 = b/(t_max-t)^2
        double ra = sqrt(fmax(c[0], 0)), rb = sqrt(fmax(c[1], 0));
        return ra > 0 && rb > 0 ? (ra * s->t_max_form + rb) / (ra + rb) : (double)NAN;
    }
    if (!(c[1] > 0))
        return (double)NAN;
    double u = s->centre - c[0] / (2 * c[1]);
    return s->form == CURVE_logquad ? exp(u) : u;
}

double curve_shape_optimum(const struct curve_shape *s, const double c[2])
{
    double t = stationary(s, c);
    if (isnan(t))
        return curve_shape_rise(s, c, s->lo, s->hi) < 0 ? s->hi : s->lo;
    return fmin(fmax(t, s->lo), s->hi);
}

double curve_shape_rise(const struct curve_shape *s, const double c[2], double from, double t)
{
    double a[2], b[2];
    curve_shape_basis(s, from, a);
    curve_shape_basis(s, t, b);
    return c[0] * (b[0] - a[0]) + c[1] * (b[1] - a[1]);
}

struct edge_problem {
    const struct curve_shape *shape;
    const double *c;
    double opt, rise;
};

static double edge_excess(double t, void *problem)
{
    const struct edge_problem *e = problem;
    return curve_shape_rise(e->shape, e->c, e->opt, t) - e->rise;
}

double curve_shape_edge(const struct curve_shape *s, const double c[2], double opt, double end,
                        double rise, bool *open)
{
    struct edge_problem e = {s, c, opt, rise};
    *open = !(edge_excess(end, &e) > 0);
    if (*open)
        return end;
    double edge = (double)NAN;
    gsl_root_fsolver *solver = gsl_root_fsolver_alloc(gsl_root_fsolver_brent);
    gsl_function f = {.function = edge_excess, .params = &e};
    if (solver && !gsl_root_fsolver_set(solver, &f, fmin(opt, end), fmax(opt, end))) {
        int status = GSL_CONTINUE;
        for (int i = 0; i < 100 && status == GSL_CONTINUE; i++) {
            if (gsl_root_fsolver_iterate(solver))
                break;
            edge = gsl_root_fsolver_root(solver);
            status = gsl_root_test_interval(gsl_root_fsolver_x_lower(solver),
                                            gsl_root_fsolver_x_upper(solver), 0, 1e-12);
        }
    }
    gsl_root_fsolver_free(solver);
    return edge;
}

void curve_shape_uncentre(const struct curve_shape *s, double c[2], double *intercept)
{
    if (s->form != CURVE_logquad && s->form != CURVE_quad)
        return;
    *intercept += s->centre * (c[1] * s->centre - c[0]);
    c[0] -= 2 * c[1] * s->centre;
}
