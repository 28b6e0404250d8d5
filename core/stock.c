// SPDX-License-Identifier: Apache-2.0
#include "core/stock.h"
#include "core/json.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM_MAX (INT64_C(1) << 24) // as core/arch.c: larger is refused there too

static const struct {
    const char *type, *name;
} classes[] = {
#define X(constant, type, name) [constant] = {type, name},
    STOCK_CLASSES(X)
#undef X
};

const char *stock_name(enum stock_class c)
{
    return classes[c].name;
}

// --- Which class ----------------------------------------------------------------------------

// What a class demands of sizes.
static enum err check_sizes(enum stock_class c, const struct arch *a)
{
    ENSURE(c != STOCK_QWEN2_MOE || a->N_q * a->d_qkv == a->d, ERR_INPUT,
           "Qwen2-MoE takes only d = N_q d_qkv, found d = %" PRId64 ", N_q d_qkv = %" PRId64,
           a->d, a->N_q * a->d_qkv);
    ENSURE(c != STOCK_GLM4_MOE || a->N_e >= 2, ERR_INPUT,
           "GLM-4-MoE takes at least 2 experts (its groups are rated by the best two), found "
           "N_e = %" PRId64,
           a->N_e);
    return OK;
}

enum err stock_choose(const struct arch *a, const struct job_model *opt, enum stock_class *out)
{
    bool square = a->N_q * a->d_qkv == a->d;
    bool softmax = a->L_m > 0 && opt->router == ROUTER_SOFTMAX;
    ENSURE(!softmax || !opt->qk_norm || a->n_shared == 0, ERR_INPUT,
           "no class of transformers has softmax routing, shared experts and norms of queries "
           "and keys per head (Qwen3-MoE has no shared experts); to export, train with "
           "arch.n_shared = 0, with model.router = sigmoid_bias or without model.qk_norm");
    ENSURE(!softmax || opt->qk_norm || square || opt->norm_topk, ERR_INPUT,
           "no class of transformers has softmax routing without renormalised weights and "
           "heads that do not fill d without model.qk_norm: Qwen2-MoE needs d = N_q d_qkv "
           "(found d = %" PRId64 ", N_q d_qkv = %" PRId64
           "), the others renormalise; to export, train with "
           "model.norm_topk = true or with d = N_q d_qkv",
           a->d, a->N_q * a->d_qkv);
    if (a->L_m == 0)
        *out = opt->qk_norm ? STOCK_QWEN3 : STOCK_LLAMA;
    else if (opt->router == ROUTER_SIGMOID_BIAS)
        *out = STOCK_GLM4_MOE;
    else if (opt->qk_norm)
        *out = STOCK_QWEN3_MOE;
    else
        *out = square ? STOCK_QWEN2_MOE : STOCK_ERNIE;
    return check_sizes(*out, a);
}

// --- The keys of config.json ----------------------------------------------------------------

enum key_kind {
    KEY_DIM,      // a dimension of ours
    KEY_HEAD_DIM, // d_qkv; d / N_q where it may be missing or null, and is
    KEY_LAYERS,   // L_d + L_m
    KEY_LAST,     // the last layer's number, or -1
    KEY_DENSE,    // the numbers of the dense layers: 0 .. L_d - 1
    KEY_SHARED,   // n_shared d_m
    KEY_NORM_TOPK,
    KEY_QK_NORM,
    KEY_TIED, // default: what the class takes where the key is missing
    KEY_BASE,
    KEY_ABSENT, // not ours
    KEY_FIXED,  // must be this value; where it is missing the class takes the default
    KEY_TEXT    // written only: 0 where 0 ends a text, else null
};

#define ALL 0xffU
#define LLAMA (1U << STOCK_LLAMA)
#define QWEN3_DENSE (1U << STOCK_QWEN3)
#define QWEN2 (1U << STOCK_QWEN2_MOE)
#define QWEN3 (1U << STOCK_QWEN3_MOE)
#define ERNIE (1U << STOCK_ERNIE)
#define GLM4 (1U << STOCK_GLM4_MOE)
#define MOE (ALL & ~LLAMA & ~QWEN3_DENSE)
#define NONE N_DIMS

