// SPDX-License-Identifier: Apache-2.0
#include "worker/stock.h"
#include "core/tensor.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Always there, of width 0 without shared experts
static bool has_shared(enum stock_class c, const struct arch *a)
{
    return c == STOCK_QWEN2_MOE || c == STOCK_GLM4_MOE || a->n_shared > 0;
}

int64_t stock_map_size(enum stock_class c, const struct arch *a, const struct job_model *opt)
{
    int64_t attention = opt->qk_norm ? 8 : 6;      // norms included
    int64_t beside = c == STOCK_QWEN3_MOE ? 0 : 1; // a gate or biases beside the router
    int64_t moe = 1 + beside + 3 * a->N_e + (has_shared(c, a) ? 3 : 0);
    return (opt->tied ? 2 : 3) + a->L_d * (attention + 3) + a->L_m * (attention + moe);
}

// Appends a tensor of one or two dimensions (s1 = 0 in one that has a second: pass ndim).
static struct stock_tensor *add(struct stock_map *map, int ndim, int64_t s0, int64_t s1,
                                enum stock_source source, int64_t offset, const char *format,
                                ...) __attribute__((format(printf, 7, 8)));
static struct stock_tensor *add(struct stock_map *map, int ndim, int64_t s0, int64_t s1,
                                enum stock_source source, int64_t offset, const char *format,
                                ...)
{
    struct stock_tensor *t = &map->t[map->n++];
    *t = (struct stock_tensor){.ndim = ndim, .shape = {s0, s1}, .source = source};
    t->count = ndim > 1 ? s0 * s1 : s0;
    t->offset = offset;
    map->largest = t->count > map->largest ? t->count : map->largest;
    va_list ap;
    va_start(ap, format);
    vsnprintf(t->name, sizeof t->name, format, ap);
    va_end(ap);
    return t;
}

// Gate and up rows of one block of width F, which lie one after the other in ours.
static void add_gate_up(struct stock_map *map, enum stock_source source, int64_t offset,
                        int64_t F, int64_t d, const char *block)
{
    add(map, 2, F, d, source, offset, "%s.gate_proj.weight", block);
    add(map, 2, F, d, source, offset + F * d, "%s.up_proj.weight", block);
}

static void block_name(char buf[64], enum stock_class c, int layer, int64_t expert)
{
    const char *shared = c == STOCK_QWEN2_MOE ? "shared_expert" : "shared_experts";
    if (expert < 0)
        snprintf(buf, 64, "model.layers.%d.mlp.%s", layer, shared);
    else
        snprintf(buf, 64, "model.layers.%d.mlp.experts.%lld", layer, (long long)expert);
}

// The router, and what a class has beside it.
static void add_router(struct stock_map *map, enum stock_class c, const struct arch *a,
                       const struct tensor *t)
{
    int64_t d = a->d, bias = (t->layer - a->L_d) * a->N_e;
    char shared[64];
    block_name(shared, c, t->layer, -1);
    add(map, 2, a->N_e, d, STOCK_PARAM, t->offset, "model.layers.%d.mlp.gate.weight", t->layer);
    if (c == STOCK_GLM4_MOE)
        add(map, 1, a->N_e, 0, STOCK_BIAS, bias,
            "model.layers.%d.mlp.gate.e_score_correction_bias", t->layer);
    if (c == STOCK_ERNIE)
        add(map, 2, 1, a->N_e, STOCK_ZERO, 0,
            "model.layers.%d.mlp.moe_statics.e_score_correction_bias", t->layer);
    if (c == STOCK_QWEN2_MOE)
        add(map, 2, 1, d, STOCK_ZERO, 0, "model.layers.%d.mlp.shared_expert_gate.weight",
            t->layer);
    if (a->n_shared == 0 && has_shared(c, a)) {
        add_gate_up(map, STOCK_ZERO, 0, 0, d, shared);
        add(map, 2, d, 0, STOCK_ZERO, 0, "%s.down_proj.weight", shared);
    }
}

