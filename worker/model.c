// SPDX-License-Identifier: Apache-2.0
#include "worker/model_impl.h"
#include "core/rng.h"
#include "kernels/normal.h"
#include "kernels/gemm.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_ROWS 256 // at d = 256 a chunk of queries, keys, values takes 768 KiB

// The activation arena and its host's part are laid out by one function that runs twice: once
// to count (base NULL), once to hand out.
struct cursor {
    char *base;
    size_t used, act, align;
};

static void *take(struct cursor *c, int64_t count, size_t size)
{
    void *p = c->base != NULL ? c->base + c->used : NULL;
    c->used += ((size_t)count * size + c->align - 1) / c->align * c->align;
    return p;
}

static real *reals(struct cursor *c, int64_t count)
{
    return take(c, count, sizeof(real));
}

static act *acts(struct cursor *c, int64_t count)
{
    return take(c, count, c->act);
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void lay_out_layer(const struct part *p, struct layer *l, struct cursor *c,
                          struct cursor *host)
{
    const struct arch *a = &p->m->arch;
    int64_t T = p->T, q = a->N_q * a->d_qkv, kv = a->N_kv * a->d_qkv;
    struct layer_acts *x = &l->a;
    x->x = reals(c, T * a->d);
    x->r1 = reals(c, T);
    x->qkv = acts(c, T * (q + 2 * kv));
    x->o = acts(c, T * q);
    x->lse = reals(c, T * a->N_q);
    x->x2 = reals(c, T * a->d);
    x->norm2 = acts(c, T * a->d);
    x->r2 = reals(c, T);
    if (!l->moe) {
        x->gate_up = acts(c, T * 2 * a->d_d);
        return;
    }
    x->gate_up = acts(c, T * a->K * 2 * a->d_m);
    x->sh_gate_up = acts(c, T * 2 * a->n_shared * a->d_m);
    x->p = reals(c, T * a->N_e);
    x->w = reals(c, T * a->K);
    x->total = reals(c, T);
    x->w_slot = reals(c, T * a->K);
    x->choice = take(c, T * a->K, sizeof *x->choice);
    x->slot = take(c, T * a->K, sizeof *x->slot);
    x->token = take(c, T * a->K, sizeof *x->token);
    x->offset = take(host, a->N_e + 1, sizeof *x->offset);
}

static struct ops_sizes sizes_of(const struct part *p)
{
    const struct arch *a = &p->m->arch;
    int64_t widest =
        max64(a->L_d > 0 ? a->d_d : 0, a->L_m > 0 ? max64(a->d_m, a->n_shared * a->d_m) : 0);
    return (struct ops_sizes){.T = p->T,
                              .R = p->T * (a->L_m > 0 ? a->K : 1),
                              .S = a->S,
                              .d = a->d,
                              .Hq = a->N_q,
                              .Hkv = a->N_kv,
                              .D = a->d_qkv,
                              .F = widest,
                              .RF = p->T * max64(widest, a->L_m > 0 ? a->K * a->d_m : 0),
                              .E = a->N_e,
                              .K = a->K,
                              .V = a->V,
                              .params = p->m->N};
}

// Of p->acts and p->host; sets the sizes of both.
static void lay_out(struct part *p)
{
    const struct arch *a = &p->m->arch;
    const struct ops *ops = p->m->ops;
    struct cursor c = {p->acts, 0, ops->act_bytes, ops->align},
                  host = {p->host, 0, 0, sizeof(int64_t)};
    const struct ops_sizes n = sizes_of(p);
    int64_t T = p->T, q = a->N_q * a->d_qkv, kv = a->N_kv * a->d_qkv;
    for (int64_t l = 0; l < p->m->L; l++)
        lay_out_layer(p, &p->layers[l], &c, &host);
    p->x_out = reals(&c, T * a->d);
    p->norm_out_y = acts(&c, T * a->d);
    p->r_out = reals(&c, T);
    p->d_norm_out = reals(&c, T * a->d);
    p->rope = reals(&c, a->S * a->d_qkv);
    p->dx = reals(&c, T * a->d);
    p->dy = reals(&c, T * a->d);
    p->norm1 = acts(&c, p->chunk * a->d);
    p->d_norm1 = reals(&c, p->chunk * a->d);
    p->d_qkv = reals(&c, p->chunk * (q + 2 * kv));
    p->d_o = reals(&c, p->chunk * q);
    if (p->m->opt.qk_norm) {
        p->qk = acts(&c, p->chunk * (q + 2 * kv));
        p->r_qk = reals(&c, p->chunk * (a->N_q + a->N_kv));
    }
    p->dp = reals(&host, a->N_e);
    p->mean_p = reals(&host, a->N_e);
    p->logits = reals(&c, T * a->N_e);
    p->dw = reals(&c, T * a->K);
    p->dw_slot = reals(&c, T * a->K);
    p->scratch = reals(&c, ops->scratch(&n));
    p->loss = take(&c, 1, sizeof *p->loss);
    if (ops->device)
        p->device_tokens = take(&c, 2 * T, sizeof *p->device_tokens);
    p->acts_bytes = c.used;
    p->host_bytes = host.used;
}

static struct layer_params params_of_layer(const struct model *m, real *arena, int l)
{
    struct layer_params p = {0};
    const struct tensor *qkv[3] = {0};
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        real *at = arena + t->offset;
        if (t->layer != l)
            continue;
        switch (t->role) {
        case T_NORM_ATTN:
            p.norm_attn = at;
            break;
        case T_Q:
            qkv[0] = t;
            p.qkv = at;
            break;
        case T_K:
            qkv[1] = t;
            break;
        case T_V:
            qkv[2] = t;
            break;
        case T_NORM_Q:
            p.norm_q = at;
            break;
        case T_NORM_K:
            p.norm_k = at;
            break;
        case T_O:
            p.o = at;
            break;
        case T_NORM_FFN:
            p.norm_ffn = at;
            break;
        case T_GATE_UP:
        case T_EXP_GATE_UP:
            p.ffn.gate_up = at;
            break;
        case T_DOWN:
        case T_EXP_DOWN:
            p.ffn.down = at;
            break;
        case T_ROUTER:
            p.router = at;
            break;
        case T_SH_GATE_UP:
            p.shared.gate_up = at;
            break;
        case T_SH_DOWN:
            p.shared.down = at;
            break;
        case T_EMBED:
        case T_NORM_OUT:
        case T_UNEMBED:
            break;
        }
    }
    ASSERT(qkv[0]->offset + qkv[0]->count == qkv[1]->offset);
    ASSERT(qkv[1]->offset + qkv[1]->count == qkv[2]->offset);
    return p;
}

