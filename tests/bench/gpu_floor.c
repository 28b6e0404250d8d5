// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/gpu_floor.h"
#include "core/executed.h"
#include "kernels/cuda.h"

// The last is a structure of the holistic paper's setting at 1e19 FLOPs (arXiv 2603.21862):
// moesweep arch --triad M=.9345e9,x=9.23,y=21 --set d_qkv=64,N_q=8,V=152064
const struct gpu_size gpu_sizes[GPU_SIZES] = {
    {"0.5B", {1, 11, 768, 64, 2304, 480, 12, 6, 2048, 32, 4, 1, 50304}, 16384},
    {"3B", {1, 23, 1536, 128, 4608, 512, 12, 6, 4096, 48, 6, 1, 100352}, 16384},
    {"1e19", {2, 11, 984, 64, 2952, 224, 8, 4, 8192, 288, 8, 1, 152064}, 16384},
};

double gpu_floor(const struct gpu_cost *c)
{
    double compute = c->flops / (c->tensor ? H100_TENSOR : H100_CORES),
           memory = c->bytes / H100_MEMORY;
    return compute > memory ? compute : memory;
}

const char *gpu_limit(const struct gpu_cost *c)
{
    const char *compute = c->tensor ? "tensor cores" : "CUDA cores";
    return gpu_floor(c) > c->bytes / H100_MEMORY ? compute : "memory";
}

// T tokens, Q and KV channels of all query and key heads, W of a row of qkv; a: bytes of an
// act, r: of what rounding a float to a factor moves.
struct sizes {
    double T, d, Q, KV, W, S, E, K, V, L, L_m, L_d, a, r;
    bool bf16;
};

// ahead: of the calls those of the pass that counts the experts' loads, were it made.
static void add(struct gpu_costs *t, const char *op, double calls, double ahead, double flops,
                double bytes, bool tensor)
{
    if (calls > 0)
        t->op[t->n++] = (struct gpu_cost){op, calls, ahead, flops, bytes, tensor};
}

// x [T, I] (floats where the pass has them unrounded) -> y [T, O] of y bytes.
static double product_bytes(const struct sizes *s, double I, double O, double y)
{
    return s->a * (s->T * I + I * O) + y * s->T * O;
}

static double product_bwd_bytes(const struct sizes *s, double I, double O)
{
    return s->r * s->T * O + s->a * (s->T * O + I * O) + 4 * s->T * I // dx
           + s->a * s->T * (O + I) + 4 * I * O;                       // dw
}

static void attention(struct gpu_costs *t, const struct sizes *s)
{
    const double T = s->T,
                 scores = T * s->Q * (s->S + 1) / 2; // one product of scores: 2 x this
    add(t, "linear_fwd qkv", s->L, s->L, 2 * T * s->d * s->W,
        product_bytes(s, s->d, s->W, s->a), s->bf16);
    add(t, "rope_fwd", s->L, s->L, 0, 2 * s->a * T * (s->Q + s->KV), false);
    add(t, "attention_fwd", s->L, s->L, 4 * scores, s->a * T * (s->W + s->Q), s->bf16);
    add(t, "linear_fwd_add o", s->L, s->L, 2 * T * s->Q * s->d, product_bytes(s, s->Q, s->d, 8),
        s->bf16);
    add(t, "linear_bwd o", s->L, 0, 4 * T * s->Q * s->d, product_bwd_bytes(s, s->Q, s->d),
        s->bf16);
    // do . o; do rounded; two passes over q, k, v, do; dq, dk, dv.
    add(t, "attention_bwd", s->L, 0, 10 * scores,
        T * ((4 + s->a) * s->Q + s->r * s->Q + 2 * s->a * (s->W + s->Q) + 4 * s->W), s->bf16);
    add(t, "rope_bwd", s->L, 0, 0, 8 * T * (s->Q + s->KV), false);
    add(t, "linear_bwd qkv", s->L, 0, 4 * T * s->d * s->W, product_bwd_bytes(s, s->d, s->W),
        s->bf16);
}

static void router(struct gpu_costs *t, const struct sizes *s)
{
    const double T = s->T, d = s->d, E = s->E, wide = s->bf16 ? 6 * T * d : 0; // act to float
    add(t, "linear_fwd router", s->L_m, s->L_m, 2 * T * d * E,
        wide + 4 * (T * d + E * d + T * E), false);
    add(t, "router_fwd", s->L_m, s->L_m, 0, 8 * T * E + 8 * T * s->K, false);
    add(t, "dispatch_plan", s->L_m, s->L_m, 0, 16 * T * s->K, false);
    add(t, "dispatch_weights", s->L_m, s->L_m - 1, 0, 12 * T * s->K, false);
    add(t, "dispatch_weights_bwd", s->L_m, 0, 0, 12 * T * s->K, false);
    add(t, "router_bwd", s->L_m, 0, 0, 8 * T * E + 12 * T * s->K, false);
    add(t, "linear_bwd router", s->L_m, 0, 4 * T * d * E,
        wide + 4 * (T * E + E * d + 2 * T * d) + 4 * (T * E + T * d + E * d), false);
}

