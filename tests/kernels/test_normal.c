// SPDX-License-Identifier: Apache-2.0
// Initial weights: every number against Box and Muller's formula in double, the distribution of
// a million, and that a part is a part of the whole.
#include "kernels/normal.h"
#include "tests/test.h"
#include <stdlib.h>
#include <string.h>

#define N 1000000
#define STREAM UINT64_C(0x0123456789abcdef)

static real x[N];

// Numbers 2 j and 2 j + 1 of the stream.
static void exact(int64_t j, double pair[2])
{
    uint64_t z = STREAM + (uint64_t)(j + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    double u = ((double)(uint32_t)z + .5) * 0x1p-32, v = (double)(z >> 32) * 0x1p-32;
    double r = sqrt(-2 * log(u)), a = 2 * 3.14159265358979323846 * v;
    pair[0] = r * cos(a);
    pair[1] = r * sin(a);
}

// Rounding u to 24 bits moves ln u by at most 2^-24, so r by at most 2^-24 / r; r's own
// roundings, the angle's, the series' and the products' add fewer than 8 of 2^-24 r. For u near
// 1, r is small and its square moves by 2 x 2^-24 at most.
static void numbers_are_the_formulas(void)
{
    double worst = 0;
    for (int64_t j = 0; j < N / 2; j++) {
        double want[2];
        exact(j, want);
        double r = hypot(want[0], want[1]), room = 0x1p-24 * (8 * r + 1 / fmax(r, 0x1p-12));
        for (int k = 0; k < 2; k++)
            worst = fmax(worst, fabs((double)x[2 * j + k] - want[k]) / room);
    }
    printf("largest error: %.2f of what roundings explain\n", worst);
    CHECK(worst <= 1);
}

static int by_size(const void *a, const void *b)
{
    real p = *(const real *)a, q = *(const real *)b;
    return (p > q) - (p < q);
}

// Five standard deviations of each statistic under a normal distribution (7e-7 to miss one by
// chance; the numbers are fixed); Kolmogorov's distance at the same level, sqrt(ln(2 / 6e-7) /
// 2 / N).
static void they_are_normal(void)
{
    double sum[5] = {0}, cross = 0, next = 0, n = N, distance = 0;
    for (int64_t i = 0; i < N; i++) {
        double p = 1;
        for (int k = 1; k <= 4; k++)
            sum[k] += p *= (double)x[i];
        if (i % 2 == 1)
            cross += (double)x[i] * (double)x[i - 1];
        else if (i > 0)
            next += (double)x[i] * (double)x[i - 1];
    }
    CHECK_NEAR(sum[1] / n, 0, 5 / sqrt(n));
    CHECK_NEAR(sum[2] / n, 1, 5 * sqrt(2 / n));
    CHECK_NEAR(sum[3] / n, 0, 5 * sqrt(15 / n));
    CHECK_NEAR(sum[4] / n, 3, 5 * sqrt(96 / n));
    CHECK_NEAR(2 * cross / n, 0, 5 * sqrt(2 / n));
    CHECK_NEAR(2 * next / n, 0, 5 * sqrt(2 / n));
    qsort(x, N, sizeof *x, by_size);
    for (int64_t i = 0; i < N; i++) {
        double below = .5 * erfc(-(double)x[i] / sqrt(2.)), i1 = (double)i;
        distance = fmax(distance, fmax(below - i1 / n, (i1 + 1) / n - below));
    }
    CHECK(distance <= sqrt(log(2 / 6e-7) / 2 / n));
    CHECK(x[N - 1] > 4 && x[N - 1] < 6.7 && x[0] < -4 && x[0] > -6.7);
}

static void parts_are_parts(void)
{
    real part[1500];
    for (int64_t first = 0; first < 5; first++)
        for (int64_t n = 0; n < 1500; n += n < 4 ? 1 : 271) {
            memset(part, 0xff, sizeof part);
            normal_fill(part, first, n, 1, STREAM);
            CHECK(memcmp(part, x + first, (size_t)n * sizeof *part) == 0);
            CHECK(n == 1500 || isnan(part[n])); // and no further
        }
}

int main(void)
{
    normal_fill(x, 0, N, 1, STREAM);
    numbers_are_the_formulas();
    parts_are_parts();
    they_are_normal();
    return test_summary();
}
