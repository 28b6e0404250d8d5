// SPDX-License-Identifier: Apache-2.0
// Causal attention with grouped queries (Vaswani et al. 2017, eq. 1; Ainslie et al. 2023):
// query head h attends with key and value head h / (Hq/Hkv), position i over positions j <= i:
//
//     P[i,j] = softmax_j(q_i . k_j / sqrt(D)),   o_i = sum_j P[i,j] v_j
//
// A row holds Hq query heads of D channels, then Hkv keys, then Hkv values ([B T, ld]). Queries
// and keys are read from the rows qk, values from qkv: the same rows but for QK-norm. o is
// [B T, Hq D], lse [B, Hq, T] the logarithm of the softmax denominators (kept for backward
// instead of P). Backward (Dao et al. 2022, arXiv 2205.14135, section 3.1), with do = dL/do:
//
//     dP = do v^T,   dS = P (dP - (do . o)) / sqrt(D),   dq = dS k,   dk = dS^T q,   dv = P^T
//     do
//
// d_qkv (overwritten) is laid out as qkv. scratch: attention_scratch(T,
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
void attention_fwd(act *o, real *lse, const act *qk, const act *qkv, struct attention_sizes n,
                   enum gemm_kind kind, real *scratch);
void attention_bwd(real *d_qkv, const real *d_o, const act *qk, const act *qkv, const act *o,
                   const real *lse, struct attention_sizes n, enum gemm_kind kind,
                   real *scratch);
#endif