static const struct key {
    unsigned classes;
    const char *name;
    enum key_kind kind;
    enum arch_dim dim;
    const char *value, *missing; // JSON; missing: NULL where the key is required
} keys[] = {
    {ALL, "vocab_size", KEY_DIM, DIM_V, NULL, NULL},
    {ALL, "hidden_size", KEY_DIM, DIM_d, NULL, NULL},
    {ALL, "max_position_embeddings", KEY_DIM, DIM_S, NULL, NULL},
    {ALL, "num_attention_heads", KEY_DIM, DIM_N_q, NULL, NULL},
    {ALL, "num_key_value_heads", KEY_DIM, DIM_N_kv, NULL, NULL},
    {ALL & ~QWEN3_DENSE, "head_dim", KEY_HEAD_DIM, NONE, NULL, "null"},
    {QWEN3_DENSE, "head_dim", KEY_HEAD_DIM, NONE, NULL, NULL},
    {ALL, "intermediate_size", KEY_DIM, DIM_d_d, NULL, NULL},
    {QWEN2 | QWEN3, "mlp_only_layers", KEY_DENSE, NONE, NULL, NULL},
    {QWEN2 | QWEN3, "decoder_sparse_step", KEY_FIXED, NONE, "1", "1"},
    {GLM4, "first_k_dense_replace", KEY_DIM, DIM_L_d, NULL, NULL},
    {ERNIE, "moe_layer_start_index", KEY_DIM, DIM_L_d, NULL, NULL},
    {ERNIE, "moe_layer_end_index", KEY_LAST, NONE, NULL, NULL},
    {ERNIE, "moe_layer_interval", KEY_FIXED, NONE, "1", "1"},
    {ALL, "num_hidden_layers", KEY_LAYERS, NONE, NULL, NULL},
    {MOE, "moe_intermediate_size", KEY_DIM, DIM_d_m, NULL, NULL},
    {QWEN2 | QWEN3, "num_experts", KEY_DIM, DIM_N_e, NULL, NULL},
    {GLM4, "n_routed_experts", KEY_DIM, DIM_N_e, NULL, NULL},
    {ERNIE, "moe_num_experts", KEY_DIM, DIM_N_e, NULL, NULL},
    {QWEN2 | QWEN3 | GLM4, "num_experts_per_tok", KEY_DIM, DIM_K, NULL, NULL},
    {ERNIE, "moe_k", KEY_DIM, DIM_K, NULL, NULL},
    {QWEN2, "shared_expert_intermediate_size", KEY_SHARED, NONE, NULL, NULL},
    {GLM4, "n_shared_experts", KEY_DIM, DIM_n_shared, NULL, NULL},
    {ERNIE, "moe_num_shared_experts", KEY_DIM, DIM_n_shared, NULL, NULL},
    {QWEN2 | QWEN3 | GLM4, "norm_topk_prob", KEY_NORM_TOPK, NONE, NULL, NULL},
    {ERNIE, "moe_norm_min", KEY_FIXED, NONE, "1e-12", "1e-12"},
    {GLM4, "routed_scaling_factor", KEY_FIXED, NONE, "1.0", "1.0"},
    {GLM4, "n_group", KEY_FIXED, NONE, "1", "1"},
    {GLM4, "topk_group", KEY_FIXED, NONE, "1", "1"},
    {GLM4, "use_qk_norm", KEY_QK_NORM, NONE, NULL, NULL},
    {ALL & ~ERNIE, "tie_word_embeddings", KEY_TIED, NONE, NULL, "false"},
    {ERNIE, "tie_word_embeddings", KEY_TIED, NONE, NULL, "true"},
    {ALL, "rope_theta", KEY_BASE, NONE, NULL, NULL},
    {ALL, "rope_scaling", KEY_FIXED, NONE, "null", "null"},
    {GLM4, "partial_rotary_factor", KEY_FIXED, NONE, "1.0", "0.5"},
    {ALL, "rms_norm_eps", KEY_FIXED, NONE, "1e-6", "1e-5"}, // that of kernels/rmsnorm.c
    {ALL, "hidden_act", KEY_FIXED, NONE, "\"silu\"", "\"silu\""},
    {QWEN2, "qkv_bias", KEY_FIXED, NONE, "false", "true"},
    {ALL & ~QWEN2 & ~ERNIE, "attention_bias", KEY_FIXED, NONE, "false", "false"},
    {LLAMA, "mlp_bias", KEY_FIXED, NONE, "false", "false"},
    {ERNIE, "use_bias", KEY_FIXED, NONE, "false", "false"},
    {QWEN2 | QWEN3 | QWEN3_DENSE, "use_sliding_window", KEY_FIXED, NONE, "false", "false"},
    {ALL, "quantization_config", KEY_ABSENT, NONE, "null", "null"},
    {ALL, "eos_token_id", KEY_TEXT, NONE, NULL, NULL},
    {ALL, "bos_token_id", KEY_TEXT, NONE, NULL, NULL},
    {ALL, "pad_token_id", KEY_TEXT, NONE, NULL, NULL},
};
#define N_KEYS ((int)(sizeof keys / sizeof *keys))

static bool of_class(const struct key *k, enum stock_class c)
{
    return (k->classes >> c & 1) != 0;
}

