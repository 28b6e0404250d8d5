// SPDX-License-Identifier: Apache-2.0
#include "worker/upcycle.h"
#include "core/file.h"
#include "core/rng.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOISE_STREAM (UINT64_C(1) << 32) // beyond model_init's, one a tensor

enum err upcycle_identify(struct job *j)
{
    uint64_t hash;
    char text[sizeof j->init.hash];
    if (j->init.from[0] == 0)
        return OK;
    if (file_hash(j->init.from, &hash) != OK)
        return err_prefix(ERR_INPUT, "init.from");
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    ENSURE(j->init.hash[0] == 0 || strcmp(j->init.hash, text) == 0, ERR_INPUT,
           "init.from: %s: expected the file whose hash is %s, found %s", j->init.from,
           j->init.hash, text);
    snprintf(j->init.hash, sizeof j->init.hash, "%s", text);
    return OK;
}

// --- What fits ------------------------------------------------------------------------------

static enum err check_dims(const struct arch *was, const struct arch *is,
                           const enum arch_dim *dim, int n)
{
    for (int i = 0; i < n; i++)
        ENSURE(arch_dim_get(was, dim[i]) == arch_dim_get(is, dim[i]), ERR_INPUT,
               "%s: expected %" PRId64 " as in the job, found %" PRId64, arch_dim_name(dim[i]),
               arch_dim_get(is, dim[i]), arch_dim_get(was, dim[i]));
    return OK;
}

static enum err check_flag(const char *key, bool was, bool is)
{
    ENSURE(was == is, ERR_INPUT, "%s: expected %s as in the job, found %s", key,
           is ? "true" : "false", was ? "true" : "false");
    return OK;
}

// The same symbol must mean the same byte in both.
static enum err check_symbols(const json_t *was, const uint8_t *is, int64_t V)
{
    ENSURE((was != NULL) == (is != NULL), ERR_INPUT,
           "symbols: expected those of %s as in the job, found those of %s",
           is != NULL ? "text" : "files of tokens", was != NULL ? "text" : "files of tokens");
    for (int64_t i = 1; i < V && is != NULL; i++) {
        const json_t *byte = json_array_get(was, (size_t)(i - 1));
        int64_t found = json_is_integer(byte) ? json_integer_value(byte) : -1;
        ENSURE(found == is[i], ERR_INPUT,
               "symbol %" PRId64 ": expected byte %d as in the job's text, found %" PRId64, i,
               is[i], found);
    }
    return OK;
}

// g of upcycle.h: how many slices the routed experts share.
static int64_t routed_slices(int64_t d_d, const struct arch *is)
{
    return d_d / is->d_m - is->n_shared;
}

static enum err check_slices(int64_t d_d, const struct arch *is)
{
    ENSURE(d_d % is->d_m == 0, ERR_INPUT,
           "d_d: expected a multiple of the job's d_m = %" PRId64 ", found %" PRId64, is->d_m,
           d_d);
    int64_t g = routed_slices(d_d, is);
    ENSURE(
        g >= 1, ERR_INPUT,
        "d_d: expected more than the n_shared d_m = %" PRId64
        " hidden units that the job's shared experts take, found %" PRId64
        ": nothing is left to the routed experts (n_shared = 0 makes each a copy where d_m = "
        "d_d)",
        is->n_shared * is->d_m, d_d);
    ENSURE(is->N_e % g == 0, ERR_INPUT,
           "d_d: %" PRId64 " hidden units make %" PRId64
           " slices for routed experts, expected a divisor of the job's N_e = %" PRId64,
           d_d, g, is->N_e);
    return OK;
}

static enum err check_layers(const struct job *was, const struct arch *is,
                             const struct job *job)
{
    static const enum arch_dim moe[] = {DIM_N_e, DIM_K, DIM_d_m, DIM_n_shared};
    const struct arch *a = &was->arch;
    ENSURE(a->L_d + a->L_m == is->L_d + is->L_m, ERR_INPUT,
           "layers L_d + L_m: expected %" PRId64 " as in the job, found %" PRId64,
           is->L_d + is->L_m, a->L_d + a->L_m);
    ENSURE(a->L_d >= is->L_d, ERR_INPUT,
           "L_d: expected at least the job's %" PRId64
           " (experts do not become a dense block), "
           "found %" PRId64,
           is->L_d, a->L_d);
    if (is->L_d > 0)
        TRY(check_dims(a, is, (const enum arch_dim[]){DIM_d_d}, 1));
    if (a->L_m > 0) {
        TRY(check_dims(a, is, moe, 4));
        TRY(check_flag("model.norm_topk", was->model.norm_topk, job->model.norm_topk));
        TRY(check_flag("model.router sigmoid_bias", was->model.router == ROUTER_SIGMOID_BIAS,
                       job->model.router == ROUTER_SIGMOID_BIAS));
    }
    if (a->L_d > is->L_d)
        return check_slices(a->d_d, is);
    ENSURE(job->init.noise <= 0, ERR_INPUT,
           "init.noise: expected 0, as no dense block becomes experts, found %g",
           job->init.noise);
    return OK;
}

static enum err check_fit(const struct checkpoint *c, const struct job *j, const struct arch *a,
                          const uint8_t *symbols)
{
    static const enum arch_dim shared[] = {DIM_d, DIM_d_qkv, DIM_N_q, DIM_N_kv, DIM_V};
    const struct job_model *was = &c->job.model, *is = &j->model;
    TRY(check_dims(&c->job.arch, a, shared, 5));
    TRY(check_symbols(c->symbols, symbols, a->V));
    TRY(check_flag("model.tied", was->tied, is->tied));
    TRY(check_flag("model.qk_norm", was->qk_norm, is->qk_norm));
    ENSURE(!(was->rope_base < is->rope_base) && !(was->rope_base > is->rope_base), ERR_INPUT,
           "model.rope_base: expected %.17g as in the job, found %.17g", is->rope_base,
           was->rope_base);
    return check_layers(&c->job, a, j);
}

