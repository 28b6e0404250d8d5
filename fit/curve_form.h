// SPDX-License-Identifier: GPL-3.0-or-later
// The forms themselves: basis, optimum in closed form, edges by root finding. Internal to fit/.
// On its domain each form is convex, concave or monotone in its own variable, so over a range
// it has one minimum: the stationary point where both conditions below hold, otherwise one of
// the two ends.
#ifndef FIT_CURVE_FORM_H
#define FIT_CURVE_FORM_H
#include "fit/curve.h"

// f(t) = c[0] basis0(t) + c[1] basis1(t), intercept apart. logquad and quad are expanded about
// `centre` (in ln t, in t): about zero their two columns would be nearly parallel.
struct curve_shape {
    enum curve_form form;
    double t_max_form; // expansion's t_max
    double centre;     // 0 in the other forms
    double lo, hi;     // range tried
};

// t finite, and where the form is finite: t > 0, t > 6, 1 < t < t_max.
bool curve_shape_valid(const struct curve_shape *s, double t);
void curve_shape_basis(const struct curve_shape *s, double t, double basis[2]);
// Minimum over [lo, hi].
double curve_shape_optimum(const struct curve_shape *s, const double c[2]);
// f(t) - f(from), without the intercept's rounding.
double curve_shape_rise(const struct curve_shape *s, const double c[2], double from, double t);
// Where f has risen by `rise` > 0 on the way from opt to end (lo or hi); end itself, and *open,
// when it does not rise so far.
double curve_shape_edge(const struct curve_shape *s, const double c[2], double opt, double end,
                        double rise, bool *open);
// Coefficients and intercept about zero instead of about the centre.
void curve_shape_uncentre(const struct curve_shape *s, double c[2], double *intercept);
#endif
