// SPDX-License-Identifier: GPL-3.0-or-later
// What a sweep would run and cost, before anything is trained. Phases that wait for others are
// planned around the start values, as what will be adopted is not known; the plan says which
// ones.
#ifndef ORCHESTRATOR_PLAN_H
#define ORCHESTRATOR_PLAN_H
#include "orchestrator/config.h"
#include <stdio.h>

struct plan_options {
    int workers; // trainings at a time; at least 1
    double rate; // executed FLOP/s of one worker; 0: a guess by device, said so
};

// {"name","question","workers","rate","rate_guessed",
//  "phases":[{"phase","C","after":[names],"points","runs","shared","more_runs","flops",
//             "executed_flops","tokens","worker_hours","longest_hours","memory_bytes","cost",
//             "structures":[{"runs","M","x","y","N_a","N","d",.., "deviation":{"M":..}, ..}],
//             "infeasible":[{"point","why"}]}],
//  "total":{"runs_now","runs_later","more_runs","flops","executed_flops","worker_hours",
//           "hours_at_best","cost"}}
// flops are the paper's (C a run); executed_flops count all that runs, validation included.
// shared: runs that an earlier phase already trains. more_runs: what growing grids and further
// rounds may add at most. cost: null without price_per_hour. The caller owns *out.
enum err plan_sweep(const struct sweep *cfg, const struct plan_options *opt, json_t **out);
// The plan as tables for people.
void plan_print(const json_t *plan, FILE *f);
#endif
