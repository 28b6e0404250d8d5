// SPDX-License-Identifier: GPL-3.0-or-later
// What a sweep would run and cost, before anything is trained. Phases that wait for others are
// planned around the start values, as what will be adopted is not known; the plan says which
// ones.
#ifndef ORCHESTRATOR_PLAN_H
#define ORCHESTRATOR_PLAN_H
#include "orchestrator/cmd.h"
#include "orchestrator/config.h"
#include <stdio.h>

struct plan_options {
    int workers;        // trainings at a time; at least 1
    double rate;        // executed FLOP/s of one worker; 0: a guess by device, said so
    double gpu;         // bytes that one GPU has; 0: not known
    const json_t *past; // plan_past's records; NULL: nothing has been trained
    double calibrate;   // s to measure this machine's speed in (calibrate.h); 0: none
};

// {"name","question","workers","rate","rate_guessed","gpu_memory",
//  "phases":[{"phase","C","after":[names],"waits","points","runs","known","shared",
//             "more_runs","flops","executed_flops","tokens","worker_hours","longest_hours","memory_bytes",
//             "gpu_bytes","too_large","cost",
//             "structures":[{"runs","M","x","y","N_a","N","d",.., "deviation":{"M":..}, ..,
//                            "gpu_bytes","gpu_state_bytes"}],
//             "infeasible":[{"point","why"}]}],
//  "total":{"runs_now","runs_later","known","unused","more_runs","flops","executed_flops",
//           "worker_hours","hours_at_best","memory_bytes","gpu_bytes","too_large","cost"},
//  "calibration":[..] of calibrate.h or null, "forecast": forecast.h}
// flops are the paper's (C a run); executed_flops count all that runs, validation included.
// waits: for phases that have not decided. runs: to be trained; known: those of which past has
// a result (they cost nothing); unused: results of past that nothing asks for so far; shared:
// runs that an earlier phase already trains. more_runs: what growing grids and further rounds
// may add at most. gpu_bytes: the most that a run takes of one GPU's memory, CUDA's own part
// included, 0 where no GPU is used or asked about; gpu_state_bytes: of them weights, gradients
// and moments; too_large: runs that take more than the GPU has, of which moetrain trains none.
// cost: null without price_per_hour. The caller owns *out.
enum err plan_sweep(const struct sweep *cfg, const struct plan_options *opt, json_t **out);
// The records of the directory that the sweep would extend (NULL: none) and of those whose
// results it would import. ERR_INPUT as moesweep run would, builds apart. The caller owns
// *records.
enum err plan_past(const struct sweep *cfg, const char *extend, const struct cmd_list *imports,
                   json_t **records);
// The plan as tables for people.
void plan_print(const json_t *plan, FILE *f);
#endif
