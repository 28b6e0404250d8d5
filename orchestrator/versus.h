// SPDX-License-Identifier: GPL-3.0-or-later
// Two sweeps side by side: how they differ in what was asked, and whether they agree in what
// came out.
#ifndef ORCHESTRATOR_VERSUS_H
#define ORCHESTRATOR_VERSUS_H
#include "orchestrator/steer.h"
#include <jansson.h>
#include <stdio.h>

struct versus_side {
    const char *dir;
    const struct sweep *cfg;
    const struct steer *steer;
    const json_t *records; // the journal's
};

// {"a", "b":
// {"dir","sweep","question","runs","ok","failed","pruned","flops","worker_s","span_s",
//  "best_loss"}, "keys": [{"key","a","b"}], "optima": [{"phase","C","axis","a","b","agree"}],
//  "laws": [{"name","C","a","b","agree","p_a","p_b","p_agree"}], "runs": {"same","equal",
//  "largest"}, "structures": {"n","rows":[{"C","M","x","y","d","a","n_a","b","n_b",
//  "difference"}],"mean","lo","hi"}}. a and b of an optimum or law: {"value","lo","hi"}, null
// where the sweep has none; agree: whether they differ by no more than their intervals (in
// quadrature) explain, null without intervals. Differences are of ln loss, b - a: of runs with
// the same id, and of structures trained on the same number of tokens in both, means over
// seeds; lo, hi: 95 % of their mean.
enum err versus_json(const struct versus_side *a, const struct versus_side *b, json_t **out);
void versus_print(const json_t *doc, FILE *f);
// The same as a page, replaced atomically.
enum err versus_page(const json_t *doc, const char *path);
#endif
