// SPDX-License-Identifier: GPL-3.0-or-later
// Which integer architectures recommend chooses among: a list of candidates for each dimension,
// from ranges that constraints narrow.
#ifndef ORCHESTRATOR_SPACE_H
#define ORCHESTRATOR_SPACE_H
#include "core/arch.h"

enum range_kind {
    RANGE_FOLLOWS, // N_q = d/d_qkv, N_kv = N_q/2 (at least 1), d_d = 3 d; no other dimension
    RANGE_STEPS,   // multiples of step in [lo, hi]; a fixed value: step 1, lo = hi
    RANGE_POW2,    // powers of two in [lo, hi]
    RANGE_DIVISOR  // divisors of `of` in [lo, hi]
};
struct range {
    enum range_kind kind;
    int64_t lo, hi, step, of; // RANGE_FOLLOWS: d_d is rounded up to a multiple of step, N_q and
                              // N_kv must be one
};

struct choices {
    int n; // 0: follows
    int64_t *value;
};
struct space {
    struct choices dim[N_DIMS]; // ascending
    int64_t step[N_DIMS];       // of those that follow
};
// ERR_INPUT: a dimension that is left without a candidate, named.
enum err space_make(const struct range range[N_DIMS], struct space *out);
void space_free(struct space *s);
// The architecture of candidate at[i] of each dimension; false where it is none (core/arch.h's
// rules, heads that do not divide, ..).
bool space_arch(const struct space *s, const int at[N_DIMS], struct arch *out);
// Where an architecture stands; false if it is none of the space.
bool space_find(const struct space *s, const struct arch *a, int at[N_DIMS]);
#endif
