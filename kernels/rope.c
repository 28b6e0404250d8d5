// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.h"
#include "kernels/simd.h"
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
        const real *cosine = table + t * D, *sine = cosine + half;
        for (int64_t h = 0; h < H; h++) {
            real *a = x + row * ld + h * D, *b = a + half;
            ROW_LOOP(j, w, half)
            {
                vreal c = v_load_n(cosine + j, w), s = sign * v_load_n(sine + j, w);
                vreal aj = v_load_n(a + j, w), bj = v_load_n(b + j, w);
                v_store_n(a + j, aj * c - bj * s, w);
                v_store_n(b + j, aj * s + bj * c, w);
            }
        }
    }
}

void rope_fwd(real *x, const real *table, int64_t B, int64_t T, int64_t H, int64_t D,
              int64_t ld)
{
    rotate(x, table, B, T, H, D, ld, 1);
}

void rope_bwd(real *dx, const real *table, int64_t B, int64_t T, int64_t H, int64_t D,
              int64_t ld)
{
    rotate(dx, table, B, T, H, D, ld, -1);
}
