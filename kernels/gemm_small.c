// SPDX-License-Identifier: Apache-2.0
// Products of small matrices. A panel of at most NV vectors of columns of B is packed
// (zero-padded, transposed where asked) into a buffer on the stack; rows of A are read in
// place, one scalar broadcast at a time; a tile of MR rows of C lives in registers. No
// allocation, no set-up: a call costs tens of nanoseconds, which is what decides at widths of
// 10 to 40.
#include "kernels/gemm.h"
#include "kernels/transpose.h"

// Registers: MR x NV accumulators, NV columns of B and one broadcast must fit the vector
// registers: 32 with AVX-512 and on AArch64, 16 elsewhere.
#if defined(__AVX512F__) || defined(__aarch64__)
#define MR 8
#else
#define MR 4
#endif
#define NV 3
#define NR (NV * VL)
// Depth of a panel: KC x NR reals are 36 KiB with AVX-512, within a 48 KiB first-level cache.
#define KC 192
// Rows of C per pass over the panels: A's block (MC x KC reals, 192 KiB) stays in the second
// level.
#define MC 256

// Rows of B this short are read in place: KC of them fit the first-level cache anyway.
#define DIRECT (4 * VL)

struct panel {
    const real *b; // [k, nv VL]
    int64_t ld;
    int64_t last; // lanes used of the last vector
};

SIMD_INLINE void tile(int mr, int nv, bool ta, int64_t k, const real *a, int64_t lda,
                      struct panel p, bool acc, real *c, int64_t ldc)
{
    vreal s[MR][NV];
    UNROLL
    for (int i = 0; i < mr; i++) {
        UNROLL
        for (int j = 0; j < nv; j++)
            s[i][j] = (vreal){0};
    }
    for (int64_t q = 0; q < k; q++) {
        vreal bv[NV];
        UNROLL
        for (int j = 0; j < nv; j++)
            bv[j] = SIMD_MASKS && j == nv - 1 ? v_load_n(p.b + q * p.ld + j * VL, p.last)
                                              : v_load(p.b + q * p.ld + j * VL);
        UNROLL
        for (int i = 0; i < mr; i++) {
            vreal av = v_all(ta ? a[q * lda + i] : a[i * lda + q]);
            UNROLL
            for (int j = 0; j < nv; j++)
                s[i][j] += av * bv[j];
        }
    }
    UNROLL
    for (int i = 0; i < mr; i++) {
        UNROLL
        for (int j = 0; j < nv - 1; j++) {
            real *at = c + i * ldc + j * VL;
            v_store(at, acc ? v_load(at) + s[i][j] : s[i][j]);
        }
        real *at = c + i * ldc + (nv - 1) * VL;
        v_store_n(at, acc ? v_load_n(at, p.last) + s[i][nv - 1] : s[i][nv - 1], p.last);
    }
}

// All rows of one panel; nv and ta are constants at every call, so each gets its own code.
SIMD_INLINE void rows(int nv, bool ta, int64_t m, int64_t k, const real *a, int64_t lda,
                      struct panel p, bool acc, real *c, int64_t ldc)
{
    int64_t step = ta ? 1 : lda;
    int64_t i = 0;
    for (; i + MR <= m; i += MR)
        tile(MR, nv, ta, k, a + i * step, lda, p, acc, c + i * ldc, ldc);
    a += i * step;
    c += i * ldc;
    switch (m - i) {
#define REST(r)                                                                                \
    case r:                                                                                    \
        tile(r, nv, ta, k, a, lda, p, acc, c, ldc);                                            \
        break;
        REST(1)
        REST(2)
        REST(3)
#if MR == 8
        REST(4)
        REST(5)
        REST(6)
        REST(7)
#endif
#undef REST
    default:
        break;
    }
}

static void rows_of_panel(int64_t nv, bool ta, int64_t m, int64_t k, const real *a, int64_t lda,
                          struct panel p, bool acc, real *c, int64_t ldc)
{
    if (nv == 1)
        ta ? rows(1, true, m, k, a, lda, p, acc, c, ldc)
           : rows(1, false, m, k, a, lda, p, acc, c, ldc);
    else if (nv == 2)
        ta ? rows(2, true, m, k, a, lda, p, acc, c, ldc)
           : rows(2, false, m, k, a, lda, p, acc, c, ldc);
    else
        ta ? rows(3, true, m, k, a, lda, p, acc, c, ldc)
           : rows(3, false, m, k, a, lda, p, acc, c, ldc);
}

// B[k, w] (rows ldb apart) -> out[k, ld], w <= ld, padded with zeros to whole vectors.
static void pack_rows(real *out, int64_t ld, const real *b, int64_t ldb, int64_t k, int64_t w)
{
    int64_t full = w / VL * VL;
    for (int64_t q = 0; q < k; q++) {
        for (int64_t j = 0; j < full; j += VL)
            v_store(out + q * ld + j, v_load(b + q * ldb + j));
        if (full < w)
            v_store(out + q * ld + full, v_load_n(b + q * ldb + full, w - full));
    }
}

void gemm_small(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, int64_t lda,
                const real *b, int64_t ldb, bool acc, real *c, int64_t ldc)
{
    real buffer[KC * NV * SIMD_BYTES / sizeof(real)] __attribute__((aligned(SIMD_BYTES)));
    if (k == 0 && !acc)
        for (int64_t i = 0; i < m; i++)
            memset(c + i * ldc, 0, (size_t)n * sizeof *c);
    for (int64_t i = 0; i < m; i += MC)
        for (int64_t j = 0; j < n; j += NR)
            for (int64_t q = 0; q < k; q += KC) {
                int64_t mc = m - i < MC ? m - i : MC, kc = k - q < KC ? k - q : KC;
                int64_t w = n - j < NR ? n - j : NR, nv = (w + VL - 1) / VL;
                struct panel p = {buffer, nv * VL, w - (nv - 1) * VL};
                if (tb)
                    transpose(buffer, p.ld, nv, b + j * ldb + q, ldb, w, kc);
                else if ((SIMD_MASKS || w % VL == 0) && ldb <= DIRECT)
                    p.b = b + q * ldb + j, p.ld = ldb; // as good as a panel
                else
                    pack_rows(buffer, p.ld, b + q * ldb + j, ldb, kc, w);
                rows_of_panel(nv, ta, mc, kc, ta ? a + q * lda + i : a + i * lda + q, lda, p,
                              acc || q > 0, c + i * ldc + j, ldc);
            }
}
