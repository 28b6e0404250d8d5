// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/holdout.h"
#include <math.h>
#include <stdlib.h>

static enum err one_fold(const struct dataset *d, const struct law *l,
                         const struct law_options *o, const int *held, int fold,
                         const double *x, bool *keep, double *error, int *unsound)
{
    const int v = law_vars(l, NULL);
    struct dataset part;
    struct law_fit f = {0};
    for (int64_t i = 0; i < d->n; i++)
        keep[i] = held[i] != fold;
    TRY(dataset_subset(d, keep, &part));
    double *px = dataset_x(&part, l);
    struct law_data ld = {.n = part.n, .x = px, .y = part.y};
    enum err e = px ? law_fit_run(l, &ld, o, &f) : err_set(ERR_FAILED, "out of memory");
    for (int64_t i = 0; i < d->n && e == OK; i++)
        if (!keep[i])
            error[i] = log(d->y[i]) - log(law_value(l, f.value, x + i * v, NULL));
    *unsound += e == OK && !f.converged;
    law_fit_free(&f);
    free(px);
    dataset_free(&part);
    return e;
}

enum err holdout_errors(const struct dataset *d, const struct law *l,
                        const struct law_options *o, const int *held, int folds, double *error,
                        int *unsound)
{
    struct law_options plain = *o;
    plain.n_boot = 0;
    double *x = dataset_x(d, l);
    bool *keep = malloc((size_t)d->n * sizeof *keep);
    enum err e = x && keep ? OK : err_set(ERR_FAILED, "out of memory");
    *unsound = 0;
    for (int64_t i = 0; i < d->n; i++)
        error[i] = (double)NAN;
    for (int k = 1; k <= folds && e == OK; k++)
        e = one_fold(d, l, &plain, held, k, x, keep, error, unsound);
    free(keep);
    free(x);
    return e == OK ? OK : err_prefix(e, "%s without the rows held out", law_name(l));
}

double holdout_rmse(const double *error, int64_t n, int64_t *used)
{
    double sum = 0;
    *used = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(error[i])) {
            sum += error[i] * error[i];
            ++*used;
        }
    return *used ? sqrt(sum / (double)*used) : (double)NAN;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void holdout_largest(const struct dataset *d, double share, int *held)
{
    double *C = malloc((size_t)d->n * sizeof *C);
    for (int64_t i = 0; i < d->n; i++) {
        held[i] = 0;
        if (C)
            C[i] = d->C[i];
    }
    if (!C)
        return;
    qsort(C, (size_t)d->n, sizeof *C, by_size);
    int64_t n = (int64_t)ceil(share * (double)d->n - 1e-9);
    n = n < 1 ? 1 : n > d->n ? d->n : n;
    for (int64_t i = 0; i < d->n; i++)
        held[i] = d->C[i] >= C[d->n - n] * .99;
    free(C);
}

double aicc(int64_t n, int params, double rmse_log)
{
    const double k = params + 1, rows = (double)n;
    if (!(rows > k + 1))
        return INFINITY;
    return rows * log(rmse_log * rmse_log) + 2 * k + 2 * k * (k + 1) / (rows - k - 1);
}

double holdout_contrast(const double *a, const double *b, const int *held, int folds, int64_t n)
{
    const int64_t groups = folds >= 3 ? folds : n;
    double *sum = calloc((size_t)groups, sizeof *sum);
    int64_t used = 0, m = 0;
    if (!sum)
        return (double)NAN;
    for (int64_t i = 0; i < n; i++)
        if (held[i] && isfinite(a[i]) && isfinite(b[i])) {
            sum[folds >= 3 ? held[i] - 1 : m] += a[i] * a[i] - b[i] * b[i];
            m++;
        }
    used = folds >= 3 ? folds : m;
    double mean = 0, var = 0;
    for (int64_t i = 0; i < used; i++)
        mean += sum[i] / (double)used;
    for (int64_t i = 0; i < used; i++)
        var += (sum[i] - mean) * (sum[i] - mean);
    free(sum);
    return used > 1 ? mean / sqrt(var / (double)(used - 1) / (double)used) : (double)NAN;
}
