// SPDX-License-Identifier: GPL-3.0-or-later
// What looks wrong with a table's numbers. Thresholds are those of language models, wide: a
// doubt is a question to the user, never a refusal.
#include "fit/dataset.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err note(json_t *notes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static enum err note(json_t *notes, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    // Names come from outside and may be no UTF-8.
    for (char *p = text; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    ENSURE(json_array_append_new(notes, json_string(text)) == 0, ERR_FAILED, "out of memory");
    return OK;
}

struct span {
    double lo, hi, ln_lo, ln_hi;
    int distinct; // values more than 1 % apart, counted up to 3
};

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static enum err span_of(const double *v, int64_t n, struct span *s)
{
    double *sorted = malloc((size_t)n * sizeof *sorted);
    ENSURE(sorted, ERR_FAILED, "out of memory");
    memcpy(sorted, v, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    *s = (struct span){.lo = sorted[0], .hi = sorted[n - 1], .distinct = 1};
    for (int64_t i = 1, first = 0; i < n && s->distinct < 3; i++)
        if (sorted[i] > sorted[first] * 1.01) {
            s->distinct++;
            first = i;
        }
    free(sorted);
    return OK;
}

// ---- units

static const struct span *span_named(const struct dataset *d, const struct span *s,
                                     const char *name)
{
    int k = dataset_find(d, name);
    return k >= 0 ? &s[k] : NULL;
}

static enum err doubt_loss(const struct dataset *d, json_t *notes)
{
    static const char *const words[] = {"bit", "bpb", "bpc", "ppl", "perpl", "acc"};
    struct span y;
    if (strcmp(d->y_name, "loss") != 0)
        return OK;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(d->y_column, words[i]))
            return note(notes,
                        "loss: the column '%s' looks like something else than nats per token "
                        "(nats = bits times ln 2)",
                        d->y_column);
    TRY(span_of(d->y, d->n, &y));
    // ln of the largest vocabularies in use (2.6e5) is 12.5: a model that knows nothing.
    const double untrained = log(2.6e5);
    if (y.hi > untrained)
        TRY(note(
            notes,
            "loss: up to %.4g is more than a model that knows nothing has in nats per token "
            "(ln of the vocabulary, at most 12.5): is it in bits, a perplexity, or a sum?",
            y.hi));
    if (y.hi < .3)
        TRY(note(notes,
                 "loss: at most %.4g: expected nats per token (not an accuracy or error "
                 "rate)",
                 y.hi));
    return OK;
}

static enum err doubt_units(const struct dataset *d, const struct span *s, json_t *notes)
{
    static const char *const sizes[] = {"N", "N_a"}, *const tokens[] = {"D", "D1", "D2"};
    const struct span *D = NULL, *N = NULL;
    for (size_t i = 0; i < 3 && !D; i++)
        D = span_named(d, s, tokens[i]);
    for (size_t i = 0; i < 2 && !N; i++)
        N = span_named(d, s, sizes[i]);
    // The smallest models worth a law have some 1e4 parameters and as many tokens.
    if (D && D->hi < 1e5)
        TRY(note(notes,
                 "tokens: at most %.4g: are they in millions or billions? The law's "
                 "coefficients depend on the unit, its exponents do not",
                 D->hi));
    if (N && N->hi < 3e3)
        TRY(note(notes,
                 "parameters: at most %.4g: are they in millions or billions? The law's "
                 "coefficients depend on the unit, its exponents do not",
                 N->hi));
    return OK;
}

// ---- rows that repeat

struct rows {
    const struct dataset *d;
};

static int by_row(const void *a, const void *b, void *of)
{
    const struct dataset *d = ((const struct rows *)of)->d;
    const int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    for (int k = 0; k < d->n_vars; k++)
        if (d->x[k][i] != d->x[k][j])
            return d->x[k][i] < d->x[k][j] ? -1 : 1;
    return d->y[i] < d->y[j] ? -1 : d->y[i] > d->y[j];
}

static enum err doubt_duplicates(const struct dataset *d, json_t *notes)
{
    int64_t *order = malloc((size_t)d->n * sizeof *order);
    ENSURE(order, ERR_FAILED, "out of memory");
    for (int64_t i = 0; i < d->n; i++)
        order[i] = i;
    struct rows rows = {d};
    qsort_r(order, (size_t)d->n, sizeof *order, by_row, &rows);
    int64_t same = 0, a = 0, b = 0;
    for (int64_t i = 1; i < d->n; i++)
        if (by_row(&order[i - 1], &order[i], &rows) == 0 && !same++) {
            a = d->line[order[i - 1]];
            b = d->line[order[i]];
        }
    free(order);
    if (same)
        TRY(note(notes,
                 "%lld row%s another exactly (first: lines %lld and %lld): counted twice, "
                 "they make intervals too narrow",
                 (long long)same, same == 1 ? " repeats" : "s repeat",
                 (long long)(a < b ? a : b), (long long)(a < b ? b : a)));
    return OK;
}

// ---- variables that say too little

