// SPDX-License-Identifier: Apache-2.0
// What this machine and this build offer to a training run.
#ifndef WORKER_MACHINE_H
#define WORKER_MACHINE_H
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

// Bytes that this process may still take: the least of the kernel's estimate of available
// memory, what the control group leaves, and the address-space limit. INT64_MAX where nothing
// says.
int64_t machine_memory_available(void);
// Largest resident size of this program so far, bytes.
int64_t machine_peak_bytes(void);
// The instruction set extensions that decide the order of floating-point sums ("avx2 fma
// avx512f"); losses are bit-identical only between machines where this string is the same.
void machine_isa(char *buf, size_t size);
// Arithmetic flushes subnormal numbers to zero in this thread and those it starts from now on:
// decayed moments of rare symbols would otherwise run into them, a hundred times slower and of
// no use.
void machine_flush_subnormals(void);
// The document of `moetrain --probe`; the caller owns it. gemm: what multiplies large matrices;
// no_amx: why bf16 products are emulated, NULL where AMX multiplies them; cuda:
// ops_cuda_probe's, taken over.
json_t *machine_probe(const char *gemm, const char *no_amx, json_t *cuda);
#endif
