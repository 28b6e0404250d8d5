// SPDX-License-Identifier: Apache-2.0
// Vectors of real as wide as the instruction set that is compiled for, through the compilers'
// vector extension, and reductions of short rows on them. Unaligned everywhere; the tail of a
// row is loaded as zeros and never stored. Reductions add in one fixed order, so results are
// bit-deterministic for one build and instruction set.
#ifndef KERNELS_SIMD_H
#define KERNELS_SIMD_H
#include "kernels/real.h"
#include <stdint.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#define SIMD_BYTES 64
#elif defined(__AVX__)
#define SIMD_BYTES 32
#else
#define SIMD_BYTES 16
#endif
#if defined(__AVX512F__) && !defined(MOESWEEP_F64)
#define SIMD_MASKS 1
#else
#define SIMD_MASKS 0
#endif

typedef real vreal __attribute__((vector_size(SIMD_BYTES)));
#define VL ((int64_t)(SIMD_BYTES / sizeof(real)))
#define SIMD_INLINE static inline __attribute__((always_inline, unused))

SIMD_INLINE vreal v_all(real x)
{
    return x - (vreal){0};
}

SIMD_INLINE vreal v_load(const real *p)
{
    vreal v;
    memcpy(&v, p, sizeof v);
    return v;
}

SIMD_INLINE void v_store(real *p, vreal v)
{
    memcpy(p, &v, sizeof v);
}

// The first n lanes, 0 < n <= VL; the others are zero.
SIMD_INLINE vreal v_load_n(const real *p, int64_t n)
{
#if SIMD_MASKS
    return (vreal)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
#else
    vreal v = {0};
    if (n == VL)
        return v_load(p);
    for (int64_t i = 0; i < n; i++)
        v[i] = p[i];
    return v;
#endif
}

SIMD_INLINE void v_store_n(real *p, vreal v, int64_t n)
{
#if SIMD_MASKS
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
#else
    if (n == VL) {
        v_store(p, v);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        p[i] = v[i];
#endif
}

SIMD_INLINE real v_sum(vreal v)
{
#if SIMD_MASKS
    return _mm512_reduce_add_ps((__m512)v);
#else
    real s[SIMD_BYTES / sizeof(real)];
    memcpy(s, &v, sizeof s);
    for (int64_t w = VL / 2; w > 0; w /= 2)
        for (int64_t i = 0; i < w; i++)
            s[i] += s[i + w];
    return s[0];
#endif
}

SIMD_INLINE real row_dot(const real *x, const real *y, int64_t n)
{
    vreal s = {0};
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        s += v_load(x + i) * v_load(y + i);
    if (i < n)
        s += v_load_n(x + i, n - i) * v_load_n(y + i, n - i);
    return v_sum(s);
}

SIMD_INLINE real row_sum(const real *x, int64_t n)
{
    vreal s = {0};
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        s += v_load(x + i);
    if (i < n)
        s += v_load_n(x + i, n - i);
    return v_sum(s);
}

// Largest entry, n > 0; NaN entries are passed over (they reach the result of a softmax
// anyway).
SIMD_INLINE real row_max(const real *x, int64_t n)
{
    real m[16];
    const int64_t w = 16;
    for (int64_t i = 0; i < w; i++)
        m[i] = x[i < n ? i : 0];
    int64_t i = w;
    for (; i + w <= n; i += w)
        for (int64_t j = 0; j < w; j++)
            m[j] = x[i + j] > m[j] ? x[i + j] : m[j];
    for (; i < n; i++)
        m[0] = x[i] > m[0] ? x[i] : m[0];
    for (int64_t h = w / 2; h > 0; h /= 2)
        for (int64_t j = 0; j < h; j++)
            m[j] = m[j + h] > m[j] ? m[j + h] : m[j];
    return m[0];
}
#endif
