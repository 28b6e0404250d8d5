// SPDX-License-Identifier: Apache-2.0
// Importing what others wrote: every key that would make another model is refused by name, and
// no damage to either file crashes, hangs or leaves something behind.
#include "tests/test.h"
#include "core/rng.h"
#include "tests/worker/made.h"
#include "worker/checkpoint.h"
#include "worker/export.h"
#include "worker/import.h"
#include "worker/safetensors.h"
#include <sys/stat.h>
#include <unistd.h>

#define FUZZ 2500

static char dir[64];

enum { SOFTMAX, SIGMOID, WIDE, DENSE, QK_NORM, N_MODELS };

// The model exported into dir/model.
static void make_model(int which)
{
    struct job j = made_job();
    struct made_path run = made_path(dir, "run"), out = made_path(dir, "model");
    j.model.router = which == SIGMOID ? ROUTER_SIGMOID_BIAS : ROUTER_SOFTMAX;
    j.arch.d_qkv = which == WIDE ? 6 : 4;
    j.arch.L_m = which == DENSE ? 0 : 2;
    j.arch.n_shared = which == QK_NORM ? 0 : 1;
    j.model.qk_norm = which == QK_NORM;
    made_checkpoint(run.text, &j, true);
    CHECK(export_run(run.text, out.text) == OK);
    made_remove(run.text);
    job_free(&j);
}

// import of dir/model fails with the message, without remains.
static void check_refused(const char *what, const char *message)
{
    struct made_path to = made_path(dir, "to");
    CHECK(import_run(made_path(dir, "model").text, to.text) == ERR_INPUT);
    if (strstr(err_message(), message) == NULL)
        fprintf(stderr, "%s: wanted '%s', got '%s'\n", what, message, err_message());
    CHECK(strstr(err_message(), message) != NULL);
    CHECK(made_entries(to.text) == -1);
}

// A key of config.json replaced (NULL: removed).
static const struct {
    int model;
    const char *key, *value, *message;
} table[] = {
    {SOFTMAX, "model_type", "\"mixtral\"",
     "model_type: expected one of llama, qwen3, qwen2_moe"},
    {SOFTMAX, "model_type", NULL, "found \"\""},
    {SOFTMAX, "hidden_act", "\"gelu\"", "hidden_act: expected \"silu\""},
    {SOFTMAX, "rms_norm_eps", "1e-5", "rms_norm_eps: expected 1e-6"},
    {SOFTMAX, "rms_norm_eps", NULL, "the default"},
    {SOFTMAX, "qkv_bias", "true", "qkv_bias: expected false"},
    {SOFTMAX, "qkv_bias", NULL, "found true, the default"},
    {SOFTMAX, "rope_scaling", "{\"rope_type\":\"yarn\"}", "rope_scaling: expected null"},
    {SOFTMAX, "rope_theta", NULL, "rope_theta: expected a number"},
    {SOFTMAX, "decoder_sparse_step", "2", "decoder_sparse_step: expected 1"},
    {SOFTMAX, "mlp_only_layers", "[1]", "expected the first layers"},
    {SOFTMAX, "mlp_only_layers", "[0,1,2,3]", "4 dense layers of 3"},
    {SOFTMAX, "mlp_only_layers", "7", "expected an array"},
    {SOFTMAX, "mlp_only_layers", "[0,1]", "expected the 44 tensors"},
    {SOFTMAX, "use_sliding_window", "true", "use_sliding_window: expected false"},
    {SOFTMAX, "shared_expert_intermediate_size", "7", "a multiple of moe_intermediate_size"},
    {SOFTMAX, "shared_expert_intermediate_size", "12", "expected the shape [12, 16]"},
    {SOFTMAX, "quantization_config", "{\"bits\":4}", "quantization_config: expected null"},
    {SOFTMAX, "num_experts_per_tok", "5", "K: expected at most N_e = 4"},
    {SOFTMAX, "num_experts", "0", "num_experts: expected an integer from 1"},
    {SOFTMAX, "num_experts", "16777216", "tensors of the model"},
    {SOFTMAX, "num_experts", "99999999999", "num_experts: expected"},
    {SOFTMAX, "head_dim", "8", "Qwen2-MoE takes only d = N_q d_qkv"},
    {SOFTMAX, "head_dim", "5", "d_qkv: expected an even number"},
    {SOFTMAX, "hidden_size", "16777216", "takes only d = N_q"},
    {SOFTMAX, "vocab_size", "8", "symbols.json: symbols: expected an array of V - 1 = 7"},
    {SOFTMAX, "num_hidden_layers", "2", "tensors of the model"},
    {SOFTMAX, "num_hidden_layers", "\"3\"", "num_hidden_layers: expected an integer"},
    {SOFTMAX, "tie_word_embeddings", "true", "expected the"},
    {SOFTMAX, "norm_topk_prob", NULL, "norm_topk_prob: expected true or false"},
    {SIGMOID, "n_group", "2", "n_group: expected 1"},
    {SIGMOID, "topk_group", "2", "topk_group: expected 1"},
    {SIGMOID, "routed_scaling_factor", "2.5", "routed_scaling_factor: expected 1.0"},
    {SIGMOID, "partial_rotary_factor", "0.5", "partial_rotary_factor: expected 1.0"},
    {SIGMOID, "partial_rotary_factor", NULL, "found 0.5, the default"},
    {SIGMOID, "use_qk_norm", "true", "tensors of the model"},
    {SIGMOID, "use_qk_norm", NULL, "use_qk_norm: expected true or false"},
    {QK_NORM, "model_type", "\"qwen2_moe\"", "shared_expert_intermediate_size: expected"},
    {QK_NORM, "head_dim", "8", "expected the shape [32, 16], found [16, 16]"},
    {QK_NORM, "attention_bias", "true", "attention_bias: expected false"},
    {QK_NORM, "mlp_only_layers", "[2,1]", "expected the first layers"},
    {SIGMOID, "first_k_dense_replace", "9", "9 dense layers of 3"},
    {SIGMOID, "num_key_value_heads", "3", "N_q: expected a multiple of N_kv = 3"},
    {WIDE, "moe_layer_end_index", "1", "moe_layer_end_index: expected the last layer"},
    {WIDE, "moe_layer_interval", "2", "moe_layer_interval: expected 1"},
    {WIDE, "use_bias", "true", "use_bias: expected false"},
    {DENSE, "attention_bias", "true", "attention_bias: expected false"},
    {DENSE, "mlp_bias", "true", "mlp_bias: expected false"},
    {DENSE, "head_dim", "6", "expected the shape [24, 16], found [16, 16]"},
};

