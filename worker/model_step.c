// SPDX-License-Identifier: Apache-2.0
// What is done to the whole gradient: its norm, and the optimizers' steps. Each thread takes a
// slice of the parameters, or every so manieth matrix; who takes what depends on the number of
// threads alone, and only the norm's sum is added in another order for it.
#include "worker/model_impl.h"
#include <math.h>

#define SLICE 16 // slices start at a multiple: no cache line is shared, vectors are whole
#define ADAM_EPS 1e-8

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t model_slice(const struct model *m, int i)
{
    int64_t blocks = (m->N + SLICE - 1) / SLICE;
    return min64(m->N, blocks * i / m->n_parts * SLICE);
}

// --- Clipping -------------------------------------------------------------------------------

static void square_slice(void *ctx, int i)
{
    struct model *m = ctx;
    int64_t at = model_slice(m, i);
    m->parts[i].square = m->ops->grad_square(m->grads + at, model_slice(m, i + 1) - at);
}

struct scaling {
    struct model *m;
    double by;
};

static void scale_slice(void *ctx, int i)
{
    const struct scaling *s = ctx;
    int64_t at = model_slice(s->m, i);
    s->m->ops->grad_scale(s->m->grads + at, model_slice(s->m, i + 1) - at, s->by);
}

double model_clip(struct model *m, double clip)
{
    double sum = 0;
    pool_run(m->pool, m->n_parts, square_slice, m);
    for (int i = 0; i < m->n_parts; i++)
        sum += m->parts[i].square;
    double norm = sqrt(sum);
    struct scaling s = {m, clip / norm};
    if (clip > 0 && norm > clip)
        pool_run(m->pool, m->n_parts, scale_slice, &s);
    return norm;
}

// --- Optimizers -----------------------------------------------------------------------------

struct update {
    struct model *m;
    const struct job_train *o;
    double lr;
    int64_t step;
};

static bool by_muon(const struct update *u, int i)
{
    int64_t rows, cols;
    return u->o->optimizer == OPTIMIZER_MUON &&
           tensor_hidden(&u->m->tensors[i], &rows, &cols) > 0;
}

// All that AdamW has in one slice.
static void adamw_slice(const struct update *u, int slice)
{
    const struct model *m = u->m;
    int64_t from = model_slice(m, slice), to = model_slice(m, slice + 1);
    for (int i = 0, j; i < m->n_tensors; i = j) {
        const struct tensor *t = &m->tensors[i];
        int64_t at = max64(t->offset, from), end = t->offset;
        j = i + 1;
        if (by_muon(u, i))
            continue;
        // Neighbours of the same kind are one call.
        for (j = i; j < m->n_tensors && m->tensors[j].decay == t->decay && !by_muon(u, j); j++)
            end += m->tensors[j].count;
        struct adamw a = {u->lr,  u->o->beta1, u->o->beta2, ADAM_EPS, t->decay ? u->o->wd : 0,
                          u->step};
        if (at < min64(end, to))
            m->ops->adamw_update(m->params + at, m->m1 + at, m->m2 + at, m->grads + at,
                                 min64(end, to) - at, &a);
    }
}

// Muon's matrices, dealt out in turn: an experts' tensor is many of one size. One thread has
// them all at once.
static void muon_share(const struct update *u, int thread)
{
    const struct model *m = u->m;
    int64_t count = 0, rows, cols;
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        int64_t n = by_muon(u, i) ? tensor_hidden(t, &rows, &cols) : 0;
        struct muon o = {u->lr, t->decay ? u->o->wd : 0};
        int64_t together = m->n_parts == 1 ? n : 1;
        for (int64_t k = 0; k < n; k += together) {
            int64_t at = t->offset + k * rows * cols;
            if (count++ % m->n_parts == thread)
                m->ops->muon_update(m->params + at, m->m1 + at, m->grads + at, together, rows,
                                    cols, &o, m->muon + thread * m->muon_stride);
        }
    }
}

static void update_share(void *ctx, int thread)
{
    const struct update *u = ctx;
    if (u->o->optimizer == OPTIMIZER_MUON)
        muon_share(u, thread);
    adamw_slice(u, thread);
}

void model_step(struct model *m, const struct job_train *o, double lr, int64_t step)
{
    struct update u = {m, o, lr, step};
    pool_run(m->pool, m->n_parts, update_share, &u);
}
