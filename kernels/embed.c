// SPDX-License-Identifier: Apache-2.0
#include "kernels/embed.h"
#include "kernels/simd.h"

void embed_fwd(real *y, const real *w, const int32_t *token, int64_t T, int64_t C)
{
    for (int64_t t = 0; t < T; t++)
        row_copy(y + t * C, w + token[t] * C, C);
}

void embed_bwd(real *dw, const real *dy, const int32_t *token, int64_t T, int64_t C)
{
    for (int64_t t = 0; t < T; t++)
        row_add(dw + token[t] * C, dy + t * C, C);
}