static void bind_params(struct part *p)
{
    const struct model *m = p->m;
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        real *at = m->params + t->offset, *g = p->grads + t->offset;
        if (t->role == T_EMBED)
            p->embed = at, p->g_embed = g;
        else if (t->role == T_NORM_OUT)
            p->norm_out = at, p->g_norm_out = g;
        else if (t->role == T_UNEMBED)
            p->unembed = at, p->g_unembed = g;
    }
    if (m->opt.tied)
        p->unembed = p->embed, p->g_unembed = p->g_embed;
    for (int l = 0; l < m->L; l++) {
        p->layers[l].p = params_of_layer(m, m->params, l);
        p->layers[l].g = params_of_layer(m, p->grads, l);
    }
}

static void poison_acts(void *ctx, int i)
{
    const struct part *p = &((struct model *)ctx)->parts[i];
    p->m->ops->poison(p->acts, p->acts_bytes);
}

static void use_one_thread(void *ctx, int i)
{
    (void)ctx;
    (void)i;
    gemm_one_thread();
}

// Everything but the arenas, and the arenas' sizes.
static enum err create_part(struct part *p)
{
    const struct model *m = p->m;
    const struct arch *a = &m->arch;
    p->T = a->S * ((m->T / a->S + m->n_parts - 1) / m->n_parts);
    p->chunk = a->S * max64(1, CHUNK_ROWS / a->S);
    p->chunk = p->chunk < p->T && !m->ops->device ? p->chunk : p->T;
    p->layers = calloc((size_t)m->L, sizeof *p->layers);
    ENSURE(p->layers != NULL, ERR_FAILED, "out of memory for %" PRId64 " layers", m->L);
    for (int64_t l = 0; l < m->L; l++)
        p->layers[l].moe = l >= a->L_d;
    lay_out(p);
    return OK;
}

// The host's copies of parameters and moments, where the backend keeps its own.
static enum err allocate_host_state(struct model *m)
{
    size_t bytes = 3 * (size_t)m->stride * sizeof(real);
    if (!m->ops->device)
        return OK;
    m->host_state = calloc(1, bytes);
    ENSURE(m->host_state != NULL, ERR_FAILED,
           "out of memory: the host's copy of parameters and moments needs %zu bytes", bytes);
    return OK;
}