// --- Writing --------------------------------------------------------------------------------

static json_t *dense_layers(int64_t L_d)
{
    json_t *list = json_array();
    for (int64_t l = 0; l < L_d; l++)
        json_array_append_new(list, json_integer(l));
    return list;
}

static json_t *value_of(const struct key *k, const struct arch *a, const struct job_model *opt,
                        bool eot)
{
    switch (k->kind) {
    case KEY_DIM:
        return json_integer(arch_dim_get(a, k->dim));
    case KEY_HEAD_DIM:
        return json_integer(a->d_qkv);
    case KEY_LAYERS:
        return json_integer(a->L_d + a->L_m);
    case KEY_LAST:
        return json_integer(a->L_d + a->L_m - 1);
    case KEY_DENSE:
        return dense_layers(a->L_d);
    case KEY_SHARED:
        return json_integer(a->n_shared * a->d_m);
    case KEY_NORM_TOPK:
        return json_boolean(opt->norm_topk);
    case KEY_QK_NORM:
        return json_boolean(opt->qk_norm);
    case KEY_TIED:
        return json_boolean(opt->tied);
    case KEY_BASE:
        return json_real(opt->rope_base);
    case KEY_TEXT:
        return eot && k->name[0] == 'e' ? json_integer(0) : json_null();
    case KEY_ABSENT:
        return NULL; // json_object_set_new then sets nothing
    case KEY_FIXED:
        break;
    }
    return json_loads(k->value, JSON_DECODE_ANY, NULL);
}

json_t *stock_config(enum stock_class c, const struct arch *a, const struct job_model *opt,
                     bool eot)
{
    json_t *o = json_pack("{s:[s], s:s, s:s}", "architectures", classes[c].name, "model_type",
                          classes[c].type, "torch_dtype", "float32");
    for (int i = 0; i < N_KEYS; i++)
        if (of_class(&keys[i], c))
            json_object_set_new(o, keys[i].name, value_of(&keys[i], a, opt, eot));
    return o;
}

// --- Reading --------------------------------------------------------------------------------

// What several keys say together, collected before it is judged.
struct reading {
    json_t *config;
    const char *ctx;
    struct arch *a;
    struct job_model *opt;
    int64_t layers, shared;
};

static bool same_value(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        return !(x < y) && !(x > y);
    }
    return json_equal(a, b) != 0;
}

static enum err check_fixed(const struct reading *r, const struct key *k, const json_t *found)
{
    json_t *wanted = json_loads(k->value, JSON_DECODE_ANY, NULL),
           *missing = json_loads(k->missing, JSON_DECODE_ANY, NULL);
    bool same = same_value(found != NULL ? found : missing, wanted);
    char *text = json_dumps(found != NULL ? found : missing, JSON_ENCODE_ANY | JSON_COMPACT);
    enum err e =
        same ? OK
             : err_set(ERR_INPUT, "%s: %s: expected %s, as in our models, found %.60s%s",
                       r->ctx, k->name, k->value, text != NULL ? text : "?",
                       found == NULL ? ", the default" : "");
    json_decref(wanted);
    json_decref(missing);
    free(text);
    return e;
}

static enum err read_head_dim(const struct reading *r, const struct key *k)
{
    struct arch *a = r->a;
    const json_t *v = json_object_get(r->config, k->name);
    if (k->missing == NULL || (v != NULL && !json_is_null(v)))
        return json_get_i64(r->config, r->ctx, k->name, true, 1, DIM_MAX, &a->d_qkv);
    ENSURE(a->d % a->N_q == 0, ERR_INPUT,
           "%s: head_dim: expected a number where num_attention_heads does not divide "
           "hidden_size, found none",
           r->ctx);
    a->d_qkv = a->d / a->N_q;
    return OK;
}

static enum err read_dense(const struct reading *r, const struct key *k)
{
    const json_t *list = json_object_get(r->config, k->name);
    size_t n = json_array_size(list), i = 0;
    ENSURE(list == NULL || json_is_null(list) || json_is_array(list), ERR_INPUT,
           "%s: %s: expected an array of layers", r->ctx, k->name);
    for (; i < n; i++) {
        const json_t *l = json_array_get(list, i);
        ENSURE(json_is_integer(l) && json_integer_value(l) == (json_int_t)i, ERR_INPUT,
               "%s: %s: expected the first layers (dense ones come first here), 0, 1, ..",
               r->ctx, k->name);
    }
    r->a->L_d = (int64_t)n;
    return OK;
}

static enum err read_tied(const struct reading *r, const struct key *k)
{
    r->opt->tied = strcmp(k->missing, "true") == 0;
    return json_get_bool(r->config, r->ctx, k->name, false, &r->opt->tied);
}

