// SPDX-License-Identifier: GPL-3.0-or-later
// What a user asks recommend for: the options as they were written, and the constraints that
// they become.
#ifndef ORCHESTRATOR_RECOMMEND_ASK_H
#define ORCHESTRATOR_RECOMMEND_ASK_H
#include "orchestrator/choose.h"

// Bytes of a training for each parameter: weights in bf16, gradients, master weights and two
// Adam moments in f32, spread evenly over the GPUs. Activations come on top.
#define ASK_BYTES_PER_PARAM 18

struct ask {
    double C;                                  // 0: the sweep's own
    const char *set, *free, *multiple, *model; // NAME=VALUE,.. lists; NULL: none
    const char *experts;                       // pow2, divisor, divisor:G
    const char *map;                           // of a law's variables
    double max_total_params, max_active_params, max_inference_flops; // 0: none
    double max_expansion;                                            // of N/N_a
    double memory, gpus;                                             // bytes a GPU; 0: none
    double tolerance;                                                // of the band; 0: default
    int gpu;         // widths that tensor cores like
    int extrapolate; // proportions beyond the data
    int scores;      // attention scores count in C: D = C/M instead of C/(6 N_a)
};

// The dimensions of --set alone, ARCH_UNSET elsewhere. ERR_INPUT: what is wrong there.
enum err ask_set(const struct ask *a, struct arch *out);
// --model over what is there.
enum err ask_model(const struct ask *a, struct job_model *out);
// --free into the ranges, then every constraint into c. ERR_INPUT: what is wrong, where.
enum err ask_constrain(const struct ask *a, struct choosing *c);
// Another constraint; name is printf-style. Past CHOOSE_MAX_CONSTRAINTS: ERR_INPUT.
enum err ask_add(struct choosing *c, struct constraint k, const char *name, ...)
    __attribute__((format(printf, 3, 4)));
#endif
