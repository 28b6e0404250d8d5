// SPDX-License-Identifier: Apache-2.0
// The gated activation of a SwiGLU block (Shazeer 2020, arXiv 2002.05202, eq. 6), each row
// times an optional weight s (a routed expert's share of its token):
//
//     h[t,f] = s[t] silu(g) u,   g = gu[t,f], u = gu[t,F+f],   silu(g) = g sigmoid(g)
//
// gu [T, 2F] (gate, then up), h [T, F], s [T] or NULL (1). With S = sigmoid(g):
//
//     dg = dh s u S (1 + g (1 - S)),   du = dh s g S,   ds[t] = sum_f dh silu(g) u
//
// swiglu_bwd recomputes h (the down projection's gradient needs it, storing it costs more than
// it) and overwrites dgu, h and, where s is given, ds. Deterministic.
#ifndef KERNELS_SWIGLU_H
#define KERNELS_SWIGLU_H
#include "kernels/real.h"
#include <stdint.h>

void swiglu_fwd(real *h, const real *gu, const real *s, int64_t T, int64_t F);
void swiglu_bwd(real *dgu, real *ds, real *h, const real *dh, const real *gu, const real *s,
                int64_t T, int64_t F);
#endif
