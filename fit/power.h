// SPDX-License-Identifier: GPL-3.0-or-later
// Across scales: value = k X^p with the uncertainty that each scale's bootstrap and the scatter around
// the line bring; and the loss itself, L = E + A C^-p.
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
    int n;                     // scales used
    bool fitted;               // false with fewer than 2 scales: value is then constant, said so
    double k, p;               // value = k X^p
    double p_lo, p_hi;         // 95 %
    double rmse_log;
    double X_min, X_max;
    int n_boot;
    double *boot_lnk, *boot_p; // owned
};
enum err power_fit_run(const struct power_point *pts, int n, uint64_t seed, struct power_fit *out);
// Prediction with its 95 % interval; lo = hi = NaN when nothing was fitted.
void power_predict(const struct power_fit *f, double X, double *value, double *lo, double *hi);
void power_fit_free(struct power_fit *f);

struct loss_law {              // L = E + A X^-p
    bool converged;
    int n;
    double E, A, p, E_lo, E_hi, p_lo, p_hi, rmse_log, condition;
};
// GSL trust region from several starts (profiled over p), log-space Huber objective; n >= 3 or not converged.
enum err loss_law_fit(const double *X, const double *loss, int n, uint64_t seed, struct loss_law *out);
double loss_law_value(const struct loss_law *f, double X);
#endif