static enum err read_key(struct reading *r, const struct key *k)
{
    bool zero = k->dim == DIM_L_d || k->dim == DIM_n_shared;
    json_t *o = r->config;
    int64_t last = -1;
    switch (k->kind) {
    case KEY_DIM:
        return json_get_i64(o, r->ctx, k->name, true, zero ? 0 : 1, DIM_MAX,
                            arch_dim(r->a, k->dim));
    case KEY_HEAD_DIM:
        return read_head_dim(r, k);
    case KEY_LAYERS:
        return json_get_i64(o, r->ctx, k->name, true, 1, DIM_MAX, &r->layers);
    case KEY_LAST: // read before num_hidden_layers, which it must agree with
        TRY(json_get_i64(o, r->ctx, "num_hidden_layers", true, 1, DIM_MAX, &r->layers));
        TRY(json_get_i64(o, r->ctx, k->name, false, -1, DIM_MAX, &last));
        ENSURE(last < 0 || last == r->layers - 1, ERR_INPUT,
               "%s: %s: expected the last layer (dense ones come first here), found %" PRId64,
               r->ctx, k->name, last);
        return OK;
    case KEY_DENSE:
        return read_dense(r, k);
    case KEY_SHARED:
        return json_get_i64(o, r->ctx, k->name, true, 0, DIM_MAX, &r->shared);
    case KEY_NORM_TOPK:
        return json_get_bool(o, r->ctx, k->name, true, &r->opt->norm_topk);
    case KEY_QK_NORM:
        return json_get_bool(o, r->ctx, k->name, true, &r->opt->qk_norm);
    case KEY_TIED:
        return read_tied(r, k);
    case KEY_BASE:
        return json_get_num(o, r->ctx, k->name, true, 1, 1e12, &r->opt->rope_base);
    case KEY_ABSENT:
    case KEY_FIXED:
        return check_fixed(r, k, json_object_get(o, k->name));
    case KEY_TEXT:
        break;
    }
    return OK;
}

static enum err find_class(const json_t *config, const char *ctx, enum stock_class *c)
{
    const char *type = jstr(config, "model_type");
    char list[256] = "";
    for (int i = 0; i < N_STOCK_CLASSES; i++) {
        if (strcmp(type, classes[i].type) == 0) {
            *c = (enum stock_class)i;
            return OK;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", classes[i].type);
    }
    return err_set(ERR_INPUT, "%s: model_type: expected one of %s, found \"%.60s\"", ctx, list,
                   type);
}

// What follows from keys together; what a class without experts leaves open.
static enum err complete(struct reading *r, enum stock_class c)
{
    struct arch *a = r->a;
    if (c == STOCK_LLAMA || c == STOCK_QWEN3) {
        a->L_d = r->layers;
        a->d_m = a->N_e = a->K = 1;
        a->n_shared = 0;
    }
    ENSURE(a->L_d <= r->layers, ERR_INPUT, "%s: %" PRId64 " dense layers of %" PRId64, r->ctx,
           a->L_d, r->layers);
    a->L_m = r->layers - a->L_d;
    if (c == STOCK_QWEN3_MOE)
        a->n_shared = 0;
    if (c == STOCK_QWEN2_MOE) {
        ENSURE(r->shared % a->d_m == 0, ERR_INPUT,
               "%s: shared_expert_intermediate_size: expected a multiple of "
               "moe_intermediate_size = %" PRId64 " (shared experts are of that width here), "
               "found %" PRId64,
               r->ctx, a->d_m, r->shared);
        a->n_shared = r->shared / a->d_m;
    }
    return OK;
}

enum err stock_from_config(json_t *config, const char *ctx, enum stock_class *c, struct arch *a,
                           struct job_model *opt)
{
    struct reading r = {.config = config, .ctx = ctx, .a = a, .opt = opt};
    struct job defaults;
    TRY(find_class(config, ctx, c));
    job_init(&defaults);
    *a = arch_unset();
    *opt = defaults.model;
    opt->router = *c == STOCK_GLM4_MOE ? ROUTER_SIGMOID_BIAS : ROUTER_SOFTMAX;
    opt->norm_topk = true; // where no key says otherwise
    opt->qk_norm = *c == STOCK_QWEN3 || *c == STOCK_QWEN3_MOE;
    for (int i = 0; i < N_KEYS; i++)
        if (of_class(&keys[i], *c))
            TRY(read_key(&r, &keys[i]));
    TRY(complete(&r, *c));
    enum err e = arch_check(a);
    if (e == OK)
        e = check_sizes(*c, a);
    return e == OK ? OK : err_prefix(e, "%s", ctx);
}
