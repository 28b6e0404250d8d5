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
// What comparing two vreal gives (all ones where true), and their bits.
#ifdef MOESWEEP_F64
typedef int64_t vint __attribute__((vector_size(SIMD_BYTES)));
#else
typedef int32_t vint __attribute__((vector_size(SIMD_BYTES)));
#endif
#define VL ((int64_t)(SIMD_BYTES / sizeof(real)))
// Before a loop of constant length whose array must become registers.
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
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

// Lane by lane: where ? a : b.
SIMD_INLINE vreal v_select(vint where, vreal a, vreal b)
{
    return (vreal)((where & (vint)a) | (~where & (vint)b));
}

// The larger of two; b where either is NaN.
SIMD_INLINE vreal v_max(vreal a, vreal b)
{
    return v_select(a > b, a, b);
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

// The pieces x[i .. i+w-1] of a row of n: whole vectors (w = VL), then the rest.
#define ROW_LOOP(i, w, n)                                                                      \
    for (int64_t i = 0, w = 0; i < (n) && (w = (n)-i < VL ? (n)-i : VL) > 0; i += VL)

SIMD_INLINE real row_dot(const real *x, const real *y, int64_t n)
{
    vreal s = {0};
    ROW_LOOP(i, w, n)
    s += v_load_n(x + i, w) * v_load_n(y + i, w);
    return v_sum(s);
}

SIMD_INLINE real row_sum(const real *x, int64_t n)
{
    vreal s = {0};
    ROW_LOOP(i, w, n)
    s += v_load_n(x + i, w);
    return v_sum(s);
}

// Largest entry, n > 0. NaN entries may be passed over; they reach the result of a softmax
// anyway.
SIMD_INLINE real row_max(const real *x, int64_t n)
{
    real top = x[0];
    if (n < VL) {
        for (int64_t i = 1; i < n; i++)
            top = x[i] > top ? x[i] : top;
        return top;
    }
    vreal m = v_load(x + n - VL);
    for (int64_t i = 0; i + VL < n; i += VL)
        m = v_max(v_load(x + i), m);
#if SIMD_MASKS
    return _mm512_reduce_max_ps((__m512)m);
#else
    for (int64_t i = 0; i < VL; i++)
        top = m[i] > top ? m[i] : top;
    return top;
#endif
}

// y = x; rows are short, a call of memcpy costs more than the copy.
SIMD_INLINE void row_copy(real *y, const real *x, int64_t n)
{
    ROW_LOOP(i, w, n)
    v_store_n(y + i, v_load_n(x + i, w), w);
}

// y += x
SIMD_INLINE void row_add(real *y, const real *x, int64_t n)
{
    ROW_LOOP(i, w, n)
    v_store_n(y + i, v_load_n(y + i, w) + v_load_n(x + i, w), w);
}

// y *= f
SIMD_INLINE void row_scale(real *y, real f, int64_t n)
{
    ROW_LOOP(i, w, n)
    v_store_n(y + i, v_load_n(y + i, w) * f, w);
}
#endif
