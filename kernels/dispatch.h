// SPDX-License-Identifier: Apache-2.0
// Dropless dispatch (Gale et al. 2022, arXiv 2211.15841): the T K assignments of tokens to
// experts are sorted by expert, tokens in order within one (histogram, scan, scatter), so that
// each expert's tokens are contiguous rows ("slots") and none is dropped or padded.
//
//     offset [E + 1] (host memory on every backend): expert e owns slots offset[e] ..
//     offset[e+1]-1;  token [T K]: a slot's token; slot [T, K]: the slot of a token's k-th
//     choice
//
// dispatch_gather: y[s] = x[token[s]] ([n, C] from [T, C]); dispatch_scatter, its adjoint and
// the combination of experts: y[token[s]] += x[s]. Each is the other's backward; ffn.h runs
// them on one chunk of slots at a time. The K weights enter in the experts. Deterministic:
// slots in order.
#ifndef KERNELS_DISPATCH_H
#define KERNELS_DISPATCH_H
#include "kernels/real.h"
#include <stdint.h>

void dispatch_plan(int64_t *offset, int32_t *token, int32_t *slot, const int32_t *choice,
                   int64_t T, int64_t E, int64_t K);
void dispatch_gather(real *y, const real *x, const int32_t *token, int64_t n, int64_t C);
void dispatch_scatter(real *y, const real *x, const int32_t *token, int64_t n, int64_t C);
// Weights: by_slot[slot[t,k]] = by_token[t,k], and back.
void dispatch_weights(real *by_slot, const real *by_token, const int32_t *slot, int64_t n);
void dispatch_weights_bwd(real *by_token, const real *by_slot, const int32_t *slot, int64_t n);
#endif
