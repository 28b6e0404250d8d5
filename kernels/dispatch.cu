// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda.h"

#define THREADS 256

// order [n]: assignments by expert. A slot's token, an assignment's slot, and each expert's
// first slot, offset [E + 1].
static __global__ void __launch_bounds__(THREADS)
    place(int64_t *offset, int32_t *token, int32_t *slot, const int32_t *order,
          const int32_t *choice, int64_t n, int E, int K)
{
    int64_t s = gpu_index();
    if (s >= n)
        return;
    int32_t i = order[s];
    token[s] = i / K;
    slot[i] = (int32_t)s;
    // Experts without slots before this one begin here, too; after the last all end.
    int e = choice[i], before = s > 0 ? choice[order[s - 1]] : -1;
    for (int f = before + 1; f <= e; f++)
        offset[f] = s;
    for (int f = e + 1; s == n - 1 && f <= E; f++)
        offset[f] = n;
}

size_t cuda_dispatch_workspace(const struct ops_sizes *n)
{
    int64_t all = n->T * n->K, E = n->E > 0 ? n->E : 1;
    return gpu_scratch_size(all, sizeof(int32_t)) + gpu_scratch_size(E + 1, sizeof(int64_t)) +
           gpu_sort_workspace(all, E);
}

void cuda_dispatch_plan(int64_t *offset, int32_t *token, int32_t *slot, const int32_t *choice,
                        int64_t T, int64_t E, int64_t K)
{
    gpu_scope scope;
    int64_t n = T * K, *first = gpu_scratch<int64_t>(E + 1);
    int32_t *order = gpu_scratch<int32_t>(n);
    gpu_sort(order, choice, n, E);
    LAUNCH(place, gpu_blocks(n, THREADS), THREADS, 0, gpu.stream, first, token, slot, order,
           choice, n, E, K);
    cuda_download(offset, first, (size_t)(E + 1) * sizeof *offset);
}

static __global__ void __launch_bounds__(THREADS)
    to_slots(float *by_slot, const float *by_token, const int32_t *slot, int64_t n)
{
    int64_t i = gpu_index();
    if (i < n)
        by_slot[slot[i]] = by_token[i];
}

static __global__ void __launch_bounds__(THREADS)
    from_slots(float *by_token, const float *by_slot, const int32_t *slot, int64_t n)
{
    int64_t i = gpu_index();
    if (i < n)
        by_token[i] = by_slot[slot[i]];
}

void cuda_dispatch_weights(real *by_slot, const real *by_token, const int32_t *slot, int64_t n)
{
    LAUNCH(to_slots, gpu_blocks(n, THREADS), THREADS, 0, gpu.stream, by_slot, by_token, slot,
           n);
}

void cuda_dispatch_weights_bwd(real *by_token, const real *by_slot, const int32_t *slot,
                               int64_t n)
{
    LAUNCH(from_slots, gpu_blocks(n, THREADS), THREADS, 0, gpu.stream, by_token, by_slot, slot,
           n);
}
