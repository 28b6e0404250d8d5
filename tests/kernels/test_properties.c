// SPDX-License-Identifier: Apache-2.0
// What must hold of the operations and of the model whatever the numbers are; in float and in
// double. EPS: the element's rounding unit. Two ways to the same result may differ by the
// roundings on the way: about 100 of them at these sizes (products over at most 16 terms, a
// handful of layers' operations).
#include "kernels/attention.h"
#include "kernels/dispatch.h"
#include "kernels/ffn.h"
#include "kernels/router.h"
#include "tests/kernels/gradcheck.h"
#include "worker/model_impl.h"
#include <float.h>

#define EPS (sizeof(real) == sizeof(float) ? 0x1p-24 : 0x1p-53)
#define CLOSE (100 * EPS)

enum { T = 24, C = 8, F = 6 };

// A whole MoE block on fixed inputs: y [T, C] from x [T, C].
struct block {
    int64_t E, K;
    real *x, *y, *router, *gate_up, *down;
    int32_t choice[T * 8];
    int64_t offset[9];
};

static struct block block_new(int64_t E, int64_t K)
{
    struct block b = {.E = E, .K = K};
    b.x = grad_random(T * C, 1, 1), b.y = grad_output(T * C),
    b.router = grad_random(E * C, 1, 2);
    b.gate_up = grad_random(E * 2 * F * C, .5, 3), b.down = grad_random(E * C * F, .5, 4);
    return b;
}

static void block_free(struct block *b)
{
    free(b->x), free(b->y), free(b->router), free(b->gate_up), free(b->down);
}

static void block_run(struct block *b)
{
    const int64_t E = b->E, K = b->K, slots = T * K;
    real *z = grad_output(T * E), *p = grad_output(T * E), *w = grad_output(slots), total[T];
    real *gu = grad_output(slots * 2 * F), *ws = grad_output(slots),
         *scratch = grad_output(ffn_scratch(T, C, F));
    int32_t *token = calloc((size_t)slots, sizeof *token),
            *slot = calloc((size_t)slots, sizeof *slot);
    for (int64_t t = 0; t < T; t++)
        for (int64_t e = 0; e < E; e++)
            z[t * E + e] = (real)grad_dot(b->x + t * C, b->router + e * C, C);
    router_fwd(p, b->choice, w, total, z, NULL, T, (struct router_kind){E, K, false, true});
    dispatch_plan(b->offset, token, slot, b->choice, T, E, K);
    dispatch_weights(ws, w, slot, slots);
    memset(b->y, 0, T * C * sizeof *b->y);
    ffn_fwd(b->y, gu, b->x, ws, b->gate_up, b->down,
            (struct ffn_sizes){E, C, F, b->offset, token, slot, K}, GEMM_FULL, scratch);
    free(z), free(p), free(w), free(gu), free(ws), free(scratch), free(token), free(slot);
}

static double distance(const real *a, const real *b, int64_t n)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= worst))
            worst = fabs((double)a[i] - (double)b[i]);
    return worst;
}

static void one_expert_is_dense(void)
{
    struct block b = block_new(1, 1);
    const int64_t all[2] = {0, T};
    real *y = calloc(T * C, sizeof *y), *gu = grad_output(T * 2 * F),
         *scratch = grad_output(ffn_scratch(T, C, F));
    block_run(&b);
    ffn_fwd(y, gu, b.x, NULL, b.gate_up, b.down,
            (struct ffn_sizes){1, C, F, all, NULL, NULL, 0}, GEMM_FULL, scratch);
    CHECK(memcmp(y, b.y, T * C * sizeof *y) == 0);
    block_free(&b);
    free(y), free(gu), free(scratch);
}

