// SPDX-License-Identifier: GPL-3.0-or-later
// A fit as a document: what `fit --json` prints, what `fit --save` writes and `predict` reads
// (docs/fit.md), and the same for people.
#ifndef ORCHESTRATOR_FIT_REPORT_H
#define ORCHESTRATOR_FIT_REPORT_H
#include "fit/dataset.h"
#include <stdio.h>

// x as in the fit's law_data. The caller owns *out.
enum err fit_report(const struct law_fit *f, const struct dataset *d, const double *x,
                    const char *data, json_t **out);
void fit_report_print(const json_t *report, FILE *f);
// The report with what intervals need (resamples, residuals), to path. Takes over nothing.
enum err fit_file_write(const char *path, const json_t *report, const struct law_fit *f);

// What `predict` knows of a fit: the law, its resamples, and where it was fitted.
struct fit_file {
    struct law_fit fit; // what law_fit_predict and law_fit_predict_new read
    double lo[LAW_MAX_VARS], hi[LAW_MAX_VARS]; // range of each variable in the data
    double C_lo, C_hi;                         // of compute; NaN: not known
};
// ERR_INPUT: not such a file, with the key and what was expected.
enum err fit_file_read(const char *path, struct fit_file *out);
// The same of a document; ctx names it in messages.
enum err fit_file_from_json(json_t *doc, const char *ctx, struct fit_file *out);
void fit_file_free(struct fit_file *f);

// One line a law: name, formula, source.
void fit_list_laws(FILE *f);
const char *fit_objective_name(enum law_objective o);
const char *fit_boot_name(enum law_boot b);
// Values of --objective and --boot; ERR_INPUT names the choices.
enum err fit_objective_find(const char *cmd, const char *name, enum law_objective *o);
enum err fit_boot_find(const char *name, enum law_boot *b);
#endif
