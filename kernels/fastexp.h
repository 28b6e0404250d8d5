// SPDX-License-Identifier: Apache-2.0
// exp and the logistic function of a vector. double: libm's, lane by lane. float: branch-free,
//
//     exp(x) = 2^n exp(r),   n = round(x / ln 2),   |r| <= ln 2 / 2,
//
// exp(r) by its Taylor polynomial of degree 7, whose remainder is below r^8/8! <= 5.2e-9
// relative. With the rounding of r (two-part ln 2, Cody and Waite 1980) and of Horner's scheme
// the relative error stays below 2.4e-7, four rounding units (tests/kernels/test_fastexp.c
// checks it), for x in [-87, 88]. Below, the result is 0 (so that what a softmax masks with
// -infinity is really gone), above it is exp(88); NaN passes through.
#ifndef KERNELS_FASTEXP_H
#define KERNELS_FASTEXP_H
#include "kernels/simd.h"
#include <math.h>

#ifdef MOESWEEP_F64
SIMD_INLINE vreal v_exp(vreal x)
{
    for (int64_t i = 0; i < VL; i++)
        x[i] = exp(x[i]);
    return x;
}
#else
typedef uint32_t vbits __attribute__((vector_size(SIMD_BYTES)));

SIMD_INLINE vreal v_exp(vreal x)
{
    const float shift =
        12582912.0f; // 1.5 x 2^23: adding it rounds to an integer in the low bits
    x = v_select(x > v_all(88.0f), v_all(88.0f), x);
    vreal z = x * 1.44269504f + shift;
    vreal n = z - shift;
    vreal r = x - n * 0.693359375f; // ln 2 in 10 bits: the product is exact
    r = r + n * 2.12194440e-4f;     // and the rest of ln 2
    vreal p = r * (1.0f / 5040) + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    // The low bits of z hold n; what else is there falls out of the shift. 2^n by its exponent
    // field.
    p *= (vreal)(((vbits)z + 127) << 23);
    return v_select(x < v_all(-87.0f), v_all(0), p);
}
#endif

// 1 / (1 + exp(-x))
SIMD_INLINE vreal v_sigmoid(vreal x)
{
    return 1 / (1 + v_exp(-x));
}

// x = exp(x - top); returns the row's sum.
SIMD_INLINE real row_exp(real *x, real top, int64_t n)
{
    vreal sum = {0};
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vreal e = v_exp(v_load(x + i) - top);
        v_store(x + i, e);
        sum += e;
    }
    if (i < n) { // the lanes beyond the row must not be counted
        v_store_n(x + i, v_exp(v_load_n(x + i, n - i) - top), n - i);
        sum += v_load_n(x + i, n - i);
    }
    return v_sum(sum);
}
#endif
