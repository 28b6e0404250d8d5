// SPDX-License-Identifier: Apache-2.0
// What dump_ops writes: a header, then n doubles, for every output.
#ifndef TESTS_KERNELS_DUMP_OPS_H
#define TESTS_KERNELS_DUMP_OPS_H
#include <stdint.h>

struct dump_header {
    char name[32];
    int64_t n;
    double roundings;
};
#endif
