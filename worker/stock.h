// SPDX-License-Identifier: Apache-2.0
// Our models as stock classes of Hugging Face transformers: which class computes the same
// function, what its config.json says, and where each of its tensors lies among ours. Written
// once and used both ways, by export and import. Read from the sources of transformers 4.57.3;
// docs/checkpoints.md has the table with reasons.
#ifndef WORKER_STOCK_H
#define WORKER_STOCK_H
#include "core/job.h"
#include <jansson.h>

//    constant, model_type, class
#define STOCK_CLASSES(X)                                                                       \
    X(STOCK_LLAMA, "llama", "LlamaForCausalLM")                                                \
    X(STOCK_QWEN3, "qwen3", "Qwen3ForCausalLM")                                                \
    X(STOCK_QWEN2_MOE, "qwen2_moe", "Qwen2MoeForCausalLM")                                     \
    X(STOCK_QWEN3_MOE, "qwen3_moe", "Qwen3MoeForCausalLM")                                     \
    X(STOCK_ERNIE, "ernie4_5_moe", "Ernie4_5_MoeForCausalLM")                                  \
    X(STOCK_GLM4_MOE, "glm4_moe", "Glm4MoeForCausalLM")

enum stock_class {
#define X(constant, type, name) constant,
    STOCK_CLASSES(X)
#undef X
        N_STOCK_CLASSES
};

const char *stock_name(enum stock_class c);

// The class that computes what this model computes. ERR_INPUT: none does, with the reason and
// what would have to change.
enum err stock_choose(const struct arch *a, const struct job_model *opt, enum stock_class *out);
// config.json; the caller owns it. eot: tokens are byte text, 0 ends a text.
json_t *stock_config(enum stock_class c, const struct arch *a, const struct job_model *opt,
                     bool eot);
// Reads one back. ERR_INPUT: of another class, or of a model that ours cannot be, naming ctx
// and the key.
enum err stock_from_config(json_t *config, const char *ctx, enum stock_class *c, struct arch *a,
                           struct job_model *opt);

enum stock_source { STOCK_PARAM, STOCK_BIAS, STOCK_ZERO }; // parameters, routing biases, zeros
enum stock_form {
    STOCK_AS_IS,
    STOCK_DOUBLED, // theirs is twice ours: behind a gate whose zero weights give sigmoid(0) =
                   // 1/2
    STOCK_PAIRED   // rows of a head: theirs pairs channels 2j and 2j + 1 in the rotary
                   // embedding, ours j and j + d_qkv/2
};

struct stock_tensor {
    char name[96];
    int ndim;
    int64_t shape[2], count;
    enum stock_source source;
    int64_t offset; // elements, from the start of the parameters or of the biases
    enum stock_form form;
};

struct stock_map {
    struct stock_tensor *t;
    int64_t n;
    int64_t d_qkv, largest; // largest: elements of the largest tensor
};

// How many tensors a class has for a checked architecture, without making them.
int64_t stock_map_size(enum stock_class c, const struct arch *a, const struct job_model *opt);
// The map; the caller frees map->t.
enum err stock_map_make(enum stock_class c, const struct arch *a, const struct job_model *opt,
                        struct stock_map *map);
// One tensor of theirs, count elements, from ours and back. stock_put: ERR_INPUT (naming it)
// where theirs is not zero but must be, or not finite; stock_get likewise for not finite.
enum err stock_get(const struct stock_map *map, const struct stock_tensor *t,
                   const float *params, const float *bias, float *to);
enum err stock_put(const struct stock_map *map, const struct stock_tensor *t, const float *from,
                   float *params, float *bias);
#endif
