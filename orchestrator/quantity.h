// SPDX-License-Identifier: GPL-3.0-or-later
// Everything that a structure at a budget is measured by, under one list of names: those of the
// dimensions (core/arch.h) and coordinates (core/solve.h), and a few more. Constraints, the
// variables of laws (recommend --map) and reports use them.
#ifndef ORCHESTRATOR_QUANTITY_H
#define ORCHESTRATOR_QUANTITY_H
#include "core/job.h"
#include "core/solve.h"

#define QUANTITIES(X)                                                                          \
    X(C, "training FLOPs")                                                                     \
    X(D, "training tokens that C pays for")                                                    \
    X(E, "routed experts, N_e")                                                                \
    X(A, "active share of the experts, 1 - z")                                                 \
    X(L, "layers")                                                                             \
    X(params, "all parameters, with embedding, router and norms")                              \
    X(forward, "FLOPs a token of a forward pass, M/3")                                         \
    X(aspect, "d/L")                                                                           \
    X(width, "(K + n_shared) d_m/d")

// A dimension or a coordinate: QUANTITY_DIM(DIM_d), QUANTITY_COORD(COORD_M).
#define QUANTITY_DIM(dim) ((int)(dim))
#define QUANTITY_COORD(coord) (N_DIMS + (int)(coord))
enum quantity {
    QUANTITY_BEFORE = N_DIMS + N_COORDS - 1,
#define X(name, what) QUANTITY_##name,
    QUANTITIES(X)
#undef X
        N_QUANTITIES
};

const char *quantity_name(int q);
int quantity_find(const char *name); // -1: there is none
// What a token costs of a budget.
enum token_cost {
    TOKEN_M, // M: C = M D, as sweeps count
    TOKEN_6N // 6 N_a: C = 6 N_a D, without attention scores, as fitted laws count
};
// All of them, of a checked architecture. model: what params counts.
void quantity_all(const struct arch *a, const struct job_model *model, double C,
                  enum token_cost per_token, double out[N_QUANTITIES]);
#endif
