// SPDX-License-Identifier: Apache-2.0
#include "worker/model_impl.h"
#include "core/rng.h"
#include "kernels/attention.h"
#include "kernels/ffn.h"
#include "kernels/gemm.h"
#include "kernels/muon.h"
#include "kernels/rope.h"
#include "kernels/unembed.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGN 64       // a cache line, and the widest vector
#define CHUNK_ROWS 256 // at d = 256 a chunk of queries, keys, values takes 768 KiB

// The activation arena is laid out by one function that runs twice: once to count (base NULL),
// once to hand out.
struct cursor {
    char *base;
    size_t used;
};

static void *take(struct cursor *c, int64_t count, size_t size)
{
    void *p = c->base != NULL ? c->base + c->used : NULL;
    c->used += ((size_t)count * size + ALIGN - 1) / ALIGN * ALIGN;
    return p;
}

static real *reals(struct cursor *c, int64_t count)
{
    return take(c, count, sizeof(real));
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void lay_out_layer(const struct part *p, struct layer *l, struct cursor *c)
{
    const struct arch *a = &p->m->arch;
    int64_t T = p->T, q = a->N_q * a->d_qkv, kv = a->N_kv * a->d_qkv;
    struct layer_acts *x = &l->a;
    x->x = reals(c, T * a->d);
    x->r1 = reals(c, T);
    x->qkv = reals(c, T * (q + 2 * kv));
    x->o = reals(c, T * q);
    x->lse = reals(c, T * a->N_q);
    x->x2 = reals(c, T * a->d);
    x->norm2 = reals(c, T * a->d);
    x->r2 = reals(c, T);
    if (!l->moe) {
        x->gate_up = reals(c, T * 2 * a->d_d);
        return;
    }
    x->gate_up = reals(c, T * a->K * 2 * a->d_m);
    x->sh_gate_up = reals(c, T * 2 * a->n_shared * a->d_m);
    x->p = reals(c, T * a->N_e);
    x->w = reals(c, T * a->K);
    x->total = reals(c, T);
    x->w_slot = reals(c, T * a->K);
    x->choice = take(c, T * a->K, sizeof *x->choice);
    x->slot = take(c, T * a->K, sizeof *x->slot);
    x->token = take(c, T * a->K, sizeof *x->token);
    x->offset = take(c, a->N_e + 1, sizeof *x->offset);
}

static size_t lay_out(struct part *p, char *base)
{
    const struct arch *a = &p->m->arch;
    struct cursor c = {base, 0};
    int64_t T = p->T, q = a->N_q * a->d_qkv, kv = a->N_kv * a->d_qkv;
    int64_t widest =
        max64(a->L_d > 0 ? a->d_d : 0, a->L_m > 0 ? max64(a->d_m, a->n_shared * a->d_m) : 0);
    for (int64_t l = 0; l < p->m->L; l++)
        lay_out_layer(p, &p->layers[l], &c);
    p->x_out = reals(&c, T * a->d);
    p->norm_out_y = reals(&c, T * a->d);
    p->r_out = reals(&c, T);
    p->d_norm_out = reals(&c, T * a->d);
    p->rope = reals(&c, a->S * a->d_qkv);
    p->dx = reals(&c, T * a->d);
    p->dy = reals(&c, T * a->d);
    p->norm1 = reals(&c, p->chunk * a->d);
    p->d_norm1 = reals(&c, p->chunk * a->d);
    p->d_qkv = reals(&c, p->chunk * (q + 2 * kv));
    p->d_o = reals(&c, p->chunk * q);
    if (p->m->opt.qk_norm) {
        p->qk = reals(&c, p->chunk * (q + 2 * kv));
        p->r_qk = reals(&c, p->chunk * (a->N_q + a->N_kv));
    }
    p->dp = reals(&c, a->N_e);
    p->mean_p = reals(&c, a->N_e);
    p->logits = reals(&c, T * a->N_e);
    p->dw = reals(&c, T * a->K);
    p->dw_slot = reals(&c, T * a->K);
    p->scratch =
        reals(&c, max64(ffn_scratch(a->d, widest),
                        max64(attention_scratch(a->S, a->d_qkv), unembed_scratch(a->V))));
    return c.used;
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

// Debug builds start from NaN, so that reading what was never written shows.
static void poison(void *p, size_t bytes)
{
#ifdef NDEBUG
    memset(p, 0, bytes);
#else
    memset(p, 0xff, bytes); // all ones is a NaN in float and in double
#endif
}

// Large arenas ask for huge pages (where the system has them on request): streaming through
// activations costs a tenth less when the processor's prefetching is not stopped at every 4
// KiB.
static void *arena_alloc(size_t bytes)
{
    const size_t huge = (size_t)1 << 21;
    size_t align = bytes >= huge ? huge : ALIGN;
    void *p = aligned_alloc(align, (bytes + align - 1) / align * align);
#ifdef MADV_HUGEPAGE
    if (p != NULL && align == huge)
        madvise(p, bytes, MADV_HUGEPAGE); // a hint: failing changes nothing
#endif
    return p;
}

static void poison_acts(void *ctx, int i)
{
    const struct part *p = &((struct model *)ctx)->parts[i];
    poison(p->acts, p->acts_bytes);
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
    p->chunk = p->chunk < p->T ? p->chunk : p->T;
    p->layers = calloc((size_t)m->L, sizeof *p->layers);
    ENSURE(p->layers != NULL, ERR_FAILED, "out of memory for %" PRId64 " layers", m->L);
    for (int64_t l = 0; l < m->L; l++)
        p->layers[l].moe = l >= a->L_d;
    p->acts_bytes = lay_out(p, NULL);
    return OK;
}

static enum err allocate_arenas(struct model *m)
{
    size_t arena = ((size_t)m->N * sizeof(real) + ALIGN - 1) / ALIGN * ALIGN, acts = 0;
    size_t all = (size_t)(3 + m->n_parts) * arena, stride = arena / sizeof(real);
    m->params = arena_alloc(all);
    bool got = m->params != NULL;
    for (int i = 0; i < m->n_parts; i++) {
        struct part *p = &m->parts[i];
        acts += p->acts_bytes;
        p->acts = got ? arena_alloc(p->acts_bytes) : NULL;
        got = p->acts != NULL;
    }
    ENSURE(got, ERR_FAILED,
           "out of memory: the model needs %zu bytes for %" PRId64
           " parameters with gradients and moments and %zu bytes for activations",
           all, m->N, acts);
    m->m1 = m->params + stride;
    m->m2 = m->m1 + stride;
    m->grads = m->m2 + stride;
    memset(m->m1, 0, 2 * arena);
    poison(m->params, arena);
    poison(m->grads, (size_t)m->n_parts * arena);
    for (int i = 0; i < m->n_parts; i++) {
        struct part *p = &m->parts[i];
        p->grads = m->grads + (size_t)i * stride;
        lay_out(p, p->acts);
        bind_params(p);
    }
    return OK;
}

static enum err allocate(struct model *m, int threads)
{
    const struct arch *a = &m->arch;
    size_t moe = (size_t)(a->L_m * a->N_e + 1);
    m->n_parts = m->T / a->S < threads ? (int)(m->T / a->S) : threads;
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
    TRY(allocate_arenas(m));
    TRY(pool_create(m->n_parts, &m->pool));
    pool_run(m->pool, m->n_parts, use_one_thread, NULL);
    pool_run(m->pool, m->n_parts, poison_acts, m); // near the core that will use them
    for (int i = 0; i < m->n_parts; i++)
        rope_table(m->parts[i].rope, a->S, a->d_qkv, m->opt.rope_base);
    return OK;
}

// Roughly what lay_out will count, in floating point: nothing there overflows once this is
// sane.
static double bytes_estimate(const struct arch *a, int64_t batch_tokens)
{
    double d = (double)a->d, K = (double)a->K, F = (double)a->d_m,
           heads = (double)(a->N_q + 2 * a->N_kv);
    double width = 8 * d + 3 * heads * (double)a->d_qkv + 2 * (double)a->d_d + 2 * K * (d + F) +
                   2 * (double)a->n_shared * F + 2 * (double)a->N_e + (double)a->V;
    return (double)batch_tokens * (double)(a->L_d + a->L_m) * width * sizeof(real);
}

enum err model_create(const struct arch *a, const struct job_model *opt, enum gemm_kind gemm,
                      int64_t batch_tokens, int threads, struct model **out)
{
    *out = NULL;
    TRY(arch_check(a));
    ENSURE(a->V > 0, ERR_INPUT, "V: expected at least one symbol, found %" PRId64, a->V);
    ENSURE(batch_tokens > 0 && batch_tokens % a->S == 0, ERR_INPUT,
           "batch_tokens: expected a multiple of S = %" PRId64 ", found %" PRId64, a->S,
           batch_tokens);
    ENSURE(threads >= 1, ERR_INPUT, "threads: expected at least 1, found %d", threads);
    ENSURE(batch_tokens <= INT32_MAX / max64(a->K, 1), ERR_INPUT,
           "batch_tokens: %" PRId64 " tokens of %" PRId64 " experts each exceed 2^31",
           batch_tokens, a->K);
    ENSURE(bytes_estimate(a, batch_tokens) < 0x1p53, ERR_INPUT,
           "the activations of %" PRId64 " tokens would take more than 2^53 bytes",
           batch_tokens);
    struct model *m = calloc(1, sizeof *m);
    ENSURE(m != NULL, ERR_FAILED, "out of memory");
    *m = (struct model){
        .arch = *a, .opt = *opt, .gemm = gemm, .T = batch_tokens, .L = a->L_d + a->L_m};
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
        free(m->parts[i].acts);
    }
    free(m->parts);
    free(m->loads);
    free(m->tensors);
    free(m->params);
    free(m->bias);
    free(m->muon);
    free(m);
}

void model_init(struct model *m, uint64_t seed)
{
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        real *p = m->params + t->offset;
        struct rng r;
        rng_seed(&r, seed, (uint64_t)i);
        for (int64_t j = 0; j < t->count; j++)
            p[j] = t->init_sd > 0 ? (real)(t->init_sd * rng_normal(&r)) : 1;
    }
    memset(m->m1, 0, (size_t)m->N * sizeof *m->m1);
    memset(m->m2, 0, (size_t)m->N * sizeof *m->m2);
    if (m->bias != NULL)
        memset(m->bias, 0, (size_t)(m->arch.L_m * m->arch.N_e) * sizeof *m->bias);
}

