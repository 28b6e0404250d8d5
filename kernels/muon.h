// SPDX-License-Identifier: Apache-2.0
// Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon; as torch.optim.Muon of
// PyTorch 2.9 defines it, Nesterov momentum on) on one matrix P [A, B] with gradient G:
//
//     M = mu M + (1 - mu) G,   mu = 0.95
//     O = NS5((1 - mu) G + mu M)
//     P = (1 - lr wd) P - lr 0.2 sqrt(max(A, B)) O
//
// NS5 orthogonalises, X = U diag(s) V^T to nearly U V^T: X is divided by its Frobenius norm (by
// 1e-7 if that is larger), and five times a Newton-Schulz step
//
//     X = a X + (b X X^T + c (X X^T)^2) X,   (a, b, c) = (3.4445, -4.7750, 2.0315)
//
// moves every singular value s to a s + b s^3 + c s^5: those above 0.002 end between 0.68 and
// 1.21, not at 1, which is so intended (the slope at 0 was preferred to convergence). For A > B
// the squares are X^T X, on the right: the smaller of both.
//
// The factor 0.2 sqrt(max(A, B)) (adjust_lr_fn "match_rms_adamw"; Liu et al. 2025, arXiv
// 2502.16982, section 2.2) gives an update the root mean square that AdamW's typically has, 0.2
// lr, whatever the shape: learning rate and weight decay mean what they mean with AdamW. In
// float, not bfloat16 as elsewhere: our matrices are small, and conformance can be tight.
// Deterministic.
#ifndef KERNELS_MUON_H
#define KERNELS_MUON_H
#include "kernels/real.h"
#include <stdint.h>

struct muon {
    double lr, wd;
};

// Reals that one matrix needs: two of its shape, two squares of its smaller side.
int64_t muon_scratch(int64_t rows, int64_t cols);
// x [rows, cols] = NS5(x); scratch: muon_scratch reals.
void muon_orthogonalize(real *x, int64_t rows, int64_t cols, real *scratch);
// count matrices side by side.
void muon_update(real *p, real *m, const real *g, int64_t count, int64_t rows, int64_t cols,
                 const struct muon *o, real *scratch);
#endif
