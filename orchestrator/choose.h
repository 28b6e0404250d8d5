// SPDX-License-Identifier: GPL-3.0-or-later
// The choice of an architecture: the integer structure with the lowest predicted loss that
// keeps every constraint; and the same with one constraint left out, which is what it costs.
#ifndef ORCHESTRATOR_CHOOSE_H
#define ORCHESTRATOR_CHOOSE_H
#include "orchestrator/space.h"
#include "orchestrator/surface.h"

enum constraint_kind {
    CONSTRAINT_SET,      // dim is n
    CONSTRAINT_MULTIPLE, // dim is a multiple of n
    CONSTRAINT_EXPERTS,  // N_e is a power of two, or divides n
    CONSTRAINT_LIMIT,    // quantity q lies in [least, most]
    CONSTRAINT_DATA      // variable var of the law lies in [least, most], where it was fitted
};
struct constraint {
    enum constraint_kind kind;
    char name[96]; // as reports call it
    enum arch_dim dim;
    int64_t n;
    enum range_kind experts; // RANGE_POW2 or RANGE_DIVISOR
    int q, var;
    double least, most;
};

enum { CHOOSE_MAX_CONSTRAINTS = 64 };
struct choosing {
    struct surface surface;
    enum token_cost per_token;
    struct job_model model;
    struct range range[N_DIMS]; // before constraints
    int n_constraints;
    struct constraint constraint[CHOOSE_MAX_CONSTRAINTS];
    bool has_start; // a structure to begin at besides the grid
    struct arch start;
    int grid; // most structures of a grid; 0: the default. Fewer: a search, no
              // enumeration
};

struct choice {
    struct arch arch;
    double q[N_QUANTITIES];
    double ln_loss, cost; // surface_ln_loss, surface_cost
    double broken;        // sum of |ln| by which limits are broken: 0: all are kept
    bool all;             // every structure of the space was looked at: nothing is better
};

// Bits of a set of constraints.
#define CHOOSE_NOTHING UINT64_C(0)
#define CHOOSE_ALL (~UINT64_C(0))
// The best structure without the constraints in `without` (bit i: constraint i). A grid over
// the space, thinned evenly in the logarithm of each dimension where it has too many
// structures; then, from the best of it, steps in one or two dimensions until none is better.
// Deterministic. ERR_INPUT: the space holds no architecture at all. Limits that cannot be kept
// are no error: out->broken says so, and out is what breaks them least.
enum err choose(const struct choosing *c, uint64_t without, struct choice *out);
// Is this structure allowed? The limits and the space.
bool choose_keeps(const struct choosing *c, const struct arch *a);
// ERR_INPUT, always: names the constraints of which leaving out any one would do, or else those
// that the structure breaks which comes nearest (least; NULL: choose refused, and said why).
enum err choose_refuse(const struct choosing *c, const struct choice *least);
#endif
