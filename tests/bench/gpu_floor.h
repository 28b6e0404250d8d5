// SPDX-License-Identifier: Apache-2.0
// What a training step on a device has to do at least: FLOPs and bytes of each operation as the
// backend is written. A launch reads its inputs and writes its outputs once; FLOPs are those of
// the mathematics (causal scores halved, in the backward of attention with the scores formed
// again: five products). Model: softmax router, no QK-norm, untied.
#ifndef TESTS_BENCH_GPU_FLOOR_H
#define TESTS_BENCH_GPU_FLOOR_H
#include "core/arch.h"

// NVIDIA H100 SXM5 80 GB, its data sheet (without sparsity) and HBM3.
#define H100_TENSOR 989.4e12 // FLOP/s of products of bf16
#define H100_CORES 66.9e12   // FLOP/s in f32 outside of tensor cores
#define H100_MEMORY 3.35e12  // bytes/s

struct gpu_size {
    const char *name;
    struct arch arch;
    int64_t tokens; // a step
};
extern const struct gpu_size gpu_sizes[];
enum { GPU_SIZES = 3, GPU_MOST_OPS = 32 };

struct gpu_cost { // of one call
    const char *op;
    double calls; // a step
    double ahead; // of those that only count the experts' loads, see gpu_batch_floor
    double flops, bytes;
    bool tensor; // the FLOPs are products of bf16
};
struct gpu_costs {
    int n;
    struct gpu_cost op[GPU_MOST_OPS];
    double params, flops_step, seconds_step; // the floor of a step
    double flops_ahead, seconds_ahead;       // of the pass ahead of it
    double seconds_once, seconds_add;        // of the optimizer; of adding to gradients
};

struct gpu_costs gpu_costs_of(const struct gpu_size *s, bool bf16);
double gpu_floor(const struct gpu_cost *c); // seconds of one call
// Seconds of a step whose batch is `micro` micro-batches of the size's tokens, at least two:
// each passes forward as far as the last router, then forward and backward
// (worker/model_parts.c).
double gpu_batch_floor(const struct gpu_costs *t, double micro);
const char *gpu_limit(const struct gpu_cost *c);
#endif
