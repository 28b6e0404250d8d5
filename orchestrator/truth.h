// SPDX-License-Identifier: GPL-3.0-or-later
// A loss surface that is known, to train simulated jobs on: what a sweep finds can be compared
// with what is there. With v the job's own values,
//
//     ln L = ln(E + A (C / C0)^-alpha) + sum_v c_v bowl_v(v) + sd z
//     v* = k_v (C / C0)^p_v prod_w (w / w*)^q_vw
//     bowl, by form as in fit/curve.h:
//         logquad    ln(v / v*)^2
//         quad       (v / v* - 1)^2
//         density    (u*^2 / u + u - 2 u*) / u*, u = v - 6
//         expansion  ((v* - 1)^2 / (v - 1) + (T - v*)^2 / (T - v)) / (T - 1) - 1, T = "max"
//
// z a standard normal number of the job's id and the seed: the same job has the same loss. q:
// what goes along with others, as the best width does with M, x and y (a feasible d depends on
// them, and what the paper finds is that best d's rank among the feasible ones is kept);
// without it a bowl in d would move the other optima on the way of feasible structures.
#ifndef ORCHESTRATOR_TRUTH_H
#define ORCHESTRATOR_TRUTH_H
#include "fit/curve.h"
#include "orchestrator/steer.h"

enum { TRUTH_MAX = 8 };

struct truth_optimum {
    struct var var; // a coordinate or a dimension
    double k, p, curvature;
    double along[TRUTH_MAX]; // exponents q of the other optima's variables
    enum curve_form form;
    double max;   // T of CURVE_expansion
    double dense; // of d, 0: no; goes along with the width at which this share of the layers
                  // is dense (what "along" says of x, y and M then adds to it)
};
struct truth {
    double E, A, C0, alpha, sd;
    struct truth_optimum optima[TRUTH_MAX];
    int n;
};

// {"E": 0.9, "A": 0.9, "C0": 1e11, "alpha": 0.1, "sd": 0.007,
//  "optima": {"M": {"k": 9e4, "p": 0.42, "curvature": 0.1}, "x": {"form": "density", ..}, ..}};
// "along": {"M": 0.45, ..} gives q; p
// and q default to 0, form to "logquad". ERR_INPUT names file and
//  key.
enum err truth_read(const char *path, struct truth *out);
double truth_loss(const struct truth *t, const struct steer_job *sj, uint64_t seed);
// By how much, in ln, an optimum lies elsewhere where the others are v (in the order of
// optima). a: heads, experts and S of the structures.
double truth_moved(const struct truth *t, int of, const struct arch *a, double C,
                   const double v[TRUTH_MAX]);
double truth_at(const struct truth_optimum *o, const struct truth *t, double C);
#endif