static enum err allocate_arenas(struct model *m)
{
    const struct ops *ops = m->ops;
    size_t arena = ((size_t)m->N * sizeof(real) + ops->align - 1) / ops->align * ops->align,
           acts = 0;
    size_t all = (size_t)(3 + m->n_parts) * arena;
    m->stride = (int64_t)(arena / sizeof(real));
    m->params = ops->alloc(all);
    bool got = m->params != NULL;
    for (int i = 0; i < m->n_parts; i++) {
        struct part *p = &m->parts[i];
        acts += p->acts_bytes;
        p->acts = got ? ops->alloc(p->acts_bytes) : NULL;
        p->host = calloc(1, p->host_bytes);
        got = p->acts != NULL && p->host != NULL;
    }
    ENSURE(got, ERR_FAILED,
           "out of memory: the model needs %zu bytes for %" PRId64
           " parameters with gradients and moments and %zu bytes for activations",
           all, m->N, acts);
    m->m1 = m->params + m->stride;
    m->m2 = m->m1 + m->stride;
    m->grads = m->m2 + m->stride;
    ops->poison(m->params, arena);
    ops->poison(m->grads, (size_t)m->n_parts * arena);
    for (int i = 0; i < m->n_parts; i++) {
        struct part *p = &m->parts[i];
        p->grads = m->grads + i * m->stride;
        lay_out(p);
        bind_params(p);
    }
    return allocate_host_state(m);
}

// Every part's: from the host, where it is made once.
static enum err make_rope_tables(struct model *m)
{
    int64_t n = m->arch.S * m->arch.d_qkv;
    real *table = malloc((size_t)n * sizeof *table);
    ENSURE(table != NULL, ERR_FAILED, "out of memory for %" PRId64 " rotary angles", n);
    rope_table(table, m->arch.S, m->arch.d_qkv, m->opt.rope_base);
    for (int i = 0; i < m->n_parts; i++)
        m->ops->upload(m->parts[i].rope, table, (size_t)n * sizeof *table);
    free(table);
    return OK;
}

static enum err allocate(struct model *m, int threads)
{
    const struct arch *a = &m->arch;
    size_t moe = (size_t)(a->L_m * a->N_e + 1);
    m->n_parts = m->T / a->S < threads ? (int)(m->T / a->S) : threads;
    if (m->ops->device)
        m->n_parts = 1;
    m->parts = calloc((size_t)m->n_parts, sizeof *m->parts);
    m->loads = calloc(moe, sizeof *m->loads);
    m->bias = m->opt.router == ROUTER_SIGMOID_BIAS ? calloc(moe, sizeof *m->bias) : NULL;
    ENSURE(m->parts != NULL && m->loads != NULL &&
               (m->bias != NULL || m->opt.router != ROUTER_SIGMOID_BIAS),
           ERR_FAILED, "out of memory for the routing");
    for (int i = 0; i < m->n_parts; i++) {
        m->parts[i].m = m;
        TRY(create_part(&m->parts[i]));
    }
    const struct ops_sizes n = sizes_of(&m->parts[0]);
    TRY(m->ops->reserve(&n));
    TRY(allocate_arenas(m));
    TRY(pool_create(m->n_parts, &m->pool));
    pool_run(m->pool, m->n_parts, use_one_thread, NULL);
    pool_run(m->pool, m->n_parts, poison_acts, m); // near the core that will use them
    return make_rope_tables(m);
}

// Roughly what lay_out will count, in floating point: nothing there overflows once this is
// sane.
static double bytes_estimate(const struct arch *a, int64_t micro_tokens)
{
    double d = (double)a->d, K = (double)a->K, F = (double)a->d_m,
           heads = (double)(a->N_q + 2 * a->N_kv);
    double width = 8 * d + 3 * heads * (double)a->d_qkv + 2 * (double)a->d_d + 2 * K * (d + F) +
                   2 * (double)a->n_shared * F + 2 * (double)a->N_e + (double)a->V;
    return (double)micro_tokens * (double)(a->L_d + a->L_m) * width * sizeof(real);
}

enum err model_create(const struct arch *a, const struct job_model *opt, const struct ops *ops,
                      enum gemm_kind gemm, int64_t micro_tokens, int threads,
                      struct model **out)
{
    *out = NULL;
    TRY(arch_check(a));
    ENSURE(a->V > 0, ERR_INPUT, "V: expected at least one symbol, found %" PRId64, a->V);
    ENSURE(micro_tokens > 0 && micro_tokens % a->S == 0, ERR_INPUT,
           "micro_tokens: expected a multiple of S = %" PRId64 ", found %" PRId64, a->S,
           micro_tokens);
    ENSURE(threads >= 1, ERR_INPUT, "threads: expected at least 1, found %d", threads);
    ENSURE(micro_tokens <= INT32_MAX / max64(a->K, 1), ERR_INPUT,
           "micro_tokens: %" PRId64 " tokens of %" PRId64 " experts each exceed 2^31",
           micro_tokens, a->K);
    ENSURE(bytes_estimate(a, micro_tokens) < 0x1p53, ERR_INPUT,
           "the activations of %" PRId64 " tokens would take more than 2^53 bytes",
           micro_tokens);
    struct model *m = calloc(1, sizeof *m);
    ENSURE(m != NULL, ERR_FAILED, "out of memory");
    *m = (struct model){.arch = *a,
                        .opt = *opt,
                        .ops = ops,
                        .gemm = gemm,
                        .T = micro_tokens,
                        .L = a->L_d + a->L_m};
    m->N = tensor_table(a, opt, &m->tensors, &m->n_tensors);
    enum err e = m->N < 0 ? err_set(ERR_FAILED, "out of memory") : allocate(m, threads);
    if (e != OK) {
        model_free(m);
        return e;
    }
    *out = m;
    return OK;
}

