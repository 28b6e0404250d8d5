// SPDX-License-Identifier: GPL-3.0-or-later
// A law and its rows in the solver's terms. theta: parameters, those of tune.ln as logarithms.
// Values are ln law (LAW_SQUARES: the law). Internal to fit/.
#ifndef FIT_LAW_PROBLEM_H
#define FIT_LAW_PROBLEM_H
#include "fit/law_form.h"
#include "fit/polish.h"

struct law_problem {
    const struct law *law;
    int64_t n, capacity;
    enum law_objective objective;
    double corner;
    double *t, *y, *target, *weight; // owned; capacity rows
    double *basis;                   // owned; of the projection
    double lo[LAW_MAX_PARAMS], hi[LAW_MAX_PARAMS], reach[LAW_MAX_PARAMS]; // of theta
};
// Room for n rows, none yet. ERR_FAILED: memory.
enum err law_problem_create(struct law_problem *p, const struct law *l, int64_t n,
                            const struct law_options *o);
void law_problem_free(struct law_problem *p);
void law_problem_add(struct law_problem *p, const double *t, double y, double weight);
// A parameter of that value, not to be moved.
void law_problem_fix(struct law_problem *p, int param, double value);
struct polish_problem law_problem_polish(const struct law_problem *p); // borrows p
void law_to_theta(const struct law *l, const double *params, double *theta);
void law_from_theta(const struct law *l, const double *theta, double *params);

// Variable projection: with the other parameters as they are in params, the linear ones by
// weighted least squares (relative errors; not negative where the law says so, by an active
// set). Returns the objective with relative for logarithmic errors; +infinity: no fit.
double law_project(struct law_problem *p, double *params);
#endif
