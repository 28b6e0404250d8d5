// SPDX-License-Identifier: Apache-2.0
// The exact search behind core/solve.h: branch and bound over boxes of integer architectures.
// Every coordinate has bounds over a box from the box's corners (counts never fall when a
// dimension grows, ratios are monotone in each dimension given the mix of layers), so a box
// whose bounds are farther from the wishes than the best structure known is dropped whole, and
// nothing better is ever missed. Deterministic.
#ifndef CORE_SEARCH_H
#define CORE_SEARCH_H
#include "core/solve.h"

enum search_goal {
    SEARCH_ANY_WITHIN,  // the first structure found whose deviations are all within tol
    SEARCH_BEST_WITHIN, // the one of these with the smallest worst deviation
    SEARCH_BEST         // the smallest worst deviation, whatever tol says
};

// Over the spec's free dimensions (its d replaced by the multiples of d_step in [d_lo, d_hi]).
// The spec must be consistent (solve.c checks). false when there is no such structure.
bool search_run(const struct solve_spec *s, enum search_goal goal, int64_t d_lo, int64_t d_hi,
                int64_t d_step, struct solution *out);
// Counts and deviations of a checked architecture against the spec's wishes.
struct solution search_solution(const struct solve_spec *s, const struct arch *a);
#endif
