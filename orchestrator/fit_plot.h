// SPDX-License-Identifier: GPL-3.0-or-later
// Data against a fitted law, residuals by variable, and profiles, as one SVG drawn by gnuplot.
#ifndef ORCHESTRATOR_FIT_PLOT_H
#define ORCHESTRATOR_FIT_PLOT_H
#include "fit/dataset.h"
#include <jansson.h>

// x as in the fit's law_data; profiles: the report's, or NULL. *why: NULL when path was
// written; else why not (static text), and nothing is written: gnuplot cannot be started, or
// refuses. ERR_INPUT, ERR_FAILED: the file or the memory.
enum err fit_plot(const char *path, const struct law_fit *f, const struct dataset *d,
                  const double *x, const json_t *profiles, const char **why);
#endif
