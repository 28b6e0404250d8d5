// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/candidate.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void wish_init(struct wish *w)
{
    for (int i = 0; i < N_COORDS; i++)
        w->coord[i] = NAN;
    for (int i = 0; i < N_DIMS; i++)
        w->dim[i] = w->last[i] = NAN;
    w->d_fraction = w->lr = w->batch_tokens = NAN;
}

void wish_set(struct wish *w, const struct var *var, double value)
{
    switch (var->kind) {
    case VAR_COORD:
        w->coord[var->index] = value;
        break;
    case VAR_DIM:
        w->dim[var->index] = var->index == DIM_d ? value : round(value);
        w->last[var->index] = w->dim[var->index];
        break;
    case VAR_D_FRACTION:
        w->d_fraction = value;
        break;
    case VAR_LR:
        w->lr = value;
        break;
    case VAR_BATCH:
        w->batch_tokens = value;
        break;
    }
}

void wish_settings(struct wish *w, const struct setting *list, int n, double C)
{
    for (int i = 0; i < n; i++)
        wish_set(w, &list[i].var, rule_at(&list[i].rule, C));
}

// Members of one family say the same thing about a model in different words.
enum { FAMILY_MEMBERS = 4 };
struct family {
    int coords[FAMILY_MEMBERS], dims[FAMILY_MEMBERS]; // -1 ends the list
};
static const struct family families[] = {
    {{COORD_y, COORD_N, COORD_z, -1}, {DIM_N_e, -1}},
    {{COORD_x, COORD_r, -1}, {DIM_d_qkv, -1}},
    {{COORD_M, COORD_N_a, -1}, {DIM_d_m, -1}},
    {{COORD_G, -1}, {DIM_K, -1}},
    {{COORD_s, -1}, {DIM_n_shared, -1}},
};

static bool family_named(const struct wish *w, const struct family *f)
{
    for (int i = 0; i < FAMILY_MEMBERS && f->coords[i] >= 0; i++)
        if (!isnan(w->coord[f->coords[i]]))
            return true;
    for (int i = 0; i < FAMILY_MEMBERS && f->dims[i] >= 0; i++)
        if (!isnan(w->dim[f->dims[i]]))
            return true;
    return false;
}

static void family_evict(struct wish *w, const struct family *f)
{
    for (int i = 0; i < FAMILY_MEMBERS && f->coords[i] >= 0; i++)
        w->coord[f->coords[i]] = NAN;
    for (int i = 0; i < FAMILY_MEMBERS && f->dims[i] >= 0; i++)
        w->dim[f->dims[i]] = NAN;
}

void wish_layer(struct wish *lower, const struct wish *upper)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (family_named(upper, &families[i]))
            family_evict(lower, &families[i]);
    if (!isnan(upper->dim[DIM_d]) || !isnan(upper->d_fraction)) {
        lower->dim[DIM_d] = upper->dim[DIM_d];
        lower->d_fraction = upper->d_fraction;
    }
    for (int i = 0; i < N_COORDS; i++)
        if (!isnan(upper->coord[i]))
            lower->coord[i] = upper->coord[i];
    for (int i = 0; i < N_DIMS; i++)
        if (!isnan(upper->dim[i]))
            lower->dim[i] = lower->last[i] = upper->dim[i];
    if (!isnan(upper->lr))
        lower->lr = upper->lr;
    if (!isnan(upper->batch_tokens))
        lower->batch_tokens = upper->batch_tokens;
}

static void spec_fix(struct solve_spec *s, enum arch_dim dim, int64_t value)
{
    *arch_dim(&s->base, dim) = value;
    int kept = 0;
    for (int i = 0; i < s->n_free; i++)
        if (s->free[i].dim != dim)
            s->free[kept++] = s->free[i];
    s->n_free = kept;
}

static bool spec_has(const struct solve_spec *s, enum arch_dim dim)
{
    bool has = arch_dim_get(&s->base, dim) != ARCH_UNSET;
    for (int i = 0; i < s->n_free; i++)
        has = has || s->free[i].dim == dim;
    return has;
}

