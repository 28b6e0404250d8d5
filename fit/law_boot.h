// SPDX-License-Identifier: GPL-3.0-or-later
// The bootstrap of a law: every resample searches anew (the fit's minima and fresh starts).
// Internal to fit/.
#ifndef FIT_LAW_BOOT_H
#define FIT_LAW_BOOT_H
#include "fit/law_search.h"

uint64_t law_data_hash(const struct law *l, const struct law_data *d);
// law_search, on a sample of the rows first where there are many.
enum err law_search_all(struct law_problem *p, struct polish_work *w,
                        const struct law_options *o, uint64_t seed, struct law_minima *out);
// Fills f->boot, n_boot and the intervals lo, hi. Resample b draws from the stream b + 1 of
// seed, whichever thread makes it.
enum err law_boot_run(const struct law_problem *p, const struct law_data *d,
                      const struct law_options *o, uint64_t seed,
                      const struct law_minima *minima, struct law_fit *f);
#endif
