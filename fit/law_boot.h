// SPDX-License-Identifier: GPL-3.0-or-later
// What a fit, its bootstrap and its profiles share. Every resample searches anew (the fit's
// minima and fresh starts). Internal to fit/.
#ifndef FIT_LAW_BOOT_H
#define FIT_LAW_BOOT_H
#include "fit/law_search.h"

// Residuals below this are rounding: what the data fix is then judged as if it were the noise.
#define LAW_NOISE_LEAST 1e-9
// A problem of all rows, checked; ERR_INPUT as law_fit_run says.
enum err law_problem_make(const struct law *l, const struct law_data *d,
                          const struct law_options *o, struct law_problem *p);
// Fills f->boot, n_boot and the intervals lo, hi. Resample b draws from the stream b + 1 of
// seed, whichever thread makes it.
enum err law_boot_run(const struct law_problem *p, const struct law_data *d,
                      const struct law_options *o, uint64_t seed,
                      const struct law_minima *minima, struct law_fit *f);
#endif
