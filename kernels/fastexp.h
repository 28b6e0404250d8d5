// SPDX-License-Identifier: Apache-2.0
// exp for the kernels. double: libm's. float: branch-free, so that loops over it vectorise:
// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, exp(r) by its Taylor polynomial of
// degree 7, whose remainder is below r^8/8! <= 5.2e-9 relative. With the rounding of r
// (two-part ln 2, Cody and Waite) and of Horner's scheme the relative error stays below 2.4e-7
// (two units in the last place; tests/kernels/test_fastexp.c checks it). Arguments are clamped
// to [-87, 88], where the result is a normal number; NaN passes through.
#ifndef KERNELS_FASTEXP_H
#define KERNELS_FASTEXP_H
#include "kernels/real.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef MOESWEEP_F64
static inline real fast_exp(real x)
{
    return exp(x);
}
#else
static inline real fast_exp(real x)
{
    const float shift =
        12582912.0f; // 1.5 x 2^23: adding it rounds to an integer in the low bits
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float z = x * 1.44269504f + shift;
    float n = z - shift;
    float r = x - n * 0.693359375f; // ln 2 in 10 bits: the product is exact
    r = r + n * 2.12194440e-4f;     // and the rest of ln 2
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &z, sizeof bits);
    bits = (bits + 127u) << 23; // the low bits of z hold n; the rest falls out of the shift
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}
#endif

// 1 / (1 + exp(-x))
static inline real fast_sigmoid(real x)
{
    return 1 / (1 + fast_exp(-x));
}
#endif
