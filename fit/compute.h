// SPDX-License-Identifier: GPL-3.0-or-later
// Budgets: the best size and tokens for C = 6 N D (6 N_a D where a law has N_a), and what a
// mixture of experts is worth in dense compute and where it stops paying. Each as an
// analysis_fn (fit/analysis.h).
#ifndef FIT_COMPUTE_H
#define FIT_COMPUTE_H
#include "fit/analysis.h"

// Where size and tokens stand among the law's variables; false: C = 6 N D does not hold (N
// counts parameters that are not at work), or the law lacks one of them.
bool compute_vars(const struct law *l, int *size, int *tokens);
// x holds the law's other variables; its size and tokens are set: chinchilla and jointmoe in
// closed form (fit/isoflop.h), others by search. NaN where the law has no minimum inside 1 <= N
// <= C/6 (and N_a <= N where x holds N).
void compute_optimum(const struct law *l, const double *params, double C, double *x);

struct budget {
    double C;
    const double *x; // the other variables
};
// 4 values at `struct budget`: size, tokens, loss, and d ln size / d ln C. Law cmd: M, D, NaN
// and d ln M / d ln C.
analysis_fn compute_best;

// ---- against dense models: laws with a number of experts, dense at E = 1

// The scale of a comparison: C, both models at their own best size (jointmoe), or N, which
// stands for the FLOPs of a token (routed, wang). False: another law.
bool dense_vars(const struct law *l, int *experts, bool *budget);
struct dense {
    double E, scale; // C or N
    const double *x; // the other variables (D)
};
// 1 value: efficiency leverage, the compute (or N) at which a dense model has the same loss,
// over `scale`; NaN beyond 1e4 either way.
analysis_fn dense_leverage;
// 2 values: between which scales, up to 1e6 times from `scale`, E experts beat dense models; 0
// and infinity where it does not end; NaN twice where they do not at `scale`.
analysis_fn dense_break_even;
// 1 value, law leverage at x (C does not matter): the C at which EL = 1.
analysis_fn leverage_break_even;
#endif
