// SPDX-License-Identifier: Apache-2.0
// Causal attention with grouped queries (Vaswani et al. 2017, eq. 1; Ainslie et al. 2023):
// query head h attends with key and value head h / (Hq/Hkv), position i over positions j <= i:
//
//     P[i,j] = softmax_j(q_i . k_j / sqrt(D)),   o_i = sum_j P[i,j] v_j
//
// q, k, v point into rows of ld reals ([B T, ld]: heads of D channels side by side), o is
// [B T, Hq D], lse [B, Hq, T] the logarithm of the softmax denominators (kept for backward
// instead of P). Backward (Dao et al. 2022, arXiv 2205.14135, section 3.1), with do = dL/do:
//
//     dP = do v^T,   dS = P (dP - (do . o)) / sqrt(D),   dq = dS k,   dk = dS^T q,   dv = P^T
//     do
//
// dq, dk, dv (rows of ld, overwritten) are laid out as q, k, v. scratch: attention_scratch(T,
// D) reals, used as columns of queries so that every loop is as wide as the processor whatever
// D is. kind: what the products run on; with bf16, scores and sums of the softmax are still
// reals, P, dS and the heads are rounded where they are factors. Deterministic.
#ifndef KERNELS_ATTENTION_H
#define KERNELS_ATTENTION_H
#include "kernels/gemm_bf16.h"
#include <stdint.h>

struct attention_sizes {
    int64_t B, T, Hq, Hkv, D, ld;
};

int64_t attention_scratch(int64_t T, int64_t D);
void attention_fwd(real *o, real *lse, const real *q, const real *k, const real *v,
                   struct attention_sizes n, enum gemm_kind kind, real *scratch);
void attention_bwd(real *dq, real *dk, real *dv, const real *d_o, const real *q, const real *k,
                   const real *v, const real *o, const real *lse, struct attention_sizes n,
                   enum gemm_kind kind, real *scratch);
#endif
