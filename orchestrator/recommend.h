// SPDX-License-Identifier: GPL-3.0-or-later
// From a law and a budget to one complete integer architecture, within constraints: as a
// document (docs/recommend.md) and for people. Works from documents alone, so it needs neither
// the sweep nor MPI.
#ifndef ORCHESTRATOR_RECOMMEND_H
#define ORCHESTRATOR_RECOMMEND_H
#include "orchestrator/fit_report.h"
#include "orchestrator/recommend_ask.h"

// From the law.json of a sweep; source names it in errors. Without constraints the structure
// nearest to what its laws ask for (architecture.json); with some, the one that keeps them at
// the least predicted cost. ask->C = 0: the sweep's own budget; the sweep's own limit of
// parameters holds unless ask has one. ERR_INPUT when the document is none, holds no law for M,
// or no structure fits; constraints that cannot be kept together are named.
enum err recommend_sweep(json_t *law, const char *source, const struct ask *ask, json_t **doc);
// From a fitted loss law: the structure with the lowest predicted loss among those that keep
// the constraints. fit must hold while this runs.
enum err recommend_fit(const struct fit_file *fit, const char *source, const struct ask *ask,
                       json_t **doc);

// Of a document that one of the two made: as a table for people (caller frees); the structure.
enum err recommend_text(const json_t *doc, char **out);
enum err recommend_structure(json_t *doc, struct arch *a, struct job_model *model);

// value = k X^p of one of a sweep's laws, with the 95 % interval of its bootstrap (NaN without
// one).
void recommend_predict(const json_t *law, double X, double *value, double *lo, double *hi);
#endif