static void test_config(void)
{
    struct made_path config = made_path(dir, "model/config.json");
    for (int m = 0; m < N_MODELS; m++) {
        size_t n;
        make_model(m);
        char *text = made_slurp(config.text, &n);
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            if (table[i].model != m)
                continue;
            json_t *o = json_loadb(text, n, 0, NULL);
            if (table[i].value == NULL)
                json_object_del(o, table[i].key);
            else
                json_object_set_new(o, table[i].key,
                                    json_loads(table[i].value, JSON_DECODE_ANY, NULL));
            CHECK(json_dump_file(o, config.text, 0) == 0);
            json_decref(o);
            check_refused(table[i].key, table[i].message);
        }
        free(text);
        made_remove(made_path(dir, "model").text);
    }
}

// Keys that may be missing, and head_dim as null: the same model.
static void test_config_taken(void)
{
    static const char *const may_lack[] = {"hidden_act", "rope_scaling", "use_sliding_window",
                                           "decoder_sparse_step", "tie_word_embeddings"};
    struct made_path config = made_path(dir, "model/config.json"), to = made_path(dir, "to");
    make_model(SOFTMAX);
    json_t *o = json_load_file(config.text, 0, NULL);
    for (size_t i = 0; i < sizeof may_lack / sizeof *may_lack; i++)
        CHECK(json_object_del(o, may_lack[i]) == 0);
    json_object_set_new(o, "head_dim", json_null());
    json_object_set_new(o, "rms_norm_eps", json_real(1.0e-06));
    json_object_set_new(o, "anything_else", json_integer(3));
    CHECK(json_dump_file(o, config.text, 0) == 0);
    json_decref(o);
    CHECK(import_run(made_path(dir, "model").text, to.text) == OK);
    made_remove(to.text);
    made_remove(made_path(dir, "model").text);
}

// Writes model.safetensors again with one tensor changed: its first number, its name.
static void rewrite(const char *name, float first, const char *new_name)
{
    struct made_path p = made_path(dir, "model/model.safetensors");
    struct safetensors s;
    struct safetensors_writer w;
    CHECK(safetensors_open(p.text, &s) == OK && safetensors_find(&s, name) != NULL);
    unlink(p.text); // open: its data stay
    CHECK(safetensors_create(p.text, &w) == OK);
    for (int64_t i = 0; i < s.n; i++) {
        struct safetensors_entry *e = &s.entries[i];
        bool here = strcmp(e->name, name) == 0;
        CHECK(safetensors_declare(&w, here && new_name != NULL ? new_name : e->name, e->ndim,
                                  e->shape) == OK);
    }
    for (int64_t i = 0; i < s.n; i++) {
        float data[512];
        CHECK(s.entries[i].count <= 512 && safetensors_read(&s, &s.entries[i], data) == OK);
        if (strcmp(s.entries[i].name, name) == 0)
            data[0] = first;
        CHECK(safetensors_put(&w, data, s.entries[i].count) == OK);
    }
    CHECK(safetensors_finish(&w) == OK);
    safetensors_close(&s);
}

