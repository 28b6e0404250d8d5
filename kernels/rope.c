// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.h"
#include <math.h>

void rope_table(real *table, int64_t T, int64_t D, double base)
{
    for (int64_t t = 0; t < T; t++)
        for (int64_t j = 0; j < D / 2; j++) {
            double angle = (double)t * pow(base, -2 * (double)j / (double)D);
            table[t * D + j] = (real)cos(angle);
            table[t * D + D / 2 + j] = (real)sin(angle);
        }
}

static void rotate(real *x, const real *table, int64_t B, int64_t T, int64_t H, int64_t D,
                   int64_t ld, real sign)
{
    int64_t half = D / 2;
    for (int64_t row = 0, t = 0; row < B * T; row++, t = t + 1 < T ? t + 1 : 0) {
        const real *restrict cosine = table + t * D, *restrict sine = cosine + half;
        for (int64_t h = 0; h < H; h++) {
            // Plain: half a head is often shorter than a vector, and masked stores next to the
            // following loads stall them.
            real *restrict a = x + row * ld + h * D, *restrict b = a + half;
            for (int64_t j = 0; j < half; j++) {
                real sj = sign * sine[j], aj = a[j], bj = b[j];
                a[j] = aj * cosine[j] - bj * sj;
                b[j] = aj * sj + bj * cosine[j];
            }
        }
    }
}

void rope_fwd(act *x, const real *table, int64_t B, int64_t T, int64_t H, int64_t D, int64_t ld)
{
    rotate(x, table, B, T, H, D, ld, 1);
}

void rope_bwd(real *dx, const real *table, int64_t B, int64_t T, int64_t H, int64_t D,
              int64_t ld)
{
    rotate(dx, table, B, T, H, D, ld, -1);
}
