// SPDX-License-Identifier: Apache-2.0
#include "core/tensor.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The table under construction.
struct build {
    const struct arch *a;
    const struct job_model *opt;
    struct tensor *t;
    int n;
    int64_t total;
    double residual; // what outputs into the residual stream are divided by
};

// Appends one tensor. Shapes end with the dimension that is summed over, so that is the fan-in.
static struct tensor *add(struct build *b, enum tensor_role role, int layer, const char *name,
                          int64_t s0, int64_t s1, int64_t s2)
{
    struct tensor *t = &b->t[b->n++];
    *t = (struct tensor){.role = role, .layer = layer, .shape = {s0, s1, s2}, .active = 1};
    t->ndim = s2 > 0 ? 3 : s1 > 0 ? 2 : 1;
    t->count = s0 * (s1 > 0 ? s1 : 1) * (s2 > 0 ? s2 : 1);
    t->offset = b->total;
    b->total += t->count;
    if (layer < 0)
        snprintf(t->name, sizeof t->name, "%s", name);
    else
        snprintf(t->name, sizeof t->name, "layers.%d.%s", layer, name);
    if (t->ndim > 1) {
        t->init_sd = b->opt->init_scale / sqrt((double)t->shape[t->ndim - 1]);
        t->decay = true;
        t->paper = true;
    }
    return t;
}

// A matrix whose product is added to the residual stream.
static struct tensor *add_out(struct build *b, enum tensor_role role, int layer,
                              const char *name, int64_t s0, int64_t s1, int64_t s2)
{
    struct tensor *t = add(b, role, layer, name, s0, s1, s2);
    t->init_sd /= b->residual;
    return t;
}

static void add_attention(struct build *b, int l)
{
    int64_t d = b->a->d, q = b->a->N_q * b->a->d_qkv, kv = b->a->N_kv * b->a->d_qkv;
    add(b, T_NORM_ATTN, l, "attn.norm", d, 0, 0);
    add(b, T_Q, l, "attn.q", q, d, 0);
    add(b, T_K, l, "attn.k", kv, d, 0);
    add(b, T_V, l, "attn.v", kv, d, 0);
    if (b->opt->qk_norm) {
        add(b, T_NORM_Q, l, "attn.q_norm", b->a->d_qkv, 0, 0);
        add(b, T_NORM_K, l, "attn.k_norm", b->a->d_qkv, 0, 0);
    }
    add_out(b, T_O, l, "attn.o", d, q, 0);
}

static void add_moe(struct build *b, int l)
{
    const struct arch *a = b->a;
    double active = (double)a->K / (double)a->N_e;
    add(b, T_ROUTER, l, "router", a->N_e, a->d, 0)->paper = false;
    add(b, T_EXP_GATE_UP, l, "experts.gate_up", a->N_e, 2 * a->d_m, a->d)->active = active;
    add_out(b, T_EXP_DOWN, l, "experts.down", a->N_e, a->d, a->d_m)->active = active;
    if (a->n_shared > 0) {
        add(b, T_SH_GATE_UP, l, "shared.gate_up", 2 * a->n_shared * a->d_m, a->d, 0);
        add_out(b, T_SH_DOWN, l, "shared.down", a->d, a->n_shared * a->d_m, 0);
    }
}

static void add_embedding(struct build *b, enum tensor_role role, const char *name,
                          double active)
{
    if (b->a->V <= 0)
        return;
    struct tensor *t = add(b, role, -1, name, b->a->V, b->a->d, 0);
    t->decay = role == T_UNEMBED;
    t->paper = false;
    t->active = active;
}

int64_t tensor_table(const struct arch *a, const struct job_model *opt, struct tensor **out,
                     int *n)
{
    // At most 13 tensors a layer and three outside.
    int64_t L = a->L_d + a->L_m;
    *n = 0;
    *out = calloc((size_t)(13 * L + 3), sizeof **out);
    if (*out == NULL)
        return -1;
    struct build b = {.a = a, .opt = opt, .t = *out, .residual = sqrt(2.0 * (double)L)};
    add_embedding(&b, T_EMBED, "embed", opt->tied ? 1 : 1 / (double)a->V);
    for (int l = 0; l < L; l++) {
        add_attention(&b, l);
        add(&b, T_NORM_FFN, l, "ffn.norm", a->d, 0, 0);
        if (l < a->L_d) {
            add(&b, T_GATE_UP, l, "ffn.gate_up", 2 * a->d_d, a->d, 0);
            add_out(&b, T_DOWN, l, "ffn.down", a->d, a->d_d, 0);
        } else {
            add_moe(&b, l);
        }
    }
    add(&b, T_NORM_OUT, -1, "norm", a->d, 0, 0);
    if (!opt->tied)
        add_embedding(&b, T_UNEMBED, "unembed", 1);
    *n = b.n;
    return b.total;
}

int64_t tensor_hidden(const struct tensor *t, int64_t *rows, int64_t *cols)
{
    int64_t halves = 1;
    switch (t->role) {
    case T_EMBED:
    case T_NORM_ATTN:
    case T_NORM_Q:
    case T_NORM_K:
    case T_NORM_FFN:
    case T_ROUTER:
    case T_NORM_OUT:
    case T_UNEMBED:
        return 0;
    case T_GATE_UP:
    case T_EXP_GATE_UP:
    case T_SH_GATE_UP:
        halves = 2;
        break;
    case T_Q:
    case T_K:
    case T_V:
    case T_O:
    case T_DOWN:
    case T_EXP_DOWN:
    case T_SH_DOWN:
        break;
    }
    *cols = t->shape[t->ndim - 1];
    *rows = t->shape[t->ndim - 2] / halves;
    return t->count / (*rows * *cols);
}
