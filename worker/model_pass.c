// SPDX-License-Identifier: Apache-2.0
// Forward and backward of one part of the batch through the whole model: the order of
// operations, nothing else.
//
// A device takes all rows in one chunk (row is 0), so that nothing here counts in its acts.
#include "worker/model_impl.h"

static struct router_kind router_kind(const struct part *p)
{
    return (struct router_kind){p->m->arch.N_e, p->m->arch.K,
                                p->m->opt.router == ROUTER_SIGMOID_BIAS, p->m->opt.norm_topk};
}

// Rows from `row` on, whole sequences: what they pass through on the way stays in the
// second-level cache.
static struct attention_sizes chunk(const struct part *p, int64_t row)
{
    const struct arch *a = &p->m->arch;
    int64_t left = p->n - row, rows = left < p->chunk ? left : p->chunk;
    return (struct attention_sizes){rows / a->S, a->S,     a->N_q,
                                    a->N_kv,     a->d_qkv, (a->N_q + 2 * a->N_kv) * a->d_qkv};
}

static struct head_sizes heads(struct attention_sizes n)
{
    return (struct head_sizes){n.B * n.T, n.Hq, n.Hkv, n.D, n.ld};
}

// The rows that hold one chunk's queries and keys as attention takes them: qkv's, turned in
// place, or with QK-norm p->qk's, so that qkv keeps what the norm's backward needs.
static act *heads_fwd(struct part *p, const struct layer *l, act *qkv, struct attention_sizes n)
{
    const struct ops *ops = p->m->ops;
    act *qk = p->m->opt.qk_norm ? p->qk : qkv;
    if (p->m->opt.qk_norm)
        ops->rmsnorm_heads_fwd(qk, p->r_qk, qkv, l->p.norm_q, l->p.norm_k, heads(n));
    ops->rope_fwd(qk, p->rope, n.B, n.T, n.Hq + n.Hkv, n.D,
                  n.ld); // keys lie beside the queries
    return qk;
}

// p->d_qkv: in the gradient in what heads_fwd made of the chunk, out in qkv.
static void heads_bwd(struct part *p, struct layer *l, const act *qkv, struct attention_sizes n)
{
    const struct ops *ops = p->m->ops;
    ops->rope_bwd(p->d_qkv, p->rope, n.B, n.T, n.Hq + n.Hkv, n.D, n.ld);
    if (p->m->opt.qk_norm)
        ops->rmsnorm_heads_bwd(p->d_qkv, l->g.norm_q, l->g.norm_k, qkv, l->p.norm_q,
                               l->p.norm_k, p->r_qk, heads(n), p->scratch);
}

// x2 = x + attention(norm(x))
static void attention_block_fwd(struct part *p, struct layer *l)
{
    const struct ops *ops = p->m->ops;
    const int64_t d = p->m->arch.d;
    const struct layer_acts *x = &l->a;
    for (int64_t row = 0; row < p->n; row += p->chunk) {
        struct attention_sizes n = chunk(p, row);
        int64_t T = n.B * n.T, Q = n.Hq * n.D;
        act *qkv = x->qkv + row * n.ld, *o = x->o + row * Q;
        real *x2 = x->x2 + row * d;
        ops->rmsnorm_fwd(p->norm1, x->r1 + row, x->x + row * d, l->p.norm_attn, T, d);
        ops->linear_fwd(qkv, p->norm1, l->p.qkv, T, d, n.ld, p->m->gemm);
        const act *qk = heads_fwd(p, l, qkv, n);
        ops->attention_fwd(o, x->lse + row * n.Hq, qk, qkv, n, p->m->gemm, p->scratch);
        ops->copy(x2, x->x + row * d, T * d);
        ops->linear_fwd_add(x2, o, l->p.o, T, Q, d, p->m->gemm);
    }
}

// A gradient that operations only add to, before the first of them.
static void clear_grad(struct part *p, real *g, int64_t n)
{
    if (!p->add)
        p->m->ops->clear(g, n);
}

