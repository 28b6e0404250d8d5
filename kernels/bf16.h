// SPDX-License-Identifier: Apache-2.0
// bfloat16: a float's sign and exponent with 8 significant bits instead of 24.
#ifndef KERNELS_BF16_H
#define KERNELS_BF16_H
#include "kernels/real.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

// The nearest bfloat16, ties to the even one, as IEEE 754 rounds: subnormals included, beyond
// the largest finite one infinity; NaN stays NaN.
#ifdef MOESWEEP_F64
static inline real bf16_round(real x)
{
    if (!(fabs(x) >= 0x1p-126)) // NaN too; a sum with 1.5 x 2^52 units rounds to whole units
        return copysign((x + 0x1.8p52 * 0x1p-133) - 0x1.8p52 * 0x1p-133, x);
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits += ((uint64_t)1 << 44) - 1 + (bits >> 45 & 1);
    bits &= ~(((uint64_t)1 << 45) - 1);
    memcpy(&x, &bits, sizeof bits);
    return fabs(x) < 0x1p128 ? x : copysign((real)INFINITY, x);
}
#else
static inline real bf16_round(real x)
{
    uint32_t bits, nan = x != x ? 1u << 22 : 0; // a NaN whose upper bits are zero stays one
    memcpy(&bits, &x, sizeof bits);
    bits = nan ? bits | nan : bits + 0x7fff + (bits >> 16 & 1);
    bits &= 0xffff0000;
    memcpy(&x, &bits, sizeof bits);
    return x;
}
#endif
#endif
