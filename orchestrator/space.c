// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/space.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM_MAX (INT64_C(1) << 24) // as core/arch.c
enum { MOST = 1 << 16 };           // candidates of a dimension

static bool takes(const struct range *r, int64_t v)
{
    switch (r->kind) {
    case RANGE_POW2:
        return v > 0 && (v & (v - 1)) == 0 && v % r->step == 0;
    case RANGE_DIVISOR:
        return v > 0 && r->of % v == 0 && v % r->step == 0;
    case RANGE_STEPS:
        return v % r->step == 0;
    case RANGE_FOLLOWS:
        break;
    }
    return false;
}

static enum err nothing_left(const struct range *r, enum arch_dim dim)
{
    char what[80] = "value";
    if (r->kind == RANGE_POW2)
        snprintf(what, sizeof what, "power of two");
    if (r->kind == RANGE_DIVISOR)
        snprintf(what, sizeof what, "divisor of %" PRId64, r->of);
    size_t n = strlen(what);
    if (r->step > 1)
        snprintf(what + n, sizeof what - n, ", multiple of %" PRId64 ",", r->step);
    return err_set(ERR_INPUT, "%s: no %s is left between %" PRId64 " and %" PRId64,
                   arch_dim_name(dim), what, r->lo, r->hi);
}

static enum err list(const struct range *r, enum arch_dim dim, struct choices *out)
{
    ASSERT(r->step >= 1);
    if (r->kind == RANGE_FOLLOWS)
        return OK;
    int64_t first = (r->lo + r->step - 1) / r->step * r->step, n = 0;
    for (int64_t v = first; v <= r->hi; v += r->step)
        n += takes(r, v);
    if (n == 0)
        return nothing_left(r, dim);
    ENSURE(n <= MOST, ERR_INPUT,
           "%s: expected at most %d values to choose from, found %" PRId64
           " (--free with a larger step)",
           arch_dim_name(dim), MOST, n);
    out->value = malloc((size_t)n * sizeof *out->value);
    ENSURE(out->value, ERR_FAILED, "out of memory");
    for (int64_t v = first; v <= r->hi; v += r->step)
        if (takes(r, v))
            out->value[out->n++] = v;
    return OK;
}

enum err space_make(const struct range range[N_DIMS], struct space *out)
{
    enum err e = OK;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < N_DIMS && e == OK; i++) {
        ASSERT(range[i].lo >= 0 && range[i].hi <= DIM_MAX);
        out->step[i] = range[i].step;
        e = list(&range[i], (enum arch_dim)i, &out->dim[i]);
    }
    if (e != OK)
        space_free(out);
    return e;
}

void space_free(struct space *s)
{
    for (int i = 0; i < N_DIMS; i++)
        free(s->dim[i].value);
    memset(s, 0, sizeof *s);
}

// Fills what follows; false where it has no value.
static bool follow(const struct space *s, struct arch *a)
{
    if (s->dim[DIM_N_q].n == 0) {
        if (a->d % a->d_qkv != 0)
            return false;
        a->N_q = a->d / a->d_qkv;
    }
    if (s->dim[DIM_N_kv].n == 0)
        a->N_kv = a->N_q > 1 ? a->N_q / 2 : 1;
    if (s->dim[DIM_d_d].n == 0)
        a->d_d = (3 * a->d + s->step[DIM_d_d] - 1) / s->step[DIM_d_d] * s->step[DIM_d_d];
    return a->N_q % s->step[DIM_N_q] == 0 && a->N_kv % s->step[DIM_N_kv] == 0;
}

bool space_arch(const struct space *s, const int at[N_DIMS], struct arch *out)
{
    for (int i = 0; i < N_DIMS; i++)
        *arch_dim(out, (enum arch_dim)i) = s->dim[i].n ? s->dim[i].value[at[i]] : ARCH_UNSET;
    if (out->d < 1 || out->d_qkv < 1 || !follow(s, out))
        return false;
    // What fails often, before the check that words every reason.
    if (out->K > out->N_e || out->N_kv < 1 || out->N_q % out->N_kv != 0 ||
        out->L_d + out->L_m == 0)
        return false;
    return arch_check(out) == OK;
}

bool space_find(const struct space *s, const struct arch *a, int at[N_DIMS])
{
    struct arch same;
    for (int i = 0; i < N_DIMS; i++) {
        const struct choices *c = &s->dim[i];
        int64_t v = arch_dim_get(a, (enum arch_dim)i);
        at[i] = 0;
        while (at[i] < c->n && c->value[at[i]] != v)
            at[i]++;
        if (at[i] == c->n && c->n)
            return false;
    }
    return space_arch(s, at, &same) && memcmp(&same, a, sizeof same) == 0;
}
