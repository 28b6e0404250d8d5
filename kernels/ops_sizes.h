// SPDX-License-Identifier: Apache-2.0
#ifndef KERNELS_OPS_SIZES_H
#define KERNELS_OPS_SIZES_H
#include <stdint.h>

// The largest of everything that operations will be asked for. F: the widest feed-forward
// block; R: rows of the most assignments, max(T, T K); RF: the most of rows times width.
// params: 0 where no operation reads the model's parameters.
struct ops_sizes {
    int64_t T, R, S, d, Hq, Hkv, D, F, RF, E, K, V, params;
};
#endif
