// SPDX-License-Identifier: GPL-3.0-or-later
// The papers' analyses of a fitted law as one document (docs/analyses.md), as text, and drawn.
// Which of them apply follows from the law's variables.
#ifndef ORCHESTRATOR_ANALYZE_H
#define ORCHESTRATOR_ANALYZE_H
#include "orchestrator/fit_report.h"

enum { ANALYZE_MAX_BUDGETS = 8 };
struct analyze_input {
    const struct fit_file *file;
    const struct dataset *d; // NULL: a law file alone, so no analyses that need the runs
    const double *data_x;    // with d, of law_data
    struct law_options options;
    double x[LAW_MAX_VARS]; // the point at which the other variables are held
    double C[ANALYZE_MAX_BUDGETS];
    int n_C;
    double tolerance; // relative loss of the ranges around optima
};
// x: the middle of the data (geometric where the range is positive); C: budgets over the data's
// range and ten times beyond, none where C is not known.
void analyze_defaults(const struct fit_file *file, struct analyze_input *in);
// The caller owns *out.
enum err analyze_run(const struct analyze_input *in, json_t **out);
void analyze_print(const json_t *doc);
// Effects of the variables with their intervals and optima, as one SVG; *why as fit_plot has
// it.
enum err analyze_plot(const char *path, const struct analyze_input *in, const json_t *doc,
                      const char **why);
#endif
