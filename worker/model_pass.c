// SPDX-License-Identifier: Apache-2.0
// Forward and backward through the whole model: the order of operations, nothing else.
#include "kernels/attention.h"
#include "kernels/dispatch.h"
#include "kernels/embed.h"
#include "kernels/ffn.h"
#include "kernels/linear.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/router.h"
#include "kernels/unembed.h"
#include "worker/model_impl.h"
#include <string.h>

static void copy(real *to, const real *from, int64_t n)
{
    memcpy(to, from, (size_t)n * sizeof *to);
}

static void clear(real *x, int64_t n)
{
    memset(x, 0, (size_t)n * sizeof *x);
}

static struct router_kind router_kind(const struct model *m)
{
    return (struct router_kind){m->arch.N_e, m->arch.K, m->opt.router == ROUTER_SIGMOID_BIAS,
                                m->opt.norm_topk};
}

// Rows from `row` on, whole sequences: what they pass through on the way stays in the
// second-level cache.
static struct attention_sizes chunk(const struct model *m, int64_t row)
{
    const struct arch *a = &m->arch;
    int64_t left = m->n - row, rows = left < m->chunk ? left : m->chunk;
    return (struct attention_sizes){rows / a->S, a->S,     a->N_q,
                                    a->N_kv,     a->d_qkv, (a->N_q + 2 * a->N_kv) * a->d_qkv};
}

// One chunk's queries and keys as attention takes them, in rows as qkv's: the projections
// themselves, turned in place, or with QK-norm their normed heads in m->qk, so that qkv keeps
// what the norm's backward needs. A token's heads lie side by side: to the norm they are rows.
static real *heads_fwd(struct model *m, const struct layer *l, real *qkv,
                       struct attention_sizes n)
{
    int64_t Q = n.Hq * n.D, H = n.Hq + n.Hkv;
    real *qk = m->opt.qk_norm ? m->qk : qkv;
    for (int64_t t = 0; t < n.B * n.T && m->opt.qk_norm; t++) {
        const real *from = qkv + t * n.ld;
        real *to = qk + t * n.ld, *r = m->r_qk + t * H;
        rmsnorm_fwd(to, r, from, l->p.norm_q, n.Hq, n.D);
        rmsnorm_fwd(to + Q, r + n.Hq, from + Q, l->p.norm_k, n.Hkv, n.D);
    }
    rope_fwd(qk, m->rope, n.B, n.T, H, n.D, n.ld); // keys lie beside the queries
    return qk;
}

// m->d_qkv: in the gradient in what heads_fwd made of the chunk, out in qkv. m->qk is used up.
static void heads_bwd(struct model *m, struct layer *l, const real *qkv,
                      struct attention_sizes n)
{
    int64_t Q = n.Hq * n.D, H = n.Hq + n.Hkv;
    rope_bwd(m->d_qkv, m->rope, n.B, n.T, H, n.D, n.ld);
    for (int64_t t = 0; t < n.B * n.T && m->opt.qk_norm; t++) {
        const real *x = qkv + t * n.ld, *r = m->r_qk + t * H;
        real *dx = m->d_qkv + t * n.ld, *dy = m->qk + t * n.ld;
        copy(dy, dx, H * n.D);
        clear(dx, H * n.D); // the norm adds to it
        rmsnorm_bwd(dx, l->g.norm_q, dy, x, l->p.norm_q, r, n.Hq, n.D);
        rmsnorm_bwd(dx + Q, l->g.norm_k, dy + Q, x + Q, l->p.norm_k, r + n.Hq, n.Hkv, n.D);
    }
}

// x2 = x + attention(norm(x))
static void attention_block_fwd(struct model *m, struct layer *l)
{
    const int64_t d = m->arch.d;
    const struct layer_acts *x = &l->a;
    for (int64_t row = 0; row < m->n; row += m->chunk) {
        struct attention_sizes n = chunk(m, row);
        int64_t T = n.B * n.T, Q = n.Hq * n.D, KV = n.Hkv * n.D;
        real *qkv = x->qkv + row * n.ld, *o = x->o + row * Q, *x2 = x->x2 + row * d;
        rmsnorm_fwd(m->norm1, x->r1 + row, x->x + row * d, l->p.norm_attn, T, d);
        linear_fwd(qkv, m->norm1, l->p.qkv, T, d, n.ld, m->gemm);
        const real *qk = heads_fwd(m, l, qkv, n);
        attention_fwd(o, x->lse + row * n.Hq, qk, qk + Q, qkv + Q + KV, n, m->gemm, m->scratch);
        copy(x2, x->x + row * d, T * d);
        linear_fwd_add(x2, o, l->p.o, T, Q, d, m->gemm);
    }
}

