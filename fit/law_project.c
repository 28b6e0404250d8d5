// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/law_problem.h"
#include <math.h>

enum { P_MAX = LAW_MAX_PARAMS };
// Starts need no more digits than this, and a basis of two equal columns must not stop them.
#define RIDGE 1e-13

struct normal { // normal equations with columns of unit length
    int m;
    double G[P_MAX][P_MAX], b[P_MAX], length[P_MAX];
    bool nonnegative[P_MAX], passive[P_MAX];
};

// Least squares over the passive columns, zero elsewhere.
static bool solve_passive(const struct normal *e, double *x)
{
    int at[P_MAX], m = 0;
    double C[P_MAX][P_MAX], z[P_MAX];
    for (int j = 0; j < e->m; j++) {
        x[j] = 0;
        if (e->passive[j])
            at[m++] = j;
    }
    for (int j = 0; j < m; j++)
        for (int k = 0; k <= j; k++) {
            double sum = e->G[at[j]][at[k]] + (j == k ? RIDGE : 0);
            for (int i = 0; i < k; i++)
                sum -= C[j][i] * C[k][i];
            if (j == k && !(sum > 0))
                return false;
            C[j][k] = j == k ? sqrt(sum) : sum / C[k][k];
        }
    for (int j = 0; j < m; j++) {
        double sum = e->b[at[j]];
        for (int k = 0; k < j; k++)
            sum -= C[j][k] * z[k];
        z[j] = sum / C[j][j];
    }
    for (int j = m - 1; j >= 0; j--) {
        double sum = z[j];
        for (int k = j + 1; k < m; k++)
            sum -= C[k][j] * z[k];
        x[at[j]] = z[j] = sum / C[j][j];
    }
    return true;
}

// Lawson and Hanson's active set, begun with all columns in: mostly the first solve is it.
static bool solve_nonnegative(struct normal *e, double *x)
{
    for (int j = 0; j < e->m; j++)
        e->passive[j] = true;
    for (int round = 0; round < 3 * P_MAX; round++) {
        if (!solve_passive(e, x))
            return false;
        int worst = -1, best = -1;
        double gain = 1e-10;
        for (int j = 0; j < e->m; j++)
            if (e->passive[j] && e->nonnegative[j] && x[j] < 0 &&
                (worst < 0 || x[j] < x[worst]))
                worst = j;
        if (worst >= 0) {
            e->passive[worst] = false;
            continue;
        }
        for (int j = 0; j < e->m; j++) {
            double slope = e->b[j];
            for (int k = 0; k < e->m; k++)
                slope -= e->G[j][k] * x[k];
            if (!e->passive[j] && slope > gain) {
                gain = slope;
                best = j;
            }
        }
        if (best < 0)
            return true;
        e->passive[best] = true;
    }
    // Dropping the most negative first may cycle: then what is left negative is zero.
    for (int j = 0; j < e->m; j++)
        if (e->nonnegative[j] && x[j] < 0)
            x[j] = 0;
    return true;
}

// Rows of weighted basis and target (last column), m + 1 numbers each, into p->basis.
static bool fill(struct law_problem *p, const double *base, const int *column, int m)
{
    const struct law *l = p->law;
    double g[P_MAX];
    for (int64_t i = 0; i < p->n; i++) {
        double *row = p->basis + i * (m + 1), y = p->y[i];
        double f = l->form(l, base, p->t + i * l->n_vars, g), scale, left;
        if (!isfinite(f) || (l->log_linear && !(f > 0)))
            return false;
        if (l->log_linear) {
            scale = 1 / f; // the base has 1 where a parameter moves in its logarithm
            left = log(y / f);
        } else {
            scale = 1;
            left = y - f;
        }
        double w = sqrt(p->weight[i]);
        if (l->log_linear && p->objective == LAW_SQUARES)
            w *= y;
        if (!l->log_linear && p->objective != LAW_SQUARES)
            w /= y;
        for (int j = 0; j < m; j++)
            row[j] = w * scale * g[column[j]];
        row[m] = w * left;
    }
    return true;
}

static void sum_up(const struct law_problem *p, struct normal *e)
{
    int m = e->m;
    for (int j = 0; j < m; j++)
        for (int k = 0; k <= j; k++)
            e->G[j][k] = 0;
    for (int j = 0; j < m; j++)
        e->b[j] = 0;
    for (int64_t i = 0; i < p->n; i++) {
        const double *row = p->basis + i * (m + 1);
        for (int j = 0; j < m; j++) {
            e->b[j] += row[j] * row[m];
            for (int k = 0; k <= j; k++)
                e->G[j][k] += row[j] * row[k];
        }
    }
    for (int j = 0; j < m; j++)
        e->length[j] = e->G[j][j] > 0 ? sqrt(e->G[j][j]) : 1;
    for (int j = 0; j < m; j++) {
        e->b[j] /= e->length[j];
        for (int k = 0; k <= j; k++)
            e->G[j][k] = e->G[k][j] = e->G[j][k] / (e->length[j] * e->length[k]);
    }
}

double law_project(struct law_problem *p, double *params)
{
    const struct law *l = p->law;
    struct normal e = {.m = 0};
    struct polish_problem rule = {.objective = p->objective, .corner = p->corner};
    int column[P_MAX];
    double x[P_MAX], base[P_MAX], size = 0, sum = 0;
    for (int j = 0; j < l->n_params; j++) {
        base[j] = params[j];
        if (!l->param[j].linear || p->lo[j] == p->hi[j])
            continue;
        base[j] = l->log_linear && l->tune[j].ln ? 1 : 0;
        e.nonnegative[e.m] = !l->log_linear && l->param[j].lo >= 0;
        column[e.m++] = j;
    }
    if (!fill(p, base, column, e.m))
        return (double)INFINITY;
    sum_up(p, &e);
    if (!solve_nonnegative(&e, x))
        return (double)INFINITY;
    for (int64_t i = 0; i < p->n; i++) {
        const double *row = p->basis + i * (e.m + 1);
        double r = -row[e.m];
        for (int j = 0; j < e.m; j++)
            r += row[j] * x[j] / e.length[j];
        double w = p->weight[i]; // rows hold its root
        sum += w > 0 ? w * polish_rho(&rule, r / sqrt(w)).rho : 0;
        size += row[e.m] * row[e.m];
    }
    for (int j = 0; j < e.m; j++) {
        double v = x[j] / e.length[j];
        if (l->tune[column[j]].ln) // zero is out of reach of a logarithm: next to it
            v = l->log_linear ? exp(v) : fmax(v, 1e-6 * sqrt(size) / e.length[j]);
        params[column[j]] = v;
    }
    return isfinite(sum) ? sum : (double)INFINITY;
}
