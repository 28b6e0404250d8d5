// SPDX-License-Identifier: Apache-2.0
// One architecture: its structural dimensions, and what follows from them by the formulas of
// the holistic framework (Wan et al. 2026, arXiv 2603.21862, eqs. 1-6), generalised to n_shared
// shared experts. Counts here are the paper's (non-embedding, no router); executed.h has those
// of what runs.
#ifndef CORE_ARCH_H
#define CORE_ARCH_H
#include "core/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

// Every structural dimension, once: name, what it is.
#define ARCH_DIMS(X)                                                                           \
    X(L_d, "layers with a dense feed-forward block (they come first)")                         \
    X(L_m, "layers with a mixture of experts")                                                 \
    X(d, "hidden dimension")                                                                   \
    X(d_qkv, "dimension of one attention head")                                                \
    X(d_d, "width of a dense feed-forward block")                                              \
    X(d_m, "width of one expert")                                                              \
    X(N_q, "query heads")                                                                      \
    X(N_kv, "key and value heads")                                                             \
    X(S, "sequence length")                                                                    \
    X(N_e, "routed experts per MoE layer")                                                     \
    X(K, "routed experts active per token")                                                    \
    X(n_shared, "shared experts per MoE layer, each of width d_m")                             \
    X(V, "vocabulary")

struct arch {
#define X(name, what) int64_t name;
    ARCH_DIMS(X)
#undef X
};

enum arch_dim {
#define X(name, what) DIM_##name,
    ARCH_DIMS(X)
#undef X
        N_DIMS
};

#define ARCH_UNSET (-1)

const char *arch_dim_name(enum arch_dim dim);
const char *arch_dim_what(enum arch_dim dim);
// Index by name; -1 if there is none.
int arch_dim_find(const char *name);
int64_t *arch_dim(struct arch *a, enum arch_dim dim);
int64_t arch_dim_get(const struct arch *a, enum arch_dim dim);

// All dimensions ARCH_UNSET.
struct arch arch_unset(void);
// Fills what is ARCH_UNSET and has a default: d_d = 3 d, N_kv = max(1, N_q/2), n_shared = 1,
// V = 0.
void arch_fill_defaults(struct arch *a);
// Everything set, positive (L_d, L_m, n_shared may be 0, V may be 0 = not yet known; at least
// one layer), K <= N_e, N_q a multiple of N_kv, d_qkv even, each dimension at most 2^24 and
// counts within 2^53. ERR_INPUT with the dimension's name, what was expected and what was
// found.
enum err arch_check(const struct arch *a);

struct counts {
    int64_t N_a, N, M;    // active and total parameters, FLOPs per token forward + backward
    double x, y;          // M/N_a, N/N_a
    double r;             // FLOPs of all feed-forward layers over FLOPs of all attention layers
    double G, s, z, g;    // K + n_shared, n_shared/G, 1 - active/total experts, d_d/d_m
    double r_a, r_d, r_m; // shares of M: attention, dense feed-forward, MoE
};
// The paper's counts of a checked architecture.
struct counts arch_counts(const struct arch *a);

// {"L_d":..,..,"V":..}; the caller owns the object.
json_t *arch_to_json(const struct arch *a);
// Reads every dimension, unknown keys refused; defaults filled; checked. ctx names the place.
enum err arch_from_json(json_t *obj, const char *ctx, struct arch *out);
#endif
