// SPDX-License-Identifier: Apache-2.0
#include "core/arch.h"
#include "core/json.h"
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#define DIM_MAX (INT64_C(1) << 24)
#define COUNT_MAX 0x1p53 // counts stay exact as doubles, in JSON readers too

static const struct {
    const char *name, *what;
    size_t offset;
} dims[N_DIMS] = {
#define X(name, what) {#name, what, offsetof(struct arch, name)},
    ARCH_DIMS(X)
#undef X
};

const char *arch_dim_name(enum arch_dim dim)
{
    return dims[dim].name;
}

const char *arch_dim_what(enum arch_dim dim)
{
    return dims[dim].what;
}

int arch_dim_find(const char *name)
{
    for (int i = 0; i < N_DIMS; i++)
        if (strcmp(dims[i].name, name) == 0)
            return i;
    return -1;
}

int64_t *arch_dim(struct arch *a, enum arch_dim dim)
{
    return (int64_t *)(void *)((char *)a + dims[dim].offset);
}

int64_t arch_dim_get(const struct arch *a, enum arch_dim dim)
{
    return *(const int64_t *)(const void *)((const char *)a + dims[dim].offset);
}

struct arch arch_unset(void)
{
    struct arch a;
    for (int i = 0; i < N_DIMS; i++)
        *arch_dim(&a, (enum arch_dim)i) = ARCH_UNSET;
    return a;
}

void arch_fill_defaults(struct arch *a)
{
    if (a->d_d == ARCH_UNSET && a->d > 0 && a->d <= DIM_MAX)
        a->d_d = 3 * a->d;
    if (a->N_kv == ARCH_UNSET && a->N_q > 0)
        a->N_kv = a->N_q > 1 ? a->N_q / 2 : 1;
    if (a->n_shared == ARCH_UNSET)
        a->n_shared = 1;
    if (a->V == ARCH_UNSET)
        a->V = 0;
}

static bool may_be_zero(int dim)
{
    return dim == DIM_L_d || dim == DIM_L_m || dim == DIM_n_shared || dim == DIM_V;
}

// The parts of N_a, N and M as doubles: what counts are made of and checked with.
struct parts {
    double attn, dense, moe, idle; // parameters: attention, dense, active experts, idle experts
    double scores;                 // FLOPs of attention scores and their use
};

static struct parts parts_of(const struct arch *a)
{
    double L = (double)a->L_d + (double)a->L_m, d = (double)a->d, q = (double)a->d_qkv;
    double expert = 3 * d * (double)a->d_m * (double)a->L_m;
    return (struct parts){
        .attn = 2 * ((double)a->N_q + (double)a->N_kv) * q * d * L,
        .dense = 3 * d * (double)a->d_d * (double)a->L_d,
        .moe = expert * ((double)a->K + (double)a->n_shared),
        .idle = expert * ((double)a->N_e - (double)a->K),
        .scores = 6 * (double)a->S * (double)a->N_q * q * L,
    };
}

enum err arch_check(const struct arch *a)
{
    for (int i = 0; i < N_DIMS; i++) {
        int64_t v = arch_dim_get(a, (enum arch_dim)i), lo = may_be_zero(i) ? 0 : 1;
        ENSURE(v != ARCH_UNSET, ERR_INPUT, "%s (%s): expected a value, found none",
               dims[i].name, dims[i].what);
        ENSURE(v >= lo && v <= DIM_MAX, ERR_INPUT,
               "%s (%s): expected %" PRId64 " to %" PRId64 ", found %" PRId64, dims[i].name,
               dims[i].what, lo, DIM_MAX, v);
    }
    ENSURE(a->L_d + a->L_m > 0, ERR_INPUT,
           "L_d + L_m: expected at least one layer, found none");
    ENSURE(a->K <= a->N_e, ERR_INPUT, "K: expected at most N_e = %" PRId64 ", found %" PRId64,
           a->N_e, a->K);
    ENSURE(a->N_q % a->N_kv == 0, ERR_INPUT,
           "N_q: expected a multiple of N_kv = %" PRId64 ", found %" PRId64, a->N_kv, a->N_q);
    ENSURE(a->d_qkv % 2 == 0, ERR_INPUT,
           "d_qkv: expected an even number (rotary embedding), found %" PRId64, a->d_qkv);
    struct parts p = parts_of(a);
    double N_a = p.attn + p.dense + p.moe;
    ENSURE(6 * N_a + p.scores <= COUNT_MAX, ERR_INPUT,
           "M (FLOPs per token): expected at most 2^53, found %.3g", 6 * N_a + p.scores);
    ENSURE(N_a + p.idle <= COUNT_MAX, ERR_INPUT,
           "N (parameters): expected at most 2^53, found %.3g", N_a + p.idle);
    return OK;
}

struct counts arch_counts(const struct arch *a)
{
    // Every partial sum is an integer below 2^53 (arch_check), so doubles are exact here.
    struct parts p = parts_of(a);
    double N_a = p.attn + p.dense + p.moe, N = N_a + p.idle, M = 6 * N_a + p.scores;
    double G = (double)(a->K + a->n_shared), attn_flops = 6 * p.attn + p.scores;
    return (struct counts){
        .N_a = (int64_t)N_a,
        .N = (int64_t)N,
        .M = (int64_t)M,
        .x = M / N_a,
        .y = N / N_a,
        .r = 6 * (p.dense + p.moe) / attn_flops,
        .G = G,
        .s = (double)a->n_shared / G,
        .z = 1 - G / (double)(a->N_e + a->n_shared),
        .g = (double)a->d_d / (double)a->d_m,
        .r_a = attn_flops / M,
        .r_d = 6 * p.dense / M,
        .r_m = 6 * p.moe / M,
    };
}

json_t *arch_to_json(const struct arch *a)
{
    json_t *j = json_object();
    for (int i = 0; i < N_DIMS; i++)
        json_object_set_new(j, dims[i].name, json_integer(arch_dim_get(a, (enum arch_dim)i)));
    return j;
}

enum err arch_from_json(json_t *obj, const char *ctx, struct arch *out)
{
    const char *keys[N_DIMS + 1] = {0};
    for (int i = 0; i < N_DIMS; i++)
        keys[i] = dims[i].name;
    TRY(json_known_keys(obj, ctx, keys));
    *out = arch_unset();
    for (int i = 0; i < N_DIMS; i++)
        TRY(json_get_i64(obj, ctx, keys[i], false, may_be_zero(i) ? 0 : 1, DIM_MAX,
                         arch_dim(out, (enum arch_dim)i)));
    arch_fill_defaults(out);
    enum err e = arch_check(out);
    return e == OK ? OK : err_prefix(e, "%s", ctx);
}
