// SPDX-License-Identifier: Apache-2.0
// Products on AMX tiles (Intel, Architecture Instruction Set Extensions Programming Reference,
// chapter 3): a tile register holds 16 rows of 64 bytes; TDPBF16PS adds to a tile of 16 x 16
// floats the product of a tile of A, 16 rows of 32 bfloat16, and a tile of B, 16 rows of 16
// pairs: row q holds B[2q, j] and B[2q+1, j] side by side for every column j. It rounds to
// nearest even and takes subnormals as zero.
//
// A panel of B and a strip of rows of A are rounded and packed into such tiles on the stack,
// padded with zeros; 2 x 2 tiles of C are summed in registers. What is compiled here needs
// nothing of the build's processor: functions name their instruction set, and run only where
// gemm_amx_usable() found it. The tile configuration is the calling thread's; every product
// sets and releases it.
#include "kernels/gemm_bf16.h"
#include "kernels/simd.h"
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AMX                                                                                    \
    __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define AMX_INLINE static inline __attribute__((always_inline)) AMX

#define TILE 512 // bfloat16 in a tile
// Depth and columns of a panel of B: 128 KiB, in the second-level cache.
#define KC 256
#define NC 256
// Tiles of a strip of A, 32 KiB. It takes as many rows as fit (64 of depth KC), so that tiles
// are not loaded right after they were stored: that waits until the stores have reached the
// cache.
#define STRIP_TILES 32

// --- May it run? ----------------------------------------------------------------------------

static uint64_t enabled_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

const char *gemm_amx_why(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) // OSXSAVE: xgetbv exists
        return "the processor has no AMX";
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1))
        return "the processor has no AMX-BF16";
    // AVX512F, DQ, BW, VL
    if (!(b >> 16 & 1) || !(b >> 17 & 1) || !(b >> 30 & 1) || !(b >> 31 & 1))
        return "the processor has no AVX-512";
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1))
        return "the processor has no AVX512_BF16";
    // AVX-512's registers (bits 1, 2, 5 to 7) and AMX's (17, 18)
    if ((enabled_state() & 0x600e6) != 0x600e6)
        return "the operating system does not keep AMX's registers";
    const long request_permission = 0x1023, tile_data = 18; // asm/prctl.h, since Linux 5.16
    if (syscall(SYS_arch_prctl, request_permission, tile_data) != 0)
        return "the kernel does not permit AMX";
    return NULL;
}

bool gemm_amx_usable(void)
{
    return gemm_amx_why() == NULL;
}

// --- Packing --------------------------------------------------------------------------------

