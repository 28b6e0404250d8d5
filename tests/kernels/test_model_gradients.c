// SPDX-License-Identifier: Apache-2.0
// The whole model's gradient in double against central differences, a sample of every tensor,
// in every variant of routing, tying, sharing and layering.
#include "tests/kernels/gradcheck.h"
#include "worker/model_impl.h"

enum { SEQUENCES = 2, SAMPLES = 7 };

struct whole {
    struct model *m;
    int32_t *tokens, *targets;
    int32_t *choice; // of the unperturbed model, all MoE layers
    bool tie;        // a perturbation crossed a tie
    double aux;
};

static void choices(const struct model *m, int32_t *out)
{
    int64_t n = m->n * m->arch.K;
    for (int64_t i = m->arch.L_d; i < m->L; i++, out += n)
        memcpy(out, m->parts[0].layers[i].a.choice, (size_t)n * sizeof *out);
}

static double whole_loss(void *ctx)
{
    struct whole *w = ctx;
    const struct arch *a = &w->m->arch;
    int64_t n = SEQUENCES * a->S, all = a->L_m * n * a->K;
    double loss = model_forward(w->m, w->tokens, w->targets, n);
    int32_t *now = calloc((size_t)all + 1, sizeof *now);
    choices(w->m, now);
    w->tie |= memcmp(now, w->choice, (size_t)all * sizeof *now) != 0;
    free(now);
    return loss + w->aux * model_aux_loss(w->m);
}

static void check_tensor(const char *name, struct whole *w, const struct tensor *t)
{
    const real *g = model_grads(w->m) + t->offset;
    double largest = 0;
    for (int64_t i = 0; i < t->count; i++)
        largest = fmax(largest, fabs((double)g[i]));
    CHECK(largest > 0);
    int64_t step = t->count > SAMPLES ? t->count / SAMPLES : 1;
    int checked = 0;
    for (int64_t i = 0; i < t->count; i += step) {
        w->tie = false;
        double d = grad_numeric(whole_loss, w, model_params(w->m) + t->offset + i);
        if (w->tie)
            continue;
        checked++;
        test_checks++;
        if (!(fabs(d - (double)g[i]) <= GRAD_TOL * largest)) {
            test_failures++;
            fprintf(stderr, "%s: %s[%d]: got %.12g, differences give %.12g, largest %.3g\n",
                    name, t->name, (int)i, (double)g[i], d, largest);
        }
    }
    CHECK(checked > 0);
}

static void check_model(const char *name, const struct arch *a, const struct job_model *opt,
                        double aux)
{
    struct whole w = {.aux = aux};
    int64_t n = SEQUENCES * a->S, bias;
    int tensors;
    if (model_create(a, opt, ops_cpu(), GEMM_FULL, n, 1, &w.m) != OK) {
        fprintf(stderr, "%s: %s\n", name, err_message());
        test_failures++;
        return;
    }
    model_init(w.m, 3);
    // Larger than at the start: every path matters. And no two gains alike.
    for (int64_t i = 0; i < model_n_params(w.m); i++)
        model_params(w.m)[i] *= (real)(1.5 + .01 * (double)(i % 7));
    real *b = model_router_bias(w.m, &bias);
    for (int64_t i = 0; i < bias; i++)
        b[i] = (real)(.02 * (double)(i % 3));
    w.tokens = calloc((size_t)n, sizeof *w.tokens);
    w.targets = calloc((size_t)n, sizeof *w.targets);
    w.choice = calloc((size_t)(a->L_m * n * a->K + 1), sizeof *w.choice);
    for (int64_t i = 0; i < n; i++) {
        w.tokens[i] = (int32_t)(i * 7 % a->V);
        w.targets[i] = (int32_t)((i * 5 + 3) % a->V);
    }
    for (int64_t i = 0; i < model_n_params(w.m); i++)
        model_grads(w.m)[i] = (real)NAN; // nothing adds to what was there
    model_gradients(w.m, w.tokens, w.targets, n, aux);
    choices(w.m, w.choice);
    CHECK(model_loss(w.m) + aux * model_aux_loss(w.m) == whole_loss(&w));
    const struct tensor *t = model_tensors(w.m, &tensors);
    for (int i = 0; i < tensors; i++)
        check_tensor(name, &w, &t[i]);
    free(w.tokens), free(w.targets), free(w.choice);
    model_free(w.m);
}

int main(void)
{
    const struct arch base = {.L_d = 1,
                              .L_m = 1,
                              .d = 8,
                              .d_qkv = 4,
                              .d_d = 10,
                              .d_m = 6,
                              .N_q = 2,
                              .N_kv = 1,
                              .S = 6,
                              .N_e = 4,
                              .K = 2,
                              .n_shared = 1,
                              .V = 9};
    const struct job_model soft = {.rope_base = 100, .init_scale = 1};
    struct arch a = base;
    struct job_model o = soft;
    check_model("plain", &a, &o, 0);
    check_model("aux", &a, &o, .1);
    a.S = 150; // a chunk of the attention block holds one of the two sequences
    check_model("several chunks", &a, &o, .1);
    o.qk_norm = true;
    a.S = 129, a.L_m = 0; // the same, no larger than it must be
    check_model("several chunks, QK-norm", &a, &o, .1);
    a = base;
    check_model("QK-norm", &a, &o, .1);
    o = soft;
    o.norm_topk = true;
    check_model("norm_topk", &a, &o, .1);
    o.tied = true;
    check_model("tied", &a, &o, .01);
    o.router = ROUTER_SIGMOID_BIAS;
    check_model("sigmoid", &a, &o, .1);
    o.norm_topk = false;
    check_model("sigmoid, plain weights", &a, &o, .1);
    o = soft;
    a.L_d = 0, a.L_m = 2, a.N_kv = 2, a.n_shared = 0;
    check_model("MoE only, MHA, none shared", &a, &o, .1);
    a.n_shared = 2, a.K = 1;
    check_model("two shared, K = 1", &a, &o, .1);
    o.norm_topk = true;
    a.K = 4, a.n_shared = 1;
    check_model("K = E", &a, &o, .1);
    a.L_d = 2, a.L_m = 0;
    check_model("dense", &a, &o, .1);
    return test_summary();
}
