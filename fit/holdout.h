// SPDX-License-Identifier: GPL-3.0-or-later
// How well a law predicts rows that it was not fitted to.
#ifndef FIT_HOLDOUT_H
#define FIT_HOLDOUT_H
#include "fit/dataset.h"

// held[i]: 0, not held out; k > 0: in the k-th fold. For each fold the law is fitted without it
// and error[i] = ln y - ln law of its rows; NaN elsewhere, and where the law has no value.
// *fits counts the folds, *unsound those whose fit did not converge. ERR_INPUT: too few rows
// are left.
enum err holdout_errors(const struct dataset *d, const struct law *l,
                        const struct law_options *o, const int *held, int folds, double *error,
                        int *unsound);
// Root mean square of the finite ones among error[0..n); *used of them.
double holdout_rmse(const double *error, int64_t n, int64_t *used);
// Marks the given share of rows with the largest C (ties, within 1 %, go in together), as
// fold 1.
void holdout_largest(const struct dataset *d, double share, int *held);
// AICc of least squares in ln y with k = parameters + 1 (the noise); infinite for n <= k + 1.
double aicc(int64_t n, int params, double rmse_log);
// Mean difference of squared errors a - b over rows where both are finite, in its standard
// errors (clusters: rows of one fold are not independent, so folds are counted where there are
// three or more of them).
double holdout_contrast(const double *a, const double *b, const int *held, int folds,
                        int64_t n);
#endif
