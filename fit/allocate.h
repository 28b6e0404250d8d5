// SPDX-License-Identifier: GPL-3.0-or-later
// Expert-attention allocation (arXiv 2603.10379): the ratio r of expert to attention FLOPs with
// the least loss, from a fit of the laws allocation or allocation_q, and from runs alone.
#ifndef FIT_ALLOCATE_H
#define FIT_ALLOCATE_H
#include "fit/analysis.h"
#include "fit/curve.h"
#include "fit/dataset.h"
#include "fit/power.h"

// At a budget and a sparsity z all models of N_a active parameters have
// N = N_a (1 + z/(1-z) r/(1+r)) in total (r/(1+r) of the active ones are in experts) and
// D = C/(6 N_a). So a larger r costs through d and pays through N, and r* is where they meet,
// solved from the surface (the paper's closed form does not follow from its own condition).
struct allocate {
    double C, z, r_lo, r_hi; // range of r searched
};
analysis_fn allocate_best; // 3 values: r*, N_a*, loss; NaN: no optimum inside
struct allocate_line {
    double z, r_lo, r_hi, C[8];
    int n;
};
analysis_fn allocate_trend; // 2 values: alpha_r, beta_r of r* = alpha_r C^beta_r over C[n]

// The same from runs alone: for each scale of C and each sparsity the run with the least loss
// as it is, and the minimum of a parabola in ln r (fit/curve.h; runs of one D share an
// intercept). The smoothed trend is a power law through the latter for each sparsity.
enum { RATIO_MAX = 64, RATIO_STAR = 6 };
struct ratio_point {
    double C, z;
    int line;             // of ratio_trend
    struct curve_fit fit; // raw_min_t: the raw minimum
};
struct ratio_line {
    double z;
    int n; // scales in it
    struct power_fit power;
};
struct ratios {
    int n, n_lines;
    struct ratio_point point[RATIO_MAX];
    struct ratio_line line[RATIO_MAX];
    struct law_fit star; // the law r_star through all interior minima; law NULL: fewer than
                         // RATIO_STAR of them, or one sparsity
};
// ERR_INPUT: C is not known, more groups than RATIO_MAX. Groups with fewer than three r are
// left out. ratios_free releases it.
enum err ratios_run(const struct dataset *d, uint64_t seed, struct ratios *out);
void ratios_free(struct ratios *r);
#endif
