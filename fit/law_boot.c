// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/law_boot.h"
#include "core/rng.h"
#include "fit/fit.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 256 };

struct job { // read by all threads; `next` and `failed` shared, row b of boot owned by b's
             // thread
    const struct law_problem *data;
    const struct law_options *options;
    const double *residual;
    const struct law_minima *minima;
    const int64_t *scale_start, *scale_row; // rows by scale
    int64_t n_scales;
    const int64_t *drawn; // rows whose residuals are drawn
    int64_t n_drawn;
    uint64_t seed;
    int p;
    double *boot;
    atomic_int next, failed;
};

struct desk { // a thread's own
    struct job *job;
    struct law_problem problem;
    struct polish_work *work;
    int64_t *count; // how often a resample has each row
};

static void add(struct law_problem *out, const struct law_problem *in, int64_t i, double weight)
{
    law_problem_add(out, in->t + i * in->law->n_vars, in->y[i], weight);
}

static void draw_cases(struct desk *k, struct rng *r)
{
    const struct law_problem *in = k->job->data;
    memset(k->count, 0, (size_t)in->n * sizeof *k->count);
    for (int64_t i = 0; i < in->n; i++)
        k->count[rng_below(r, (uint64_t)in->n)]++;
    for (int64_t i = 0; i < in->n; i++)
        if (k->count[i] && in->weight[i] > 0)
            add(&k->problem, in, i, (double)k->count[i] * in->weight[i]);
}

static void draw_scales(struct desk *k, struct rng *r)
{
    const struct job *j = k->job;
    memset(k->count, 0, (size_t)j->data->n * sizeof *k->count);
    for (int64_t s = 0; s < j->n_scales; s++) {
        uint64_t drawn = rng_below(r, (uint64_t)j->n_scales);
        for (int64_t i = j->scale_start[drawn]; i < j->scale_start[drawn + 1]; i++)
            k->count[j->scale_row[i]]++;
    }
    for (int64_t i = 0; i < j->data->n; i++)
        if (k->count[i] && j->data->weight[i] > 0)
            add(&k->problem, j->data, i, (double)k->count[i] * j->data->weight[i]);
}

// Residuals at equal weight, widened by the uncertainty of the noise level
// (fit_student_factor).
static void draw_residuals(struct desk *k, struct rng *r)
{
    const struct job *j = k->job;
    const struct law_problem *in = j->data;
    int64_t df = in->n - j->p;
    // Beyond, the factor is one to .2 %.
    double widen = df > 0 && df < 100000 ? fit_student_factor(r, (int)df) : 1;
    for (int64_t i = 0; i < in->n; i++) {
        int64_t from = j->drawn[rng_below(r, (uint64_t)j->n_drawn)];
        double w = in->weight[i] > 0 ? sqrt(in->weight[from] / in->weight[i]) : 1;
        double value = in->target[i] - j->residual[i] + widen * w * j->residual[from];
        double y = in->objective == LAW_SQUARES ? value : exp(value);
        law_problem_add(&k->problem, in->t + i * in->law->n_vars, y, in->weight[i]);
    }
}

static enum err resample(struct desk *k, int b)
{
    const struct job *j = k->job;
    const struct law *l = j->data->law;
    struct law_minima found;
    struct rng r;
    double *out = j->boot + (int64_t)b * j->p;
    rng_seed(&r, j->seed, (uint64_t)b + 1);
    k->problem.n = 0;
    if (j->options->boot == LAW_BOOT_RESIDUALS)
        draw_residuals(k, &r);
    else if (j->options->boot == LAW_BOOT_SCALES)
        draw_scales(k, &r);
    else
        draw_cases(k, &r);
    for (int i = 0; i < j->p; i++)
        out[i] = (double)NAN;
    if (k->problem.n == 0)
        return OK;
    TRY(law_search(&k->problem, k->work, law_effort_resample(l), rng_uniform(&r), j->minima,
                   false, &found));
    if (found.n > 0 && found.at[0].converged)
        law_from_theta(l, found.at[0].theta, out);
    return OK;
}

static void *serve(void *argument)
{
    struct desk *k = argument;
    struct job *j = k->job;
    for (;;) {
        int b = atomic_fetch_add(&j->next, 1);
        if (b >= j->options->n_boot || atomic_load(&j->failed))
            return NULL;
        if (resample(k, b) != OK)
            atomic_store(&j->failed, 1);
    }
}

static enum err desk_open(struct desk *k, struct job *j)
{
    *k = (struct desk){.job = j};
    TRY(law_problem_create(&k->problem, j->data->law, j->data->n, j->options));
    k->work = polish_alloc(j->data->n, j->p);
    k->count = calloc((size_t)j->data->n, sizeof *k->count);
    ENSURE(k->work && k->count, ERR_FAILED, "out of memory for a bootstrap");
    return OK;
}

static void desk_close(struct desk *k)
{
    law_problem_free(&k->problem);
    polish_free(k->work);
    free(k->count);
}