// E groups of together R rows, width F; gathered: rows are copied to their slots and back.
static void ffn(struct gpu_costs *t, const struct sizes *s, const char *fwd, const char *bwd,
                double calls, double ahead, double E, double R, double F, bool gathered)
{
    const double d = s->d, a = s->a, w = E * F * d;
    double in = gathered ? 2 * a * R * d : 0, in_dy = (gathered ? 4 + a : s->r) * R * d,
           out = gathered ? 8 * R * d + 8 * s->T * d : 8 * R * d;
    add(t, fwd, calls, ahead, 6 * R * d * F,
        in + a * (R * d + 2 * w + 2 * R * F) + 3 * a * R * F + a * (R * F + w) + out, s->bf16);
    add(t, bwd, calls, 0, 12 * R * d * F,
        in + in_dy + a * (R * d + w) + 4 * R * F // dh
            + (4 + 5 * a) * R * F                // SwiGLU: dh, gate, up -> dgu, h
            + a * (R * d + R * F) + 4 * w        // dw_d
            + a * (2 * R * F + R * d) + 8 * w    // dw_gu
            + a * (2 * R * F + 2 * w) + out,     // dx
        s->bf16);
}

// Chunks of rows as unembed.cu takes them.
static void unembed(struct gpu_costs *t, const struct sizes *s)
{
    const double T = s->T, d = s->d, V = s->V;
    double rows = (double)CUDA_LOGITS_BYTES / (V * (s->bf16 ? 6 : 4));
    rows = (double)((int64_t)rows / 64 * 64);
    double chunks = (double)(((int64_t)T + (int64_t)rows - 1) / (int64_t)rows);
    add(t, "unembed_xent", 1, 0, 6 * T * d * V,
        T * V * (4 + 8 + s->a + 2 * s->a) + 3 * s->a * T * d + 4 * T * d +
            chunks * (2 * s->a * V * d + 8 * V * d) - 4 * V * d,
        s->bf16);
}

struct gpu_costs gpu_costs_of(const struct gpu_size *size, bool bf16)
{
    static const char *const once[] = {"grad_square", "adamw_update"}; // a batch
    const struct arch *a = &size->arch;
    struct gpu_costs t = {.n = 0};
    struct job job = executed_job(a, false, size->tokens);
    t.params = (double)executed_of(&job).params;
    double D = (double)a->d_qkv, T = (double)size->tokens, d = (double)a->d;
    const struct sizes s = {.T = T,
                            .d = d,
                            .Q = (double)a->N_q * D,
                            .KV = (double)a->N_kv * D,
                            .W = (double)(a->N_q + 2 * a->N_kv) * D,
                            .S = (double)a->S,
                            .E = (double)a->N_e,
                            .K = (double)a->K,
                            .V = (double)a->V,
                            .L = (double)(a->L_d + a->L_m),
                            .L_m = (double)a->L_m,
                            .L_d = (double)a->L_d,
                            .a = bf16 ? 2 : 4,
                            .r = bf16 ? 6 : 0,
                            .bf16 = bf16};
    add(&t, "embed_fwd", 1, 1, 0, 8 * T * d, false);
    add(&t, "rmsnorm_fwd", 3 * s.L + 1, 2 * s.L, 0, (4 + s.a) * T * d, false);
    add(&t, "copy", 2 * s.L, 2 * s.L - 1, 0, 8 * T * d, false);
    add(&t, "clear rows", s.L + 1, 0, 0, 4 * T * d, false);
    add(&t, "clear embedding", 1, 0, 0, 4 * s.V * d, false);
    attention(&t, &s);
    router(&t, &s);
    ffn(&t, &s, "ffn_fwd routed", "ffn_bwd routed", s.L_m, s.L_m - 1, s.E, T * s.K,
        (double)a->d_m, true);
    ffn(&t, &s, "ffn_fwd shared", "ffn_bwd shared", a->n_shared > 0 ? s.L_m : 0, s.L_m - 1, 1,
        T, (double)(a->n_shared * a->d_m), false);
    ffn(&t, &s, "ffn_fwd dense", "ffn_bwd dense", s.L_d, s.L_d, 1, T, (double)a->d_d, false);
    unembed(&t, &s);
    add(&t, "rmsnorm_bwd", 2 * s.L + 1, 0, 0, 16 * T * d, false);
    add(&t, "embed_bwd", 1, 0, 0, 12 * T * d, false);
    add(&t, once[0], 1, 0, 0, 4 * t.params, false);
    add(&t, once[1], 1, 0, 0, (28 + (bf16 ? 2 : 0)) * t.params, false);
    for (int i = 0; i < t.n; i++) {
        t.flops_step += t.op[i].calls * t.op[i].flops;
        t.seconds_step += t.op[i].calls * gpu_floor(&t.op[i]);
        t.flops_ahead += t.op[i].ahead * t.op[i].flops;
        t.seconds_ahead += t.op[i].ahead * gpu_floor(&t.op[i]);
        if (t.op[i].op == once[0] || t.op[i].op == once[1])
            t.seconds_once += gpu_floor(&t.op[i]);
    }
    // All but the embedding's are read before they are written; that one is not cleared.
    t.seconds_add = 4 * (t.params - 2 * s.V * d) / H100_MEMORY;
    return t;
}

double gpu_batch_floor(const struct gpu_costs *t, double micro)
{
    return micro * (t->seconds_step - t->seconds_once + t->seconds_ahead) + t->seconds_once +
           (micro - 1) * t->seconds_add;
}
