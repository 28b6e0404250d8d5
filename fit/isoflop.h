// SPDX-License-Identifier: GPL-3.0-or-later
// Compute-optimal sizes, C = 6 N D: by the isoFLOP parabola method (Hoffmann 2022, approach 2),
// for comparison, and from a fitted chinchilla law, which is what to use. Parabolas are biased
// even without noise, for the true curves are not symmetric (arXiv 2603.22339): isoflop_bias
// says by how much on the points at hand.
#ifndef FIT_ISOFLOP_H
#define FIT_ISOFLOP_H
#include "core/err.h"
#include "fit/law.h"

#define ISOFLOP_MAX_BUDGETS 64
struct isoflop_budget {
    double C; // geometric mean of its rows
    int n;
    bool ok;          // three different N, and a minimum
    double N, D, L;   // of the parabola's vertex in ln N; NaN where not ok
    double curvature; // of L in ln N
    bool inside;      // the vertex lies among its rows
};
struct isoflop_fit {
    int n_budgets, n_ok;
    struct isoflop_budget budget[ISOFLOP_MAX_BUDGETS];
    double k_N, p_N, k_D,
        p_D; // N* = k_N C^p_N, D* = k_D C^p_D; NaN with fewer than two budgets
};
// Rows (N, D, loss) are of one budget when their C, sorted, are within the factor `together` of
// the next (1.1, say). ERR_INPUT: a number that is not positive, or too many budgets;
// ERR_FAILED: memory.
enum err isoflop_run(const double *N, const double *D, const double *loss, int n,
                     double together, struct isoflop_fit *out);
void isoflop_optimum(const struct isoflop_fit *f, double C, double *N, double *D);
// D*(C) by parabolas through noise-free values of that chinchilla law at these rows, over the
// law's own D*(C), less one.
enum err isoflop_bias(const double *params, const double *N, const double *D, int n,
                      double together, double C, double *bias);

struct optimum {
    double N, D, L, N_lo, N_hi, D_lo, D_hi, L_lo, L_hi; // 95 %; NaN without a bootstrap
};
// N = G (C/6)^(beta/(alpha+beta)), D = C/(6 N), G = (alpha A / (beta B))^(1/(alpha+beta)).
void chinchilla_optimum(const double *params, double C, double *N, double *D, double *L);
// f: a fit of the law chinchilla. ERR_FAILED: memory.
enum err chinchilla_optimum_fit(const struct law_fit *f, double C, struct optimum *out);
#endif
