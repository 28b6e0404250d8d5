// SPDX-License-Identifier: Apache-2.0
#include "kernels/dispatch.h"
#include "kernels/simd.h"

void dispatch_plan(int64_t *offset, int32_t *token, int32_t *slot, const int32_t *choice,
                   int64_t T, int64_t E, int64_t K)
{
    // offset[e + 1] counts e's tokens, then holds e's next free slot while they are dealt out,
    // and so ends as the start of e + 1.
    memset(offset, 0, (size_t)(E + 1) * sizeof *offset);
    for (int64_t i = 0; i < T * K; i++)
        offset[choice[i] + 1]++;
    int64_t start = 0;
    for (int64_t e = 0; e < E; e++) {
        int64_t count = offset[e + 1];
        offset[e + 1] = start;
        start += count;
    }
    for (int64_t t = 0; t < T; t++)
        for (int64_t k = 0; k < K; k++) {
            int64_t s = offset[choice[t * K + k] + 1]++;
            token[s] = (int32_t)t;
            slot[t * K + k] = (int32_t)s;
        }
}

void dispatch_gather(real *y, const real *x, const int32_t *token, int64_t n, int64_t C)
{
    for (int64_t s = 0; s < n; s++)
        row_copy(y + s * C, x + token[s] * C, C);
}

void dispatch_scatter(real *y, const real *x, const int32_t *token, int64_t n, int64_t C)
{
    for (int64_t s = 0; s < n; s++)
        row_add(y + token[s] * C, x + s * C, C);
}

void dispatch_weights(real *by_slot, const real *by_token, const int32_t *slot, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        by_slot[slot[i]] = by_token[i];
}

void dispatch_weights_bwd(real *by_token, const real *by_slot, const int32_t *slot, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        by_token[i] = by_slot[slot[i]];
}