// p->dx: in dL/dx2, out dL/dx. The norms' outputs are formed again.
static void attention_block_bwd(struct part *p, struct layer *l)
{
    const struct ops *ops = p->m->ops;
    const int64_t d = p->m->arch.d;
    const struct layer_acts *x = &l->a;
    clear_grad(p, l->g.norm_attn, d);
    if (p->m->opt.qk_norm) {
        clear_grad(p, l->g.norm_q, p->m->arch.d_qkv);
        clear_grad(p, l->g.norm_k, p->m->arch.d_qkv);
    }
    for (int64_t row = 0; row < p->n; row += p->chunk) {
        struct attention_sizes n = chunk(p, row);
        int64_t T = n.B * n.T, Q = n.Hq * n.D;
        int add = p->add || row > 0 ? LINEAR_ADD_DW : 0;
        act *qkv = x->qkv + row * n.ld;
        real *dx = p->dx + row * d;
        const act *o = x->o + row * Q, *qk = p->m->opt.qk_norm ? heads_fwd(p, l, qkv, n) : qkv;
        ops->linear_bwd(p->d_o, l->g.o, dx, o, l->p.o, T, Q, d, add, p->m->gemm);
        ops->attention_bwd(p->d_qkv, p->d_o, qk, qkv, o, x->lse + row * n.Hq, n, p->m->gemm,
                           p->scratch);
        heads_bwd(p, l, qkv, n);
        ops->rmsnorm_fwd(p->norm1, x->r1 + row, x->x + row * d, l->p.norm_attn, T, d);
        ops->linear_bwd(p->d_norm1, l->g.qkv, p->d_qkv, p->norm1, l->p.qkv, T, d, n.ld, add,
                        p->m->gemm);
        ops->rmsnorm_bwd(dx, l->g.norm_attn, p->d_norm1, x->x + row * d, l->p.norm_attn,
                         x->r1 + row, T, d);
    }
}

// norm2's rows to experts. i: the layer's number among MoE layers.
static void route(struct part *p, struct layer *l, int64_t i)
{
    const struct ops *ops = p->m->ops;
    const struct arch *a = &p->m->arch;
    struct layer_acts *x = &l->a;
    int64_t T = p->n;
    const real *bias = p->m->bias != NULL ? p->m->bias + i * a->N_e : NULL;
    // The router's products stay unrounded: a choice of experts jumps where a number does not.
    ops->linear_fwd(p->logits, x->norm2, l->p.router, T, a->d, a->N_e, GEMM_FULL);
    ops->router_fwd(x->p, x->choice, x->w, x->total, p->logits, bias, T, router_kind(p));
    ops->dispatch_plan(x->offset, x->token, x->slot, x->choice, T, a->N_e, a->K);
}

// out += routed experts + shared experts of norm2. i: the layer's number among MoE layers.
static void moe_fwd(struct part *p, struct layer *l, int64_t i, real *out)
{
    const struct ops *ops = p->m->ops;
    const struct arch *a = &p->m->arch;
    struct layer_acts *x = &l->a;
    int64_t T = p->n, all[2] = {0, T};
    route(p, l, i);
    ops->dispatch_weights(x->w_slot, x->w, x->slot, T * a->K);
    ops->ffn_fwd(out, x->gate_up, x->norm2, x->w_slot, l->p.ffn.gate_up, l->p.ffn.down,
                 (struct ffn_sizes){a->N_e, a->d, a->d_m, x->offset, x->token, x->slot, a->K},
                 p->m->gemm, p->scratch);
    if (a->n_shared > 0)
        ops->ffn_fwd(out, x->sh_gate_up, x->norm2, NULL, l->p.shared.gate_up, l->p.shared.down,
                     (struct ffn_sizes){1, a->d, a->n_shared * a->d_m, all, NULL, NULL, 0},
                     p->m->gemm, p->scratch);
}

// Gradient of aux N_e sum_e f_e mean_t p_te in every p_te, f and the mean those of the whole
// batch: f is a count, it has no derivative. i: the layer's number among MoE layers.
static void balance_bwd(struct part *p, int64_t i, double aux)
{
    const struct arch *a = &p->m->arch;
    double n = (double)p->m->n;
    for (int64_t e = 0; e < a->N_e; e++) {
        double f = (double)p->m->loads[i * a->N_e + e] / (n * (double)a->K);
        p->dp[e] = (real)(aux * (double)a->N_e * f / n);
    }
}

// p->dx is dL/dout; adds dL/dnorm2 to p->dy.
static void moe_bwd(struct part *p, struct layer *l, int64_t i, double aux)
{
    const struct ops *ops = p->m->ops;
    const struct arch *a = &p->m->arch;
    struct layer_acts *x = &l->a;
    int64_t T = p->n, all[2] = {0, T};
    ops->ffn_bwd(p->dy, l->g.ffn.gate_up, l->g.ffn.down, p->dw_slot, p->dx, x->norm2,
                 x->gate_up, x->w_slot, l->p.ffn.gate_up, l->p.ffn.down,
                 (struct ffn_sizes){a->N_e, a->d, a->d_m, x->offset, x->token, x->slot, a->K},
                 p->add, p->m->gemm, p->scratch);
    ops->dispatch_weights_bwd(p->dw, p->dw_slot, x->slot, T * a->K);
    balance_bwd(p, i, aux);
    ops->router_bwd(p->logits, p->dw, p->dp, x->p, x->choice, x->w, x->total, T,
                    router_kind(p));
    ops->linear_bwd(p->dy, l->g.router, p->logits, x->norm2, l->p.router, T, a->d, a->N_e,
                    LINEAR_ADD_DX | (p->add ? LINEAR_ADD_DW : 0), GEMM_FULL);
    if (a->n_shared > 0)
        ops->ffn_bwd(p->dy, l->g.shared.gate_up, l->g.shared.down, NULL, p->dx, x->norm2,
                     x->sh_gate_up, NULL, l->p.shared.gate_up, l->p.shared.down,
                     (struct ffn_sizes){1, a->d, a->n_shared * a->d_m, all, NULL, NULL, 0},
                     p->add, p->m->gemm, p->scratch);
}