// Near the core that will use it.
static void poison_muon(void *ctx, int i)
{
    struct model *m = ctx;
    poison(m->muon + i * m->muon_stride, (size_t)m->muon_stride * sizeof *m->muon);
}

enum err model_reserve(struct model *m, enum job_optimizer optimizer)
{
    const int64_t line = ALIGN / sizeof(real);
    int64_t most = 0, rows, cols;
    for (int i = 0; i < m->n_tensors && optimizer == OPTIMIZER_MUON; i++)
        if (tensor_hidden(&m->tensors[i], &rows, &cols) > 0)
            most = max64(most, muon_scratch(rows, cols));
    if (most == 0 || m->muon != NULL)
        return OK;
    m->muon_stride = (most + line - 1) / line * line;
    size_t bytes = (size_t)(m->n_parts * m->muon_stride) * sizeof(real);
    m->muon = arena_alloc(bytes);
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
    return m->params;
}

real *model_grads(struct model *m)
{
    return m->grads;
}

real *model_moment1(struct model *m)
{
    return m->m1;
}

real *model_moment2(struct model *m)
{
    return m->m2;
}

real *model_router_bias(struct model *m, int64_t *n)
{
    *n = m->bias != NULL ? m->arch.L_m * m->arch.N_e : 0;
    return m->bias;
}