// The first n of 16 lanes, for any n.
AMX_INLINE __mmask16 lanes(int64_t n)
{
    return (__mmask16)(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
}

// x[0 .. n-1], n <= 32, rounded; zeros up to 32.
AMX_INLINE __m512i round_row(const float *x, int64_t n)
{
    __m512 low = _mm512_maskz_loadu_ps(lanes(n), x),
           high = _mm512_maskz_loadu_ps(lanes(n - 16), n > 16 ? x + 16 : x);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// Pairs (x[j], y[j]) for j < n <= 16, rounded.
AMX_INLINE __m512i round_pairs(const float *x, const float *y, __mmask16 x_lanes,
                               __mmask16 y_lanes)
{
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512 low = _mm512_maskz_loadu_ps(x_lanes, x), high = _mm512_maskz_loadu_ps(y_lanes, y);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

// 16 x 16 pairs, transposed: four rounds of interleaving row i with row i + 8.
AMX_INLINE void transpose_pairs(__m512i r[16])
{
    const __m512i low =
        _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high =
        _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    __m512i s[16];
    UNROLL
    for (int round = 0; round < 2; round++) { // two interleavings each
        UNROLL
        for (int i = 0; i < 8; i++) {
            s[2 * i] = _mm512_permutex2var_epi32(r[i], low, r[i + 8]);
            s[2 * i + 1] = _mm512_permutex2var_epi32(r[i], high, r[i + 8]);
        }
        UNROLL
        for (int i = 0; i < 8; i++) {
            r[2 * i] = _mm512_permutex2var_epi32(s[i], low, s[i + 8]);
            r[2 * i + 1] = _mm512_permutex2var_epi32(s[i], high, s[i + 8]);
        }
    }
}

// Rows along k: tile[r, :] = x[r, 0 .. k-1], rows ld apart, n rows.
AMX static void pack_rows(uint16_t *tile, const float *x, int64_t ld, int64_t n, int64_t k)
{
    for (int64_t r = 0; r < 16; r++)
        for (int64_t q = 0, t = 0; q < k; q += 32, t++)
            _mm512_store_si512(tile + t * TILE + r * 32,
                               r < n ? round_row(x + r * ld + q, k - q < 32 ? k - q : 32)
                                     : _mm512_setzero_si512());
}

// Row q of a tile of pairs from x [k, n] (rows ld apart).
AMX_INLINE __m512i pairs_of(const float *x, int64_t ld, int64_t q, int64_t n, int64_t k)
{
    const float *even = x + (2 * q < k ? 2 * q : 0) * ld,
                *odd = x + (2 * q + 1 < k ? 2 * q + 1 : 0) * ld;
    return round_pairs(even, odd, 2 * q < k ? lanes(n) : 0, 2 * q + 1 < k ? lanes(n) : 0);
}

// Columns along k, for A: tile[r, :] = x[0 .. k-1, r].
AMX static void pack_rows_transposed(uint16_t *tile, const float *x, int64_t ld, int64_t n,
                                     int64_t k)
{
    for (int64_t q = 0; q < k; q += 32, tile += TILE) {
        __m512i r[16];
        UNROLL
        for (int i = 0; i < 16; i++)
            r[i] = pairs_of(x + q * ld, ld, i, n, k - q);
        transpose_pairs(r);
        UNROLL
        for (int i = 0; i < 16; i++)
            _mm512_store_si512(tile + i * 32, r[i]);
    }
}

// Pairs for B: tile row q holds x[2q, j], x[2q+1, j].
AMX static void pack_pairs(uint16_t *tile, const float *x, int64_t ld, int64_t n, int64_t k)
{
    for (int64_t q = 0; q < k; q += 32, tile += TILE)
        for (int i = 0; i < 16; i++)
            _mm512_store_si512(tile + i * 32, pairs_of(x + q * ld, ld, i, n, k - q));
}

// Pairs for B from its transpose: x [n, k].
AMX static void pack_pairs_transposed(uint16_t *tile, const float *x, int64_t ld, int64_t n,
                                      int64_t k)
{
    for (int64_t q = 0; q < k; q += 32, tile += TILE) {
        __m512i r[16];
        int64_t w = k - q < 32 ? k - q : 32;
        UNROLL
        for (int i = 0; i < 16; i++)
            r[i] = i < n ? round_row(x + i * ld + q, w) : _mm512_setzero_si512();
        transpose_pairs(r);
        UNROLL
        for (int i = 0; i < 16; i++)
            _mm512_store_si512(tile + i * 32, r[i]);
    }
}

// --- Multiplying ----------------------------------------------------------------------------

// Between stores to memory and tile loads: gcc 12 does not know that these read it.
#define STORES_DONE() __asm__ volatile("" : : : "memory")

// C [16 mt, 16 nt] = (add: +=) A B over kt tiles; mt, nt in {1, 2} are constants. The second
// tile of each lies kt tiles behind the first.
AMX_INLINE void block(int mt, int nt, int64_t kt, const uint16_t *a, const uint16_t *b,
                      bool add, float *c, int64_t ldc)
{
    const int64_t row = ldc * (int64_t)sizeof *c;
    const uint16_t *a2 = a + kt * TILE, *b2 = b + kt * TILE;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (add) {
        _tile_loadd(0, c, row);
        if (nt == 2)
            _tile_loadd(1, c + 16, row);
        if (mt == 2)
            _tile_loadd(2, c + 16 * ldc, row);
        if (mt == 2 && nt == 2)
            _tile_loadd(3, c + 16 * ldc + 16, row);
    }
    for (int64_t q = 0; q < kt; q++, a += TILE, b += TILE, a2 += TILE, b2 += TILE) {
        _tile_loadd(4, a, 64);
        _tile_loadd(6, b, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (nt == 2) {
            _tile_loadd(7, b2, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (mt == 2) {
            _tile_loadd(5, a2, 64);
            _tile_dpbf16ps(2, 5, 6);
        }
        if (mt == 2 && nt == 2)
            _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, row);
    if (nt == 2)
        _tile_stored(1, c + 16, row);
    if (mt == 2)
        _tile_stored(2, c + 16 * ldc, row);
    if (mt == 2 && nt == 2)
        _tile_stored(3, c + 16 * ldc + 16, row);
}

// to [m, n] = from [m, n], n <= 32
AMX_INLINE void copy_block(float *to, int64_t ldt, const float *from, int64_t ldf, int64_t m,
                           int64_t n)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j += 16)
            _mm512_mask_storeu_ps(to + i * ldt + j, lanes(n - j),
                                  _mm512_maskz_loadu_ps(lanes(n - j), from + i * ldf + j));
}

// C [m, n], m, n <= 32: whole tiles in place, others through a buffer.
AMX static void multiply(int64_t m, int64_t n, int64_t kt, const uint16_t *a, const uint16_t *b,
                         bool add, float *c, int64_t ldc)
{
    float buffer[32 * 32] __attribute__((aligned(64)));
    bool whole = m % 16 == 0 && n % 16 == 0;
    float *to = whole ? c : buffer;
    int64_t ld = whole ? ldc : 32;
    if (!whole && add) {
        memset(buffer, 0, sizeof buffer);
        copy_block(buffer, 32, c, ldc, m, n);
    }
    STORES_DONE();
    if (m > 16)
        n > 16 ? block(2, 2, kt, a, b, add, to, ld) : block(2, 1, kt, a, b, add, to, ld);
    else
        n > 16 ? block(1, 2, kt, a, b, add, to, ld) : block(1, 1, kt, a, b, add, to, ld);
    if (!whole)
        copy_block(c, ldc, buffer, 32, m, n);
}

static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes_per_row[16];
    uint8_t rows[16];
} eight_whole_tiles __attribute__((aligned(64))) = {
    .palette = 1,
    .bytes_per_row = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// The strip's and the panel's matrices multiplied: C [m, n], m rows of the strip.
AMX static void multiply_all(int64_t m, int64_t n, int64_t kt, const uint16_t *strip,
                             const uint16_t *panel, bool add, float *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i += 32)
        for (int64_t j = 0; j < n; j += 32)
            multiply(least(m - i, 32), least(n - j, 32), kt, strip + i / 16 * kt * TILE,
                     panel + j / 16 * kt * TILE, add, c + i * ldc + j, ldc);
}

AMX void gemm_amx(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a,
                  int64_t lda, const float *b, int64_t ldb, bool acc, float *c, int64_t ldc)
{
    uint16_t panel[NC * KC] __attribute__((aligned(64)));
    uint16_t strip[STRIP_TILES * TILE] __attribute__((aligned(64)));
    if (k == 0 && !acc)
        for (int64_t i = 0; i < m; i++)
            memset(c + i * ldc, 0, (size_t)n * sizeof *c);
    _tile_loadconfig(&eight_whole_tiles);
    for (int64_t j = 0; j < n; j += NC)
        for (int64_t q = 0; q < k; q += KC) {
            int64_t nc = least(n - j, NC), kc = least(k - q, KC), kt = (kc + 31) / 32;
            int64_t rows = STRIP_TILES / kt / 2 * 32;
            for (int64_t t = 0; t < nc; t += 16)
                (tb ? pack_pairs_transposed : pack_pairs)(
                    panel + t / 16 * kt * TILE,
                    tb ? b + (j + t) * ldb + q : b + q * ldb + j + t, ldb, nc - t, kc);
            for (int64_t i = 0; i < m; i += rows) {
                int64_t mc = least(m - i, rows);
                for (int64_t t = i; t < i + mc; t += 16)
                    (ta ? pack_rows_transposed : pack_rows)(
                        strip + (t - i) / 16 * kt * TILE,
                        ta ? a + q * lda + t : a + t * lda + q, lda, i + mc - t, kc);
                multiply_all(mc, nc, kt, strip, panel, acc || q > 0, c + i * ldc + j, ldc);
            }
        }
    _tile_release();
}

#else

const char *gemm_amx_why(void)
{
    return "the processor has no AMX";
}

bool gemm_amx_usable(void)
{
    return false;
}

// Nobody calls it: gemm_kind_bf16() never names it here.
void gemm_amx(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
              const float *b, int64_t ldb, bool acc, float *c, int64_t ldc)
{
    gemm_bf16(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
}
#endif
