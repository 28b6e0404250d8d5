// SPDX-License-Identifier: Apache-2.0
// Root-mean-square norm (Zhang and Sennrich 2019, arXiv 1910.07467, eq. 4) with eps inside the
// root:
//
//     y[t,c] = g[c] x[t,c] r[t],   r[t] = (sum_c x[t,c]^2 / C + 1e-6)^(-1/2)
//
// x, y [T, C], g [C], r [T] (kept for backward). With u = dy g (per channel):
//
//     dx[t,c] = r[t] (u[t,c] - x[t,c] r[t]^2 (sum_j u[t,j] x[t,j]) / C),   dg[c] = sum_t dy x r
//
// rmsnorm_bwd adds to dx (the residual stream's gradient) and to dg.
//
// rmsnorm_heads_fwd (QK-norm) norms the Hq query heads (gain gq [D]) and the Hkv key heads (gk
// [D]) that rows of ld elements begin with; r [n, Hq + Hkv]. rmsnorm_heads_bwd works in place:
// d's heads hold dL/dy, then dL/dx; it adds to dgq and dgk. scratch: one row, (Hq + Hkv) D
// reals. Deterministic.
#ifndef KERNELS_RMSNORM_H
#define KERNELS_RMSNORM_H
#include "kernels/real.h"
#include <stdint.h>

void rmsnorm_fwd(act *y, real *r, const real *x, const real *g, int64_t T, int64_t C);
void rmsnorm_bwd(real *dx, real *dg, const real *dy, const real *x, const real *g,
                 const real *r, int64_t T, int64_t C);

struct head_sizes {
    int64_t n, Hq, Hkv, D, ld;
};

void rmsnorm_heads_fwd(act *y, real *r, const act *x, const real *gq, const real *gk,
                       struct head_sizes n);
void rmsnorm_heads_bwd(real *d, real *dgq, real *dgk, const act *x, const real *gq,
                       const real *gk, const real *r, struct head_sizes n, real *scratch);
#endif
