// SPDX-License-Identifier: GPL-3.0-or-later
// L = E + A X^-p across scales: the law powersum of one column, and what can be said of fewer
// points than it needs.
#include "fit/fit.h"
#include "fit/law.h"
#include "fit/power.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Huber's corner in ln L. Chinchilla's 1e-3 is below the noise of a small sweep, where it would
// mean least absolute deviations: a curve through three of the handful of points.
#define LOSS_CORNER 1e-2
enum { N_PARAMS = 3 };
// A p outside is a line or a constant in disguise.
static const double p_least = .01, p_most = 2;

struct point {
    double X, loss;
};

static int compare(const void *va, const void *vb)
{
    const struct point *a = va, *b = vb;
    if (a->X != b->X)
        return a->X > b->X ? 1 : -1;
    return (a->loss > b->loss) - (a->loss < b->loss);
}

// One or two points, or one X: what can be said without a search.
static void too_few(const double *X, const double *loss, int n, struct loss_law *out)
{
    double ln_mean = 0;
    for (int i = 0; i < n; i++)
        ln_mean += log(loss[i]) / n;
    if (n == 0)
        return;
    out->E = exp(ln_mean);
    out->A = out->p = 0;
    double slope = log(loss[0] / loss[n - 1]) / log(X[n - 1] / X[0]);
    if (n == 2 && slope > 0 && isfinite(slope)) { // the power law through both
        out->E = 0;
        out->p = slope;
        out->A = exp(ln_mean + slope * .5 * (log(X[0]) + log(X[1])));
    }
}

static enum err fit_points(const double *X, const double *loss, int n, uint64_t seed,
                           struct loss_law *out)
{
    struct law_data d = {.n = n, .x = X, .y = loss};
    struct law_options o = {.corner = LOSS_CORNER,
                            .boot = LAW_BOOT_RESIDUALS,
                            .n_boot = n > N_PARAMS ? LOSS_LAW_BOOT : 0,
                            .seed = seed};
    struct law_fit f;
    TRY(law_fit_run(law_find("powersum", 1), &d, &o, &f));
    out->E = f.value[0];
    out->A = f.value[1];
    out->p = f.value[2];
    out->rmse_log = f.rmse_log;
    out->condition = f.condition;
    out->converged = f.converged && n > N_PARAMS && out->p > p_least && out->p < p_most;
    if (out->converged) {
        out->n_boot = f.n_boot;
        memcpy(out->boot, f.boot, sizeof out->boot);
        out->E_lo = f.lo[0];
        out->E_hi = f.hi[0];
        out->p_lo = f.lo[2];
        out->p_hi = f.hi[2];
    }
    law_fit_free(&f);
    return OK;
}

enum err loss_law_fit(const double *X, const double *loss, int n, uint64_t seed,
                      struct loss_law *out)
{
    const double none = (double)NAN;
    ASSERT(n >= 0);
    *out = (struct loss_law){.E = none,
                             .A = none,
                             .p = none,
                             .E_lo = none,
                             .E_hi = none,
                             .p_lo = none,
                             .p_hi = none,
                             .rmse_log = none,
                             .condition = none};
    struct point *pts = malloc(((size_t)n + 1) * sizeof *pts);
    double *x = malloc((2 * (size_t)n + 1) * sizeof *x), *y = x ? x + n : NULL;
    enum err e = OK;
    if (!pts || !x)
        e = err_set(ERR_FAILED, "out of memory for a loss law of %d points", n);
    for (int i = 0; i < n && e == OK; i++)
        if (isfinite(X[i]) && X[i] > 0 && isfinite(loss[i]) && loss[i] > 0)
            pts[out->n++] = (struct point){X[i], loss[i]};
    int distinct = 0;
    if (e == OK)
        qsort(pts, (size_t)out->n, sizeof *pts, compare);
    for (int i = 0; i < out->n; i++) {
        x[i] = pts[i].X;
        y[i] = pts[i].loss;
        distinct += i == 0 || x[i] != x[i - 1];
    }
    if (e == OK && distinct >= N_PARAMS)
        e = fit_points(x, y, out->n, seed, out);
    else if (e == OK)
        too_few(x, y, out->n, out);
    free(pts);
    free(x);
    return e;
}

double loss_law_value(const struct loss_law *f, double X)
{
    return f->E + f->A * pow(X, -f->p);
}

void loss_law_predict(const struct loss_law *f, double X, double *value, double *lo, double *hi)
{
    double boot[LOSS_LAW_BOOT];
    *value = loss_law_value(f, X);
    for (int b = 0; b < f->n_boot; b++)
        boot[b] = f->boot[b][0] + f->boot[b][1] * pow(X, -f->boot[b][2]);
    fit_interval(boot, f->n_boot, lo, hi);
}
