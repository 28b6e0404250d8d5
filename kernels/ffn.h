// SPDX-License-Identifier: Apache-2.0
// SwiGLU feed-forward blocks over groups of rows: routed experts (one group each), and with E =
// 1 a dense block or the shared experts (as one block of their joint width):
//
//     y_t = D_e (s_t silu(G_e x_t) * (U_e x_t)),   rows offset[e] <= t < offset[e+1]
//
// x, y [R, C] (R = offset[E]), w_gu [E, 2F, C] (G_e rows, then U_e), w_d [E, C, F], s [R] or
// NULL, gu [R, 2F] kept for backward. Derivatives: swiglu.h and linear.h in turn. ffn_bwd
// overwrites dx, both weight gradients (zero for a group without rows) and, where s is given,
// ds. scratch: ffn_scratch(F) reals. Deterministic: a group's rows are taken in order.
#ifndef KERNELS_FFN_H
#define KERNELS_FFN_H
#include "kernels/real.h"
#include <stdbool.h>
#include <stdint.h>

struct ffn_sizes {
    int64_t E, C, F;
    const int64_t *offset; // [E + 1]
    bool add;              // forward adds to y, backward to dx, instead of overwriting
};

int64_t ffn_scratch(int64_t F);
void ffn_fwd(real *y, real *gu, const real *x, const real *s, const real *w_gu, const real *w_d,
             struct ffn_sizes n, real *scratch);
void ffn_bwd(real *dx, real *dw_gu, real *dw_d, real *ds, const real *dy, const real *x,
             const real *gu, const real *s, const real *w_gu, const real *w_d,
             struct ffn_sizes n, real *scratch);
#endif
