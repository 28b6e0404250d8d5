// SPDX-License-Identifier: Apache-2.0
// Linear map without bias:  y = x W^T,   x [T, I], W [O, I], y [T, O].
// Backward, with dy = dL/dy:  dx = dy W,   dW = dy^T x.
// Both overwrite their outputs; linear_fwd_add adds to y (a residual stream), linear_bwd_add to
// dx. kind: what the products run on. Deterministic.
#ifndef KERNELS_LINEAR_H
#define KERNELS_LINEAR_H
#include "kernels/gemm_bf16.h"
#include <stdint.h>

void linear_fwd(real *y, const real *x, const real *w, int64_t T, int64_t I, int64_t O,
                enum gemm_kind kind);
void linear_fwd_add(real *y, const real *x, const real *w, int64_t T, int64_t I, int64_t O,
                    enum gemm_kind kind);
enum { LINEAR_ADD_DX = 1, LINEAR_ADD_DW = 2 };
void linear_bwd(real *dx, real *dw, const real *dy, const real *x, const real *w, int64_t T,
                int64_t I, int64_t O, int flags, enum gemm_kind kind);
#endif
