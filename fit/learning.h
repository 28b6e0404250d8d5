// SPDX-License-Identifier: GPL-3.0-or-later
// A run's final loss from the first part of its learning curve. A curve alone cannot say it:
// under a schedule the loss drops while the learning rate falls, and nothing before shows by
// how much. So what is read off the first part is calibrated on runs of the same schedule that
// have ended, cut at the same share of their tokens: robust regression (fit/robust.h) of ln
// final loss on one of
#ifndef FIT_LEARNING_H
#define FIT_LEARNING_H
#include "core/err.h"
#include <stdbool.h>

//    name     regressors beside a constant
#define LEARNING_METHODS(X)                                                                    \
    X(last, "ln of the curve's last points")                                                   \
    X(last_D, "the same, and ln D of the whole run")                                           \
    X(form, "ln of k D^p + c through the first part, at the run's end")                        \
    X(law, "ln of the law at the run's end, and ln of the last points over the law there")
enum learning_method {
#define X(name, text) LEARNING_##name,
    LEARNING_METHODS(X)
#undef X
        N_LEARNING_METHODS
};
const char *learning_method_name(enum learning_method m);
const char *learning_method_text(enum learning_method m);

struct learning_run {
    const char *name;
    int n;                  // points, D rising
    const double *D, *loss; // tokens so far, training loss
    const double *law;      // the law there; NULL: no law
    double D_end, law_end;  // of the whole run
    double final;           // NaN: has not ended
    double C;               // its scale; NaN: not known
};
double learning_share(const struct learning_run *r); // seen of the whole run
// ln of the curve over the law, mean of the last points up to that share; NaN without either.
double learning_excess(const struct learning_run *r, double share);

enum { LEARNING_LEAST = 8 }; // runs that have ended to calibrate on
// Leave-one-out over the runs that have ended, cut at a share of their tokens; and the largest
// scale of C predicted from all smaller ones. Errors in ln loss.
struct learning_score {
    int n, n_large;
    double rmse, cover, half; // half: mean half width of the 95 % intervals; cover: those that
                              // hold
    double rmse_large, cover_large;
};
// ERR_FAILED: memory. NaN where there are too few runs.
enum err learning_test(const struct learning_run *runs, int n, enum learning_method m,
                       double share, struct learning_score *out);
// Of run (whose final is not looked at) from all others that have ended; NaN: too few, or the
// method needs more of its curve than there is.
struct learning_guess {
    double value, lo, hi;
    int n; // runs calibrated on
};
enum err learning_predict(const struct learning_run *runs, int n, enum learning_method m,
                          double share, const struct learning_run *run,
                          struct learning_guess *out);
// k D^p + c through the first part alone, without any other run, at the run's end, with the
// fit's interval for an observation: where the learning rate stays what it is.
enum err learning_extrapolate(const struct learning_run *run, double share,
                              struct learning_guess *out);
#endif
