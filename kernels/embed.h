// SPDX-License-Identifier: Apache-2.0
// Token embedding:  y[t] = W[token[t]],   W [V, C], y [T, C].
// Backward: dW[token[t]] += dy[t], added in token order to what dW holds (a tied unembedding's
// gradient, or zeros). token[t] < V is the caller's duty. Deterministic.
#ifndef KERNELS_EMBED_H
#define KERNELS_EMBED_H
#include "kernels/real.h"
#include <stdint.h>

void embed_fwd(real *y, const real *w, const int32_t *token, int64_t T, int64_t C);
void embed_bwd(real *dw, const real *dy, const int32_t *token, int64_t T, int64_t C);
#endif
