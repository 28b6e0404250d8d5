// SPDX-License-Identifier: GPL-3.0-or-later
// The part of a sweep that travels with its law (law.json, "spec"): what recommend needs to
// build a structure and to say how to train it. Layout: docs/law-json.md.
#ifndef ORCHESTRATOR_RECOMMEND_SPEC_H
#define ORCHESTRATOR_RECOMMEND_SPEC_H
#include "orchestrator/candidate.h"

struct recommend_spec {
    struct solve_spec solve;
    struct wish start;
    struct rule lr, batch_tokens;
    double budget, max_total_params; // 0: no limit
    struct job_model model;
};
// Dimensions, ranges, tolerances, start values, training rules and model of a sweep. Caller
// owns.
enum err recommend_spec_json(const struct sweep *cfg, json_t **out);
// Reads law's "spec"; start values at C, or at its own budget where C is 0.
enum err recommend_spec_read(json_t *law, const char *ctx, double C,
                             struct recommend_spec *out);

// {"router","norm_topk","tied","qk_norm","rope_base"} and back; caller owns the object.
json_t *recommend_model_json(const struct job_model *m);
enum err recommend_model_read(json_t *o, const char *ctx, struct job_model *out);
#endif
