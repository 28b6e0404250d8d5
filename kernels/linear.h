// SPDX-License-Identifier: Apache-2.0
// Linear map without bias:  y = x W^T,   x [T, I], W [O, I], y [T, O].
// Backward, with dy = dL/dy:  dx = dy W,   dW = dy^T x.
// Both overwrite their outputs; linear_fwd_add adds to y (a residual stream), and so does what
// the flags say. kind: what the products run on. linear_fwd's y holds acts, but reals with
// GEMM_FULL: a router's logits, which stay unrounded. Deterministic.
#ifndef KERNELS_LINEAR_H
#define KERNELS_LINEAR_H
#include "kernels/gemm_bf16.h"
#include <stdint.h>

void linear_fwd(act *y, const act *x, const real *w, int64_t T, int64_t I, int64_t O,
                enum gemm_kind kind);
void linear_fwd_add(real *y, const act *x, const real *w, int64_t T, int64_t I, int64_t O,
                    enum gemm_kind kind);
enum { LINEAR_ADD_DX = 1, LINEAR_ADD_DW = 2 };
void linear_bwd(real *dx, real *dw, const real *dy, const act *x, const real *w, int64_t T,
                int64_t I, int64_t O, int flags, enum gemm_kind kind);
#endif
