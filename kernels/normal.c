// SPDX-License-Identifier: Apache-2.0
#include "kernels/normal.h"
#include <math.h>
#include <string.h>

#define PAIRS                                                                                  \
    256 // a block: every loop is one that vectorises, and the block stays in the cache

// ln u, u > 0: u = m 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh s, s = (m - 1)/(m +
// 1), of which five terms leave 7e-10.
static inline float log_of(float u)
{
    uint32_t bits;
    memcpy(&bits, &u, sizeof bits);
    uint32_t above = bits - 0x3f3504f3; // the bits of sqrt(1/2)
    int32_t e = (int32_t)above >> 23;
    bits = (above & 0x7fffff) + 0x3f3504f3;
    float m;
    memcpy(&m, &bits, sizeof m);
    float s = (m - 1) / (m + 1), q = s * s;
    float series = 2.f + q * (2.f / 3 + q * (2.f / 5 + q * (2.f / 7 + q * (2.f / 9))));
    return (float)e * 0.69314718056f + s * series;
}

// One block: even[j], odd[j] of pairs first + j.
static void block(float *restrict even, float *restrict odd, uint64_t first, uint64_t stream)
{
    uint32_t u[PAIRS], v[PAIRS];
    for (uint64_t j = 0; j < PAIRS; j++) {
        uint64_t z = stream + (first + j + 1) * 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        z ^= z >> 31;
        u[j] = (uint32_t)z;
        v[j] = (uint32_t)(z >> 32);
    }
    for (int j = 0; j < PAIRS; j++) {
        float r = sqrtf(-2 * log_of(((float)u[j] + .5f) * 0x1p-32f));
        // v = quarter / 4 + rest, rest in [-1/8, 1/8) of a turn; Taylor series there leave
        // 2e-8.
        uint32_t quarter = (v[j] + 0x20000000) >> 30;
        float a = (float)(int32_t)(v[j] - (quarter << 30)) * (0x1p-32f * 6.28318530718f);
        float q = a * a;
        float s = a * (1 + q * (-1.f / 6 + q * (1.f / 120 + q * (-1.f / 5040 + q / 362880))));
        float c = 1 + q * (-.5f + q * (1.f / 24 + q * (-1.f / 720 + q / 40320)));
        float across = quarter & 1 ? s : c, along = quarter & 1 ? c : s;
        even[j] = (quarter == 1 || quarter == 2 ? -r : r) * across;
        odd[j] = (quarter & 2 ? -r : r) * along;
    }
}

void normal_fill(real *x, int64_t first, int64_t n, double sd, uint64_t stream)
{
    float even[PAIRS], odd[PAIRS];
    const float scale = (float)sd;
    int64_t start = n > 0 ? first % 2 : 0; // of a pair whose first half is not asked for
    if (start > 0) {
        block(even, odd, (uint64_t)first / 2, stream);
        x[0] = (real)(scale * odd[0]);
    }
    for (int64_t i = start; i < n; i += 2 * PAIRS) {
        int64_t m = n - i < 2 * PAIRS ? n - i : 2 * PAIRS;
        block(even, odd, (uint64_t)(first + i) / 2, stream);
        for (int64_t j = 0; j < m / 2; j++) {
            x[i + 2 * j] = (real)(scale * even[j]);
            x[i + 2 * j + 1] = (real)(scale * odd[j]);
        }
        if (m % 2 == 1)
            x[i + m - 1] = (real)(scale * even[m / 2]);
    }
}
