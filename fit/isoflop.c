// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/isoflop.h"
#include "fit/fit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct row {
    double C, N, loss;
};

static int by_compute(const void *va, const void *vb)
{
    const struct row *a = va, *b = vb;
    if (a->C != b->C)
        return a->C > b->C ? 1 : -1;
    return (a->N > b->N) - (a->N < b->N);
}

// L = c0 + c1 u + c2 u^2 in u = ln N - mean, by the orthogonal polynomials of the points: no
// normal equations, and the vertex is exact where L is a parabola.
static void parabola(const struct row *r, int n, struct isoflop_budget *b)
{
    double mean = 0, s2 = 0, s3 = 0, y1 = 0, y2 = 0, norm2 = 0, level = 0;
    double least = log(r[0].N), most = least, ln_C = 0;
    *b = (struct isoflop_budget){
        .n = n, .N = (double)NAN, .D = (double)NAN, .L = (double)NAN, .curvature = (double)NAN};
    for (int i = 0; i < n; i++) {
        mean += log(r[i].N) / n;
        ln_C += log(r[i].C) / n;
        level += r[i].loss / n;
        least = fmin(least, log(r[i].N));
        most = fmax(most, log(r[i].N));
    }
    b->C = exp(ln_C);
    for (int i = 0; i < n; i++) {
        double u = log(r[i].N) - mean;
        s2 += u * u;
        s3 += u * u * u;
        y1 += u * (r[i].loss - level);
    }
    if (!(s2 > 0))
        return;
    for (int i = 0; i < n; i++) {
        double u = log(r[i].N) - mean, q = u * u - s3 / s2 * u - s2 / n;
        norm2 += q * q;
        y2 += q * (r[i].loss - level);
    }
    if (!(norm2 > 1e-20 * s2 * s2)) // two different N
        return;
    double c2 = y2 / norm2, c1 = y1 / s2 - c2 * s3 / s2, vertex = mean - .5 * c1 / c2;
    b->curvature = 2 * c2;
    b->ok = c2 > 0 && isfinite(vertex);
    if (!b->ok)
        return;
    b->N = exp(vertex);
    b->D = b->C / (6 * b->N);
    b->L = level - c2 * s2 / n - .25 * c1 * c1 / c2;
    b->inside = vertex >= least && vertex <= most;
}

// Least squares in logarithms over the budgets that have an optimum.
static void power_laws(struct isoflop_fit *f)
{
    double mx = 0, my = 0, sxx = 0, sxy = 0;
    f->k_N = f->p_N = f->k_D = f->p_D = (double)NAN;
    for (int i = 0; i < f->n_budgets; i++)
        f->n_ok += f->budget[i].ok;
    for (int i = 0; i < f->n_budgets; i++)
        if (f->budget[i].ok) {
            mx += log(f->budget[i].C) / f->n_ok;
            my += log(f->budget[i].N) / f->n_ok;
        }
    for (int i = 0; i < f->n_budgets; i++)
        if (f->budget[i].ok) {
            double u = log(f->budget[i].C) - mx;
            sxx += u * u;
            sxy += u * (log(f->budget[i].N) - my);
        }
    if (f->n_ok < 2 || !(sxx > 0))
        return;
    f->p_N = sxy / sxx;
    f->k_N = exp(my - f->p_N * mx);
    f->p_D = 1 - f->p_N; // D = C/(6 N) in every budget
    f->k_D = 1 / (6 * f->k_N);
}

static enum err run(struct row *r, int n, double together, struct isoflop_fit *out)
{
    qsort(r, (size_t)n, sizeof *r, by_compute);
    for (int i = 0, from = 0; i < n; i++) {
        if (i + 1 < n && r[i + 1].C <= together * r[i].C)
            continue;
        ENSURE(out->n_budgets < ISOFLOP_MAX_BUDGETS, ERR_INPUT,
               "more than %d budgets: these are no isoFLOP curves", ISOFLOP_MAX_BUDGETS);
        parabola(r + from, i + 1 - from, &out->budget[out->n_budgets++]);
        from = i + 1;
    }
    power_laws(out);
    return OK;
}

enum err isoflop_run(const double *N, const double *D, const double *loss, int n,
                     double together, struct isoflop_fit *out)
{
    *out = (struct isoflop_fit){0};
    ENSURE(n > 0 && together >= 1, ERR_INPUT,
           "isoFLOP parabolas need rows, and a factor of at "
           "least 1 that holds a budget together");
    for (int i = 0; i < n; i++)
        ENSURE(N[i] > 0 && D[i] > 0 && isfinite(N[i]) && isfinite(D[i]) && isfinite(loss[i]),
               ERR_INPUT,
               "row %d: N = %g, D = %g, loss = %g; isoFLOP parabolas need positive "
               "sizes and finite losses",
               i + 1, N[i], D[i], loss[i]);
    struct row *r = malloc((size_t)n * sizeof *r);
    ENSURE(r, ERR_FAILED, "out of memory for %d rows", n);
    for (int i = 0; i < n; i++)
        r[i] = (struct row){6 * N[i] * D[i], N[i], loss[i]};
    enum err e = run(r, n, together, out);
    free(r);
    return e;
}

void isoflop_optimum(const struct isoflop_fit *f, double C, double *N, double *D)
{
    *N = f->k_N * pow(C, f->p_N);
    *D = f->k_D * pow(C, f->p_D);
}

enum err isoflop_bias(const double *params, const double *N, const double *D, int n,
                      double together, double C, double *bias)
{
    const struct law *l = law_find("chinchilla", 0);
    struct isoflop_fit f;
    double none, seen, truth;
    double *loss = malloc((size_t)(n > 0 ? n : 1) * sizeof *loss);
    ENSURE(loss, ERR_FAILED, "out of memory for %d rows", n);
    for (int i = 0; i < n; i++)
        loss[i] = law_value(l, params, (double[]){N[i], D[i]}, NULL);
    enum err e = isoflop_run(N, D, loss, n, together, &f);
    free(loss);
    TRY(e);
    isoflop_optimum(&f, C, &none, &seen);
    chinchilla_optimum(params, C, &none, &truth, NULL);
    *bias = seen / truth - 1;
    return OK;
}

void chinchilla_optimum(const double *params, double C, double *N, double *D, double *L)
{
    double A = params[1], B = params[2], alpha = params[3], beta = params[4];
    double G = exp(log(alpha * A / (beta * B)) / (alpha + beta));
    *N = G * pow(C / 6, beta / (alpha + beta));
    *D = C / 6 / *N;
    if (L)
        *L = params[0] + A * pow(*N, -alpha) + B * pow(*D, -beta);
}

enum err chinchilla_optimum_fit(const struct law_fit *f, double C, struct optimum *out)
{
    ASSERT(strcmp(law_name(f->law), "chinchilla") == 0);
    *out = (struct optimum){0};
    chinchilla_optimum(f->value, C, &out->N, &out->D, &out->L);
    size_t n = (size_t)f->n_boot;
    double *v = malloc((3 * n + 1) * sizeof *v);
    ENSURE(v, ERR_FAILED, "out of memory for %d resamples", f->n_boot);
    for (size_t b = 0; b < n; b++)
        chinchilla_optimum(f->boot + 5 * b, C, &v[b], &v[n + b], &v[2 * n + b]);
    fit_interval(v, f->n_boot, &out->N_lo, &out->N_hi);
    fit_interval(v + n, f->n_boot, &out->D_lo, &out->D_hi);
    fit_interval(v + 2 * n, f->n_boot, &out->L_lo, &out->L_hi);
    free(v);
    return OK;
}
