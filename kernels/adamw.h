// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2) on n parameters:
//
//     m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
//     p -= lr (m / (1 - b1^step) / (sqrt(v / (1 - b2^step)) + eps) + wd p)
//
// step counts from 1. And what is done to all gradients before it: their norm (squares added in
// double), and scaling. Deterministic.
#ifndef KERNELS_ADAMW_H
#define KERNELS_ADAMW_H
#include "kernels/real.h"
#include <stdint.h>

struct adamw {
    double lr, beta1, beta2, eps, wd;
    int64_t step;
};

void adamw_update(real *p, real *m, real *v, const real *g, int64_t n, const struct adamw *o);
// sum of g^2
double grad_square(const real *g, int64_t n);
void grad_scale(real *g, int64_t n, double by);
#endif
