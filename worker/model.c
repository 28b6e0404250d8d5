// SPDX-License-Identifier: Apache-2.0
#include "worker/model_impl.h"
#include "core/rng.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/ffn.h"
#include "kernels/gemm.h"
#include "kernels/muon.h"
#include "kernels/rope.h"
#include "kernels/unembed.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGN 64       // a cache line, and the widest vector
#define CHUNK_ROWS 256 // at d = 256 a chunk of queries, keys, values takes 768 KiB
#define ADAM_EPS 1e-8

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

static void lay_out_layer(struct model *m, struct layer *l, struct cursor *c)
{
    const struct arch *a = &m->arch;
    int64_t T = m->T, q = a->N_q * a->d_qkv, kv = a->N_kv * a->d_qkv;
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

static size_t lay_out(struct model *m, char *base)
{
    const struct arch *a = &m->arch;
    struct cursor c = {base, 0};
    int64_t T = m->T, q = a->N_q * a->d_qkv, kv = a->N_kv * a->d_qkv;
    int64_t widest =
        max64(a->L_d > 0 ? a->d_d : 0, a->L_m > 0 ? max64(a->d_m, a->n_shared * a->d_m) : 0);
    for (int64_t l = 0; l < m->L; l++)
        lay_out_layer(m, &m->layers[l], &c);
    m->x_out = reals(&c, T * a->d);
    m->norm_out_y = reals(&c, T * a->d);
    m->r_out = reals(&c, T);
    m->d_norm_out = reals(&c, T * a->d);
    m->rope = reals(&c, a->S * a->d_qkv);
    m->dx = reals(&c, T * a->d);
    m->dy = reals(&c, T * a->d);
    m->norm1 = reals(&c, m->chunk * a->d);
    m->d_norm1 = reals(&c, m->chunk * a->d);
    m->d_qkv = reals(&c, m->chunk * (q + 2 * kv));
    m->d_o = reals(&c, m->chunk * q);
    if (m->opt.qk_norm) {
        m->qk = reals(&c, m->chunk * (q + 2 * kv));
        m->r_qk = reals(&c, m->chunk * (a->N_q + a->N_kv));
    }
    m->dp = reals(&c, a->N_e);
    m->mean_p = reals(&c, a->N_e);
    m->logits = reals(&c, T * a->N_e);
    m->dw = reals(&c, T * a->K);
    m->dw_slot = reals(&c, T * a->K);
    m->scratch =
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

static void bind_params(struct model *m)
{
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        real *p = m->params + t->offset, *g = m->grads + t->offset;
        if (t->role == T_EMBED)
            m->embed = p, m->g_embed = g;
        else if (t->role == T_NORM_OUT)
            m->norm_out = p, m->g_norm_out = g;
        else if (t->role == T_UNEMBED)
            m->unembed = p, m->g_unembed = g;
    }
    if (m->opt.tied)
        m->unembed = m->embed, m->g_unembed = m->g_embed;
    for (int l = 0; l < m->L; l++) {
        m->layers[l].moe = l >= m->arch.L_d;
        m->layers[l].p = params_of_layer(m, m->params, l);
        m->layers[l].g = params_of_layer(m, m->grads, l);
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

static enum err allocate(struct model *m)
{
    m->layers = calloc((size_t)m->L, sizeof *m->layers);
    ENSURE(m->layers != NULL, ERR_FAILED, "out of memory for %" PRId64 " layers", m->L);
    for (int64_t l = 0; l < m->L; l++)
        m->layers[l].moe = l >= m->arch.L_d;
    size_t arena = ((size_t)m->N * sizeof(real) + ALIGN - 1) / ALIGN * ALIGN;
    m->acts_bytes = lay_out(m, NULL);
    m->params = arena_alloc(4 * arena);
    m->acts = arena_alloc(m->acts_bytes);
    ENSURE(m->params != NULL && m->acts != NULL, ERR_FAILED,
           "out of memory: the model needs %zu bytes for %" PRId64
           " parameters with gradients and moments and %zu bytes for activations",
           4 * arena, m->N, m->acts_bytes);
    poison(m->params, 2 * arena);
    poison(m->acts, m->acts_bytes);
    m->grads = m->params + arena / sizeof(real);
    m->m1 = m->grads + arena / sizeof(real);
    m->m2 = m->m1 + arena / sizeof(real);
    memset(m->m1, 0, 2 * arena);
    lay_out(m, m->acts);
    if (m->opt.router == ROUTER_SIGMOID_BIAS) {
        m->bias = calloc((size_t)(m->arch.L_m * m->arch.N_e + 1), sizeof *m->bias);
        ENSURE(m->bias != NULL, ERR_FAILED, "out of memory for the routing biases");
    }
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
                      int64_t batch_tokens, struct model **out)
{
    *out = NULL;
    TRY(arch_check(a));
    ENSURE(a->V > 0, ERR_INPUT, "V: expected at least one symbol, found %" PRId64, a->V);
    ENSURE(batch_tokens > 0 && batch_tokens % a->S == 0, ERR_INPUT,
           "batch_tokens: expected a multiple of S = %" PRId64 ", found %" PRId64, a->S,
           batch_tokens);
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
    m->chunk = a->S * max64(1, CHUNK_ROWS / a->S);
    m->chunk = m->chunk < batch_tokens ? m->chunk : batch_tokens;
    m->N = tensor_table(a, opt, &m->tensors, &m->n_tensors);
    enum err e = m->N < 0 ? err_set(ERR_FAILED, "out of memory") : allocate(m);
    if (e != OK) {
        model_free(m);
        return e;
    }
    bind_params(m);
    gemm_one_thread();
    rope_table(m->rope, a->S, a->d_qkv, opt->rope_base);
    *out = m;
    return OK;
}

void model_free(struct model *m)
{
    if (m == NULL)
        return;
    free(m->tensors);
    free(m->layers);
    free(m->params);
    free(m->acts);
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

double model_clip(struct model *m, double clip)
{
    double norm = sqrt(grad_square(m->grads, m->N));
    if (clip > 0 && norm > clip)
        grad_scale(m->grads, m->N, clip / norm);
    return norm;
}

enum err model_reserve(struct model *m, enum job_optimizer optimizer)
{
    int64_t most = 0, rows, cols;
    for (int i = 0; i < m->n_tensors && optimizer == OPTIMIZER_MUON; i++)
        if (tensor_hidden(&m->tensors[i], &rows, &cols) > 0)
            most = max64(most, muon_scratch(rows, cols));
    if (most == 0 || m->muon != NULL)
        return OK;
    m->muon = arena_alloc((size_t)most * sizeof(real));
    ENSURE(m->muon != NULL, ERR_FAILED, "out of memory: Muon needs %zu bytes for one matrix",
           (size_t)most * sizeof(real));
    poison(m->muon, (size_t)most * sizeof(real));
    return OK;
}

// The matrices of one tensor, one after the other.
static void muon_tensor(struct model *m, const struct tensor *t, double lr, double wd)
{
    int64_t rows, cols, n = tensor_hidden(t, &rows, &cols);
    struct muon o = {lr, t->decay ? wd : 0};
    for (int64_t i = 0; i < n; i++) {
        int64_t at = t->offset + i * rows * cols;
        muon_update(m->params + at, m->m1 + at, m->grads + at, rows, cols, &o, m->muon);
    }
}

static bool by_muon(const struct tensor *t, enum job_optimizer optimizer)
{
    int64_t rows, cols;
    return optimizer == OPTIMIZER_MUON && tensor_hidden(t, &rows, &cols) > 0;
}

void model_step(struct model *m, const struct job_train *o, double lr, int64_t step)
{
    for (int i = 0, j; i < m->n_tensors; i = j) {
        const struct tensor *t = &m->tensors[i];
        int64_t n = 0;
        j = i + 1;
        if (by_muon(t, o->optimizer)) {
            muon_tensor(m, t, lr, o->wd);
            continue;
        }
        // Neighbours of the same kind are one call.
        for (j = i; j < m->n_tensors && m->tensors[j].decay == t->decay &&
                    !by_muon(&m->tensors[j], o->optimizer);
             j++)
            n += m->tensors[j].count;
        struct adamw a = {lr, o->beta1, o->beta2, ADAM_EPS, t->decay ? o->wd : 0, step};
        adamw_update(m->params + t->offset, m->m1 + t->offset, m->m2 + t->offset,
                     m->grads + t->offset, n, &a);
    }
}

static int64_t load(const struct layer *l, int64_t e)
{
    return l->a.offset[e + 1] - l->a.offset[e];
}

void model_balance_bias(struct model *m, double rate)
{
    const struct arch *a = &m->arch;
    if (m->bias == NULL || m->n == 0)
        return;
    for (int64_t i = 0; i < a->L_m; i++)
        for (int64_t e = 0; e < a->N_e; e++) {
            int64_t excess = load(&m->layers[a->L_d + i], e) * a->N_e - m->n * a->K;
            m->bias[i * a->N_e + e] -= (real)(rate * (double)((excess > 0) - (excess < 0)));
        }
}

double model_balance(const struct model *m)
{
    const struct arch *a = &m->arch;
    int64_t most = 0;
    if (a->L_m == 0 || m->n == 0)
        return 1;
    for (int64_t i = a->L_d; i < m->L; i++)
        for (int64_t e = 0; e < a->N_e; e++)
            most = max64(most, load(&m->layers[i], e));
    return (double)(most * a->N_e) / (double)(m->n * a->K);
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
