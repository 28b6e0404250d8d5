// SPDX-License-Identifier: Apache-2.0
// What all parts and micro-batches of a batch make together: the passes, the sum of their
// gradients, the balance of the experts.
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
    const int32_t *tokens, *targets; // the batch
    int64_t micro;                   // its micro-batches
    bool train;
    double aux;
};

static void route_part(void *ctx, int i)
{
    const struct pass *pass = ctx;
    part_route(&pass->m->parts[i]);
}

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

static struct pass begin(struct model *m, const int32_t *tokens, const int32_t *targets,
                         int64_t n)
{
    ASSERT(n > 0 && n % m->arch.S == 0);
    m->n = n;
    memset(m->loads, 0, (size_t)(m->arch.L_m * m->arch.N_e) * sizeof *m->loads);
    return (struct pass){
        .m = m, .tokens = tokens, .targets = targets, .micro = (n + m->T - 1) / m->T};
}

// Gives micro-batch k to the parts; how many have rows. Micro-batches are as nearly alike as
// whole sequences allow, the first ones the largest, so that a part that has rows of one had
// rows of the first. One of fewer sequences than parts leaves the last parts idle.
static int split(const struct pass *pass, int64_t k)
{
    struct model *m = pass->m;
    int64_t S = m->arch.S, whole = m->n / S, each = whole / pass->micro,
            more = whole % pass->micro, first = each * k + min64(k, more),
            sequences = each + (k < more);
    int active = (int)min64(m->n_parts, sequences);
    if (k == 0)
        m->n_active = active;
    for (int i = 0; i < active; i++) {
        int64_t from = sequences * i / active * S, to = sequences * (i + 1) / active * S;
        struct part *p = &m->parts[i];
        p->n = to - from;
        p->tokens = pass->tokens + first * S + from;
        p->targets = pass->targets + first * S + from;
        p->add = k > 0;
        if (m->ops->device)
            send_tokens(p);
    }
    return active;
}

static void add_loads(struct model *m, int active)
{
    const struct arch *a = &m->arch;
    for (int i = 0; i < active; i++)
        for (int64_t l = 0; l < a->L_m; l++) {
            const int64_t *offset = m->parts[i].layers[a->L_d + l].a.offset;
            for (int64_t e = 0; e < a->N_e; e++)
                m->loads[l * a->N_e + e] += offset[e + 1] - offset[e];
        }
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

double model_forward(struct model *m, const int32_t *tokens, const int32_t *targets, int64_t n)
{
    struct pass pass = begin(m, tokens, targets, n);
    for (int64_t k = 0; k < pass.micro; k++) {
        int active = split(&pass, k);
        pool_run(m->pool, active, forward_part, &pass);
        add_loads(m, active);
    }
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

// The balancing loss wants the whole batch's loads in the first backward pass: those of several
// micro-batches are counted in a pass of their own.
void model_gradients(struct model *m, const int32_t *tokens, const int32_t *targets, int64_t n,
                     double aux)
{
    struct pass pass = begin(m, tokens, targets, n);
    bool ahead = pass.micro > 1 && aux > 0 && m->arch.L_m > 0;
    pass.train = true;
    pass.aux = aux;
    for (int64_t k = 0; k < pass.micro && ahead; k++) {
        int active = split(&pass, k);
        pool_run(m->pool, active, route_part, &pass);
        add_loads(m, active);
    }
    for (int64_t k = 0; k < pass.micro; k++) {
        int active = split(&pass, k);
        pool_run(m->pool, active, forward_part, &pass);
        if (!ahead)
            add_loads(m, active);
        pool_run(m->pool, active, backward_part, &pass);
    }
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
    ASSERT(m->n <= m->T);
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
