// SPDX-License-Identifier: Apache-2.0
// From wishes to a structure: integer architectures nearest to asked coordinates (the triad M,
// x, y, or any others), with named dimensions free. The real-valued inverse is the holistic
// framework's (arXiv 2603.21862, section 3, generalised to n_shared and d_d = k d).
#ifndef CORE_SOLVE_H
#define CORE_SOLVE_H
#include "core/arch.h"

// Coordinates that can be asked for besides plain dimensions.
#define SOLVE_COORDS(X) X(M) X(N_a) X(N) X(x) X(y) X(r) X(G) X(s) X(z) X(g)
enum coord {
#define X(name) COORD_##name,
    SOLVE_COORDS(X)
#undef X
        N_COORDS
};
const char *coord_name(enum coord c);
int coord_find(const char *name); // -1 if there is none
double coord_of(const struct counts *c, enum coord which);

#define SOLVE_MAX_FREE N_DIMS
struct solve_free {
    enum arch_dim dim;
    int64_t lo, hi, step; // candidates: multiples of step inside [lo, hi]
};

struct solve_spec {
    // Values of the dimensions that are not free; ARCH_UNSET: d_d follows 3 d, N_kv follows
    // N_q/2, n_shared 1, V 0.
    struct arch base;
    double want[N_COORDS]; // NaN: not asked for; at least one asked for
    double tol[N_COORDS];  // largest relative deviation accepted
    int n_free;
    // d among them: its range bounds every d tried; without it base.d is the only one, and if
    // that is unset, the asked d.
    struct solve_free free[SOLVE_MAX_FREE];
};

struct solution {
    struct arch arch;
    struct counts counts;
    // Achieved/asked - 1 (achieved itself where 0 is asked); NaN where nothing is.
    double deviation[N_COORDS];
    double worst; // largest |deviation|
};

// The paper's setting: free L_d, L_m, d_m and d (multiples of 8); tolerances 3 %.
void solve_defaults(struct solve_spec *s);

// Real-valued inverse at one d (the dimensions' other values from base): L_d, L_m, d_m as
// reals. false if the triad has none there. out[3] = L_d, L_m, d_m.
bool solve_real(const struct arch *base, double M, double x, double y, double d, double out[3]);
// Closed feasible interval of d for the real inverse (open at its lower end, where L_m = 0).
bool solve_real_interval(const struct arch *base, double M, double x, double y, double *lo,
                         double *hi);

// Best structure at exactly this d: among those within tol if there are any, else among all,
// the smallest worst deviation; ties (within 1e-12): smaller sum of |deviations|, smaller L_d +
// L_m, smaller d_m, then the first dimension that differs, smaller. Exact: nothing in the free
// ranges is better. ERR_INPUT with the reason when no valid structure exists at all.
enum err solve_at(const struct solve_spec *s, int64_t d, struct solution *out);
// The structure at the d nearest to the asked one (ratio distance) whose deviations are all
// within tol. ERR_INPUT "infeasible: ..." with the reason and the best that was found
// otherwise.
enum err solve_nearest(const struct solve_spec *s, double d, struct solution *out);
// All feasible d (within tol), ascending: *out fresh array (also when *n is 0), caller frees.
enum err solve_feasible(const struct solve_spec *s, int64_t **out, int *n);
#endif
