// SPDX-License-Identifier: Apache-2.0
// Products of factors rounded to bfloat16, every way that this machine has, against the exactly
// rounded factors' sums in double. A product of two bfloat16 has 16 significant bits: floats
// hold it exactly. A sum of k such products, and of C where it is added to, differs from the
// exact one by at most (k + 1) u sum |a b| in any order (Higham 2002, section 3.1; u: UNIT),
// and the reference by at most as much with u = 2^-53. What TDPBF16PS flushes, under 2^-126, is
// nothing beside that for factors of order 1.
#include "tests/test.h"
#include "core/rng.h"
#include "kernels/bf16.h"
#include "kernels/gemm_bf16.h"

#define UNIT (sizeof(real) == sizeof(float) ? 0x1p-24 : 0x1p-53)

typedef void (*product)(bool, bool, int64_t, int64_t, int64_t, const real *, int64_t,
                        const real *, int64_t, bool, real *, int64_t);

#ifndef TEST_AMX
// --- Rounding -------------------------------------------------------------------------------

// The nearest multiple of bfloat16's unit at x, by the C library in the current rounding mode,
// which is nearest even.
static double rounded(double x)
{
    if (isnan(x) || isinf(x) || x == 0)
        return x;
    int exponent;
    frexp(x, &exponent); // |x| in [2^(e-1), 2^e)
    double unit = ldexp(1, exponent - 8 > -133 ? exponent - 8 : -133);
    double r = nearbyint(x / unit) * unit;
    return fabs(r) < 0x1p128 ? r : copysign(INFINITY, r);
}

static void check_rounding(real x)
{
    real r = bf16_round(x), want = (real)rounded((double)x);
    test_checks++;
    if (isnan(x) ? !isnan(r) : r != want || signbit(r) != signbit(x)) {
        test_failures++;
        fprintf(stderr, "bf16_round(%a) = %a, wanted %a\n", (double)x, (double)r, (double)want);
    }
}

