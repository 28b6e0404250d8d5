// SPDX-License-Identifier: Apache-2.0
#include "tests/worker/logits_of.h"
#include "kernels/linear.h"
#include "worker/model_impl.h"
#include <string.h>

enum err logits_of(const struct checkpoint *c, const int32_t *tokens, const int32_t *targets,
                   int64_t windows, float *logits, double *loss)
{
    const struct arch *a = &c->job.arch;
    struct model *m;
    int64_t S = a->S, n_bias;
    TRY(model_create(a, &c->job.model, ops_cpu(), GEMM_FULL, S, 1, &m));
    memcpy(model_params(m), c->params, (size_t)c->n_params * sizeof *c->params);
    real *bias = model_router_bias(m, &n_bias);
    if (n_bias > 0)
        memcpy(bias, c->bias, (size_t)n_bias * sizeof *bias);
    *loss = 0;
    for (int64_t w = 0; w < windows; w++) {
        *loss += model_forward(m, tokens + w * S, targets + w * S, S) / (double)windows;
        linear_fwd(logits + w * S * a->V, m->parts[0].norm_out_y, m->parts[0].unembed, S, a->d,
                   a->V, GEMM_FULL);
    }
    model_free(m);
    return OK;
}
