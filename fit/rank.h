// SPDX-License-Identifier: GPL-3.0-or-later
// Agreement of two rankings, and how much of the spread of losses a grouping explains.
#ifndef FIT_RANK_H
#define FIT_RANK_H
#include "core/err.h"
#include <stdint.h>

#define RANK_MAX_BOOT 10000 // more resamples than that are cut to it

struct rank_stats {
    int n;
    double pearson, spearman, kendall, r2; // kendall: tau-b; r2 of the least-squares line
    double lo[4], hi[4];                   // 95 % by case bootstrap, same order
};
// The rank-preservation test of arXiv 2603.21862: x = loss at the median d, y = minimum over d,
// one pair a triad. Pairs with a number that is not finite are left out (n: those used). NaN
// statistics when n < 3 or one variable is constant; the order of pairs changes nothing.
enum err rank_stats_run(const double *x, const double *y, int n, int n_boot, uint64_t seed,
                        struct rank_stats *out);

struct spread_stats {
    int n, n_groups;
    double before, before_lo, before_hi; // sd of ln loss at equal M
    double after, after_lo, after_hi;    // pooled sd inside groups (equal triad)
    double noise; // pooled sd over seeds of one structure; NaN if unknown
};
// Fairness: sd of ln loss over all rows, and pooled inside groups; structure[i] numbers rows
// that differ by seed alone (NULL: noise unknown). Intervals: 95 %, whole groups resampled.
// Rows whose loss is not finite and positive are left out; the order of rows changes nothing.
enum err spread_run(const double *loss, const int *group, const int *structure, int n,
                    int n_boot, uint64_t seed, struct spread_stats *out);
#endif