// out = x2 + ffn(norm(x2))
static void ffn_block_fwd(struct part *p, int64_t i, real *out)
{
    const struct ops *ops = p->m->ops;
    const struct arch *a = &p->m->arch;
    struct layer *l = &p->layers[i];
    struct layer_acts *x = &l->a;
    int64_t T = p->n, all[2] = {0, T};
    ops->rmsnorm_fwd(x->norm2, x->r2, x->x2, l->p.norm_ffn, T, a->d);
    ops->copy(out, x->x2, T * a->d);
    if (l->moe) {
        moe_fwd(p, l, i - a->L_d, out);
        return;
    }
    ops->ffn_fwd(out, x->gate_up, x->norm2, NULL, l->p.ffn.gate_up, l->p.ffn.down,
                 (struct ffn_sizes){1, a->d, a->d_d, all, NULL, NULL, 0}, p->m->gemm,
                 p->scratch);
}

// p->dx: in dL/dout, out dL/dx2.
static void ffn_block_bwd(struct part *p, int64_t i, double aux)
{
    const struct ops *ops = p->m->ops;
    const struct arch *a = &p->m->arch;
    struct layer *l = &p->layers[i];
    struct layer_acts *x = &l->a;
    int64_t T = p->n, all[2] = {0, T};
    ops->clear(p->dy, T * a->d);
    if (l->moe)
        moe_bwd(p, l, i - a->L_d, aux);
    else
        ops->ffn_bwd(p->dy, l->g.ffn.gate_up, l->g.ffn.down, NULL, p->dx, x->norm2, x->gate_up,
                     NULL, l->p.ffn.gate_up, l->p.ffn.down,
                     (struct ffn_sizes){1, a->d, a->d_d, all, NULL, NULL, 0}, p->add,
                     p->m->gemm, p->scratch);
    clear_grad(p, l->g.norm_ffn, a->d);
    ops->rmsnorm_bwd(p->dx, l->g.norm_ffn, p->dy, x->x2, l->p.norm_ffn, x->r2, T, a->d);
}

void part_forward(struct part *p, bool train)
{
    const struct ops *ops = p->m->ops;
    const struct arch *a = &p->m->arch;
    int64_t n = p->n;
    ops->embed_fwd(p->layers[0].a.x, p->embed, p->tokens, n, a->d);
    for (int64_t i = 0; i < p->m->L; i++) {
        attention_block_fwd(p, &p->layers[i]);
        ffn_block_fwd(p, i, i + 1 < p->m->L ? p->layers[i + 1].a.x : p->x_out);
    }
    ops->rmsnorm_fwd(p->norm_out_y, p->r_out, p->x_out, p->norm_out, n, a->d);
    ops->unembed_xent(p->loss, train ? p->d_norm_out : NULL, train ? p->g_unembed : NULL,
                      p->norm_out_y, p->unembed, p->targets, n, p->m->n, a->d, a->V, p->add,
                      p->m->gemm, p->scratch);
}

void part_route(struct part *p)
{
    const struct ops *ops = p->m->ops;
    const struct arch *a = &p->m->arch;
    struct layer *last = &p->layers[p->m->L - 1];
    ops->embed_fwd(p->layers[0].a.x, p->embed, p->tokens, p->n, a->d);
    for (int64_t i = 0; i + 1 < p->m->L; i++) {
        attention_block_fwd(p, &p->layers[i]);
        ffn_block_fwd(p, i, p->layers[i + 1].a.x);
    }
    attention_block_fwd(p, last);
    ops->rmsnorm_fwd(last->a.norm2, last->a.r2, last->a.x2, last->p.norm_ffn, p->n, a->d);
    route(p, last, a->L_m - 1);
}

void part_backward(struct part *p, double aux)
{
    const struct ops *ops = p->m->ops;
    const struct arch *a = &p->m->arch;
    int64_t n = p->n;
    ops->clear(p->dx, n * a->d);
    clear_grad(p, p->g_norm_out, a->d);
    ops->rmsnorm_bwd(p->dx, p->g_norm_out, p->d_norm_out, p->x_out, p->norm_out, p->r_out, n,
                     a->d);
    for (int64_t i = p->m->L - 1; i >= 0; i--) {
        ffn_block_bwd(p, i, aux);
        attention_block_bwd(p, &p->layers[i]);
    }
    if (!p->m->opt.tied) // a tied one holds the unembedding's gradient already
        clear_grad(p, p->g_embed, a->V * a->d);
    ops->embed_bwd(p->g_embed, p->dx, p->tokens, n, a->d);
}
