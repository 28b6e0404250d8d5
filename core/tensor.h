// SPDX-License-Identifier: Apache-2.0
// The one tensor table: every parameter tensor of a model in storage order. Parameter counts,
// memory, allocation, initialisation, optimizer groups, checkpoint and export derive from it.
#ifndef CORE_TENSOR_H
#define CORE_TENSOR_H
#include "core/job.h"

enum tensor_role {
    T_EMBED,       // [V, d]
    T_NORM_ATTN,   // [d]
    T_Q,           // [N_q d_qkv, d]
    T_K,           // [N_kv d_qkv, d]
    T_V,           // [N_kv d_qkv, d]
    T_NORM_Q,      // [d_qkv], shared by all query heads; only with opt->qk_norm
    T_NORM_K,      // [d_qkv], shared by all key heads; only with opt->qk_norm
    T_O,           // [d, N_q d_qkv]
    T_NORM_FFN,    // [d]
    T_GATE_UP,     // dense block: [2 d_d, d], gate rows first
    T_DOWN,        // dense block: [d, d_d]
    T_ROUTER,      // [N_e, d]
    T_EXP_GATE_UP, // routed experts: [N_e, 2 d_m, d]
    T_EXP_DOWN,    // routed experts: [N_e, d, d_m]
    T_SH_GATE_UP,  // shared experts as one block of width n_shared d_m: [2 n_shared d_m, d]
    T_SH_DOWN,     // [d, n_shared d_m]
    T_NORM_OUT,    // [d]
    T_UNEMBED      // [V, d]; absent when tied
};

struct tensor {
    char name[48]; // "layers.3.experts.gate_up"
    enum tensor_role role;
    int layer; // -1 outside the layers
    int ndim;
    int64_t shape[3];
    int64_t count;  // elements
    int64_t offset; // elements from the start of the parameter arena
    double init_sd; // 0: constant 1 (norm gains)
    bool decay;     // weight decay applies (matrices yes, gains and embeddings no)
    bool paper;     // the paper's N counts it (non-embedding, no router, no norms)
    double active;  // share of its elements used by one token
};

// Builds the table in a fresh array (*out, caller frees) of *n entries; returns the element
// total. opt->init_scale multiplies every init_sd = 1/sqrt(fan_in); outputs into the residual
// stream are divided by sqrt(2 (L_d + L_m)) besides. Fan-in is the last dimension of the shape.
// The architecture must have been checked; with V = 0 there is no embedding. Returns -1 when
// memory is short.
int64_t tensor_table(const struct arch *a, const struct job_model *opt, struct tensor **out,
                     int *n);
// The hidden matrices that a tensor stacks, one after the other, each [rows, cols]: their
// number. An optimizer of whole matrices (Muon) sees every expert's gate, up and down alone,
// queries, keys and values alone, and the shared experts as the one block that they are. 0 for
// all others: gains; embedding and unembedding, whose rows are symbols; the router, which like
// the unembedding maps to the logits of a softmax and whose rows are experts: equal steps in
// all directions would move the rows of idle experts as far as those of busy ones.
int64_t tensor_hidden(const struct tensor *t, int64_t *rows, int64_t *cols);
#endif
