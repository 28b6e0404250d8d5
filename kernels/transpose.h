// SPDX-License-Identifier: Apache-2.0
// Transposing between rows of tokens and columns of tokens. With AVX-512 sixteen by sixteen
// floats at a time: log2(16) = 4 rounds of interleaving row i with row i + 8 transpose a square
// in registers.
#ifndef KERNELS_TRANSPOSE_H
#define KERNELS_TRANSPOSE_H
#include "kernels/simd.h"

#if SIMD_MASKS
SIMD_INLINE void transpose_square(vreal r[16])
{
    const __m512i low =
        _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high =
        _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    vreal s[16];
    UNROLL
    for (int round = 0; round < 2; round++) { // two interleavings each
        UNROLL
        for (int i = 0; i < 8; i++) {
            s[2 * i] = (vreal)_mm512_permutex2var_ps((__m512)r[i], low, (__m512)r[i + 8]);
            s[2 * i + 1] = (vreal)_mm512_permutex2var_ps((__m512)r[i], high, (__m512)r[i + 8]);
        }
        UNROLL
        for (int i = 0; i < 8; i++) {
            r[2 * i] = (vreal)_mm512_permutex2var_ps((__m512)s[i], low, (__m512)s[i + 8]);
            r[2 * i + 1] = (vreal)_mm512_permutex2var_ps((__m512)s[i], high, (__m512)s[i + 8]);
        }
    }
}

// dst[c, r] = src[r, c] for one square: n <= 16 rows of src, w <= 16 of its columns; columns of
// dst from n to 15 are zero.
SIMD_INLINE void transpose_piece(real *dst, int64_t ldd, const real *src, int64_t lds,
                                 int64_t n, int64_t w)
{
    vreal r[16];
    UNROLL
    for (int64_t i = 0; i < 16; i++)
        r[i] = i < n ? v_load_n(src + i * lds, w) : (vreal){0};
    transpose_square(r);
    UNROLL
    for (int64_t i = 0; i < 16; i++)
        if (i < w)
            v_store(dst + i * ldd, r[i]);
}

// dst [w, nv VL] (rows ldd apart) = src^T, src [n, w] (rows lds apart), n <= nv VL; the columns
// of dst from n on are zero.
SIMD_INLINE void transpose(real *dst, int64_t ldd, int64_t nv, const real *src, int64_t lds,
                           int64_t n, int64_t w)
{
    for (int64_t j = 0; j < nv * VL; j += 16)
        for (int64_t c = 0; c < w; c += 16)
            transpose_piece(dst + c * ldd + j, ldd, src + j * lds + c, lds, n - j,
                            w - c < 16 ? w - c : 16);
}

// dst [n, w] (rows ldd apart) = src^T, src [w, >= n rounded up to VL] (rows lds apart).
SIMD_INLINE void transpose_back(real *dst, int64_t ldd, int64_t n, const real *src, int64_t lds,
                                int64_t w)
{
    for (int64_t j = 0; j < n; j += 16)
        for (int64_t c = 0; c < w; c += 16) {
            vreal r[16];
            int64_t m = w - c < 16 ? w - c : 16;
            UNROLL
            for (int64_t i = 0; i < 16; i++)
                r[i] = i < m ? v_load(src + (c + i) * lds + j) : (vreal){0};
            transpose_square(r);
            UNROLL
            for (int64_t i = 0; i < 16; i++)
                if (i < n - j)
                    v_store_n(dst + (j + i) * ldd + c, r[i], m);
        }
}
#else
SIMD_INLINE void transpose(real *dst, int64_t ldd, int64_t nv, const real *src, int64_t lds,
                           int64_t n, int64_t w)
{
    for (int64_t c = 0; c < w; c++)
        for (int64_t j = 0; j < nv * VL; j++)
            dst[c * ldd + j] = j < n ? src[j * lds + c] : 0;
}

SIMD_INLINE void transpose_back(real *dst, int64_t ldd, int64_t n, const real *src, int64_t lds,
                                int64_t w)
{
    for (int64_t j = 0; j < n; j++)
        for (int64_t c = 0; c < w; c++)
            dst[j * ldd + c] = src[c * lds + j];
}
#endif
#endif