// m->dx: in dL/dx2, out dL/dx. The norms' outputs are formed again.
static void attention_block_bwd(struct model *m, struct layer *l)
{
    const int64_t d = m->arch.d;
    const struct layer_acts *x = &l->a;
    clear(l->g.norm_attn, d);
    if (m->opt.qk_norm) {
        clear(l->g.norm_q, m->arch.d_qkv);
        clear(l->g.norm_k, m->arch.d_qkv);
    }
    for (int64_t row = 0; row < m->n; row += m->chunk) {
        struct attention_sizes n = chunk(m, row);
        int64_t T = n.B * n.T, Q = n.Hq * n.D, KV = n.Hkv * n.D;
        int add = row > 0 ? LINEAR_ADD_DW : 0;
        real *qkv = x->qkv + row * n.ld, *dx = m->dx + row * d;
        const real *o = x->o + row * Q, *qk = m->opt.qk_norm ? heads_fwd(m, l, qkv, n) : qkv;
        linear_bwd(m->d_o, l->g.o, dx, o, l->p.o, T, Q, d, add, m->gemm);
        attention_bwd(m->d_qkv, m->d_qkv + Q, m->d_qkv + Q + KV, m->d_o, qk, qk + Q,
                      qkv + Q + KV, o, x->lse + row * n.Hq, n, m->gemm, m->scratch);
        heads_bwd(m, l, qkv, n);
        rmsnorm_fwd(m->norm1, x->r1 + row, x->x + row * d, l->p.norm_attn, T, d);
        linear_bwd(m->d_norm1, l->g.qkv, m->d_qkv, m->norm1, l->p.qkv, T, d, n.ld, add,
                   m->gemm);
        rmsnorm_bwd(dx, l->g.norm_attn, m->d_norm1, x->x + row * d, l->p.norm_attn, x->r1 + row,
                    T, d);
    }
}

// out += routed experts + shared experts of norm2. i: the layer's number among MoE layers.
static void moe_fwd(struct model *m, struct layer *l, int64_t i, real *out)
{
    const struct arch *a = &m->arch;
    struct layer_acts *x = &l->a;
    int64_t T = m->n, all[2] = {0, T};
    const real *bias = m->bias != NULL ? m->bias + i * a->N_e : NULL;
    // The router's products stay unrounded: a choice of experts jumps where a number does not.
    linear_fwd(m->logits, x->norm2, l->p.router, T, a->d, a->N_e, GEMM_FULL);
    router_fwd(x->p, x->choice, x->w, x->total, m->logits, bias, T, router_kind(m));
    dispatch_plan(x->offset, x->token, x->slot, x->choice, T, a->N_e, a->K);
    dispatch_weights(x->w_slot, x->w, x->slot, T * a->K);
    ffn_fwd(out, x->gate_up, x->norm2, x->w_slot, l->p.ffn.gate_up, l->p.ffn.down,
            (struct ffn_sizes){a->N_e, a->d, a->d_m, x->offset, x->token}, m->gemm, m->scratch);
    if (a->n_shared > 0)
        ffn_fwd(out, x->sh_gate_up, x->norm2, NULL, l->p.shared.gate_up, l->p.shared.down,
                (struct ffn_sizes){1, a->d, a->n_shared * a->d_m, all, NULL}, m->gemm,
                m->scratch);
}

// Gradient of aux N_e sum_e f_e mean_t p_te in every p_te: f is a count, it has no derivative.
static void balance_bwd(struct model *m, const struct layer *l, double aux)
{
    const struct arch *a = &m->arch;
    double n = (double)m->n;
    for (int64_t e = 0; e < a->N_e; e++) {
        double f = (double)(l->a.offset[e + 1] - l->a.offset[e]) / (n * (double)a->K);
        m->dp[e] = (real)(aux * (double)a->N_e * f / n);
    }
}

// m->dx is dL/dout; adds dL/dnorm2 to m->dy.
static void moe_bwd(struct model *m, struct layer *l, double aux)
{
    const struct arch *a = &m->arch;
    struct layer_acts *x = &l->a;
    int64_t T = m->n, all[2] = {0, T};
    ffn_bwd(m->dy, l->g.ffn.gate_up, l->g.ffn.down, m->dw_slot, m->dx, x->norm2, x->gate_up,
            x->w_slot, l->p.ffn.gate_up, l->p.ffn.down,
            (struct ffn_sizes){a->N_e, a->d, a->d_m, x->offset, x->token}, m->gemm, m->scratch);
    dispatch_weights_bwd(m->dw, m->dw_slot, x->slot, T * a->K);
    balance_bwd(m, l, aux);
    router_bwd(m->logits, m->dw, m->dp, x->p, x->choice, x->w, x->total, T, router_kind(m));
    linear_bwd(m->dy, l->g.router, m->logits, x->norm2, l->p.router, T, a->d, a->N_e,
               LINEAR_ADD_DX, GEMM_FULL);
    if (a->n_shared > 0)
        ffn_bwd(m->dy, l->g.shared.gate_up, l->g.shared.down, NULL, m->dx, x->norm2,
                x->sh_gate_up, NULL, l->p.shared.gate_up, l->p.shared.down,
                (struct ffn_sizes){1, a->d, a->n_shared * a->d_m, all, NULL}, m->gemm,
                m->scratch);
}

