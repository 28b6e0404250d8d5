// SPDX-License-Identifier: GPL-3.0-or-later
// From a law (law.json) and a budget to one complete integer architecture (architecture.json).
// Works from the document alone, so it needs neither the sweep nor MPI. Layouts:
// docs/law-json.md.
#ifndef ORCHESTRATOR_RECOMMEND_H
#define ORCHESTRATOR_RECOMMEND_H
#include "orchestrator/config.h"

// The part of law.json that recommend reads back: dimensions, ranges, tolerances, start values
// and training rules of a sweep. Caller owns.
enum err recommend_spec_json(const struct sweep *cfg, json_t **out);

// law: a law.json document; source names it in errors. C: budget in FLOPs, 0: the sweep's own;
// max_total_params: 0: the sweep's own limit. ERR_INPUT when the document is none, holds no law
// for M, or no structure fits.
enum err recommend_build(json_t *law, const char *source, double C, double max_total_params,
                         json_t **out);
// value = k X^p of one of its laws, with the 95 % interval of its bootstrap (NaN without one).
void recommend_predict(const json_t *law, double X, double *value, double *lo, double *hi);
// The same as a table for people. Caller frees.
enum err recommend_text(const json_t *arch, char **out);
#endif
