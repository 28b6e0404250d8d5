// SPDX-License-Identifier: GPL-3.0-or-later
// Near-optimal bands: along each quantity that the predicted loss sees, where it is lowest, the
// range in which it is within a tolerance of that, and what the value that was built costs.
#ifndef ORCHESTRATOR_BANDS_H
#define ORCHESTRATOR_BANDS_H
#include "orchestrator/surface.h"

struct band {
    char name[32];
    double built, best, lo, hi;
    bool lo_open, hi_open; // the loss stays within tolerance up to where nothing is known
    double tolerance;
    double cost; // relative, of built over best; NaN where the sweep does not resolve it
};

// A loss law: along its size (N_a, and D = C/M with it, at the proportions that q has) and
// along each variable that is a proportion, inside the range of the data, the others as they
// are. A sweep: along each quantity that it has an optimum for, with the sweep's own tolerances
// unless tolerance > 0. Returns how many, at most BANDS_MAX.
enum { BANDS_MAX = SURFACE_MAX_TERMS + LAW_MAX_VARS + 2 };
int bands_of(const struct surface *s, const double q[N_QUANTITIES], double tolerance,
             struct band out[BANDS_MAX]);
// Is this variable of a law a proportion: unmoved when the model grows as it is?
bool bands_proportion(const struct surface *s, int var);
#endif
