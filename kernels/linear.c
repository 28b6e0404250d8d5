// SPDX-License-Identifier: Apache-2.0
#include "kernels/linear.h"

void linear_fwd(act *y, const act *x, const real *w, int64_t T, int64_t I, int64_t O,
                enum gemm_kind kind)
{
    gemm_as(kind, false, true, T, O, I, x, I, w, I, false, y, O);
}

void linear_fwd_add(real *y, const act *x, const real *w, int64_t T, int64_t I, int64_t O,
                    enum gemm_kind kind)
{
    gemm_as(kind, false, true, T, O, I, x, I, w, I, true, y, O);
}

void linear_bwd(real *dx, real *dw, const real *dy, const act *x, const real *w, int64_t T,
                int64_t I, int64_t O, int flags, enum gemm_kind kind)
{
    gemm_as(kind, false, false, T, I, O, dy, O, w, I, flags & LINEAR_ADD_DX, dx, I);
    gemm_as(kind, true, false, O, I, T, dy, O, x, I, flags & LINEAR_ADD_DW, dw, I);
}