enum err upcycle_open(const struct job *j, const struct arch *a, const uint8_t *symbols,
                      struct checkpoint *out)
{
    enum err e = checkpoint_read(j->init.from, out);
    if (e != OK)
        return err_prefix(e, "init.from");
    e = check_fit(out, j, a, symbols);
    if (e == OK)
        return OK;
    checkpoint_free(out);
    return err_prefix(e, "init.from: %s", j->init.from);
}

int64_t upcycle_tokens(const struct checkpoint *c)
{
    return c->state.init_tokens + job_tokens_after(&c->job, c->state.step);
}

// --- Weights --------------------------------------------------------------------------------

// A dense block's matrix, and what each element of a copy of its slice gets.
struct source {
    const real *w;
    int64_t d, d_d;
    double scale, sd; // sd: of the noise, 0: none
    struct rng rng;
};

static void put_row(real *to, const real *from, int64_t n, struct source *s)
{
    for (int64_t i = 0; i < n; i++) {
        double noise = s->sd > 0 ? s->sd * rng_normal(&s->rng) : 0;
        to[i] = (real)(s->scale * ((double)from[i] + noise));
    }
}

// Hidden units first .. first + n - 1 of [2 d_d, d], gate rows first -> [2 n, d].
static void put_gate_up(real *to, struct source *s, int64_t first, int64_t n)
{
    put_row(to, s->w + first * s->d, n * s->d, s);
    put_row(to + n * s->d, s->w + (s->d_d + first) * s->d, n * s->d, s);
}

// The same units of [d, d_d] -> [d, n].
static void put_down(real *to, struct source *s, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < s->d; i++)
        put_row(to + i * n, s->w + i * s->d_d + first, n, s);
}

static double deviation(const real *x, int64_t n)
{
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i];
    for (int64_t i = 0; i < n; i++) {
        double off = (double)x[i] - sum / (double)n;
        square += off * off;
    }
    return sqrt(square / (double)n);
}

struct start {
    const struct checkpoint *c;
    const struct job *j;
    const struct arch *is;
    struct tensor *was; // the checkpoint's tensors
    int n_was;
};

static const struct tensor *find(const struct start *s, enum tensor_role role, int layer)
{
    for (int i = 0; i < s->n_was; i++)
        if (s->was[i].role == role && s->was[i].layer == layer)
            return &s->was[i];
    return NULL;
}

// The experts of a layer that was dense. t: the i-th of the model's tensors.
static void grow(const struct start *s, const struct tensor *t, int i, real *to)
{
    const struct arch *is = s->is;
    bool down = t->role == T_EXP_DOWN || t->role == T_SH_DOWN;
    bool shared = t->role == T_SH_GATE_UP || t->role == T_SH_DOWN;
    const struct tensor *from = find(s, down ? T_DOWN : T_GATE_UP, t->layer);
    int64_t d_d = s->c->job.arch.d_d, g = routed_slices(d_d, is);
    int64_t n = shared ? is->n_shared * is->d_m : is->d_m, experts = shared ? 1 : is->N_e;
    struct source src = {.w = s->c->params + from->offset, .d = is->d, .d_d = d_d, .scale = 1};
    if (!shared) {
        src.scale = down ? (double)g : 1;
        src.sd = s->j->init.noise * deviation(src.w, from->count);
        rng_seed(&src.rng, (uint64_t)s->j->train.seed, NOISE_STREAM + (uint64_t)i);
    }
    for (int64_t e = 0; e < experts; e++) {
        int64_t first = shared ? 0 : (is->n_shared + e % g) * is->d_m;
        if (down)
            put_down(to + e * is->d * n, &src, first, n);
        else
            put_gate_up(to + e * 2 * n * is->d, &src, first, n);
    }
}

// Where K allows it, one row for each group of g neighbours: the first one's.
static void group_router(const struct start *s, real *router)
{
    const struct arch *is = s->is;
    int64_t g = routed_slices(s->c->job.arch.d_d, is);
    for (int64_t e = 0; e < is->N_e && is->K % g == 0; e++)
        memmove(router + e * is->d, router + e / g * g * is->d, (size_t)is->d * sizeof *router);
}

static void start_tensor(const struct start *s, const struct tensor *t, int i, real *to)
{
    const struct tensor *same = find(s, t->role, t->layer);
    if (same != NULL) {
        ASSERT(same->count == t->count);
        memcpy(to, s->c->params + same->offset, (size_t)t->count * sizeof *to);
    } else if (t->role == T_ROUTER) {
        group_router(s, to);
    } else {
        grow(s, t, i, to);
    }
}

enum err upcycle_weights(const struct checkpoint *c, const struct job *j, const struct arch *a,
                         struct model *m)
{
    struct start s = {.c = c, .j = j, .is = a};
    int n;
    int64_t n_bias;
    ENSURE(tensor_table(&c->job.arch, &c->job.model, &s.was, &s.n_was) >= 0, ERR_FAILED,
           "out of memory");
    const struct tensor *t = model_tensors(m, &n);
    for (int i = 0; i < n; i++)
        start_tensor(&s, &t[i], i, model_params(m) + t[i].offset);
    real *bias = model_router_bias(m, &n_bias);
    if (bias != NULL && c->n_bias > 0) // the last of its layers are the checkpoint's
        memcpy(bias + n_bias - c->n_bias, c->bias, (size_t)c->n_bias * sizeof *bias);
    free(s.was);
    model_store(m);
    return OK;
}
