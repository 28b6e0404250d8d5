// SPDX-License-Identifier: Apache-2.0
#include "kernels/muon.h"
#include "kernels/adamw.h"
#include "kernels/gemm.h"
#include <math.h>
#include <string.h>

#define MOMENTUM 0.95
#define EPS 1e-7
#define RMS 0.2 // of an AdamW update over its learning rate, as Liu et al. observed
#define NS_STEPS 5
static const real ns_a = (real)3.4445, ns_b = (real)-4.7750, ns_c = (real)2.0315;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t muon_scratch(int64_t rows, int64_t cols)
{
    int64_t side = smaller(rows, cols);
    return 2 * rows * cols + 2 * side * side;
}

// next = a x + (b S + c S^2) x, S = x x^T, or from the right with S = x^T x when x is tall.
static void newton_schulz(real *next, const real *x, int64_t rows, int64_t cols, real *square,
                          real *poly)
{
    bool tall = rows > cols;
    int64_t side = smaller(rows, cols), n = rows * cols;
    gemm(tall, !tall, side, side, tall ? rows : cols, x, cols, x, cols, false, square, side);
    gemm(false, false, side, side, side, square, side, square, side, false, poly, side);
    for (int64_t i = 0; i < side * side; i++)
        poly[i] = ns_b * square[i] + ns_c * poly[i];
    for (int64_t i = 0; i < n; i++)
        next[i] = ns_a * x[i];
    if (tall)
        gemm(false, false, rows, cols, side, x, cols, poly, side, true, next, cols);
    else
        gemm(false, false, rows, cols, side, poly, side, x, cols, true, next, cols);
}

// x to its orthogonalisation through the buffer y; returns which of both holds it.
static real *orthogonalize(real *x, real *y, int64_t rows, int64_t cols, real *squares)
{
    int64_t side = smaller(rows, cols), n = rows * cols;
    double norm = sqrt(grad_square(x, n));
    grad_scale(x, n, 1 / (norm > EPS ? norm : EPS));
    for (int i = 0; i < NS_STEPS; i++) {
        newton_schulz(y, x, rows, cols, squares, squares + side * side);
        real *t = x;
        x = y;
        y = t;
    }
    return x;
}

void muon_orthogonalize(real *x, int64_t rows, int64_t cols, real *scratch)
{
    real *o = orthogonalize(x, scratch, rows, cols, scratch + rows * cols);
    if (o != x)
        memcpy(x, o, (size_t)(rows * cols) * sizeof *x);
}

static void update_one(real *p, real *m, const real *g, int64_t rows, int64_t cols,
                       const struct muon *o, real *scratch)
{
    const real mu = (real)MOMENTUM, nu = (real)(1 - MOMENTUM);
    int64_t n = rows * cols;
    real *x = scratch;
    for (int64_t i = 0; i < n; i++) {
        m[i] = mu * m[i] + nu * g[i];
        x[i] = nu * g[i] + mu * m[i];
    }
    x = orthogonalize(x, x + n, rows, cols, x + 2 * n);
    const real keep = (real)(1 - o->lr * o->wd);
    const real rate = (real)(o->lr * RMS * sqrt((double)(rows > cols ? rows : cols)));
    for (int64_t i = 0; i < n; i++)
        p[i] = keep * p[i] - rate * x[i];
}

void muon_update(real *p, real *m, const real *g, int64_t count, int64_t rows, int64_t cols,
                 const struct muon *o, real *scratch)
{
    for (int64_t i = 0; i < count; i++, p += rows * cols, m += rows * cols, g += rows * cols)
        update_one(p, m, g, rows, cols, o, scratch);
}
