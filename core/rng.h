// SPDX-License-Identifier: Apache-2.0
// Random numbers: a counter-free xoshiro256** generator (Blackman and Vigna, public domain
// algorithm), seeded by splitmix64 from a seed and a stream number, so that independent uses
// (initialisation, data order, bootstrap) never share numbers. Bit-identical everywhere.
#ifndef CORE_RNG_H
#define CORE_RNG_H
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed, uint64_t stream);
uint64_t rng_u64(struct rng *r);
// Uniform in [0, 1), 53 bits.
double rng_uniform(struct rng *r);
// Uniform integer in [0, n), n > 0, without modulo bias.
uint64_t rng_below(struct rng *r, uint64_t n);
// Standard normal (Box-Muller, two uniforms a number, nothing cached).
double rng_normal(struct rng *r);
// FNV-1a over bytes: seeds from data, short content ids.
uint64_t rng_hash(const void *data, uint64_t n, uint64_t start);
#define RNG_HASH_START 14695981039346656037ULL
#endif
