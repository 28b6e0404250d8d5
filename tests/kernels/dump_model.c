// SPDX-License-Identifier: Apache-2.0
// One forward and backward of a small model whose products are of the kind that is named (full,
// bf16, amx); writes every gradient to stdout for test_bf16.c. Built twice, in float and
// in double. Every token goes to every expert, so that no choice of experts hangs on a
// rounding.
#include "tests/kernels/dump_ops.h"
#include "tests/kernels/gradcheck.h"
#include "worker/model.h"

enum { N = 192 };

static void emit(const char *name, int number, const real *x, int64_t n)
{
    struct dump_header h = {.n = n};
    snprintf(h.name, sizeof h.name, "%s %d", name, number);
    fwrite(&h, sizeof h, 1, stdout);
    for (int64_t i = 0; i < n; i++) {
        double v = (double)x[i];
        fwrite(&v, sizeof v, 1, stdout);
    }
}

int main(int argc, char **argv)
{
    const struct arch a = {.L_d = 1,
                           .L_m = 1,
                           .d = 48,
                           .d_qkv = 20,
                           .d_d = 90,
                           .d_m = 40,
                           .N_q = 2,
                           .N_kv = 1,
                           .S = 96,
                           .N_e = 3,
                           .K = 3,
                           .n_shared = 1,
                           .V = 70};
    const struct job_model opt = {.norm_topk = true, .rope_base = 100, .init_scale = 1};
    struct model *m;
    int32_t tokens[N + 1];
    int tensors;
    enum gemm_kind kind;
    if (argc != 2 || !dump_kind(argv[1], &kind))
        return 77;
    if (model_create(&a, &opt, ops_cpu(), kind, N, 1, &m) != OK)
        return 1;
    model_init(m, 3);
    for (int64_t i = 0; i < model_n_params(m);
         i++) // the same in both builds, all paths at work
        model_params(m)[i] = (real)(float)((double)model_params(m)[i] * 1.5);
    for (int32_t i = 0; i <= N; i++)
        tokens[i] = (i * i + i / 3) % 70;
    model_gradients(m, tokens, tokens + 1, N, .01);
    real loss = (real)model_loss(m);
    emit("loss", 0, &loss, 1);
    const struct tensor *t = model_tensors(m, &tensors);
    for (int i = 0; i < tensors; i++)
        emit(t[i].name, i, model_grads(m) + t[i].offset, t[i].count);
    model_free(m);
    return fflush(stdout) != 0;
}