// Expert e of the second block is expert (e + 1) % E of the first.
static void relabelling_changes_nothing(void)
{
    struct block a = block_new(5, 2), b = block_new(5, 2);
    for (int64_t e = 0; e < 5; e++) {
        int64_t f = (e + 1) % 5;
        memcpy(b.router + e * C, a.router + f * C, C * sizeof(real));
        memcpy(b.gate_up + e * 2 * F * C, a.gate_up + f * 2 * F * C, 2 * F * C * sizeof(real));
        memcpy(b.down + e * C * F, a.down + f * C * F, C * F * sizeof(real));
    }
    block_run(&a);
    block_run(&b);
    CHECK_NEAR(distance(a.y, b.y, T * C), 0, CLOSE);
    for (int i = 0; i < T * 2; i++)
        CHECK(a.choice[i] == (b.choice[i] + 1) % 5);
    block_free(&a), block_free(&b);
}

static void token_order_changes_nothing(void)
{
    struct block a = block_new(4, 2), b = block_new(4, 2);
    for (int64_t t = 0; t < T; t++)
        memcpy(b.x + t * C, a.x + (t * 7 + 3) % T * C,
               C * sizeof(real)); // 7 and 24 are coprime
    block_run(&a);
    block_run(&b);
    for (int64_t t = 0; t < T; t++)
        CHECK_NEAR(distance(b.y + t * C, a.y + (t * 7 + 3) % T * C, C), 0, CLOSE);
    block_free(&a), block_free(&b);
}

static void slots_are_dropless_and_sorted(void)
{
    enum { E = 6, K = 3, N = 50 };
    int32_t choice[N * K], token[N * K], slot[N * K];
    int64_t offset[E + 1];
    for (int t = 0; t < N; t++)
        for (int k = 0; k < K; k++)
            choice[t * K + k] = (t * t + k * 2) % 5; // expert 5 gets nothing
    dispatch_plan(offset, token, slot, choice, N, E, K);
    CHECK(offset[0] == 0 && offset[E] == N * K && offset[5] == offset[6]);
    for (int t = 0; t < N; t++)
        for (int k = 0; k < K; k++) {
            int32_t s = slot[t * K + k], e = choice[t * K + k];
            CHECK(token[s] == t && s >= offset[e] && s < offset[e + 1]);
        }
    for (int e = 0; e < E; e++)
        for (int64_t s = offset[e] + 1; s < offset[e + 1]; s++)
            CHECK(token[s - 1] <= token[s]);
}

static void ties_and_nan(void)
{
    enum { E = 5, K = 3 };
    real z[E] = {1, 2, 1, 2, 1}, p[E], w[K], total;
    int32_t choice[K];
    const struct router_kind kinds[2] = {{E, K, false, true}, {E, K, true, true}};
    for (int i = 0; i < 2; i++) {
        router_fwd(p, choice, w, &total, z, NULL, 1, kinds[i]);
        CHECK(choice[0] == 1 && choice[1] == 3 && choice[2] == 0);
    }
    for (int e = 0; e < E; e++)
        z[e] = (real)NAN;
    router_fwd(p, choice, w, &total, z, NULL, 1, kinds[0]);
    CHECK(choice[0] == 0 && choice[1] == 1 && choice[2] == 2);
    CHECK(isnan(w[0]));
}

static void every_expert_for_every_token(void)
{
    enum { E = 7 };
    real *z = grad_random(T * E, 1, 5), p[T * E], w[T * E], total[T];
    int32_t choice[T * E];
    router_fwd(p, choice, w, total, z, NULL, T, (struct router_kind){E, E, false, false});
    for (int t = 0; t < T; t++) {
        double sum = 0;
        for (int k = 0; k < E; k++)
            sum += (double)w[t * E + k];
        CHECK_NEAR(sum, 1, CLOSE);
    }
    free(z);
}

