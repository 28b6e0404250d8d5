// SPDX-License-Identifier: Apache-2.0
// What moetrain really stores and runs for a job, embedding, norms, router and unembedding
// included (arch.h has the paper's counts).
#ifndef CORE_EXECUTED_H
#define CORE_EXECUTED_H
#include "core/job.h"

struct executed {
    int64_t params, active_params;
    double flops_per_token; // forward + backward, causal scores halved; matrix products only
    int64_t mem_weights, mem_grads, mem_optimizer, mem_activations, mem_total; // bytes
};
// Of a job whose architecture is checked; train.batch_tokens sizes the activations. With V = 0
// nothing is counted for embedding and unembedding.
struct executed executed_of(const struct job *j);
// A job of which only this is known, to ask executed_of about; it owns nothing.
struct job executed_job(const struct arch *a, bool tied, int64_t batch_tokens);
// {L_d.., N_a, N, M, x, y, r, G, s, z, g, r_a, r_d, r_m, "executed": {..}} as `moesweep arch
// --json` prints it; the caller owns the object.
json_t *executed_report_json(const struct job *j);
#endif
