// SPDX-License-Identifier: GPL-3.0-or-later
// The compute-optimal split of C = 6 N D (6 N_a D) between size and tokens under a law:
// chinchilla in closed form (fit/isoflop.h), others by golden section over ln N.
#ifndef ORCHESTRATOR_OPTIMUM_H
#define ORCHESTRATOR_OPTIMUM_H
#include "fit/law.h"

// Where size and tokens stand among the law's variables. ERR_INPUT: a law for which C = 6 N D
// does not hold (N counts parameters that are not at work) or that lacks a size or tokens.
enum err optimum_vars(const struct law *l, int *size, int *tokens);
// x holds the law's other variables; its size and tokens are set. NaN where the law has no
// minimum inside 1 <= N <= C/6.
void optimum_find(const struct law *l, const double *params, double C, double *x);
// The same by golden section whatever the law.
void optimum_search(const struct law *l, const double *params, double C, int size, int tokens,
                    double *x);
#endif