static void attention_is_causal(void)
{
    enum { N = 40, D = 4 };
    const struct attention_sizes n = {1, N, 2, 1, D, 4 * D};
    real *qkv = grad_random(N * n.ld, 1, 6), *o = grad_output(N * 2 * D),
         *o2 = grad_output(N * 2 * D);
    real *lse = grad_output(2 * N), *scratch = grad_output(attention_scratch(N, D));
    attention_fwd(o, lse, qkv, qkv, n, GEMM_FULL, scratch);
    for (int64_t i = 35 * n.ld; i < N * n.ld; i++)
        qkv[i] += 3;
    attention_fwd(o2, lse, qkv, qkv, n, GEMM_FULL, scratch);
    CHECK(memcmp(o, o2, 35 * 2 * D * sizeof *o) == 0);
    CHECK(distance(o + 35 * 2 * D, o2 + 35 * 2 * D, D) > .1);
    CHECK_NEAR(distance(o, qkv + 3 * D, D), 0, EPS * 8); // the first position sees itself only
    free(qkv), free(o), free(o2), free(lse), free(scratch);
}

struct run {
    struct model *m;
    int32_t tokens[97];
    int64_t n;
};

static const struct arch base = {.L_d = 1,
                                 .L_m = 1,
                                 .d = 8,
                                 .d_qkv = 4,
                                 .d_d = 12,
                                 .d_m = 6,
                                 .N_q = 2,
                                 .N_kv = 1,
                                 .S = 16,
                                 .N_e = 4,
                                 .K = 2,
                                 .n_shared = 1,
                                 .V = 11};
static const struct job_train adamw = {.beta1 = .9, .beta2 = .95, .wd = .1};
static const struct job_model softmax = {.norm_topk = true, .rope_base = 100, .init_scale = 1};

