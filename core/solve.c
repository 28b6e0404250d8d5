// SPDX-License-Identifier: Apache-2.0
#include "core/solve.h"
#include "core/search.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM_MAX (INT64_C(1) << 24)

static const char *const names[N_COORDS] = {
#define X(name) #name,
    SOLVE_COORDS(X)
#undef X
};

const char *coord_name(enum coord c)
{
    return names[c];
}

int coord_find(const char *name)
{
    for (int i = 0; i < N_COORDS; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

double coord_of(const struct counts *c, enum coord which)
{
    switch (which) {
#define X(name)                                                                                \
    case COORD_##name:                                                                         \
        return (double)c->name;
        SOLVE_COORDS(X)
#undef X
    case N_COORDS:
        break;
    }
    return NAN;
}

void solve_defaults(struct solve_spec *s)
{
    *s = (struct solve_spec){
        .base = arch_unset(),
        .n_free = 4,
        .free = {{DIM_L_d, 0, 256, 1},
                 {DIM_L_m, 1, 512, 1},
                 {DIM_d_m, 8, 32768, 8},
                 {DIM_d, 64, 32768, 8}},
    };
    for (int i = 0; i < N_COORDS; i++) {
        s->want[i] = NAN;
        s->tol[i] = 0.03;
    }
}

// What the real-valued inverse works with, or why there is none.
struct inverse {
    double N_a, L, c1, rho, R;
    double k, d_d; // d_d = k d, or fixed (k = 0)
};

// NULL, or the reason. All dimensions of base but L_d, L_m, d, d_m (and d_d) must be set.
static const char *invert(const struct arch *base, double M, double x, double y,
                          struct inverse *out)
{
    struct arch a = *base;
    arch_fill_defaults(&a);
    double heads = (double)a.N_q, nu = (double)a.N_kv / heads, S = (double)a.S;
    double y_max = (double)(a.N_e + a.n_shared) / (double)(a.K + a.n_shared);
    if (!(x > 6))
        return "x = M/N_a is always above 6";
    if (!(y > 1 && y < y_max))
        return "y = N/N_a lies between 1 and (N_e + n_shared)/(K + n_shared)";
    double N_a = M / x, scores = M - 6 * N_a;
    *out = (struct inverse){
        .N_a = N_a,
        .L = scores / (6 * S * heads * (double)a.d_qkv),
        .c1 = scores * (1 + nu) / (3 * S),
        .rho = (y - 1) / (y_max - 1),
        .k = base->d_d == ARCH_UNSET ? 3 : 0,
        .d_d = base->d_d == ARCH_UNSET ? 0 : (double)base->d_d,
    };
    out->R = N_a * (1 - out->rho);
    return NULL;
}

bool solve_real(const struct arch *base, double M, double x, double y, double d, double out[3])
{
    struct inverse v;
    if (invert(base, M, x, y, &v) != NULL || !(d > 0))
        return false;
    double G = (double)(base->K + (base->n_shared == ARCH_UNSET ? 1 : base->n_shared));
    out[0] = (v.R - v.c1 * d) / (3 * d * (v.k * d + v.d_d));
    out[1] = v.L - out[0];
    out[2] = v.N_a * v.rho / (3 * d * G * out[1]);
    return out[0] >= 0 && out[1] > 0;
}

bool solve_real_interval(const struct arch *base, double M, double x, double y, double *lo,
                         double *hi)
{
    struct inverse v;
    if (invert(base, M, x, y, &v) != NULL)
        return false;
    // L_m = 0: all layers dense, 3 (k d + d_d) d L = R - c1 d. One of k and d_d is zero.
    double slope = v.c1 + 3 * v.L * v.d_d;
    *lo = v.k > 0 ? (sqrt(slope * slope + 12 * v.k * v.L * v.R) - slope) / (6 * v.k * v.L)
                  : v.R / slope;
    *hi = v.R / v.c1; // L_d = 0
    return true;
}

static const struct solve_free *free_range(const struct solve_spec *s, enum arch_dim dim)
{
    for (int i = 0; i < s->n_free; i++)
        if (s->free[i].dim == dim)
            return &s->free[i];
    return NULL;
}

static bool has_default(int dim)
{
    return dim == DIM_d_d || dim == DIM_N_kv || dim == DIM_n_shared || dim == DIM_V;
}

static enum err check_free(const struct solve_spec *s, int i)
{
    const struct solve_free *f = &s->free[i];
    const char *name = arch_dim_name(f->dim);
    int64_t least = f->dim == DIM_L_d || f->dim == DIM_L_m || f->dim == DIM_n_shared ? 0 : 1;
    ENSURE(f->step >= 1 && f->lo >= least && f->lo <= f->hi && f->hi <= DIM_MAX, ERR_INPUT,
           "free %s: expected %" PRId64 " <= low <= high <= %" PRId64
           " and a step of at least 1, "
           "found %" PRId64 " to %" PRId64 " in steps of %" PRId64,
           name, least, DIM_MAX, f->lo, f->hi, f->step);
    ENSURE((f->lo + f->step - 1) / f->step <= f->hi / f->step, ERR_INPUT,
           "free %s: no multiple of %" PRId64 " lies between %" PRId64 " and %" PRId64, name,
           f->step, f->lo, f->hi);
    ENSURE(free_range(s, f->dim) == f, ERR_INPUT, "free %s: given twice", name);
    return OK;
}

static enum err check_spec(const struct solve_spec *s)
{
    int wishes = 0;
    for (int i = 0; i < N_COORDS; i++) {
        if (isnan(s->want[i]))
            continue;
        wishes++;
        ENSURE(isfinite(s->want[i]) && s->want[i] >= 0, ERR_INPUT,
               "%s: expected a number of at least 0, found %g", names[i], s->want[i]);
        ENSURE(s->tol[i] >= 0, ERR_INPUT, "%s: expected a tolerance of at least 0, found %g",
               names[i], s->tol[i]);
    }
    ENSURE(wishes > 0, ERR_INPUT, "nothing is asked for: no coordinate is given");
    ENSURE(s->n_free >= 0 && s->n_free <= SOLVE_MAX_FREE, ERR_INPUT,
           "expected at most %d free dimensions, found %d", (int)SOLVE_MAX_FREE, s->n_free);
    for (int i = 0; i < s->n_free; i++)
        TRY(check_free(s, i));
    for (int i = 0; i < N_DIMS; i++) {
        int64_t v = arch_dim_get(&s->base, (enum arch_dim)i);
        ENSURE(v != ARCH_UNSET || i == DIM_d || has_default(i) ||
                   free_range(s, (enum arch_dim)i) != NULL,
               ERR_INPUT, "%s (%s): neither a value nor a free range is given",
               arch_dim_name((enum arch_dim)i), arch_dim_what((enum arch_dim)i));
        ENSURE(v == ARCH_UNSET || (v >= 0 && v <= DIM_MAX), ERR_INPUT,
               "%s: expected 0 to %" PRId64 ", found %" PRId64, arch_dim_name((enum arch_dim)i),
               DIM_MAX, v);
    }
    return OK;
}

// Which d may be tried: the free range's multiples, else base's own, else only the one asked
// for.
static struct solve_free d_range(const struct solve_spec *s, int64_t asked)
{
    const struct solve_free *f = free_range(s, DIM_d);
    int64_t only = s->base.d != ARCH_UNSET ? s->base.d : asked;
    return f != NULL ? *f : (struct solve_free){DIM_d, only, only, only > 0 ? only : 1};
}

// Best at one d: within tolerance if anything is, else the least bad.
static bool best_at(const struct solve_spec *s, int64_t d, struct solution *out)
{
    return search_run(s, SEARCH_BEST_WITHIN, d, d, d, out) ||
           search_run(s, SEARCH_BEST, d, d, d, out);
}

enum err solve_at(const struct solve_spec *s, int64_t d, struct solution *out)
{
    TRY(check_spec(s));
    ENSURE(d >= 1 && d <= DIM_MAX, ERR_INPUT, "d: expected 1 to %" PRId64 ", found %" PRId64,
           DIM_MAX, d);
    ENSURE(best_at(s, d, out), ERR_INPUT,
           "no valid architecture exists at d = %" PRId64 " in the free ranges", d);
    return OK;
}

// Which limit of the triad is broken, whatever the structure; NULL if none is.
static const char *beyond_limits(const struct solve_spec *s, const struct arch *a)
{
    const double *w = s->want;
    struct inverse v;
    if (w[COORD_x] <= 6)
        return invert(a, 1, w[COORD_x], 2, &v);
    bool experts_free = free_range(s, DIM_N_e) != NULL || free_range(s, DIM_K) != NULL ||
                        free_range(s, DIM_n_shared) != NULL;
    return isnan(w[COORD_y]) || experts_free ? NULL : invert(a, 1, 7, w[COORD_y], &v);
}

// What is too far off in a structure, as text.
static void list_misses(const struct solve_spec *s, const struct solution *sol, char *buf,
                        size_t size)
{
    size_t n = 0;
    buf[0] = 0;
    for (int i = 0; i < N_COORDS && n < size; i++)
        if (fabs(sol->deviation[i]) > s->tol[i])
            n += (size_t)snprintf(buf + n, size - n, "%s%s off by %+.2f %% (tolerance %g %%)",
                                  n > 0 ? ", " : "", names[i], 100 * sol->deviation[i],
                                  100 * s->tol[i]);
}

// Why nothing fits: the limit that is broken, and the best structure there is.
static enum err infeasible(const struct solve_spec *s, const struct solve_free *d)
{
    struct solution best;
    char misses[512];
    ENSURE(search_run(s, SEARCH_BEST, d->lo, d->hi, d->step, &best), ERR_INPUT,
           "infeasible: no valid architecture exists in the free ranges");
    const char *why = beyond_limits(s, &best.arch);
    list_misses(s, &best, misses, sizeof misses);
    return err_set(ERR_INPUT,
                   "infeasible: %s%sno structure within tolerance at any d from %" PRId64
                   " to %" PRId64 "; the best, at d = %" PRId64 ", has %s",
                   why != NULL ? why : "", why != NULL ? "; " : "", d->lo, d->hi, best.arch.d,
                   misses);
}

enum err solve_nearest(const struct solve_spec *s, double d, struct solution *out)
{
    TRY(check_spec(s));
    ENSURE(d >= 1 && d <= (double)DIM_MAX, ERR_INPUT, "d: expected 1 to %" PRId64 ", found %g",
           DIM_MAX, d);
    struct solve_free r = d_range(s, llround(d));
    int64_t first = (r.lo + r.step - 1) / r.step, last = r.hi / r.step;
    // Outwards from d: `above` is the first candidate at or above it.
    int64_t above = (int64_t)ceil(d / (double)r.step);
    above = above < first ? first : above > last ? last + 1 : above;
    int64_t below = above - 1;
    while (below >= first || above <= last) {
        double down = below >= first ? d / (double)(below * r.step) : INFINITY;
        double up = above <= last ? (double)(above * r.step) / d : INFINITY;
        int64_t try = (down <= up ? below-- : above++) * r.step;
        if (search_run(s, SEARCH_BEST_WITHIN, try, try, try, out))
            return OK;
    }
    return infeasible(s, &r);
}

enum err solve_feasible(const struct solve_spec *s, int64_t **out, int *n)
{
    *out = NULL;
    *n = 0;
    TRY(check_spec(s));
    struct solve_free r = d_range(s, ARCH_UNSET);
    ENSURE(r.lo > 0, ERR_INPUT, "d: neither a value nor a free range is given");
    int64_t first = (r.lo + r.step - 1) / r.step, last = r.hi / r.step;
    int64_t *list = calloc((size_t)(last - first + 1), sizeof *list);
    ENSURE(list != NULL, ERR_FAILED, "out of memory listing %" PRId64 " values of d",
           last - first + 1);
    struct solution sol;
    for (int64_t i = first; i <= last; i++)
        if (search_run(s, SEARCH_ANY_WITHIN, i * r.step, i * r.step, i * r.step, &sol))
            list[(*n)++] = i * r.step;
    *out = list;
    return OK;
}