// Residual spread of ln b on ln a, relative to the spread of ln b; slope to tell what is held.
static double apart(const double *a, const double *b, int64_t n, double *slope)
{
    double ma = 0, mb = 0, aa = 0, ab = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        ma += log(a[i]) / (double)n;
        mb += log(b[i]) / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        const double u = log(a[i]) - ma, v = log(b[i]) - mb;
        aa += u * u;
        ab += u * v;
        bb += v * v;
    }
    *slope = ab / aa;
    return 1 - ab * ab / (aa * bb);
}

// Whether one of two variables follows from the other in all rows, as its power.
static bool locked(const struct dataset *d, const struct span *s, int i, int k, double *slope)
{
    if (s[i].distinct < 2 || s[k].distinct < 2 || !(s[i].lo > 0) || !(s[k].lo > 0))
        return false;
    // A share of 1e-4 of the variance left: 1 % of the spread, as far as rounding takes a grid.
    return apart(d->x[i], d->x[k], d->n, slope) < 1e-4;
}

static enum err doubt_pair(const struct dataset *d, const struct span *s, int i, int k,
                           json_t *notes)
{
    double slope;
    if (!locked(d, s, i, k, &slope))
        return OK;
    if (fabs(slope - 1) < .01)
        return note(notes,
                    "%s/%s is the same in all rows (%.4g): their effects cannot be told "
                    "apart",
                    d->name[i], d->name[k], d->x[i][0] / d->x[k][0]);
    return note(notes,
                "%s follows from %s in all rows (as its power %.3g): their effects cannot "
                "be told apart",
                d->name[k], d->name[i], slope);
}

// Whether parameter p acts through the law's variable v: its derivative (and that of ln law,
// for laws that are products) changes when only v does.
static bool acts_through(const struct law *l, const double *params, const double *x, int p,
                         int v)
{
    double y[LAW_MAX_VARS], g[LAW_MAX_PARAMS], h[LAW_MAX_PARAMS];
    const double before = law_value(l, params, x, g);
    for (int step = 0; step < 2; step++) {
        memcpy(y, x, (size_t)law_vars(l, NULL) * sizeof *y);
        y[v] *= step ? .9 : 1.1; // one of them is inside the domain
        const double after = law_value(l, params, y, h);
        if (!isfinite(after) || !isfinite(h[p]))
            continue;
        // Rounding of a sum of terms is some 1e-15 of them.
        const double scale = 1e-9 * fmax(fabs(g[p]), fabs(h[p]));
        return fabs(h[p] - g[p]) > scale && fabs(h[p] / after * before - g[p]) > scale;
    }
    return false;
}

enum err dataset_confounded(const struct dataset *d, const struct law *l, const double *params,
                            bool *out)
{
    const char *const *names;
    const int n = law_vars(l, &names), p = law_params(l, NULL);
    double x[LAW_MAX_VARS], slope;
    int col[LAW_MAX_VARS];
    struct span all[DATASET_MAX_VARS];
    for (int k = 0; k < n; k++) {
        col[k] = dataset_find(d, names[k]);
        x[k] = d->x[col[k]][0];
        TRY(span_of(d->x[col[k]], d->n, &all[col[k]]));
    }
    for (int q = 0; q < p; q++)
        out[q] = false;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            for (int q = 0; locked(d, all, col[i], col[k], &slope) && q < p; q++)
                out[q] = out[q] ||
                         acts_through(l, params, x, q, i) != acts_through(l, params, x, q, k);
    return OK;
}

static enum err doubt_spread(const struct dataset *d, const struct law *l, const struct span *s,
                             json_t *notes)
{
    const char *const *names;
    const int n = law_vars(l, &names);
    for (int i = 0; i < n; i++) {
        const int k = dataset_find(d, names[i]);
        if (strcmp(names[i], "y_max") == 0)
            continue; // a constant of the setting
        if (s[k].distinct == 1)
            TRY(note(notes, "%s has one value (%.4g): its effect cannot be seen", names[i],
                     s[k].lo));
        else if (s[k].distinct == 2)
            TRY(note(notes,
                     "%s has two values only: nothing shows how its effect bends, so an "
                     "exponent rests on the law's other terms",
                     names[i]));
        for (int j = 0; j < i; j++)
            TRY(doubt_pair(d, s, dataset_find(d, names[j]), k, notes));
    }
    return OK;
}

static enum err doubt_scales(const struct dataset *d, json_t *notes)
{
    int *group = malloc((size_t)d->n * sizeof *group);
    ENSURE(group, ERR_FAILED, "out of memory");
    const int n = dataset_scales(d, group);
    free(group);
    if (n == 1 || n == 2)
        TRY(note(notes, "%s of compute (C = %s): trends across scales need three",
                 n == 1 ? "one scale" : "two scales", d->C_rule));
    return OK;
}

enum err dataset_doubts(const struct dataset *d, const struct law *l, json_t *notes)
{
    struct span s[DATASET_MAX_VARS];
    for (int k = 0; k < d->n_vars; k++)
        TRY(span_of(d->x[k], d->n, &s[k]));
    TRY(doubt_loss(d, notes));
    TRY(doubt_units(d, s, notes));
    TRY(doubt_duplicates(d, notes));
    TRY(doubt_spread(d, l, s, notes));
    return doubt_scales(d, notes);
}