// out = x2 + ffn(norm(x2))
static void ffn_block_fwd(struct model *m, int64_t i, real *out)
{
    const struct arch *a = &m->arch;
    struct layer *l = &m->layers[i];
    struct layer_acts *x = &l->a;
    int64_t T = m->n, all[2] = {0, T};
    rmsnorm_fwd(x->norm2, x->r2, x->x2, l->p.norm_ffn, T, a->d);
    copy(out, x->x2, T * a->d);
    if (l->moe) {
        moe_fwd(m, l, i - a->L_d, out);
        return;
    }
    ffn_fwd(out, x->gate_up, x->norm2, NULL, l->p.ffn.gate_up, l->p.ffn.down,
            (struct ffn_sizes){1, a->d, a->d_d, all, NULL}, m->gemm, m->scratch);
}

// m->dx: in dL/dout, out dL/dx2.
static void ffn_block_bwd(struct model *m, struct layer *l, double aux)
{
    const struct arch *a = &m->arch;
    struct layer_acts *x = &l->a;
    int64_t T = m->n, all[2] = {0, T};
    clear(m->dy, T * a->d);
    if (l->moe)
        moe_bwd(m, l, aux);
    else
        ffn_bwd(m->dy, l->g.ffn.gate_up, l->g.ffn.down, NULL, m->dx, x->norm2, x->gate_up, NULL,
                l->p.ffn.gate_up, l->p.ffn.down, (struct ffn_sizes){1, a->d, a->d_d, all, NULL},
                m->gemm, m->scratch);
    clear(l->g.norm_ffn, a->d);
    rmsnorm_bwd(m->dx, l->g.norm_ffn, m->dy, x->x2, l->p.norm_ffn, x->r2, T, a->d);
}

double model_forward(struct model *m, const int32_t *tokens, const int32_t *targets, int64_t n,
                     bool train)
{
    const struct arch *a = &m->arch;
    ASSERT(n > 0 && n % a->S == 0 && n <= m->T);
    m->n = n;
    m->tokens = tokens;
    embed_fwd(m->layers[0].a.x, m->embed, tokens, n, a->d);
    for (int64_t i = 0; i < m->L; i++) {
        attention_block_fwd(m, &m->layers[i]);
        ffn_block_fwd(m, i, i + 1 < m->L ? m->layers[i + 1].a.x : m->x_out);
    }
    rmsnorm_fwd(m->norm_out_y, m->r_out, m->x_out, m->norm_out, n, a->d);
    return unembed_xent(train ? m->d_norm_out : NULL, train ? m->g_unembed : NULL,
                        m->norm_out_y, m->unembed, targets, n, a->d, a->V, m->gemm, m->scratch);
}

void model_backward(struct model *m, double aux)
{
    const struct arch *a = &m->arch;
    int64_t n = m->n;
    clear(m->dx, n * a->d);
    clear(m->g_norm_out, a->d);
    rmsnorm_bwd(m->dx, m->g_norm_out, m->d_norm_out, m->x_out, m->norm_out, m->r_out, n, a->d);
    for (int64_t i = m->L - 1; i >= 0; i--) {
        ffn_block_bwd(m, &m->layers[i], aux);
        attention_block_bwd(m, &m->layers[i]);
    }
    if (!m->opt.tied) // a tied one holds the unembedding's gradient already
        clear(m->g_embed, a->V * a->d);
    embed_bwd(m->g_embed, m->dx, m->tokens, n, a->d);
}

double model_aux_loss(const struct model *m)
{
    const struct arch *a = &m->arch;
    double loss = 0;
    for (int64_t i = a->L_d; i < m->L && m->n > 0; i++) {
        const struct layer_acts *x = &m->layers[i].a;
        router_mean(m->mean_p, x->p, m->n, a->N_e);
        for (int64_t e = 0; e < a->N_e; e++)
            loss += (double)(a->N_e * (x->offset[e + 1] - x->offset[e])) * (double)m->mean_p[e];
    }
    return m->n > 0 ? loss / (double)(m->n * a->K) : 0;
}