// A thread that cannot be started leaves its share to the others.
static enum err serve_all(struct job *j)
{
    int n = j->options->threads < 1 ? 1 : j->options->threads;
    n = n > MAX_THREADS ? MAX_THREADS : n;
    n = n > j->options->n_boot ? j->options->n_boot : n;
    struct desk *desks = calloc((size_t)n, sizeof *desks);
    pthread_t threads[MAX_THREADS];
    ENSURE(desks, ERR_FAILED, "out of memory for a bootstrap");
    enum err e = OK;
    int started = 0;
    for (int i = 0; i < n && e == OK; i++)
        e = desk_open(&desks[i], j);
    for (int i = 1; i < n && e == OK; i++, started++)
        if (pthread_create(&threads[started], NULL, serve, &desks[i]))
            break;
    if (e == OK)
        serve(&desks[0]);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < n; i++)
        desk_close(&desks[i]);
    free(desks);
    ENSURE(e != OK || !j->failed, ERR_FAILED, "out of memory for a bootstrap");
    return e;
}

struct tagged {
    int scale;
    int64_t row;
};

static int by_scale(const void *va, const void *vb)
{
    const struct tagged *a = va, *b = vb;
    if (a->scale != b->scale)
        return a->scale > b->scale ? 1 : -1;
    return a->row > b->row ? 1 : -1;
}

// Rows sorted by scale; start[s] .. start[s + 1] are those of one.
static enum err group(const int *scale, int64_t n, int64_t *start, int64_t *row,
                      int64_t *n_scales)
{
    struct tagged *all = malloc((size_t)n * sizeof *all);
    ENSURE(all, ERR_FAILED, "out of memory for a bootstrap");
    for (int64_t i = 0; i < n; i++)
        all[i] = (struct tagged){scale[i], i};
    qsort(all, (size_t)n, sizeof *all, by_scale);
    *n_scales = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || all[i].scale != all[i - 1].scale)
            start[(*n_scales)++] = i;
        row[i] = all[i].row;
    }
    start[*n_scales] = n;
    free(all);
    return OK;
}

struct sized {
    double size;
    int64_t row;
};

static int by_size(const void *va, const void *vb)
{
    const struct sized *a = va, *b = vb;
    if (a->size != b->size)
        return a->size > b->size ? 1 : -1;
    return a->row > b->row ? 1 : -1;
}

// All but the p smallest residuals: the fit has used up as many. What is left has the variance
// sum r^2/(n - p), and not the pile at zero of rows that a nearly-least-absolute fit goes
// through, which would make resamples far surer than the data.
static enum err choose_residuals(const struct law_problem *p, const double *residual,
                                 int64_t *row, int64_t *n_drawn)
{
    int64_t used = p->n > p->law->n_params ? p->law->n_params : 0;
    struct sized *all = malloc((size_t)p->n * sizeof *all);
    ENSURE(all, ERR_FAILED, "out of memory for a bootstrap");
    for (int64_t i = 0; i < p->n; i++)
        all[i] = (struct sized){sqrt(p->weight[i]) * fabs(residual[i]), i};
    qsort(all, (size_t)p->n, sizeof *all, by_size);
    *n_drawn = p->n - used;
    for (int64_t i = 0; i < *n_drawn; i++)
        row[i] = all[used + i].row;
    free(all);
    return OK;
}

static enum err intervals(struct law_fit *f, int p)
{
    double *v = malloc((size_t)f->n_boot * sizeof *v);
    ENSURE(v, ERR_FAILED, "out of memory for a bootstrap");
    for (int j = 0; j < p; j++) {
        for (int b = 0; b < f->n_boot; b++)
            v[b] = f->boot[(int64_t)b * p + j];
        fit_interval(v, f->n_boot, &f->lo[j], &f->hi[j]);
    }
    free(v);
    return OK;
}

enum err law_boot_run(const struct law_problem *p, const struct law_data *d,
                      const struct law_options *o, uint64_t seed,
                      const struct law_minima *minima, struct law_fit *f)
{
    struct job j = {.data = p,
                    .options = o,
                    .residual = f->residual,
                    .minima = minima,
                    .seed = seed,
                    .p = p->law->n_params};
    int64_t *rows;
    f->boot = malloc((size_t)o->n_boot * (size_t)j.p * sizeof *f->boot);
    ENSURE(f->boot, ERR_FAILED, "out of memory for %d resamples", o->n_boot);
    f->n_boot = o->n_boot;
    j.boot = f->boot;
    enum err e = OK;
    rows = malloc((2 * (size_t)p->n + 1) * sizeof *rows);
    ENSURE(rows, ERR_FAILED, "out of memory for a bootstrap");
    if (o->boot == LAW_BOOT_SCALES)
        e = group(d->scale, p->n, rows, rows + p->n + 1, &j.n_scales);
    if (o->boot == LAW_BOOT_RESIDUALS)
        e = choose_residuals(p, f->residual, rows, &j.n_drawn);
    j.scale_start = j.drawn = rows;
    j.scale_row = rows + p->n + 1;
    if (e == OK)
        e = serve_all(&j);
    free(rows);
    if (e == OK)
        e = intervals(f, j.p);
    return e;
}
