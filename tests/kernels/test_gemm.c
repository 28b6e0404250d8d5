// SPDX-License-Identifier: Apache-2.0
// Products of every shape class and transposition against sums in double. A float sum of k
// products differs from the exact one by at most (k + 1) 2^-24 sum |a b| in any order, fused or
// not (Higham 2002, section 3.1), one more rounding where C is added to.
#include "tests/test.h"
#include "core/rng.h"
#include "kernels/gemm.h"

typedef void (*product)(bool, bool, int64_t, int64_t, int64_t, const real *, int64_t,
                        const real *, int64_t, bool, real *, int64_t);

static real *fill(int64_t n, uint64_t stream)
{
    struct rng r;
    real *x = malloc((size_t)(n + 1) * sizeof *x);
    if (x == NULL)
        abort();
    rng_seed(&r, 7, stream);
    for (int64_t i = 0; i < n; i++)
        x[i] = (real)rng_normal(&r);
    return x;
}

static void check(product f, bool ta, bool tb, bool acc, int64_t m, int64_t n, int64_t k)
{
    int64_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 2;
    real *a = fill((ta ? k : m) * lda, 1), *b = fill((tb ? n : k) * ldb, 2),
         *c = fill(m * ldc, 3);
    real *before = fill(m * ldc, 3);
    for (int64_t i = 0; i < m && !acc; i++)
        for (int64_t j = 0; j < n; j++)
            c[i * ldc + j] = (real)NAN; // must be overwritten, not scaled
    f(ta, tb, m, n, k, a, lda, b, ldb, acc, c, ldc);
    int wrong = 0;
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = acc ? (double)before[i * ldc + j] : 0, size = fabs(sum);
            for (int64_t q = 0; q < k; q++) {
                double p = (double)(ta ? a[q * lda + i] : a[i * lda + q]) *
                           (double)(tb ? b[j * ldb + q] : b[q * ldb + j]);
                sum += p;
                size += fabs(p);
            }
            wrong += !(fabs((double)c[i * ldc + j] - sum) <= (double)(k + 2) * 0x1p-24 * size);
        }
        for (int64_t j = n; j < ldc; j++)
            wrong += c[i * ldc + j] != before[i * ldc + j]; // nothing beside C is touched
    }
    if (wrong > 0)
        fprintf(stderr, "%s%s%s m %d n %d k %d: %d wrong\n", ta ? "T" : "N", tb ? "T" : "N",
                acc ? " acc" : "", (int)m, (int)n, (int)k, wrong);
    CHECK(wrong == 0);
    free(a), free(b), free(c), free(before);
}

int main(void)
{
    static const int64_t sizes[][3] = {
        {1, 1, 1},    {1, 5, 3},    {7, 1, 9},    {8, 16, 4},   {9, 17, 5},    {3, 48, 2},
        {16, 10, 30}, {13, 49, 33}, {70, 64, 16}, {300, 20, 7}, {5, 100, 450}, {260, 97, 200}};
    for (int form = 0; form < 8; form++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int64_t *s = sizes[i];
            check(gemm_small, form & 1, form & 2, form & 4, s[0], s[1], s[2]);
            check(gemm_large, form & 1, form & 2, form & 4, s[0], s[1], s[2]);
            check(gemm, form & 1, form & 2, form & 4, s[0], s[1], s[2]);
        }
    real c[4] = {1, 2, 3, 4}, none = 0;
    gemm_small(false, false, 2, 2, 0, &none, 1, &none, 2, true, c, 2);
    CHECK(c[0] == 1 && c[3] == 4);
    gemm_small(false, false, 2, 2, 0, &none, 1, &none, 2, false, c, 2);
    CHECK(c[0] == 0 && c[3] == 0);
    return test_summary();
}
