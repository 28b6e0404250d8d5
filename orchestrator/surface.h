// SPDX-License-Identifier: GPL-3.0-or-later
// The predicted loss as a function of a structure at a budget: a fitted loss law read through a
// map from quantities to its variables, or what a sweep's law says about the cost of moving
// each quantity off its optimum; and where to stay where neither says anything.
#ifndef ORCHESTRATOR_SURFACE_H
#define ORCHESTRATOR_SURFACE_H
#include "fit/expr.h"
#include "orchestrator/fit_report.h"
#include "orchestrator/quantity.h"

// Relative cost of a quantity off its optimum: k ln(v/at)^2, one k a side.
struct surface_term {
    int q;
    double at, k_lo, k_hi; // k: 0 where the sweep does not resolve it
    double tolerance;      // of the near-optimal band
};
// A convention: what no law decides is drawn to `at` by weight ln(v/at)^2, beside ln loss.
struct surface_pull {
    int q;
    double at, weight;
};
enum { SURFACE_MAX_TERMS = N_COORDS + N_DIMS, SURFACE_MAX_PULLS = 2 * N_QUANTITIES };

struct surface {
    double C;
    const struct fit_file *fit; // a loss law; NULL: terms
    struct expr *map[LAW_MAX_VARS];
    char *text[LAW_MAX_VARS]; // of the map
    int column[LAW_MAX_VARS]; // the quantity where the map is nothing else, -1 otherwise
    double ln_best;           // terms: ln loss of the optimum; 0 where it is not known
    int n_terms, n_pulls;
    struct surface_term term[SURFACE_MAX_TERMS];
    struct surface_pull pull[SURFACE_MAX_PULLS];
};

// A loss law through "N=N_a,D=D,.." (NULL: the defaults of docs/recommend.md). ERR_INPUT: a law
// that gives no loss or knows no tokens, a variable without a default. fit must outlive it.
enum err surface_of_fit(const struct fit_file *fit, const char *map, double C,
                        struct surface *out);
void surface_free(struct surface *s);

// The law's variables (only with a fit).
void surface_vars(const struct surface *s, const double q[N_QUANTITIES],
                  double x[LAW_MAX_VARS]);
// ln of the predicted loss; not finite where there is none.
double surface_ln_loss(const struct surface *s, const double q[N_QUANTITIES]);
// With the conventions: what the search minimises.
double surface_cost(const struct surface *s, const double q[N_QUANTITIES]);
double surface_term_cost(const struct surface_term *t, double v);
// Does the loss, or variable var of the law, change with this quantity alone?
bool surface_sees(const struct surface *s, int q);
bool surface_var_sees(const struct surface *s, int var, int q);
#endif
