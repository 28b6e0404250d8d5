// SPDX-License-Identifier: GPL-3.0-or-later
// Chance that is the same for the same seed.
#ifndef TESTS_FAULTS_CHANCE_H
#define TESTS_FAULTS_CHANCE_H
#include <stdbool.h>
#include <stdint.h>

static inline uint64_t chance_mix(uint64_t x) // splitmix64 (Steele, Lea, Flood 2014)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline double chance_unit(uint64_t x) // [0, 1)
{
    return (double)(x >> 11) / (double)(UINT64_C(1) << 53);
}
#endif
