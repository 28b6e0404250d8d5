// SPDX-License-Identifier: Apache-2.0
// SwiGLU feed-forward blocks over groups of slots: routed experts (one group each), and with E
// = 1 a dense block or the shared experts (as one block of their joint width):
//
//     y[t(i)] += D_e (s_i silu(G_e x[t(i)]) * (U_e x[t(i)])),   slots offset[e] <= i <
//     offset[e+1]
//
// t(i) = token[i] (dispatch.h), or i without tokens: rows go to their experts and come back
// added to what y holds (a residual stream). x, y [T, C], w_gu [E, 2F, C] (G_e rows, then U_e),
// w_d [E, C, F], s [R] or NULL (1), R = offset[E]; gu [R, 2F] is kept for backward.
// Derivatives: swiglu.h and linear.h in turn. ffn_bwd adds to dx; it overwrites both weight
// gradients (zero for a group without slots), or with add adds to them, and where s is given
// overwrites ds. scratch: ffn_scratch(T,
// C, F) reals. kind: what the products run on. Deterministic: slots are taken in order.
#ifndef KERNELS_FFN_H
#define KERNELS_FFN_H
#include "kernels/gemm_bf16.h"
#include <stdint.h>

struct ffn_sizes {
    int64_t E, C, F;
    const int64_t *offset; // [E + 1], host memory on every backend
    const int32_t *token;  // [R], or NULL
    const int32_t *slot;   // [R / K, K] as dispatch_plan made it, or NULL without tokens
    int64_t K;             // slots of one token
};

// T: rows of x.
int64_t ffn_scratch(int64_t T, int64_t C, int64_t F);
void ffn_fwd(real *y, act *gu, const act *x, const real *s, const real *w_gu, const real *w_d,
             struct ffn_sizes n, enum gemm_kind kind, real *scratch);
void ffn_bwd(real *dx, real *dw_gu, real *dw_d, real *ds, const real *dy, const act *x,
             const act *gu, const real *s, const real *w_gu, const real *w_d,
             struct ffn_sizes n, bool add, enum gemm_kind kind, real *scratch);
#endif
