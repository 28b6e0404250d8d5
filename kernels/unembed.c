// SPDX-License-Identifier: Apache-2.0
#include "kernels/unembed.h"
#include "kernels/fastexp.h"

// Rows of logits at a time: 128 x 256 floats are 128 KiB, within the second-level cache.
#define ROWS 128

int64_t unembed_scratch(int64_t T, int64_t V)
{
    return (T < ROWS ? T : ROWS) * V;
}

// One row: returns its loss; z becomes (softmax(z) - onehot(target)) scale.
static double row_xent(real *z, int64_t target, int64_t V, real scale)
{
    real top = row_max(z, V), at = z[target];
    real sum = row_exp(z, top, V);
    row_scale(z, scale / sum, V);
    z[target] -= scale;
    return log((double)sum) + ((double)top - (double)at);
}

void unembed_xent(double *loss, real *dx, real *dw, const act *x, const real *w,
                  const int32_t *target, int64_t T, int64_t n, int64_t C, int64_t V, bool add,
                  enum gemm_kind kind, real *scratch)
{
    double sum = 0;
    for (int64_t r = 0; r < T; r += ROWS) {
        int64_t m = T - r < ROWS ? T - r : ROWS;
        gemm_as(kind, false, true, m, V, C, x + r * C, C, w, C, false, scratch, V);
        for (int64_t t = 0; t < m; t++)
            sum += row_xent(scratch + t * V, target[r + t], V, 1 / (real)n);
        if (dx == NULL)
            continue;
        gemm_as(kind, false, false, m, C, V, scratch, V, w, C, false, dx + r * C, C);
        gemm_as(kind, true, false, V, C, m, scratch, V, x + r * C, C, add || r > 0, dw, C);
    }
    *loss = (add ? *loss : 0) + sum / (double)n;
}