static void test_weights(void)
{
    static const struct {
        const char *name;
        float first;
        const char *new_name, *message;
    } cases[] = {
        {"model.layers.1.mlp.shared_expert_gate.weight", 0.5F, NULL, "expected zeros"},
        {"model.norm.weight", NAN, NULL, "expected finite weights, found nan"},
        {"model.norm.weight", INFINITY, NULL, "expected finite weights, found inf"},
        {"model.norm.weight", 1, "model.norm.bias", "expected a tensor model.norm.weight"},
    };
    struct made_path file = made_path(dir, "model/model.safetensors"),
                     index = made_path(dir, "model/model.safetensors.index.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_model(SOFTMAX);
        rewrite(cases[i].name, cases[i].first, cases[i].new_name);
        check_refused(cases[i].name, cases[i].message);
        made_remove(made_path(dir, "model").text);
    }
    make_model(SOFTMAX);
    made_write(index.text, "{}", 2);
    check_refused("index", "several files");
    unlink(index.text);
    unlink(file.text);
    check_refused("no weights", "model.safetensors: No such file");
    made_write(made_path(dir, "model/symbols.json").text, "{\"v\":2}", 7);
    check_refused("symbols", "symbols.json: v: expected");
    made_remove(made_path(dir, "model").text);
}

// A checkpoint whose weights are not finite is not exported.
static void test_diverged(void)
{
    struct job j = made_job();
    struct made_path run = made_path(dir, "run"), out = made_path(dir, "model");
    j.model.init_scale = 1;
    made_checkpoint(run.text, &j, false);
    struct checkpoint c;
    CHECK(checkpoint_read(made_path(run.text, "checkpoint").text, &c) == OK);
    struct model *m;
    CHECK(model_create(&j.arch, &j.model, ops_cpu(), GEMM_FULL, j.arch.S, 1, &m) == OK);
    memcpy(model_params(m), c.params, (size_t)c.n_params * sizeof *c.params);
    model_params(m)[c.n_params - 1] = NAN;
    char *meta = checkpoint_meta(&j, &j.arch, NULL);
    CHECK(meta != NULL && checkpoint_save(run.text, &j, 0, meta, &c.state, m) == OK);
    CHECK(export_run(run.text, out.text) == ERR_INPUT);
    CHECK(strstr(err_message(), "lm_head.weight: expected finite weights") != NULL);
    CHECK(made_entries(out.text) == -1);
    free(meta);
    model_free(m);
    checkpoint_free(&c);
    made_remove(run.text);
    job_free(&j);
}

static size_t damage(char *p, size_t n, size_t span, struct rng *r)
{
    static const char *const numbers[] = {"-1", "0", "16777216", "4294967296", "1e30", "null"};
    size_t at = (size_t)rng_below(r, span < n ? span : n), len = 1 + (size_t)rng_below(r, 8);
    len = at + len > n ? n - at : len;
    const char *s = numbers[rng_below(r, sizeof numbers / sizeof *numbers)];
    switch (rng_below(r, 5)) {
    case 0:
        p[at] = (char)(p[at] ^ (1 << rng_below(r, 8)));
        return n;
    case 1:
        p[at] = (char)('0' + rng_below(r, 10));
        return n;
    case 2:
        memmove(p + at, p + at + len, n - at - len);
        return n - len;
    case 3:
        memmove(p + at + len, p + at, n - at);
        return n + len;
    default:
        len = at + strlen(s) > n ? n - at : strlen(s);
        memcpy(p + at, s, len);
        return n;
    }
}

// Whole folders, one of their files damaged.
static void test_fuzz(void)
{
    static const char *const files[] = {"model/config.json", "model/model.safetensors",
                                        "model/symbols.json"};
    struct rng r;
    int taken = 0, refused = 0;
    rng_seed(&r, 2, 78);
    for (int m = 0; m < N_MODELS; m++) {
        make_model(m);
        for (int i = 0; i < FUZZ / N_MODELS; i++) {
            struct made_path file = made_path(dir, files[i % 5 / 2]), to = made_path(dir, "to");
            size_t n, header = i % 5 / 2 == 1 ? 4000 : 1 << 20;
            char *whole = made_slurp(file.text, &n), *piece = malloc(n + 64);
            memcpy(piece, whole, n);
            size_t k = n;
            for (size_t d = 1 + (size_t)rng_below(&r, 2); d > 0; d--)
                k = damage(piece, k, header, &r);
            made_write(file.text, piece, k);
            enum err e = import_run(made_path(dir, "model").text, to.text);
            CHECK(e == OK || e == ERR_INPUT);
            CHECK(made_entries(to.text) == (e == OK ? 1 : -1));
            taken += e == OK;
            refused += e != OK;
            made_remove(to.text);
            made_write(file.text, whole, n);
            free(whole);
            free(piece);
        }
        made_remove(made_path(dir, "model").text);
    }
    printf("fuzz: %d folders, %d taken, %d refused\n", taken + refused, taken, refused);
    CHECK(taken > FUZZ / 100 && refused > FUZZ / 2); // both ways are gone
}

int main(void)
{
    made_scratch(dir);
    test_config();
    test_config_taken();
    test_weights();
    test_diverged();
    test_fuzz();
    made_remove(dir);
    return test_summary();
}