static double fraction_in(const int64_t *list, int n, int64_t d)
{
    int at = 0;
    while (at < n - 1 && list[at] < d)
        at++;
    return n > 1 ? (double)at / (double)(n - 1) : 0.5;
}

// A wish for a dimension as an integer; what no dimension can be becomes DIM_LIMIT, which the
// solver refuses by name.
static int64_t whole(double wish)
{
    const double DIM_LIMIT = 1 << 30;
    return (int64_t)(wish >= 0 && wish < DIM_LIMIT ? wish : DIM_LIMIT);
}

void feasible_free(struct feasible *known)
{
    free(known->list);
    *known = (struct feasible){0};
}

// Padding may make equal specs look different, which costs time alone.
static enum err feasible_of(const struct solve_spec *s, struct feasible *known)
{
    if (known->list && memcmp(&known->of, s, sizeof *s) == 0)
        return OK;
    feasible_free(known);
    memcpy(&known->of, s, sizeof *s);
    return solve_feasible(s, &known->list, &known->n);
}

// The structure at a place in a list, or at the d of it that is nearest to d.
static enum err solve_in(const struct solve_spec *s, const struct wish *w,
                         const struct feasible *in, struct solution *out)
{
    double d = w->dim[DIM_d];
    if (in->n == 0 || !isnan(d)) // without any, solve_nearest words the reason
        return solve_nearest(s, isnan(d) ? 1.0 : d, out);
    double f = isnan(w->d_fraction) ? 0.5 : fmin(fmax(w->d_fraction, 0), 1);
    return solve_at(s, in->list[(int)floor(f * (in->n - 1) + 0.5 - 1e-9)], out);
}

enum err wish_solve(const struct solve_spec *spec, const struct wish *w, struct feasible *known,
                    struct solution *out, double *fraction, int64_t *median)
{
    struct solve_spec s = *spec;
    for (int i = 0; i < N_DIMS; i++)
        if (i != DIM_d && !isnan(w->dim[i]))
            spec_fix(&s, (enum arch_dim)i, whole(w->dim[i]));
        else if (i != DIM_d && !isnan(w->last[i]) && !spec_has(&s, (enum arch_dim)i))
            spec_fix(&s, (enum arch_dim)i, whole(w->last[i]));
    for (int i = 0; i < N_COORDS; i++)
        s.want[i] = w->coord[i];
    if (!isnan(w->dim[DIM_d]) && !fraction && !median)
        return solve_nearest(&s, w->dim[DIM_d], out);
    struct feasible own = {.list = NULL}, *in = known ? known : &own;
    TRY(feasible_of(&s, in));
    enum err e = solve_in(&s, w, in, out);
    ASSERT(in->n > 0 || e != OK);
    if (e == OK && fraction)
        *fraction = fraction_in(in->list, in->n, out->arch.d);
    if (e == OK && median)
        *median = in->list[(in->n - 1) / 2];
    feasible_free(&own);
    return e;
}

struct training wish_training(const struct wish *w, const struct rule *lr,
                              const struct rule *batch_tokens, const struct solution *sol,
                              double C)
{
    double N = (double)sol->counts.N, D = C / (double)sol->counts.M;
    double batch =
        isnan(w->batch_tokens) ? rule_at_run(batch_tokens, C, N, D) : w->batch_tokens;
    return (struct training){.tokens = round(D),
                             .batch_tokens = fmax(1, round(batch / (double)sol->arch.S)) *
                                             (double)sol->arch.S,
                             .lr = isnan(w->lr) ? rule_at_run(lr, C, N, D) : w->lr};
}

double var_value(const struct var *var, const struct arch *a, const struct counts *c, double lr,
                 double batch_tokens)
{
    switch (var->kind) {
    case VAR_COORD:
        return coord_of(c, (enum coord)var->index);
    case VAR_DIM:
        return (double)arch_dim_get(a, (enum arch_dim)var->index);
    case VAR_D_FRACTION:
        return (double)a->d;
    case VAR_LR:
        return lr;
    case VAR_BATCH:
        return batch_tokens;
    }
    return NAN;
}
