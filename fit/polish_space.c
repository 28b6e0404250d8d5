// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/polish_space.h"
#include <gsl/gsl_linalg.h>
#include <math.h>
#include <stdlib.h>

#define NULL_DIRECTION 1e-12 // of the largest singular value: rounding of the Jacobian's own

struct polish_work *polish_alloc(int64_t n, int p)
{
    ASSERT(n >= 1 && p >= 1 && p <= P_MAX);
    struct polish_work *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    size_t rows = (size_t)n, cells = rows * (size_t)p;
    w->n = n;
    w->p = p;
    w->value = malloc(rows * sizeof(double));
    w->trial_value = malloc(rows * sizeof(double));
    w->jacobian = malloc(cells * sizeof(double));
    w->trial_jacobian = malloc(cells * sizeof(double));
    w->columns = malloc(cells * sizeof(double));
    if (w->value && w->trial_value && w->jacobian && w->trial_jacobian && w->columns)
        return w;
    polish_free(w);
    return NULL;
}

void polish_free(struct polish_work *w)
{
    if (!w)
        return;
    free(w->value);
    free(w->trial_value);
    free(w->jacobian);
    free(w->trial_jacobian);
    free(w->columns);
    free(w);
}

struct rho polish_rho(const struct polish_problem *pr, double r)
{
    double a = fabs(r), c = pr->corner;
    if (pr->objective == LAW_HUBER_LOG && a > c)
        return (struct rho){c * (a - .5 * c), copysign(c, r), 0, c / a};
    // Rows above the law: r = ln law - ln y < 0.
    double weight = pr->objective == LAW_ASYMMETRIC && r < 0 ? .25 : 1;
    return (struct rho){.5 * weight * r * r, weight * r, weight, weight};
}

double polish_sum(const struct polish_problem *pr, const double *value)
{
    double sum = 0;
    for (int64_t i = 0; i < pr->n; i++) {
        double w = pr->weight ? pr->weight[i] : 1;
        sum += w * polish_rho(pr, value[i] - pr->target[i]).rho;
    }
    return isfinite(sum) ? sum : (double)INFINITY;
}

double polish_objective(struct polish_work *w, const struct polish_problem *pr,
                        const double *theta)
{
    if (!pr->eval(pr->context, theta, w->trial_value, NULL))
        return (double)INFINITY;
    return polish_sum(pr, w->trial_value);
}

// Modified Gram-Schmidt: R is as accurate as Householder's (Bjorck 1967), and runs by columns.
void polish_triangle(double *columns, int64_t n, int p, double R[P_MAX][P_MAX])
{
    for (int j = 0; j < p; j++) {
        double *q = columns + j * n, sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += q[i] * q[i];
        R[j][j] = sqrt(sum);
        double inverse = R[j][j] > 0 ? 1 / R[j][j] : 0;
        for (int64_t i = 0; i < n; i++)
            q[i] *= inverse;
        for (int k = j + 1; k < p; k++) {
            double *c = columns + k * n, dot = 0;
            for (int64_t i = 0; i < n; i++)
                dot += q[i] * c[i];
            for (int64_t i = 0; i < n; i++)
                c[i] -= dot * q[i];
            R[j][k] = dot;
            R[k][j] = 0;
        }
    }
}

bool polish_singular(double R[P_MAX][P_MAX], int p, double *S, double V[P_MAX][P_MAX])
{
    size_t sp = (size_t)p;
    double a[P_MAX * P_MAX], v[P_MAX * P_MAX];
    for (int j = 0; j < p; j++)
        for (int k = 0; k < p; k++)
            a[j * p + k] = R[j][k];
    gsl_matrix_view A = gsl_matrix_view_array(a, sp, sp), Q = gsl_matrix_view_array(v, sp, sp);
    gsl_vector_view s = gsl_vector_view_array(S, sp);
    if (gsl_linalg_SV_decomp_jacobi(&A.matrix, &Q.matrix, &s.vector))
        return false;
    for (int j = 0; j < p; j++)
        for (int k = 0; k < p; k++)
            V[j][k] = v[j * p + k];
    return true;
}

bool polish_space_make(struct polish_work *w, const struct polish_problem *pr,
                       const bool *free_param, struct polish_space *out)
{
    int64_t n = pr->n;
    int p = pr->p, m = 0, which[P_MAX];
    double scale[P_MAX], R[P_MAX][P_MAX], S[P_MAX], V[P_MAX][P_MAX];
    *out = (struct polish_space){.p = p};
    for (int j = 0; j < p; j++) {
        if (!free_param[j])
            continue;
        double *c = w->columns + m * n, sum = 0;
        for (int64_t i = 0; i < n; i++) {
            double weight = pr->weight ? pr->weight[i] : 1;
            weight *= polish_rho(pr, w->value[i] - pr->target[i]).weight;
            c[i] = sqrt(weight) * w->jacobian[i * p + j];
            sum += c[i] * c[i];
        }
        if (!(sum > 0) || !isfinite(sum))
            continue; // without influence here: stays where it is
        // A parameter of little influence keeps a short column: a null direction, not an axis.
        scale[m] = fmin(pr->reach[j], sqrt(pr->size / sum));
        for (int64_t i = 0; i < n; i++)
            c[i] *= scale[m];
        which[m++] = j;
    }
    if (m == 0)
        return true;
    polish_triangle(w->columns, n, m, R);
    if (!polish_singular(R, m, S, V))
        return false;
    while (out->rank < m && S[out->rank] > NULL_DIRECTION * S[0])
        out->rank++;
    for (int j = 0; j < m; j++)
        for (int k = 0; k < out->rank; k++)
            out->W[which[j]][k] = scale[j] * V[j][k] / S[k];
    return true;
}

void polish_space_move(const struct polish_space *s, const double *phi, double *dtheta)
{
    for (int j = 0; j < s->p; j++) {
        dtheta[j] = 0;
        for (int k = 0; k < s->rank; k++)
            dtheta[j] += s->W[j][k] * phi[k];
    }
}

const double *polish_values(const struct polish_work *w)
{
    return w->value;
}

bool polish_shape(struct polish_work *w, const struct polish_problem *pr, const double *theta,
                  struct polish_shape *out)
{
    int64_t n = pr->n;
    int p = pr->p;
    double R[P_MAX][P_MAX], S[P_MAX], V[P_MAX][P_MAX];
    if (!pr->eval(pr->context, theta, w->value, w->jacobian))
        return false;
    for (int j = 0; j < p; j++) {
        double *c = w->columns + j * n, sum = 0;
        for (int64_t i = 0; i < n; i++) {
            c[i] = sqrt(pr->weight ? pr->weight[i] : 1) * w->jacobian[i * p + j];
            sum += c[i] * c[i];
        }
        out->norm[j] = sqrt(sum);
        for (int64_t i = 0; sum > 0 && i < n; i++)
            c[i] /= out->norm[j];
    }
    polish_triangle(w->columns, n, p, R);
    if (!polish_singular(R, p, S, V))
        return false;
    out->condition = S[p - 1] > 0 ? S[0] / S[p - 1] : (double)INFINITY;
    for (int j = 0; j < p; j++) {
        double sum = 0;
        for (int k = 0; k < p; k++) {
            double part = V[j][k] / fmax(S[k], 1e-300);
            sum += fabs(V[j][k]) > 1e-8 ? part * part : 0;
        }
        out->inflation[j] = out->norm[j] > 0 ? sqrt(sum) : (double)INFINITY;
    }
    return true;
}
