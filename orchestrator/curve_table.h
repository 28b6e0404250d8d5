// SPDX-License-Identifier: GPL-3.0-or-later
// Learning curves as a table, a row a point: what `moesweep export --curves` writes and
// `moesweep curve` reads (docs/analyses.md).
#ifndef ORCHESTRATOR_CURVE_TABLE_H
#define ORCHESTRATOR_CURVE_TABLE_H
#include "fit/law.h"
#include "fit/learning.h"
#include "orchestrator/steer.h"
#include <stdio.h>

struct fit_file; // orchestrator/fit_report.h
struct curve_table {
    int n;
    struct learning_run *run; // what it points to is owned here
    double *numbers;
    char (*name)[48];
    int64_t left_out; // rows without a number in D or loss
    const struct law *law;
    double *x; // of each run, with the law: its variables at the run's end
};
// Columns (or map's) run, D, loss, D_end; final and C where there are any; with a law file all
// of its variables, D among them, along which the law is followed.
enum err curve_table_read(const char *path, const char *map, const struct fit_file *law,
                          struct curve_table *out);
void curve_table_free(struct curve_table *t);
// The curves of all runs that ended well.
enum err curve_table_write(FILE *f, const struct steer *s, const json_t *records);
#endif
