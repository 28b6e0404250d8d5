// SPDX-License-Identifier: Apache-2.0
// The vector exponential against libm's double over its whole range, and its corners.
#include "tests/test.h"
#include "kernels/fastexp.h"

static real exp_of(real x)
{
    return v_exp(v_all(x))[0];
}

int main(void)
{
    // Stated in fastexp.h: polynomial 5.2e-9, rounding of r and of Horner's scheme 4 units of
    // 2^-24.
    const double bound = 2.4e-7;
    double worst = 0, worst_sigmoid = 0;
    for (double x = -87; x < 88; x += 1.7e-4) {
        double at = (double)(real)x;
        if (at < -87)
            continue;
        worst = fmax(worst, fabs((double)exp_of((real)at) / exp(at) - 1));
        if (at > -80 && at < 80) { // one more sum and one quotient: two units more
            double s = (double)v_sigmoid(v_all((real)at))[VL - 1] * (1 + exp(-at));
            worst_sigmoid = fmax(worst_sigmoid, fabs(s - 1));
        }
    }
    CHECK(worst <= bound);
    CHECK(worst_sigmoid <= bound + 2 * 0x1p-24);
    printf("largest relative error: exp %.2g, sigmoid %.2g\n", worst, worst_sigmoid);
    CHECK(exp_of(0) == 1);
    CHECK(exp_of(-INFINITY) == 0);
    CHECK(exp_of((real)-1e30) == 0);
    CHECK_REL(exp_of(1000), exp(88), bound);
    CHECK(exp_of((real)INFINITY) == exp_of(88));
    CHECK(isnan(exp_of((real)NAN)));
    CHECK(isnan(v_sigmoid(v_all((real)NAN))[0]));

    real row[37];
    double sum = 0;
    for (int i = 0; i < 37; i++)
        row[i] = (real)(i - 40);
    for (int i = 0; i < 37; i++)
        sum += exp((double)row[i] + 4);
    CHECK(row_max(row, 37) == -4);
    CHECK(row_max(row, 1) == -40);
    CHECK_REL(row_exp(row, -4, 37), sum, bound + 37 * 0x1p-24);
    CHECK_REL(row[36], 1, bound);
    return test_summary();
}
