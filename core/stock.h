// SPDX-License-Identifier: Apache-2.0
// Our models as stock classes of Hugging Face transformers: which class computes the same
// function, and what its config.json says. Written once and used both ways, by export, import
// and recommend. Read from the sources of transformers 4.57.3; docs/checkpoints.md has the
// table with reasons.
#ifndef CORE_STOCK_H
#define CORE_STOCK_H
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
#endif
