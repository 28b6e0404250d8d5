// SPDX-License-Identifier: Apache-2.0
// A backend: the memory it works in and its twin of every operation, each with the arguments
// that its header says. The model calls nothing else, so that one source of it runs on all.
//
// Pointers are to the backend's memory (alloc), but for what a header calls host memory. Work
// is done in the order it was asked for; only download waits for it, and what returns a number
// or host memory. A device stores an act in act_bytes bytes: 2 where products run in bf16,
// there also the weights are read from rounded copies, which weights_changed and the optimizers
// bring up to date.
#ifndef KERNELS_OPS_H
#define KERNELS_OPS_H
#include "core/err.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/dispatch.h"
#include "kernels/embed.h"
#include "kernels/ffn.h"
#include "kernels/linear.h"
#include "kernels/muon.h"
#include "kernels/ops_sizes.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/router.h"
#include "kernels/unembed.h"
#include <jansson.h>
#include <stddef.h>

struct ops {
    const char *name;
    size_t act_bytes, align; // align: of every array within an arena
    bool device;             // memory that the host cannot read; one part, whatever the threads

    // Zeros, aligned for any use; NULL: none left.
    void *(*alloc)(size_t bytes);
    int64_t (*available)(void); // bytes that a device has left; NULL: no device
    // NaN in debug builds, so that reading what was never written shows.
    void (*poison)(void *p, size_t bytes);
    void (*release)(void *p);                                 // NULL is allowed
    void (*upload)(void *to, const void *host, size_t bytes); // host may be reused at once
    void (*download)(void *host, const void *from, size_t bytes);
    void (*copy)(real *to, const real *from, int64_t n);
    void (*clear)(real *x, int64_t n);
    // Before the first operation: what they need of their own. ERR_FAILED: memory.
    enum err (*reserve)(const struct ops_sizes *n);
    // Reals of `scratch` that the operations of the model take as an argument (not Muon's).
    int64_t (*scratch)(const struct ops_sizes *n);
    // The model's parameters are these from now on, and have been changed from outside.
    void (*weights_changed)(const real *params, int64_t n);

    __typeof__(embed_fwd) *embed_fwd;
    __typeof__(embed_bwd) *embed_bwd;
    __typeof__(rmsnorm_fwd) *rmsnorm_fwd;
    __typeof__(rmsnorm_bwd) *rmsnorm_bwd;
    __typeof__(rmsnorm_heads_fwd) *rmsnorm_heads_fwd;
    __typeof__(rmsnorm_heads_bwd) *rmsnorm_heads_bwd;
    __typeof__(rope_fwd) *rope_fwd;
    __typeof__(rope_bwd) *rope_bwd;
    __typeof__(attention_fwd) *attention_fwd;
    __typeof__(attention_bwd) *attention_bwd;
    __typeof__(linear_fwd) *linear_fwd;
    __typeof__(linear_fwd_add) *linear_fwd_add;
    __typeof__(linear_bwd) *linear_bwd;
    __typeof__(router_fwd) *router_fwd;
    __typeof__(router_bwd) *router_bwd;
    __typeof__(router_mean) *router_mean;
    __typeof__(dispatch_plan) *dispatch_plan;
    __typeof__(dispatch_weights) *dispatch_weights;
    __typeof__(dispatch_weights_bwd) *dispatch_weights_bwd;
    __typeof__(ffn_fwd) *ffn_fwd;
    __typeof__(ffn_bwd) *ffn_bwd;
    __typeof__(unembed_xent) *unembed_xent;
    __typeof__(grad_square) *grad_square;
    __typeof__(grad_scale) *grad_scale;
    __typeof__(adamw_update) *adamw_update;
    __typeof__(muon_scratch) *muon_scratch;
    __typeof__(muon_update) *muon_update;
};

const struct ops *ops_cpu(void);
// The first CUDA device that the environment shows, with acts and factors of products in bf16
// or all in f32. One at a time in a process. ERR_INPUT: this build has no CUDA, or the machine
// no usable device, with the reason.
enum err ops_cuda(bool bf16, const struct ops **out);
// What there is, for the probe; the caller owns it: {"built": bool, "devices": [{"name",
// "uuid", "memory_bytes", "compute_capability"}], "why": ".."}, why none can be used where that
// is so.
json_t *ops_cuda_probe(void);
#endif