void model_free(struct model *m)
{
    if (m == NULL)
        return;
    pool_free(m->pool);
    for (int i = 0; i < m->n_parts && m->parts != NULL; i++) {
        free(m->parts[i].layers);
        m->ops->release(m->parts[i].acts);
        free(m->parts[i].host);
    }
    free(m->parts);
    free(m->loads);
    free(m->tensors);
    m->ops->release(m->params);
    m->ops->release(m->muon);
    free(m->host_state);
    free(m->bias);
    free(m);
}

struct fresh {
    struct model *m;
    uint64_t seed;
};

// What every tensor has in one slice: gains 1, matrices normal.
static void init_slice(void *ctx, int slice)
{
    const struct fresh *f = ctx;
    struct model *m = f->m;
    int64_t from = model_slice(m, slice), to = model_slice(m, slice + 1);
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        int64_t first = max64(from - t->offset, 0), end = to - t->offset;
        real *p = model_params(m) + t->offset;
        struct rng r;
        end = end < t->count ? end : t->count;
        rng_seed(&r, f->seed, (uint64_t)i);
        if (t->init_sd > 0 && first < end)
            normal_fill(p + first, first, end - first, t->init_sd, rng_u64(&r));
        for (int64_t j = first; j < end && t->init_sd <= 0; j++)
            p[j] = 1;
    }
}

void model_init(struct model *m, uint64_t seed)
{
    struct fresh f = {m, seed};
    pool_run(m->pool, m->n_parts, init_slice, &f);
    model_store(m);
}

void model_clear(struct model *m)
{
    size_t arena = (size_t)m->N * sizeof(real);
    memset(model_moment1(m), 0, arena);
    memset(model_moment2(m), 0, arena);
    if (m->bias != NULL)
        memset(m->bias, 0, (size_t)(m->arch.L_m * m->arch.N_e) * sizeof *m->bias);
}

// Near the core that will use it.
static void poison_muon(void *ctx, int i)
{
    struct model *m = ctx;
    m->ops->poison(m->muon + i * m->muon_stride, (size_t)m->muon_stride * sizeof *m->muon);
}

enum err model_reserve(struct model *m, enum job_optimizer optimizer)
{
    const int64_t line = (int64_t)(m->ops->align / sizeof(real));
    int64_t most = 0, rows, cols;
    for (int i = 0; i < m->n_tensors && optimizer == OPTIMIZER_MUON; i++) {
        int64_t n = tensor_hidden(&m->tensors[i], &rows, &cols);
        if (n > 0)
            most = max64(most, m->ops->muon_scratch(m->n_parts == 1 ? n : 1, rows, cols));
    }
    if (most == 0 || m->muon != NULL)
        return OK;
    m->muon_stride = (most + line - 1) / line * line;
    size_t bytes = (size_t)(m->n_parts * m->muon_stride) * sizeof(real);
    m->muon = m->ops->alloc(bytes);
    ENSURE(m->muon != NULL, ERR_FAILED,
           "out of memory: Muon needs %zu bytes for one matrix a thread", bytes);
    pool_run(m->pool, m->n_parts, poison_muon, m);
    return OK;
}

int64_t model_n_params(const struct model *m)
{
    return m->N;
}

const struct tensor *model_tensors(const struct model *m, int *n)
{
    *n = m->n_tensors;
    return m->tensors;
}

real *model_params(struct model *m)
{
    return m->host_state != NULL ? m->host_state : m->params;
}

real *model_grads(struct model *m)
{
    return m->grads;
}

real *model_moment1(struct model *m)
{
    return model_params(m) + m->stride;
}

real *model_moment2(struct model *m)
{
    return model_params(m) + 2 * m->stride;
}

void model_fetch(struct model *m)
{
    if (m->host_state != NULL)
        m->ops->download(m->host_state, m->params, 3 * (size_t)m->stride * sizeof(real));
}

void model_store(struct model *m)
{
    if (m->host_state != NULL)
        m->ops->upload(m->params, m->host_state, 3 * (size_t)m->stride * sizeof(real));
    m->ops->weights_changed(m->params, m->N);
}

real *model_router_bias(struct model *m, int64_t *n)
{
    *n = m->bias != NULL ? m->arch.L_m * m->arch.N_e : 0;
    return m->bias;
}
