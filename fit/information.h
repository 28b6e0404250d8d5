// SPDX-License-Identifier: GPL-3.0-or-later
// The linearised view of a fit: information matrix sum of w j j', its inverse, and what follows
// from it: which rows move the answer (leave one out), which new runs would sharpen a
// prediction. j is the gradient of ln law (of the law, for LAW_SQUARES) in the parameters.
#ifndef FIT_INFORMATION_H
#define FIT_INFORMATION_H
#include "fit/dataset.h"

struct information {
    int p;
    double m[LAW_MAX_PARAMS * LAW_MAX_PARAMS];   // sum of w j j'
    double inv[LAW_MAX_PARAMS * LAW_MAX_PARAMS]; // its pseudo-inverse
    double scale[LAW_MAX_PARAMS];                // one over the root of m's diagonal
};

void information_add(struct information *f, const double *j, double w);
// inv from m. ERR_FAILED: the matrix holds no numbers.
enum err information_invert(struct information *f);
// False where a has a part along a direction that the rows do not see at all.
bool information_sees(const struct information *f, const double *a);
// a' inv b
double information_form(const struct information *f, const double *a, const double *b);
// Gradient at x as above, false where the law has no value.
bool information_gradient(const struct law_fit *f, const double *x, double *j);

struct influence {
    int64_t row;
    double residual; // observed over fitted, less one (for LAW_SQUARES: the difference)
    double z;        // in robust standard deviations of all residuals
    double distance; // Cook's: how far leaving it out moves all fitted values
    int param;       // the identified parameter that it moves most, -1: none
    double moves;    // by so many of its standard errors
};
// The k rows whose leaving out would move the fit most, most first; *n of them. outliers: rows
// with |z| > 4. x and n_rows as in the fit's law_data.
enum err influence_of(const struct law_fit *f, const double *x, int64_t n_rows, int k,
                      struct influence *out, int *n, int64_t *outliers);

enum { NEXT_MAX = 16 };
struct next_run {
    double x[LAW_MAX_VARS];
    int count;    // runs of it (seeds)
    double C;     // of one
    double alone; // what one such run, and no other, leaves of the interval's width
};
struct next_plan {
    double sd; // of ln of the prediction now, linearised
    double noise;
    int n;
    struct next_run run[NEXT_MAX];
    double C, left; // of all; what they leave of the interval's width
    bool hopeless;  // nothing on the grid shows what the prediction rests on
};
// Greedy: the run that lowers the prediction's variance most per FLOP, again and again, at most
// five of a kind, until the interval has halved, the budget (0: none) is spent or nothing
// helps. Candidates lie on a grid over the data's range and a factor of three beyond in sizes,
// tokens and compute. ERR_INPUT: a law whose runs have no known cost.
enum err next_runs(const struct law_fit *f, const struct dataset *d, const double *at,
                   double budget, struct next_plan *out);
#endif
