// SPDX-License-Identifier: Apache-2.0
// Muon in double against matrices whose singular vectors are known, columns of cosine
// transforms: every iteration keeps them and maps the singular values one by one, so that
// scalars tell what must come out.
//
// Tolerance. The derivative of a s + b s^3 + c s^5 on [0, 1.2024], where all values stay, is
// at most 4.25 in magnitude (1.21 included), hence an iteration enlarges an earlier error at
// most 4.25-fold in the Frobenius norm (the map of matrices that an odd function induces is as
// steep as the function), five of them by less than sum_i 4.25^i < 1822. Each makes an error
// of its own of at most (A + B + 2 side) 2^-53 (|a| + |b| 1.21^3 + |c| 1.21^5) |X| < 20 (..)
// 2^-53 1.21 sqrt(side), entries of sums that long.
#include "kernels/muon.h"
#include "tests/test.h"

#define PI 3.14159265358979323846
#define MOST 40

static double tolerance(int64_t rows, int64_t cols)
{
    double side = (double)(rows < cols ? rows : cols);
    return 1822 * 20 * 1.21 * sqrt(side) * ((double)(rows + cols) + 2 * side) * 0x1p-53;
}

// Entry i of the k-th of n orthonormal vectors.
static double cosine(int64_t n, int64_t k, int64_t i)
{
    return sqrt((k > 0 ? 2.0 : 1.0) / (double)n) *
           cos(PI * ((double)i + .5) * (double)k / (double)n);
}

// x = U diag(s) V^T, s [min(rows, cols)]
static void compose(double *x, const double *s, int64_t rows, int64_t cols)
{
    int64_t side = rows < cols ? rows : cols;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            x[i * cols + j] = 0;
            for (int64_t k = 0; k < side; k++)
                x[i * cols + j] += cosine(rows, k, i) * s[k] * cosine(cols, k, j);
        }
}

// What becomes of singular values; n of them.
static void map_values(double *s, int64_t n)
{
    double norm = 0;
    for (int64_t k = 0; k < n; k++)
        norm += s[k] * s[k];
    norm = fmax(sqrt(norm), 1e-7);
    for (int64_t k = 0; k < n; k++) {
        double v = s[k] / norm;
        for (int i = 0; i < 5; i++)
            v = 3.4445 * v - 4.7750 * v * v * v + 2.0315 * v * v * v * v * v;
        s[k] = v;
    }
}

static double difference(const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (x[i] - y[i]) * (x[i] - y[i]);
    return sqrt(sum);
}

static double x[MOST * MOST], want[MOST * MOST], scratch[4 * MOST * MOST];

// Values of the k-th direction: 1, 1/2, .. and from `rank` on zero.
static void check_orthogonalize(int64_t rows, int64_t cols, int64_t rank, double scale)
{
    double s[MOST];
    int64_t side = rows < cols ? rows : cols;
    for (int64_t k = 0; k < side; k++)
        s[k] = k < rank ? scale / (double)(k + 1) : 0;
    compose(x, s, rows, cols);
    map_values(s, side);
    compose(want, s, rows, cols);
    muon_orthogonalize(x, rows, cols, scratch);
    CHECK_NEAR(difference(x, want, rows * cols), 0, tolerance(rows, cols));
    for (int64_t k = 0; k < rank && scale > 1e-3; k++) // nearly orthogonal, as the header says
        CHECK(s[k] > .68 && s[k] < 1.21);
}

// Three steps in one basis: momentum, Nesterov, decay, and the factor of the shape.
static void check_update(int64_t rows, int64_t cols)
{
    static double p[MOST * MOST], m[MOST * MOST], g[MOST * MOST];
    const struct muon o = {.lr = .03, .wd = .4};
    double sp[MOST], sm[MOST] = {0}, sg[MOST], su[MOST];
    int64_t side = rows < cols ? rows : cols, n = rows * cols;
    for (int64_t k = 0; k < side; k++)
        sp[k] = 1 - .1 * (double)k;
    compose(p, sp, rows, cols);
    memset(m, 0, sizeof m);
    for (int step = 1; step <= 3; step++) {
        for (int64_t k = 0; k < side; k++) {
            sg[k] = cos((double)(step * (k + 1)));
            sm[k] = .95 * sm[k] + .05 * sg[k];
            su[k] = .05 * sg[k] + .95 * sm[k];
        }
        compose(g, sg, rows, cols);
        map_values(su, side);
        for (int64_t k = 0; k < side; k++)
            sp[k] = (1 - .03 * .4) * sp[k] -
                    .03 * .2 * sqrt((double)(rows > cols ? rows : cols)) * su[k];
        muon_update(p, m, g, 1, rows, cols, &o, scratch);
        compose(want, sp, rows, cols);
        CHECK_NEAR(difference(p, want, n), 0, step * tolerance(rows, cols));
        compose(want, sm, rows, cols);
        CHECK_NEAR(difference(m, want, n), 0, step * tolerance(rows, cols));
    }
}

int main(void)
{
    static const int64_t shapes[][2] = {{1, 1},  {1, 9},  {9, 1},   {7, 7},
                                        {5, 23}, {23, 5}, {40, 32}, {32, 40}};
    for (int i = 0; i < 8; i++) {
        int64_t rows = shapes[i][0], cols = shapes[i][1], side = rows < cols ? rows : cols;
        CHECK(muon_scratch(rows, cols) == 2 * rows * cols + 2 * side * side);
        check_orthogonalize(rows, cols, side, 1);
        check_orthogonalize(rows, cols, side, 1e4);
        check_orthogonalize(rows, cols, (side + 1) / 2, 1);
        check_orthogonalize(rows, cols, side, 1e-8); // below epsilon: divided by that instead
        check_update(rows, cols);
    }
    memset(x, 0, sizeof x); // an idle expert before its first token
    muon_orthogonalize(x, 5, 9, scratch);
    for (int i = 0; i < 45; i++)
        CHECK(x[i] == 0);
    x[3] = NAN;
    muon_orthogonalize(x, 5, 9, scratch);
    CHECK(isnan(x[0]) && isnan(x[44]));
    return test_summary();
}
