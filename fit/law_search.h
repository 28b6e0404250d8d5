// SPDX-License-Identifier: GPL-3.0-or-later
// The global search: starts over the parameters that are not linear, each with the linear ones
// projected, the best of them polished. Internal to fit/.
#ifndef FIT_LAW_SEARCH_H
#define FIT_LAW_SEARCH_H
#include "fit/law_problem.h"

#define SEARCH_MINIMA 8
struct law_minimum {
    double theta[LAW_MAX_PARAMS], objective;
    bool converged;
};
struct law_minima { // distinct, best first
    int n;
    struct law_minimum at[SEARCH_MINIMA];
};

struct law_effort {
    int starts, polished;
};
// Starts of a cold fit, and of a resample, which has the minima of the fit to begin with.
struct law_effort law_effort_cold(const struct law *l);
struct law_effort law_effort_resample(const struct law *l);

// shift: of the quasi-random points, modulo one (0: none); known: minima to begin with, or
// NULL. thorough: the best few by GSL's trust region and Newton, otherwise by Newton alone.
// out->n = 0: no start is in the law's domain. ERR_FAILED: memory.
enum err law_search(struct law_problem *p, struct polish_work *w, struct law_effort effort,
                    double shift, const struct law_minima *known, bool thorough,
                    struct law_minima *out);
// For a minimum r at theta that Newton has not come to: by the trust region, then with
// coefficients that fall towards zero at zero (theta: -infinity).
struct polish_result law_settle(struct law_problem *p, struct polish_work *w, double *theta,
                                struct polish_result r);
#endif
