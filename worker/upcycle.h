// SPDX-License-Identifier: Apache-2.0
// A model that starts with another's weights (job.init): the checkpoint of a dense model, whose
// feed-forward blocks become experts (Komatsuzaki et al. 2022, arXiv 2212.05055), of a model
// with fewer MoE layers, or of the very same architecture. Every tensor of the same role and
// layer is copied; the optimizer starts afresh. S and the training may differ; what else does
// not fit is refused.
//
// A dense block y = W_down h(x) of d_d hidden units that becomes an MoE layer is cut into
// slices of d_m units. Shared experts take the first n_shared slices as they are. The remaining
// g = d_d/d_m - n_shared slices go round the routed experts: expert e has slice e mod g, its
// down projection times g. With weights w of K chosen experts the layer is then
//
//     y' = sum over shared slices W_s h_s + g sum_k w_k W_(e_k mod g) h_(e_k mod g)
//
// which is the dense y if sum w = 1 (norm_topk) and every slice gets 1/g of the weight. So it
// is for g = 1 (copies of the whole block), and for g > 1 where K is a multiple of g: each
// group of g neighbouring experts, which holds every slice once, then starts with one router
// row, so that equal scores choose groups as a whole (virtual groups, He et al. 2024, arXiv
// 2410.07524, section 3.2). For other K the rows are independent, and y' is y in the mean over
// routers, not for every token. Without norm_topk the routed part is y's times sum w.
//
// init.noise adds to every element of a routed expert's slice a normal number of that share of
// the dense matrix's standard deviation (before the factor g), from the job's seed: experts of
// one slice then differ from the start. Deterministic.
#ifndef WORKER_UPCYCLE_H
#define WORKER_UPCYCLE_H
#include "worker/checkpoint.h"

// Sets job.init.hash from the file; ERR_INPUT if the job named another or there is no such
// file. Nothing to do for a job without init.from.
enum err upcycle_identify(struct job *j);
// Reads job.init.from and checks that a model of architecture a (V set) can start with it.
// symbols as for checkpoint_meta. ERR_INPUT names what does not fit and both values. The caller
// frees with checkpoint_free.
enum err upcycle_open(const struct job *j, const struct arch *a, const uint8_t *symbols,
                      struct checkpoint *out);
// Weights and routing biases of a model of that job and architecture which model_init has
// made; what the checkpoint has nothing for (routers of new MoE layers) stays. ERR_FAILED: no
// memory.
enum err upcycle_weights(const struct checkpoint *c, const struct job *j, const struct arch *a,
                         struct model *m);
// Tokens behind those weights: of the checkpoint's run and of what that started from.
int64_t upcycle_tokens(const struct checkpoint *c);
#endif