static struct run run_of_kind(const struct arch *a, const struct job_model *o,
                              enum gemm_kind kind, int64_t n)
{
    struct run r = {.n = n};
    if (model_create(a, o, ops_cpu(), kind, n, 1, &r.m) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    model_init(r.m, 5);
    for (int i = 0; i < 97; i++)
        r.tokens[i] = (int32_t)((i * i + i / 3) % a->V);
    return r;
}

static struct run run_new(const struct arch *a, const struct job_model *o, int64_t n)
{
    return run_of_kind(a, o, GEMM_FULL, n);
}

static double step(struct run *r, const struct job_train *t, int64_t i)
{
    model_gradients(r->m, r->tokens, r->tokens + 1, r->n, .01);
    double loss = model_loss(r->m);
    model_clip(r->m, 1);
    model_step(r->m, t, .01, i);
    model_balance_bias(r->m, .01);
    return loss;
}

static void two_runs_are_bit_identical(const struct job_model *o, const struct job_train *t,
                                       enum gemm_kind kind)
{
    struct run a = run_of_kind(&base, o, kind, 96), b = run_of_kind(&base, o, kind, 96);
    CHECK(model_reserve(a.m, t->optimizer) == OK && model_reserve(b.m, t->optimizer) == OK);
    double first = 0, last = 0;
    for (int i = 1; i <= 30; i++) {
        last = step(&a, t, i);
        CHECK(last == step(&b, t, i));
        first = i == 1 ? last : first;
    }
    size_t bytes = (size_t)model_n_params(a.m) * sizeof(real);
    CHECK(memcmp(model_params(a.m), model_params(b.m), bytes) == 0);
    CHECK(memcmp(model_moment2(a.m), model_moment2(b.m), bytes) == 0);
    CHECK(last < first - .3); // and it learns these 96 tokens
    model_free(a.m), model_free(b.m);
}

// A dense layer is an MoE layer of one expert.
static void model_with_one_expert(void)
{
    struct arch dense = base, moe = base;
    int n;
    dense.L_m = 0, dense.L_d = 1, dense.d_d = 6;
    moe.L_d = 0, moe.N_e = 1, moe.K = 1, moe.n_shared = 0;
    struct run a = run_new(&dense, &softmax, 32), b = run_new(&moe, &softmax, 32);
    const struct tensor *t = model_tensors(b.m, &n);
    int64_t from = 0;
    for (int i = 0; i < n; i++)
        if (t[i].role != T_ROUTER) { // the tensors' order is the same but for the router
            memcpy(model_params(a.m) + from, model_params(b.m) + t[i].offset,
                   (size_t)t[i].count * sizeof(real));
            from += t[i].count;
        }
    CHECK(from == model_n_params(a.m));
    model_gradients(a.m, a.tokens, a.tokens + 1, 32, 0);
    model_gradients(b.m, b.tokens, b.tokens + 1, 32, .1);
    CHECK_REL(model_loss(b.m), model_loss(a.m), CLOSE);
    CHECK_REL(model_clip(b.m, 0), model_clip(a.m, 0), CLOSE);
    CHECK_NEAR(model_aux_loss(b.m), 1, CLOSE); // perfectly balanced
    CHECK(model_balance(b.m) == 1);
    model_free(a.m), model_free(b.m);
}

// Equal router rows tie for every token: all go to experts 0 and 1, the others idle.
static void idle_experts(void)
{
    struct run r = run_new(&base, &softmax, 64);
    int n;
    const struct tensor *t = model_tensors(r.m, &n);
    for (int i = 0; i < n; i++)
        if (t[i].role == T_ROUTER)
            memset(model_params(r.m) + t[i].offset, 0, (size_t)t[i].count * sizeof(real));
    model_gradients(r.m, r.tokens, r.tokens + 1, 64, .01);
    CHECK(isfinite(model_loss(r.m)));
    CHECK(model_balance(r.m) == 2); // half of the experts do everything
    CHECK_NEAR(model_aux_loss(r.m), 1, CLOSE);
    for (int i = 0; i < n; i++)
        if (t[i].role == T_EXP_DOWN)
            for (int64_t j = 0; j < t[i].count; j++) {
                real g = model_grads(r.m)[t[i].offset + j];
                CHECK(j < t[i].count / 2 ? isfinite(g) : g == 0);
            }
    model_free(r.m);
}

static void sequences_are_independent(void)
{
    struct run r = run_new(&base, &softmax, 32);
    double both = model_forward(r.m, r.tokens, r.tokens + 1, 32);
    double one = model_forward(r.m, r.tokens, r.tokens + 1, 16);
    double two = model_forward(r.m, r.tokens + 16, r.tokens + 17, 16);
    CHECK_REL((one + two) / 2, both, CLOSE);
    struct arch shortest = base;
    shortest.S = 1;
    struct run s = run_new(&shortest, &softmax, 1);
    CHECK(isfinite(step(&s, &adamw, 1))); // T = 1
    model_free(r.m), model_free(s.m);
}

// With QK-norm the length of queries and keys is the gains' alone. Powers of two scale every
// intermediate number exactly, and 2^60 swallows the norm's eps.
static void qk_norm_forgets_lengths(void)
{
    struct job_model o = softmax;
    o.qk_norm = true;
    struct run plain = run_new(&base, &softmax, 32), r = run_new(&base, &o, 32);
    double loss[3];
    int n;
    const struct tensor *t = model_tensors(r.m, &n);
    for (int k = 0; k < 3; k++) {
        const real factor = k == 0 ? 1 : k == 1 ? (real)0x1p30 : (real)2;
        for (int i = 0; i < n; i++)
            for (int64_t j = 0; j < t[i].count && (t[i].role == T_Q || t[i].role == T_K); j++)
                model_params(r.m)[t[i].offset + j] *= factor;
        loss[k] = model_forward(r.m, r.tokens, r.tokens + 1, 32);
    }
    CHECK(loss[1] == loss[2]);
    CHECK_NEAR(loss[0], loss[1], 1e-3); // eps against mean squares of about 1
    CHECK(fabs(model_forward(plain.m, r.tokens, r.tokens + 1, 32) - loss[0]) > 1e-3);
    model_free(plain.m), model_free(r.m);
}

static void nan_reaches_the_loss(void)
{
    int n;
    struct job_model o = softmax;
    o.qk_norm = true;
    struct run r = run_new(&base, &o, 32);
    const struct tensor *t = model_tensors(r.m, &n);
    for (int i = 0; i < n; i++) {
        model_init(r.m, 1);
        if (t[i].role == T_EMBED)
            continue; // only where the symbol occurs
        for (int64_t j = 0; j < t[i].count; j++)
            model_params(r.m)[t[i].offset + j] = (real)NAN;
        model_gradients(r.m, r.tokens, r.tokens + 1, 32, .01);
        CHECK(isnan(model_loss(r.m)));
        CHECK(isnan(model_clip(r.m, 1)));
    }
    model_free(r.m);
}

static void bias_moves_against_load(void)
{
    const struct job_model o = {
        .router = ROUTER_SIGMOID_BIAS, .norm_topk = true, .rope_base = 100, .init_scale = 1};
    struct run r = run_new(&base, &o, 64);
    int64_t n;
    real *bias = model_router_bias(r.m, &n);
    CHECK(n == 4);
    model_forward(r.m, r.tokens, r.tokens + 1, 64);
    const int64_t *offset = r.m->parts[0].layers[1].a.offset;
    model_balance_bias(r.m, .5);
    for (int e = 0; e < 4; e++) {
        int64_t load = offset[e + 1] - offset[e];
        CHECK_NEAR(bias[e], load > 32 ? -.5 : load < 32 ? .5 : 0, 0);
    }
    model_free(r.m);
}

static void clip_and_adamw(void)
{
    struct run r = run_new(&base, &softmax, 32);
    model_gradients(r.m, r.tokens, r.tokens + 1, 32, 0);
    double norm = model_clip(r.m, 0);
    CHECK(norm > .1 && model_clip(r.m, norm * 2) == norm && model_clip(r.m, 0) == norm);
    CHECK(model_clip(r.m, norm / 4) == norm);
    CHECK_REL(model_clip(r.m, 0), norm / 4, CLOSE);
    int n;
    const struct tensor *t = model_tensors(r.m, &n);
    for (int i = 0; i < n;
         i++) { // the first step moves every weight by about lr against its gradient
        int64_t j = t[i].offset + t[i].count / 2;
        double p = (double)model_params(r.m)[j], g = (double)model_grads(r.m)[j];
        model_params(r.m)[j] = (real)p;
        model_step(r.m, &adamw, .01, 1);
        double want = p - .01 * (g / (fabs(g) + 1e-8) + (t[i].decay ? .1 * p : 0));
        CHECK_NEAR(model_params(r.m)[j], want, CLOSE);
        model_clear(r.m);
        model_init(r.m, 5); // the gradients stay
    }
    model_free(r.m);
}

// The first Muon step moves every hidden matrix by nearly orthogonal directions, each on its
// own, and all other tensors as AdamW does. A joint gate and up, or all experts in one, would
// have the singular values of a single matrix: the norm of the update tells them apart.
static void muon_moves_matrices_one_by_one(void)
{
    struct arch a = base;
    a.n_shared = 1;
    struct job_train muon = {.beta1 = .9, .beta2 = .95, .wd = .1, .optimizer = OPTIMIZER_MUON};
    struct run r = run_new(&a, &softmax, 96), s = run_new(&a, &softmax, 96);
    CHECK(model_reserve(s.m, OPTIMIZER_MUON) == OK);
    int n, hidden = 0;
    const struct tensor *t = model_tensors(r.m, &n);
    const real *p = model_params(r.m), *q = model_params(s.m);
    for (int i = 0; i < 2; i++) {
        struct run *run = i ? &s : &r;
        model_gradients(run->m, run->tokens, run->tokens + 1, 96, .01);
    }
    struct run start = run_new(&a, &softmax, 96);
    const real *o = model_params(start.m);
    model_step(r.m, &adamw, .01, 1), model_step(s.m, &muon, .01, 1);
    for (int i = 0; i < n; i++) {
        int64_t rows = 0, cols = 0, stacked = tensor_hidden(&t[i], &rows, &cols);
        size_t bytes = (size_t)t[i].count * sizeof(real);
        if (stacked == 0) {
            CHECK(memcmp(p + t[i].offset, q + t[i].offset, bytes) == 0);
            continue;
        }
        hidden++;
        CHECK(stacked * rows * cols == t[i].count);
        bool pair =
            t[i].role == T_GATE_UP || t[i].role == T_EXP_GATE_UP || t[i].role == T_SH_GATE_UP;
        CHECK(stacked == (t[i].ndim == 3 ? a.N_e : 1) * (pair ? 2 : 1));
        double side = (double)(rows < cols ? rows : cols);
        for (int64_t k = 0; k < stacked; k++) {
            double norm = 0;
            for (int64_t j = t[i].offset + k * rows * cols, e = j + rows * cols; j < e; j++) {
                double d = ((1 - .01 * .1) * (double)o[j] - (double)q[j]) /
                           (.01 * .2 * sqrt((double)(rows > cols ? rows : cols)));
                norm += d * d;
            }
            // Singular values end below 1.21, and hardly any far below 0.68.
            CHECK(norm < 1.21 * 1.21 * side && norm > .5 * .5 * side);
        }
    }
    CHECK(hidden == 4 + 2 + 4 + 4);
    model_free(r.m), model_free(s.m), model_free(start.m);
}

static void refusals(void)
{
    struct model *m = NULL;
    struct arch a = base;
    CHECK(model_create(&a, &softmax, ops_cpu(), GEMM_FULL, 17, 1, &m) == ERR_INPUT &&
          strstr(err_message(), "multiple of S"));
    CHECK(model_create(&a, &softmax, ops_cpu(), GEMM_FULL, 0, 1, &m) == ERR_INPUT);
    a.V = 0;
    CHECK(model_create(&a, &softmax, ops_cpu(), GEMM_FULL, 16, 1, &m) == ERR_INPUT &&
          strstr(err_message(), "V:"));
    a.V = (1 << 24) + 1;
    CHECK(model_create(&a, &softmax, ops_cpu(), GEMM_FULL, 16, 1, &m) == ERR_INPUT);
    a = base, a.K = 9;
    CHECK(model_create(&a, &softmax, ops_cpu(), GEMM_FULL, 16, 1, &m) == ERR_INPUT);
    CHECK(m == NULL);
}

int main(void)
{
    one_expert_is_dense();
    relabelling_changes_nothing();
    token_order_changes_nothing();
    slots_are_dropless_and_sorted();
    ties_and_nan();
    every_expert_for_every_token();
    attention_is_causal();
    two_runs_are_bit_identical(&softmax, &adamw, GEMM_FULL);
    two_runs_are_bit_identical(&softmax, &adamw, GEMM_BF16);
    two_runs_are_bit_identical(&softmax, &adamw, gemm_kind_bf16()); // on AMX where there is one
    two_runs_are_bit_identical(
        &softmax, &(struct job_train){.beta1 = .9, .beta2 = .95, .optimizer = OPTIMIZER_MUON},
        GEMM_FULL);
    two_runs_are_bit_identical(&(struct job_model){.router = ROUTER_SIGMOID_BIAS,
                                                   .qk_norm = true,
                                                   .norm_topk = true,
                                                   .tied = true,
                                                   .rope_base = 100,
                                                   .init_scale = 1},
                               &adamw, GEMM_FULL);
    model_with_one_expert();
    idle_experts();
    sequences_are_independent();
    qk_norm_forgets_lengths();
    nan_reaches_the_loss();
    bias_moves_against_load();
    clip_and_adamw();
    muon_moves_matrices_one_by_one();
    refusals();
    return test_summary();
}