// One of our tensors as one or several of theirs.
static void add_tensor(struct stock_map *map, enum stock_class c, const struct arch *a,
                       const struct tensor *t)
{
    int64_t at = t->offset, d = a->d, F = a->d_m, rows = t->shape[0], cols = t->shape[1];
    enum stock_form rotary = c == STOCK_ERNIE ? STOCK_PAIRED : STOCK_AS_IS;
    char block[64];
    switch (t->role) {
    case T_EMBED:
        add(map, 2, rows, cols, STOCK_PARAM, at, "model.embed_tokens.weight");
        break;
    case T_NORM_ATTN:
        add(map, 1, d, 0, STOCK_PARAM, at, "model.layers.%d.input_layernorm.weight", t->layer);
        break;
    case T_Q:
    case T_K:
        add(map, 2, rows, cols, STOCK_PARAM, at, "model.layers.%d.self_attn.%c_proj.weight",
            t->layer, t->role == T_Q ? 'q' : 'k')
            ->form = rotary;
        break;
    case T_V:
    case T_O:
        add(map, 2, rows, cols, STOCK_PARAM, at, "model.layers.%d.self_attn.%c_proj.weight",
            t->layer, t->role == T_V ? 'v' : 'o');
        break;
    case T_NORM_Q:
    case T_NORM_K:
        add(map, 1, rows, 0, STOCK_PARAM, at, "model.layers.%d.self_attn.%c_norm.weight",
            t->layer, t->role == T_NORM_Q ? 'q' : 'k');
        break;
    case T_NORM_FFN:
        add(map, 1, d, 0, STOCK_PARAM, at, "model.layers.%d.post_attention_layernorm.weight",
            t->layer);
        break;
    case T_GATE_UP:
        snprintf(block, sizeof block, "model.layers.%d.mlp", t->layer);
        add_gate_up(map, STOCK_PARAM, at, a->d_d, d, block);
        break;
    case T_DOWN:
        add(map, 2, d, a->d_d, STOCK_PARAM, at, "model.layers.%d.mlp.down_proj.weight",
            t->layer);
        break;
    case T_ROUTER:
        add_router(map, c, a, t);
        break;
    case T_EXP_GATE_UP:
        for (int64_t e = 0; e < a->N_e; e++) {
            block_name(block, c, t->layer, e);
            add_gate_up(map, STOCK_PARAM, at + e * 2 * F * d, F, d, block);
        }
        break;
    case T_EXP_DOWN:
        for (int64_t e = 0; e < a->N_e; e++) {
            block_name(block, c, t->layer, e);
            add(map, 2, d, F, STOCK_PARAM, at + e * d * F, "%s.down_proj.weight", block);
        }
        break;
    case T_SH_GATE_UP:
        block_name(block, c, t->layer, -1);
        add_gate_up(map, STOCK_PARAM, at, a->n_shared * F, d, block);
        break;
    case T_SH_DOWN:
        block_name(block, c, t->layer, -1);
        add(map, 2, d, a->n_shared * F, STOCK_PARAM, at, "%s.down_proj.weight", block)->form =
            c == STOCK_QWEN2_MOE ? STOCK_DOUBLED : STOCK_AS_IS;
        break;
    case T_NORM_OUT:
        add(map, 1, d, 0, STOCK_PARAM, at, "model.norm.weight");
        break;
    case T_UNEMBED:
        add(map, 2, rows, cols, STOCK_PARAM, at, "lm_head.weight");
        break;
    }
}

enum err stock_map_make(enum stock_class c, const struct arch *a, const struct job_model *opt,
                        struct stock_map *map)
{
    struct tensor *table;
    int n;
    int64_t size = stock_map_size(c, a, opt);
    *map = (struct stock_map){.d_qkv = a->d_qkv};
    map->t = calloc((size_t)size, sizeof *map->t);
    ENSURE(map->t != NULL && tensor_table(a, opt, &table, &n) >= 0, ERR_FAILED,
           "out of memory for %lld tensors", (long long)size);
    for (int i = 0; i < n; i++)
        add_tensor(map, c, a, &table[i]);
    free(table);
    ASSERT(map->n == size);
    return OK;
}

// Our row for row r of theirs, both within heads of D rows.
static int64_t our_row(int64_t r, int64_t D)
{
    int64_t in_head = r % D;
    return r - in_head + in_head / 2 + in_head % 2 * (D / 2);
}

// Where element i of theirs lies in ours.
static int64_t our_index(const struct stock_map *map, const struct stock_tensor *t, int64_t i)
{
    if (t->form != STOCK_PAIRED)
        return t->offset + i;
    int64_t cols = t->shape[1];
    return t->offset + our_row(i / cols, map->d_qkv) * cols + i % cols;
}

enum err stock_get(const struct stock_map *map, const struct stock_tensor *t,
                   const float *params, const float *bias, float *to)
{
    const float *from = t->source == STOCK_BIAS ? bias : params;
    float scale = t->form == STOCK_DOUBLED ? 2 : 1;
    for (int64_t i = 0; i < t->count; i++) {
        to[i] = t->source == STOCK_ZERO ? 0 : from[our_index(map, t, i)] * scale;
        ENSURE(isfinite(to[i]), ERR_INPUT,
               "%s: expected finite weights, found %g: did it"
               " diverge?",
               t->name, (double)to[i]);
    }
    return OK;
}

enum err stock_put(const struct stock_map *map, const struct stock_tensor *t, const float *from,
                   float *params, float *bias)
{
    float *to = t->source == STOCK_BIAS ? bias : params;
    float scale = t->form == STOCK_DOUBLED ? 0.5F : 1;
    for (int64_t i = 0; i < t->count; i++) {
        ENSURE(isfinite(from[i]), ERR_INPUT, "%s: expected finite weights, found %g", t->name,
               (double)from[i]);
        ENSURE(t->source != STOCK_ZERO || fpclassify(from[i]) == FP_ZERO, ERR_INPUT,
               "%s: expected zeros (shared experts have no gate here, softmax routing no "
               "selection bias), found %g",
               t->name, (double)from[i]);
        if (t->source != STOCK_ZERO)
            to[our_index(map, t, i)] = from[i] * scale;
    }
    return OK;
}
