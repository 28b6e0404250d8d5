// SPDX-License-Identifier: GPL-3.0-or-later
// Across scales: value = k X^p with the uncertainty that each scale's bootstrap and the scatter
// around the line bring; and the loss itself, L = E + A C^-p. Method: docs/method.md.
#ifndef FIT_POWER_H
#define FIT_POWER_H
#include "core/err.h"
#include <stdbool.h>
#include <stdint.h>

#define POWER_MAX_BOOT 1000
struct power_point {
    double X, value;
    const double *boot; // n_boot values of the same quantity, NaN allowed; NULL: exact
    int n_boot;
};

struct power_fit {
    int n;             // scales used
    bool fitted;       // false with fewer than 2 scales: value is then constant, said so
    double k, p;       // value = k X^p
    double p_lo, p_hi; // 95 %
    double rmse_log;
    double X_min, X_max;
    int n_boot;
    double *boot_lnk, *boot_p; // owned
};
// Weighted least squares in logs; points that are not finite and positive are left out, the
// order of points changes nothing. Interval of p: with 2 scales nothing can show scatter, so as
// much as the noise brings is assumed at one degree of freedom (very wide), and NaN where the
// noise is not known either. One scale: k = value, p = 0, interval NaN. ERR_FAILED only for
// memory.
enum err power_fit_run(const struct power_point *pts, int n, uint64_t seed,
                       struct power_fit *out);
// Prediction with its 95 % interval; lo = hi = NaN when nothing was fitted.
void power_predict(const struct power_fit *f, double X, double *value, double *lo, double *hi);
void power_fit_free(struct power_fit *f);

#define LOSS_LAW_BOOT 200
struct loss_law { // L = E + A X^-p
    bool converged;
    int n;
    double E, A, p, E_lo, E_hi, p_lo, p_hi, rmse_log, condition;
    int n_boot;
    double boot[LOSS_LAW_BOOT][3]; // E, A, p of each resample; NaN where one failed
};
// The law powersum of one column (fit/law.h): sum of Huber's rho (corner .01) of ln L - ln
// model, E >= 0, A >= 0. Intervals: residual bootstrap that searches anew. Points that are not
// finite and positive are left out. converged = false, and never to be steered on: n < 4 (then
// n = 3: the exact curve; 2: E = 0; 1: E = loss; no intervals), no minimum found, or p outside
// (.01, 2). The order of points changes nothing. ERR_FAILED only for memory.
enum err loss_law_fit(const double *X, const double *loss, int n, uint64_t seed,
                      struct loss_law *out);
double loss_law_value(const struct loss_law *f, double X);
// With its 95 % interval; lo = hi = NaN without intervals.
void loss_law_predict(const struct loss_law *f, double X, double *value, double *lo,
                      double *hi);
#endif
