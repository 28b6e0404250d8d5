// SPDX-License-Identifier: Apache-2.0
// What model.c (arenas), model_pass.c (forward and backward of one part), model_parts.c (of
// all) and model_step.c (clipping, optimizers) share; no one else's.
//
// A batch goes through in micro-batches of whole sequences, one after the other, each cut into
// parts, one a thread. A part has its own activations, scratch and gradients; parameters and
// moments are common. Gradients and losses of later micro-batches are added to those of earlier
// ones in place. The experts' loads are summed over the whole batch before the first backward
// pass, the gradients over the parts after the last, part 0 first: the loss that is
// differentiated is the whole batch's, and its bits depend on the numbers of parts and of
// micro-batches alone.
#ifndef WORKER_MODEL_IMPL_H
#define WORKER_MODEL_IMPL_H
#include "kernels/ops.h"
#include "worker/model.h"
#include "worker/pool.h"

// One feed-forward block's parameters, or its gradients.
struct block_params {
    real *gate_up, *down;
};

// One layer's parameters, or its gradients. Query, key and value matrices are adjacent in the
// arena, so that one product serves all three.
struct layer_params {
    real *norm_attn, *qkv, *norm_q, *norm_k, *o, *norm_ffn, *router;
    struct block_params ffn, shared; // dense or routed; shared: NULL without
};

// What one layer keeps from forward for backward. T = rows of a part, Q = N_q d_qkv, R = ffn
// rows.
struct layer_acts {
    real *x;         // [T, d] the residual stream that enters
    real *r1;        // [T] its norm's factors
    act *qkv;        // [T, Q + 2 N_kv d_qkv] after RoPE; with QK-norm before both
    act *o;          // [T, Q]
    real *lse;       // [T N_q]
    real *x2;        // [T, d] the stream between attention and feed-forward
    act *norm2;      // [T, d]
    real *r2;        // [T]
    act *gate_up;    // [R, 2 F]: R = T, F = d_d in a dense layer; R = T K, F = d_m in MoE
    act *sh_gate_up; // [T, 2 n_shared d_m]
    // MoE only
    real *p, *w, *total;            // [T, N_e], [T, K], [T]
    real *w_slot;                   // [T K]
    int32_t *choice, *slot, *token; // [T, K], [T, K], [T K]
    int64_t *offset;                // [N_e + 1], host memory
};

struct layer {
    bool moe;
    struct layer_params p, g;
    struct layer_acts a;
};

struct model;

struct part {
    const struct model *m;
    int64_t T;            // rows that everything is sized for
    int64_t chunk;        // rows that pass through an attention block together: whole sequences
    real *grads;          // [N]; the first part's are the model's, where all are summed
    double square;        // sum of squares of its slice of the model's gradients
    struct layer *layers; // [L]
    real *embed, *g_embed, *norm_out, *g_norm_out, *unembed, *g_unembed;
    void *acts, *host; // the activation arena; what every backend leaves to the host
    size_t acts_bytes, host_bytes;
    // The micro-batch at work: its rows and their tokens
    int64_t n;
    const int32_t *tokens, *targets; // on a device copies, in device_tokens
    int32_t *device_tokens;          // [2 T]
    bool add;     // grads and loss hold what earlier micro-batches of the batch made
    double *loss; // the share of the batch's
    // Activations outside the layers, and scratch
    real *x_out, *r_out;         // [T, d], [T]
    act *norm_out_y;             // [T, d]
    real *d_norm_out;            // [T, d] dL/d(norm_out_y), made by the fused loss
    real *rope;                  // [S, d_qkv]
    real *dx, *dy;               // [T, d]: the residual stream's gradient; a branch's
    act *norm1;                  // of one chunk of rows in the attention block
    real *d_norm1, *d_qkv, *d_o; // of the same
    act *qk;                     // of one chunk: rows of qkv with normed heads
    real *r_qk;                  // [rows, N_q + N_kv]
    real *dp, *mean_p;           // [N_e], host memory
    real *logits;                // [T, N_e] router logits or their gradient
    real *dw, *dw_slot;          // [T, K], [T K]
    real *scratch;               // the largest that any operation asks for
};

struct model {
    struct arch arch;
    struct job_model opt;
    const struct ops *ops; // the backend
    enum gemm_kind gemm;   // of all products but the router's
    int64_t T;             // tokens of a micro-batch that everything is sized for
    int64_t L;
    struct tensor *tensors;
    int n_tensors;
    int64_t N;
    real *params, *grads, *m1, *m2; // [N] each, one allocation with the other parts' gradients
    real *host_state;      // on a device: [3 stride], the host's params, m1, m2; else NULL
    int64_t stride;        // from one arena to the next
    real *muon;            // scratch of one matrix a thread; NULL: model_reserve
    int64_t muon_stride;   // from thread to thread
    real *bias;            // [L_m, N_e], sigmoid router only; host memory
    struct part *parts;    // [n_parts]
    int n_parts, n_active; // n_active: those that had rows of the last batch
    struct pool *pool;     // n_parts threads
    int64_t n;             // rows of the last batch
    int64_t *loads;        // [L_m, N_e] its assignments to each expert
};

// Forward of p->n rows; train: with the gradient of the unembedding, and of what enters it.
void part_forward(struct part *p, bool train);
// Forward as far as the last router, for the loads alone; the last layer must be a MoE layer.
void part_route(struct part *p);
// All other gradients; reads the model's loads.
void part_backward(struct part *p, double aux);
// What the model's threads share out by number, whatever n_active is: slice i of the parameters
// is [model_slice(m, i), model_slice(m, i + 1)).
int64_t model_slice(const struct model *m, int i);

#endif
