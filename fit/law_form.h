// SPDX-License-Identifier: GPL-3.0-or-later
// What an entry of the table of laws holds, and the forms themselves. Internal to fit/.
#ifndef FIT_LAW_FORM_H
#define FIT_LAW_FORM_H
#include "fit/law.h"

// What a form sees of a variable x.
enum law_use {
    USE_LN,    // t = ln x
    USE_LN_1M, // t = ln (1 - x): sparsity
    USE_PLAIN  // t = x
};

struct law_var {
    enum law_use use;
    double least, below; // least <= x < below, and x > 0 where t is a logarithm
};

// How the solver moves a parameter. Positive ones that span decades move in their logarithm.
struct law_tune {
    bool ln;
    double from, to; // range of starts; not used for linear parameters
};

struct law {
    const char *name, *formula, *source;
    int n_vars, n_params;
    struct law_var var[LAW_MAX_VARS];
    const char *var_name[LAW_MAX_VARS];
    struct law_param param[LAW_MAX_PARAMS];
    struct law_tune tune[LAW_MAX_PARAMS];
    // ln(law) instead of the law is what is linear in the `linear` parameters (as moved).
    bool log_linear;
    // The law at t[n_vars]; gradient in the parameters where not NULL. NaN outside the domain.
    double (*form)(const struct law *l, const double *p, const double *t, double *gradient);
    // Where a start depends on the data (t_mid: middle of the t's, y_mid: of the losses): turns
    // numbers drawn from [from, to] into parameters. NULL: they are the parameters.
    void (*start)(const double *t_mid, double y_mid, double *p);
};

void law_transform(const struct law *l, const double *x, double *t);
// The first variable that is out of the law's domain at x; -1: none.
int law_outside(const struct law *l, const double *x);

#define LAW_FORM(name)                                                                         \
    double form_##name(const struct law *l, const double *p, const double *t, double *g)
LAW_FORM(chinchilla);
LAW_FORM(kaplan);
LAW_FORM(routed);
LAW_FORM(finegrained);
LAW_FORM(jointmoe);
LAW_FORM(fivefactor);
LAW_FORM(fivefactor_c);
LAW_FORM(allocation);
LAW_FORM(allocation_q);
LAW_FORM(wang);
LAW_FORM(abnar);
LAW_FORM(upcycling);
LAW_FORM(leverage);
LAW_FORM(r_star);
LAW_FORM(density);
LAW_FORM(expansion);
LAW_FORM(quadratic); // width, width_q
LAW_FORM(power);     // power, cmd
LAW_FORM(power_offset);
LAW_FORM(powersum);
// jointmoe with E experts is chinchilla in N_a and D: its five parameters.
void jointmoe_at(const double *p, double E, double *chinchilla);
void start_kaplan(const double *t_mid, double y_mid, double *p);
#endif
