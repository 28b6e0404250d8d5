// SPDX-License-Identifier: Apache-2.0
// Unembedding fused with the mean cross-entropy in nats:
//
//     z = x W^T,   L = 1/n sum_t (log sum_v exp z[t,v] - z[t,target[t]])
//
// x [T, C], W [V, C], target[t] < V; n is the number of tokens that the mean is over: T, or
// more when these rows are a part of the batch. The gradient is formed in the forward pass,
// chunk by chunk of rows, so that the [T, V] logits never exist as a whole:
//
//     dz = (softmax(z) - onehot(target)) / n,   dx = dz W,   dW = dz^T x
//
// *loss is L; dx and dw are overwritten; both NULL: loss only. add: what *loss and dw hold (of
// earlier rows of the batch) is added to. scratch: unembed_scratch(T, V)
// reals. The losses are added in double. kind: what the products run on. Deterministic.
#ifndef KERNELS_UNEMBED_H
#define KERNELS_UNEMBED_H
#include "kernels/gemm_bf16.h"
#include <stdint.h>

int64_t unembed_scratch(int64_t T, int64_t V);
void unembed_xent(double *loss, real *dx, real *dw, const act *x, const real *w,
                  const int32_t *target, int64_t T, int64_t n, int64_t C, int64_t V, bool add,
                  enum gemm_kind kind, real *scratch);
#endif
