// SPDX-License-Identifier: GPL-3.0-or-later
// A law held against the surface that its runs were simulated on.
#ifndef ORCHESTRATOR_TRUTH_SCORE_H
#define ORCHESTRATOR_TRUTH_SCORE_H
#include "orchestrator/truth.h"

// Of one planted optimum at one scale, over sweeps; against the planted one where the others
// were.
struct truth_scale {
    double C;
    int points, missed;
    int n_off;
    double off; // sum over n_off interior optima of ln(reported / planted)
};

// Of one planted optimum, over scales and sweeps.
struct truth_score {
    // Against the planted optimum where the others were (law.json's `at`): a fit along one axis
    // claims no more.
    int inside, unresolved, missed;
    int missed_whole; // against the optimum of the whole surface
    int absent;       // sweeps whose law does not have the quantity
    int n_width;
    double *width; // owned, n_width: ln(hi / lo) of intervals that are interior
    int n_scales;
    struct truth_scale scale[CONFIG_MAX_SCALES]; // in the law's order
};

// Adds what a law says of each optimum to scores (TRUTH_MAX of them, zero at first).
enum err truth_score_add(const struct truth *t, const struct sweep *cfg, const json_t *law,
                         struct truth_score *scores);
// Share of what was said that holds or claims nothing; NaN where nothing was said.
double truth_score_honest(const struct truth_score *s, bool whole);
// Median of width, NaN without any.
double truth_score_width(struct truth_score *s);
void truth_scores_free(struct truth_score *scores);
#endif
