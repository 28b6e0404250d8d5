// SPDX-License-Identifier: Apache-2.0
// Normal random numbers for initial weights, by the million: number i of a stream is a function
// of the stream and i alone, so that any part of a tensor can be made anywhere.
//
// Box and Muller (1958): of two uniforms u in (0, 1], v in [0, 1),
//
//     sqrt(-2 ln u) cos(2 pi v),   sqrt(-2 ln u) sin(2 pi v)
//
// are two independent normals. u and v are the halves of a word of splitmix64 (Steele et al.
// 2014, doi 10.1145/2660193.2660195), so that numbers stay below 6.7. Computed in float in
// every build, a few units in the last place from exact; the bits depend on the build and the
// instruction set.
#ifndef KERNELS_NORMAL_H
#define KERNELS_NORMAL_H
#include "kernels/real.h"
#include <stdint.h>

// x[i] = sd times number first + i of the stream.
void normal_fill(real *x, int64_t first, int64_t n, double sd, uint64_t stream);
#endif
