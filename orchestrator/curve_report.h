// SPDX-License-Identifier: GPL-3.0-or-later
// What `moesweep curve` found, for people and drawn.
#ifndef ORCHESTRATOR_CURVE_REPORT_H
#define ORCHESTRATOR_CURVE_REPORT_H
#include "orchestrator/curve_table.h"
#include "orchestrator/fit_report.h"

struct curve_subject {
    struct curve_table t;
    struct fit_file law; // zeroed without one
    double part;         // share of a run's tokens that is looked at
    enum learning_method best;
    int shown; // the run of --run, -1: none
};
void curve_print(const json_t *doc);
// Predicted against final losses; curves over the law; the shown run with law and prediction.
// *why as fit_plot has it.
enum err curve_plot(const char *path, const struct curve_subject *s, const char **why);
#endif