static void test_rounding(void)
{
    const double ulp = 0x1p-7;
    CHECK(bf16_round((real)(1 + ulp / 2)) == 1); // ties go to the even one
    CHECK(bf16_round((real)(1 + 3 * ulp / 2)) == (real)(1 + 2 * ulp));
    CHECK(bf16_round((real)(1 + ulp / 2 + 0x1p-20)) == (real)(1 + ulp));
    CHECK(bf16_round((real)(1 + ulp / 2 - 0x1p-20)) == 1);
    CHECK(bf16_round((real)0x1.ffp127) == (real)INFINITY); // a tie with 2^128
    CHECK(bf16_round((real)0x1.fefffep127) == (real)0x1.fep127);
    CHECK(bf16_round((real)0x1p-134) == 0 && bf16_round((real)0x1.8p-134) == (real)0x1p-133);
    CHECK(bf16_round((real)-INFINITY) == (real)-INFINITY);
    CHECK(isnan(bf16_round((real)NAN)));
    CHECK(signbit(bf16_round((real)-0.0)));
    // Every exponent and sign with fractions around each tie, and random ones.
    struct rng r;
    rng_seed(&r, 3, 0);
    for (uint32_t top = 0; top < 1 << 16; top++) {
        static const uint32_t tails[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
        for (int i = 0; i < 7; i++) {
            uint32_t bits = top << 16 | (i < 6 ? tails[i] : (uint32_t)rng_below(&r, 1 << 16));
            float x;
            memcpy(&x, &bits, sizeof x);
            check_rounding((real)x);
        }
    }
}

#endif
// --- Products -------------------------------------------------------------------------------

// Normal numbers, or small integers, whose products' sums floats hold exactly.
static real *fill(int64_t n, uint64_t stream, bool integers)
{
    struct rng r;
    real *x = malloc((size_t)(n + 1) * sizeof *x);
    if (x == NULL)
        abort();
    rng_seed(&r, 7, stream);
    for (int64_t i = 0; i < n; i++)
        x[i] = integers ? (real)rng_below(&r, 17) - 8 : (real)rng_normal(&r);
    return x;
}

struct shape {
    bool ta, tb, acc, integers;
    int64_t m, n, k;
};

static double sum_of(struct shape s, const real *a, int64_t lda, const real *b, int64_t ldb,
                     int64_t i, int64_t j, double *size)
{
    double sum = 0;
    for (int64_t q = 0; q < s.k; q++) {
        double p = (double)bf16_round(s.ta ? a[q * lda + i] : a[i * lda + q]) *
                   (double)bf16_round(s.tb ? b[j * ldb + q] : b[q * ldb + j]);
        sum += p;
        *size += fabs(p);
    }
    return sum;
}

static void check(const char *name, product f, struct shape s)
{
    int64_t lda = (s.ta ? s.m : s.k) + 3, ldb = (s.tb ? s.k : s.n) + 1, ldc = s.n + 2;
    real *a = fill((s.ta ? s.k : s.m) * lda, 1, s.integers),
         *b = fill((s.tb ? s.n : s.k) * ldb, 2, s.integers),
         *c = fill(s.m * ldc, 3, s.integers), *before = fill(s.m * ldc, 3, s.integers);
    for (int64_t i = 0; i < s.m && !s.acc; i++)
        for (int64_t j = 0; j < s.n; j++)
            c[i * ldc + j] = (real)NAN; // must be overwritten, not scaled
    f(s.ta, s.tb, s.m, s.n, s.k, a, lda, b, ldb, s.acc, c, ldc);
    int wrong = 0;
    for (int64_t i = 0; i < s.m; i++) {
        for (int64_t j = 0; j < s.n; j++) {
            double old = s.acc ? (double)before[i * ldc + j] : 0, size = fabs(old);
            double sum = old + sum_of(s, a, lda, b, ldb, i, j, &size);
            double bound = s.integers ? 0 : (double)(s.k + 2) * UNIT * size;
            wrong += !(fabs((double)c[i * ldc + j] - sum) <= bound);
        }
        for (int64_t j = s.n; j < ldc; j++)
            wrong += c[i * ldc + j] != before[i * ldc + j]; // nothing beside C is touched
    }
    if (wrong > 0)
        fprintf(stderr, "%s: %s%s%s%s m %d n %d k %d: %d wrong\n", name, s.ta ? "T" : "N",
                s.tb ? "T" : "N", s.acc ? " acc" : "", s.integers ? " integers" : "", (int)s.m,
                (int)s.n, (int)s.k, wrong);
    CHECK(wrong == 0);
    free(a), free(b), free(c), free(before);
}

static void all_forms(const char *name, product f, int64_t m, int64_t n, int64_t k)
{
    for (int form = 0; form < 16; form++)
        check(name, f, (struct shape){form & 1, form & 2, form & 4, form & 8, m, n, k});
}

static void test_products(const char *name, product f)
{
    static const int64_t large[][3] = {{128, 128, 128}, {257, 257, 257}, {257, 31, 300},
                                       {20, 300, 513},  {64, 64, 64},    {1, 257, 64},
                                       {257, 1, 32},    {48, 17, 31}};
    for (int64_t size = 1; size <= 70; size++) { // every edge in every direction
        all_forms(name, f, size, (size * 7) % 70 + 1, (size * 11) % 70 + 1);
        all_forms(name, f, (size * 13) % 70 + 1, size, (size * 3) % 70 + 1);
        all_forms(name, f, (size * 17) % 70 + 1, (size * 23) % 70 + 1, size);
    }
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        all_forms(name, f, large[i][0], large[i][1], large[i][2]);
}

// The factors are those that bf16_round gives: a product with one is exact.
static void test_factors(product f)
{
    enum { N = 40 };
    static const double special[] = {1 + 0x1p-8,   1 + 0x1.8p-7, 1 + 0x1p-8 + 0x1p-20,
                                     -1 - 0x1p-8,  0x1.ffp127,   0x1.fefffep127,
                                     0x1.fffp-126, -INFINITY,    0x1.01p-126};
    const int n_special = sizeof special / sizeof *special;
    real *x = fill(N, 5, false), one = 1, left[N], right[N];
    for (int i = 0; i < n_special; i++)
        x[i] = (real)special[i];
    f(false, false, N, 1, 1, x, 1, &one, 1, false, left, 1);
    f(false, false, 1, N, 1, &one, 1, x, N, false, right, N);
    for (int i = 0; i < N; i++) {
        CHECK(left[i] == bf16_round(x[i]));
        CHECK(right[i] == bf16_round(x[i]));
    }
    free(x);
}

// NaN and infinity reach exactly the row of A, the column of B that they stand in.
static void test_not_finite(product f)
{
    enum { M = 37, N = 41, K = 45 };
    for (int form = 0; form < 4; form++)
        for (int which = 0; which < 4; which++) {
            bool ta = form & 1, tb = form & 2, in_a = which & 1;
            real *a = fill(M * K, 1, false), *b = fill(K * N, 2, false),
                 *c = fill(M * N, 3, false);
            real bad = which & 2 ? (real)NAN : (real)INFINITY;
            if (in_a)
                a[ta ? 40 * M + 19 : 19 * K + 40] = bad;
            else
                b[tb ? 19 * K + 40 : 40 * N + 19] = bad;
            f(ta, tb, M, N, K, a, ta ? M : K, b, tb ? K : N, false, c, N);
            int wrong = 0;
            for (int i = 0; i < M; i++)
                for (int j = 0; j < N; j++) {
                    bool touched = (in_a ? i : j) == 19;
                    wrong += touched ? isfinite(c[i * N + j]) : !isfinite(c[i * N + j]);
                    wrong += touched && isnan(bad) && !isnan(c[i * N + j]);
                }
            CHECK(wrong == 0);
            free(a), free(b), free(c);
        }
}

static void test_empty(product f)
{
    real c[4] = {1, 2, 3, 4}, none = 0;
    f(false, false, 2, 2, 0, &none, 1, &none, 2, true, c, 2);
    CHECK(c[0] == 1 && c[3] == 4);
    f(false, false, 2, 2, 0, &none, 1, &none, 2, false, c, 2);
    CHECK(c[0] == 0 && c[3] == 0);
}

static void test_way(const char *name, product f)
{
    test_products(name, f);
    test_factors(f);
    test_not_finite(f);
    test_empty(f);
}

int main(void)
{
#ifdef TEST_AMX
    if (!gemm_amx_usable())
        SKIP(gemm_amx_why());
    CHECK(gemm_kind_bf16() == GEMM_BF16_AMX);
    test_way("amx", gemm_amx);
#else
    test_rounding();
    test_way("gemm_bf16", gemm_bf16);
#endif
    return test_summary();
}
