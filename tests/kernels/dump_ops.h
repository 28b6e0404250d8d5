// SPDX-License-Identifier: Apache-2.0
// What dump_ops writes: a header, then n doubles, for every output.
#ifndef TESTS_KERNELS_DUMP_OPS_H
#define TESTS_KERNELS_DUMP_OPS_H
#include "kernels/gemm_bf16.h"
#include <stdint.h>
#include <string.h>

struct dump_header {
    char name[64];
    int64_t n;
    double roundings;
};

// full, bf16 or amx; false where the machine has no AMX.
static inline bool dump_kind(const char *name, enum gemm_kind *kind)
{
    bool amx = strcmp(name, "amx") == 0;
    *kind = amx ? GEMM_BF16_AMX : strcmp(name, "bf16") == 0 ? GEMM_BF16 : GEMM_FULL;
    return !amx || gemm_kind_bf16() == GEMM_BF16_AMX;
}
#endif
