// SPDX-License-Identifier: GPL-3.0-or-later
// The coordinates that polish.h speaks of, and the buffers. Internal to polish*.c.
#ifndef FIT_POLISH_SPACE_H
#define FIT_POLISH_SPACE_H
#include "fit/polish.h"

enum { P_MAX = LAW_MAX_PARAMS };
struct polish_work {
    int64_t n;
    int p;
    double *value, *jacobian;             // at the current point
    double *trial_value, *trial_jacobian; // at the point that is tried
    double *columns;                      // p columns of n: the weighted Jacobian
};

// theta = theta_0 + W phi: W[j][k], k < rank; its columns make unit changes of the weighted
// values at the point where it was made. Parameters that are not free have no part in it.
struct polish_space {
    int p, rank;
    double W[P_MAX][P_MAX];
};
bool polish_space_make(struct polish_work *w, const struct polish_problem *pr,
                       const bool *free_param, struct polish_space *out);
void polish_space_move(const struct polish_space *s, const double *phi, double *dtheta);
// R (upper, p x p) of the columns' QR decomposition; columns are destroyed.
void polish_triangle(double *columns, int64_t n, int p, double R[P_MAX][P_MAX]);
// One-sided Jacobi: R = U diag(S) V'; S falls.
bool polish_singular(double R[P_MAX][P_MAX], int p, double *S, double V[P_MAX][P_MAX]);
// Objective from w->value; +infinity where a value is none.
double polish_sum(const struct polish_problem *pr, const double *value);
#endif
