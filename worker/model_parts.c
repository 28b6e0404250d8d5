// SPDX-License-Identifier: Apache-2.0
// What all parts of a batch make together: the passes, the sum of their gradients, the balance
// of the experts.
#include "worker/model_impl.h"
#include <string.h>

#define BLOCK 2048 // gradients that are summed at a time: 8 KiB stay in the first-level cache

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// --- Passes ---------------------------------------------------------------------------------

struct pass {
    struct model *m;
    bool train;
    double aux;
};

static void forward_part(void *ctx, int i)
{
    const struct pass *pass = ctx;
    part_forward(&pass->m->parts[i], pass->train);
}

static void backward_part(void *ctx, int i)
{
    const struct pass *pass = ctx;
    part_backward(&pass->m->parts[i], pass->aux);
}

static void send_tokens(struct part *p)
{
    int32_t *to = p->device_tokens;
    size_t bytes = (size_t)p->n * sizeof *to;
    p->m->ops->upload(to, p->tokens, bytes);
    p->m->ops->upload(to + p->T, p->targets, bytes);
    p->tokens = to;
    p->targets = to + p->T;
}

// A batch of fewer sequences than parts leaves the last parts idle.
static void split(struct model *m, const int32_t *tokens, const int32_t *targets, int64_t n)
{
    int64_t S = m->arch.S, sequences = n / S;
    m->n = n;
    m->n_active = (int)min64(m->n_parts, sequences);
    for (int i = 0; i < m->n_active; i++) {
        int64_t from = sequences * i / m->n_active * S,
                to = sequences * (i + 1) / m->n_active * S;
        struct part *p = &m->parts[i];
        p->n = to - from;
        p->tokens = tokens + from;
        p->targets = targets + from;
        if (m->ops->device)
            send_tokens(p);
    }
}

static void sum_loads(struct model *m)
{
    const struct arch *a = &m->arch;
    memset(m->loads, 0, (size_t)(a->L_m * a->N_e) * sizeof *m->loads);
    for (int i = 0; i < m->n_active; i++)
        for (int64_t l = 0; l < a->L_m; l++) {
            const int64_t *offset = m->parts[i].layers[a->L_d + l].a.offset;
            for (int64_t e = 0; e < a->N_e; e++)
                m->loads[l * a->N_e + e] += offset[e + 1] - offset[e];
        }
}

void model_pass(struct model *m, const int32_t *tokens, const int32_t *targets, int64_t n,
                bool train)
{
    ASSERT(n > 0 && n % m->arch.S == 0 && n <= m->T);
    struct pass pass = {.m = m, .train = train};
    split(m, tokens, targets, n);
    pool_run(m->pool, m->n_active, forward_part, &pass);
    sum_loads(m);
}

double model_loss(struct model *m)
{
    double loss = 0, part;
    for (int i = 0; i < m->n_active; i++) {
        m->ops->download(&part, m->parts[i].loss, sizeof part);
        loss += part;
    }
    return loss;
}

double model_forward(struct model *m, const int32_t *tokens, const int32_t *targets, int64_t n,
                     bool train)
{
    model_pass(m, tokens, targets, n, train);
    return model_loss(m);
}

// grads = part 0's + part 1's + .. of one slice.
static void sum_slice(void *ctx, int slice)
{
    struct model *m = ctx;
    int64_t end = model_slice(m, slice + 1);
    for (int64_t at = model_slice(m, slice); at < end; at += BLOCK) {
        int64_t n = min64(BLOCK, end - at);
        real *restrict to = m->grads + at;
        for (int i = 1; i < m->n_active; i++) {
            const real *restrict from = m->parts[i].grads + at;
            for (int64_t j = 0; j < n; j++)
                to[j] += from[j];
        }
    }
}

void model_backward(struct model *m, double aux)
{
    struct pass pass = {.m = m, .aux = aux};
    pool_run(m->pool, m->n_active, backward_part, &pass);
    if (m->n_active > 1)
        pool_run(m->pool, m->n_parts, sum_slice, m);
}

// --- Balance --------------------------------------------------------------------------------

void model_balance_bias(struct model *m, double rate)
{
    const struct arch *a = &m->arch;
    if (m->bias == NULL || m->n == 0)
        return;
    for (int64_t i = 0; i < a->L_m * a->N_e; i++) {
        int64_t excess = m->loads[i] * a->N_e - m->n * a->K;
        m->bias[i] -= (real)(rate * (double)((excess > 0) - (excess < 0)));
    }
}

double model_balance(const struct model *m)
{
    const struct arch *a = &m->arch;
    int64_t most = 0;
    if (a->L_m == 0 || m->n == 0)
        return 1;
    for (int64_t i = 0; i < a->L_m * a->N_e; i++)
        most = max64(most, m->loads[i]);
    return (double)(most * a->N_e) / (double)(m->n * a->K);
}

double model_aux_loss(const struct model *m)
{
    const struct arch *a = &m->arch;
    double loss = 0;
    if (m->n == 0)
        return 0;
    for (int i = 0; i < m->n_active; i++) {
        const struct part *p = &m->parts[i];
        double share = (double)p->n / (double)m->n;
        for (int64_t l = 0; l < a->L_m; l++) {
            m->ops->router_mean(p->mean_p, p->layers[a->L_d + l].a.p, p->n, a->N_e);
            for (int64_t e = 0; e < a->N_e; e++)
                loss +=
                    (double)(a->N_e * m->loads[l * a->N_e + e]) * (double)p->mean_p[e] * share;
        }
    }
    return loss / (double)(m->n * a->K);
}
