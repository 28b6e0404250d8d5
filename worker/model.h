// SPDX-License-Identifier: Apache-2.0
// The model: a pre-norm decoder, L_d dense layers first, then L_m MoE layers. It calls
// operations of kernels/; parameters, gradients and both moments lie in arenas ordered by
// core's tensor table, in the backend's memory.
#ifndef WORKER_MODEL_H
#define WORKER_MODEL_H
#include "core/job.h"
#include "core/tensor.h"
#include "kernels/ops.h"
#include <stddef.h>

struct model;

// Allocates everything for micro_tokens (a multiple of S) at a time, and starts threads - 1
// threads (no more than those have sequences are used; on a device none). Nothing is allocated
// later. gemm: what all matrix products but the router's run on. Results are a function of the
// arguments, micro_tokens and the number of threads among them: a batch of more tokens goes
// through in micro-batches of whole sequences, as nearly alike as can be; sums over one are
// taken in parts of whole sequences, one a thread, and the parts in order. ERR_INPUT:
// architecture; ERR_FAILED: memory, with the bytes that were asked for.
enum err model_create(const struct arch *a, const struct job_model *opt, const struct ops *ops,
                      enum gemm_kind gemm, int64_t micro_tokens, int threads,
                      struct model **out);
void model_free(struct model *m);
// Moments and biases to zero, as model_create leaves them.
void model_clear(struct model *m);
// Fresh parameters from the seed: same seed, same bits, whatever the threads.
void model_init(struct model *m, uint64_t seed);
// Mean cross-entropy in nats over tokens[n] (n a multiple of S; each run of S is a sequence),
// predicting targets[n].
double model_forward(struct model *m, const int32_t *tokens, const int32_t *targets, int64_t n);
// Of the same batch the gradients of mean cross-entropy + aux x sum over MoE layers of the
// balancing loss (N_e sum_e f_e p_e, Switch eq. 4 with f over K n assignments); gradients are
// overwritten. aux > 0 with several micro-batches: these pass forward twice.
void model_gradients(struct model *m, const int32_t *tokens, const int32_t *targets, int64_t n,
                     double aux);
// The last batch's mean cross-entropy; waits for it.
double model_loss(struct model *m);
// Global norm of the gradients; scales them to clip when clip > 0 and the norm exceeds it.
double model_clip(struct model *m, double clip);
// Allocates what the optimizer needs besides the moments. ERR_FAILED: memory.
enum err model_reserve(struct model *m, enum job_optimizer optimizer);
// One step (counted from 1) of t's optimizer, decoupled weight decay on the tensors that decay.
// AdamW (betas; epsilon 1e-8), or Muon (kernels/muon.h; momentum 0.95) on the hidden matrices
// (core's tensor_hidden) and AdamW on all others; model_reserve must have been asked for Muon.
void model_step(struct model *m, const struct job_train *t, double lr, int64_t step);
// Sigmoid routing: moves every expert's selection bias by +-rate against its load of the last
// step.
void model_balance_bias(struct model *m, double rate);
// Balancing loss summed over MoE layers (one micro-batch only), and largest expert load over
// mean, of the last batch.
double model_aux_loss(const struct model *m);
double model_balance(const struct model *m);

// The arenas, elements as in the tensor table; for checkpoint, tests and export. Parameters and
// moments are the host's: on a device copies, which model_fetch brings up to date, and which
// model_store puts in the device's place (on the CPU it says that weights have changed).
// model_grads: the backend's own.
void model_fetch(struct model *m);
void model_store(struct model *m);
int64_t model_n_params(const struct model *m);
const struct tensor *model_tensors(const struct model *m, int *n);
real *model_params(struct model *m);
real *model_grads(struct model *m);
real *model_moment1(struct model *m);
real *model_moment2(struct model *m);
// Routing biases (sigmoid): [L_m, N_e]; NULL with softmax.
real *model_router_bias(struct model *m, int64_t *n);
#endif
