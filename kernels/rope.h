// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021, arXiv 2104.09864, eq. 34) in the half-split
// layout: channel j < D/2 of a head is paired with j + D/2 and turned by the angle t
// base^(-2j/D), t the position in the sequence:
//
//     a' = a cos - b sin,   b' = a sin + b cos
//
// in place on x, whose rows ([B T, ld], ld >= H D) hold H heads of D channels, D even. Backward
// is the rotation by the opposite angle, in place on the gradient. table [T, D]: D/2 cosines,
// then D/2 sines of every position. Deterministic.
#ifndef KERNELS_ROPE_H
#define KERNELS_ROPE_H
#include "kernels/real.h"
#include <stdint.h>

// table: host memory.
void rope_table(real *table, int64_t T, int64_t D, double base);
void rope_fwd(act *x, const real *table, int64_t B, int64_t T, int64_t H, int64_t D,
              int64_t ld);
void rope_bwd(real *dx, const real *table, int64_t B, int64_t T, int64_t H, int64_t D,
              int64_t ld);
#endif
