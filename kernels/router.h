// SPDX-License-Identifier: Apache-2.0
// Router: from logits z [T, E] to K experts per token and their weights.
//
//   softmax (Shazeer et al. 2017; over all experts, then top-k, as OLMoE and Switch):
//       p = softmax(z); the K largest p are chosen; w = p there
//   sigmoid with selection bias (DeepSeek-V3, arXiv 2412.19437, eqs. 13-16):
//       q = sigmoid(z); the K largest q + bias are chosen; w = q there; p = q / sum_e q
//
// norm: w is divided by the sum of the K. Ties go to the lower index; NaN is never preferred,
// so that choices are valid experts whatever the logits are. Kept for backward: p [T, E],
// choice [T, K], w [T, K], total [T] (sigmoid: sum_e q; softmax: 1, so that q = p total in
// both).
//
// The balancing loss acts on the mean of p (Switch, arXiv 2101.03961, eqs. 4-6): its gradient
// is the same dp[E] for every token. Derivatives, with a = dL/dq from the chosen (norm: dq =
// (dw - sum_j dw_j w_j) / sum of the K q) and c = dp:
//
//   softmax:  dz_e = p_e (a_e + c_e - sum_j p_j (a_j + c_j))
//   sigmoid:  dz_e = q_e (1 - q_e) (a_e + (c_e - sum_j c_j p_j) / total)
//
// The choice itself has no derivative. router_bwd overwrites dz. Deterministic.
#ifndef KERNELS_ROUTER_H
#define KERNELS_ROUTER_H
#include "kernels/real.h"
#include <stdbool.h>
#include <stdint.h>

struct router_kind {
    int64_t E, K;
    bool sigmoid, norm;
};

// bias [E] (host memory on every backend), sigmoid only; NULL: none.
void router_fwd(real *p, int32_t *choice, real *w, real *total, const real *z, const real *bias,
                int64_t T, struct router_kind n);
// dp [E], host memory on every backend.
void router_bwd(real *dz, const real *dw, const real *dp, const real *p, const int32_t *choice,
                const real *w, const real *total, int64_t T, struct router_kind n);
// mean_p[e] = mean over tokens of p; host memory on every backend.
void router_mean(real *mean_p, const real *p, int64_t T, int64_t E);
#endif
