// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/information.h"
#include <gsl/gsl_eigen.h>
#include <gsl/gsl_errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { P = LAW_MAX_PARAMS };

void information_add(struct information *f, const double *j, double w)
{
    for (int a = 0; a < f->p; a++)
        for (int b = 0; b < f->p; b++)
            f->m[a * P + b] += w * j[a] * j[b];
}

// Eigenvalues of the matrix scaled to a unit diagonal, so that units of parameters do not
// count.
static enum err invert(struct information *f, gsl_matrix *s, gsl_vector *val, gsl_matrix *vec,
                       gsl_eigen_symmv_workspace *w)
{
    double *scale = f->scale;
    memset(f->inv, 0, sizeof f->inv);
    for (int a = 0; a < f->p; a++)
        scale[a] = f->m[a * P + a] > 0 ? 1 / sqrt(f->m[a * P + a]) : 0;
    for (int a = 0; a < f->p; a++)
        for (int b = 0; b < f->p; b++) {
            const double v = f->m[a * P + b] * scale[a] * scale[b];
            ENSURE(isfinite(v), ERR_FAILED, "the fit's derivatives are no numbers");
            gsl_matrix_set(s, (size_t)a, (size_t)b, v);
        }
    ENSURE(gsl_eigen_symmv(s, val, vec, w) == GSL_SUCCESS, ERR_FAILED,
           "the fit's information matrix has no eigenvalues");
    // Rounding of a p x p sum leaves eigenvalues of some p eps.
    const double cut = 4 * f->p * 2.2e-16 * gsl_vector_max(val);
    for (int e = 0; e < f->p; e++) {
        const double v = gsl_vector_get(val, (size_t)e);
        for (int a = 0; a < f->p && v > cut; a++)
            for (int b = 0; b < f->p; b++)
                f->inv[a * P + b] += gsl_matrix_get(vec, (size_t)a, (size_t)e) *
                                     gsl_matrix_get(vec, (size_t)b, (size_t)e) / v * scale[a] *
                                     scale[b];
    }
    return OK;
}

enum err information_invert(struct information *f)
{
    const size_t p = (size_t)f->p;
    gsl_matrix *s = gsl_matrix_alloc(p, p), *vec = gsl_matrix_alloc(p, p);
    gsl_vector *val = gsl_vector_alloc(p);
    gsl_eigen_symmv_workspace *w = gsl_eigen_symmv_alloc(p);
    enum err e =
        s && vec && val && w ? invert(f, s, val, vec, w) : err_set(ERR_FAILED, "out of memory");
    gsl_matrix_free(s);
    gsl_matrix_free(vec);
    gsl_vector_free(val);
    gsl_eigen_symmv_free(w);
    return e;
}

bool information_sees(const struct information *f, const double *a)
{
    double all = 0, unseen = 0;
    for (int i = 0; i < f->p; i++) {
        double rest = a[i]; // a - m inv a
        for (int k = 0; k < f->p; k++)
            for (int l = 0; l < f->p; l++)
                rest -= f->m[i * P + k] * f->inv[k * P + l] * a[l];
        if (f->scale[i] == 0 && a[i] != 0)
            return false;
        all += a[i] * f->scale[i] * a[i] * f->scale[i];
        unseen += rest * f->scale[i] * rest * f->scale[i];
    }
    // What rounding leaves of it is far below a thousandth of the length.
    return unseen <= 1e-6 * all;
}

double information_form(const struct information *f, const double *a, const double *b)
{
    double sum = 0;
    for (int i = 0; i < f->p; i++)
        for (int k = 0; k < f->p; k++)
            sum += a[i] * f->inv[i * P + k] * b[k];
    return sum;
}

bool information_gradient(const struct law_fit *f, const double *x, double *j)
{
    const int p = law_params(f->law, NULL);
    const double v = law_value(f->law, f->value, x, j);
    bool ok = isfinite(v) && v > 0;
    for (int k = 0; k < p; k++) {
        j[k] /= f->options.objective == LAW_SQUARES ? 1 : v;
        ok = ok && isfinite(j[k]);
    }
    return ok;
}

// ---- influence

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// Median of |residual|, scaled to a normal's standard deviation.
static double robust_sd(const double *r, int64_t n)
{
    double *v = malloc((size_t)n * sizeof *v);
    if (!v)
        return (double)NAN;
    for (int64_t i = 0; i < n; i++)
        v[i] = fabs(r[i]);
    qsort(v, (size_t)n, sizeof *v, by_size);
    const double median = v[n / 2];
    free(v);
    return 1.4826 * median;
}

// What the objective makes of a residual: the weight of iterated least squares.
static double weight_of(const struct law_fit *f, double r)
{
    const double corner = f->options.corner > 0 ? f->options.corner : 1e-3;
    if (f->options.objective == LAW_HUBER_LOG)
        return fabs(r) > corner ? corner / fabs(r) : 1;
    return f->options.objective == LAW_ASYMMETRIC && r > 0 ? .25 : 1;
}

static void keep_largest(struct influence *out, int *n, int k, const struct influence *new)
{
    int at = *n;
    while (at > 0 && out[at - 1].distance < new->distance)
        at--;
    if (at == k)
        return;
    const int moved = *n < k ? *n - at : k - 1 - at;
    memmove(out + at + 1, out + at, (size_t)moved * sizeof *out);
    out[at] = *new;
    *n += *n < k;
}

struct leaving {
    const struct law_fit *f;
    struct information info;
    double s2; // variance of a residual of weight one
    double robust;
};

static struct influence leave_out(const struct leaving *l, const double *j, double r)
{
    const struct law_fit *f = l->f;
    const double w = weight_of(f, r);
    const double h = fmin(w * information_form(&l->info, j, j), .999);
    struct influence i = {.param = -1, .z = r / l->robust};
    i.residual = f->options.objective == LAW_SQUARES ? r : expm1(r);
    i.distance = w * r * r * h / (l->info.p * l->s2 * (1 - h) * (1 - h));
    for (int k = 0; k < l->info.p; k++) {
        double step = 0; // of parameter k when the row leaves
        for (int b = 0; b < l->info.p; b++)
            step -= l->info.inv[k * P + b] * j[b] * w * r / (1 - h);
        const double moves = step / sqrt(l->s2 * l->info.inv[k * P + k]);
        if (f->identified[k] && fabs(moves) > fabs(i.moves)) {
            i.param = k;
            i.moves = moves;
        }
    }
    return i;
}

enum err influence_of(const struct law_fit *f, const double *x, int64_t n_rows, int k,
                      struct influence *out, int *n, int64_t *outliers)
{
    const int v = law_vars(f->law, NULL), p = law_params(f->law, NULL);
    struct leaving l = {.f = f, .info.p = p, .robust = robust_sd(f->residual, n_rows)};
    double j[P], sum = 0;
    *n = 0;
    *outliers = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        const double w = weight_of(f, f->residual[i]);
        sum += w * f->residual[i] * f->residual[i];
        if (information_gradient(f, x + i * v, j))
            information_add(&l.info, j, w);
    }
    l.s2 = sum / (double)(n_rows > p ? n_rows - p : 1);
    if (!(l.s2 > 0) || !(l.robust > 0))
        return OK; // a perfect fit: no row pulls
    TRY(information_invert(&l.info));
    for (int64_t i = 0; i < n_rows; i++) {
        if (!information_gradient(f, x + i * v, j))
            continue;
        struct influence one = leave_out(&l, j, f->residual[i]);
        one.row = i;
        *outliers += fabs(one.z) > 4;
        keep_largest(out, n, k, &one);
    }
    return OK;
}
