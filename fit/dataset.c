// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/dataset.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *law_output(const struct law *l)
{
    static const char *const names[] = {"EL", "r", "D"};
    const char *formula = law_formula(l), *end = strstr(formula, " = ");
    for (size_t i = 0; i < sizeof names / sizeof *names && end; i++)
        if (strlen(names[i]) == (size_t)(end - formula) &&
            strncmp(formula, names[i], (size_t)(end - formula)) == 0)
            return names[i];
    return "loss";
}

// How many of X1, X2, .. a map names.
static int terms(const char *map)
{
    int n = 0;
    for (const char *p = map; p; p = strchr(p, ',')) {
        int k = 0;
        p += *p == ',';
        if (sscanf(p, " X%1d", &k) == 1 && k > n)
            n = k;
    }
    return n;
}

enum err law_of(const char *name, const char *map, const struct law **l)
{
    int n = terms(map);
    ENSURE(
        n > 0 || strcmp(name, "powersum") != 0, ERR_INPUT,
        "powersum: expected its columns, as in --map 'X1=width,X2=depth,X3=tokens,loss=loss'");
    *l = law_find(name, n);
    if (*l)
        return OK;
    char names[400];
    size_t used = 0;
    for (int i = 0; law_at(i) && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 law_name(law_at(i)));
    return err_set(ERR_INPUT, "expected a law (%s), found '%s'", names, table_quote(name).s);
}

// ---- which expression gives which name

struct source {
    const char *name;
    const struct expr *e; // from the map, or own
    struct expr *own;     // a column of that name
};

struct reading {
    const struct table *t;
    struct dataset *d;
    struct source var[DATASET_MAX_VARS], y, C;
    struct filter **filter;
    int n_filters;
};

static enum err find_source(const struct table *t, const struct expr_map *m, struct source *s)
{
    int i = expr_map_find(m, s->name);
    if (i >= 0) {
        s->e = m->e[i];
        return OK;
    }
    if (table_find(t, s->name) < 0)
        return OK;
    TRY(expr_parse(s->name, "column", t, &s->own));
    s->e = s->own;
    return OK;
}

static enum err need_source(const struct table *t, const struct expr_map *m, struct source *s)
{
    TRY(find_source(t, m, s));
    if (s->e)
        return OK;
    char columns[480];
    table_names(t, columns, sizeof columns);
    return err_set(ERR_INPUT,
                   "%s: expected a column '%s', or --map '%s=..'; found the columns %s",
                   t->path, s->name, s->name, columns);
}

static bool is_variable(const struct dataset *d, const char *name)
{
    return dataset_find(d, name) >= 0;
}

// Names of a map that nothing asks for are mistakes.
static enum err refuse_unknown(const struct reading *r, const struct expr_map *m)
{
    char known[256] = "";
    size_t used = 0;
    for (int k = 0; k < r->d->n_vars && used < sizeof known; k++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s, ", r->d->name[k]);
    for (int i = 0; i < m->n; i++)
        ENSURE(is_variable(r->d, m->name[i]) || strcmp(m->name[i], r->d->y_name) == 0 ||
                   strcmp(m->name[i], "loss") == 0 || strcmp(m->name[i], "C") == 0,
               ERR_INPUT, "--map: expected %s%s or C, found '%s'", known, r->d->y_name,
               table_quote(m->name[i]).s);
    return OK;
}

static enum err find_sources(struct reading *r, const struct expr_map *m)
{
    struct dataset *d = r->d;
    for (int k = 0; k < d->n_vars; k++) {
        r->var[k].name = d->name[k];
        TRY(need_source(r->t, m, &r->var[k]));
    }
    TRY(refuse_unknown(r, m));
    r->y.name = d->y_name;
    if (strcmp(d->y_name, "loss") != 0 && expr_map_find(m, d->y_name) < 0 &&
        expr_map_find(m, "loss") >= 0)
        r->y.name = "loss";
    TRY(need_source(r->t, m, &r->y));
    const int column = expr_column(r->y.e);
    if (column >= 0)
        snprintf(d->y_column, sizeof d->y_column, "%s", table_quote(r->t->col[column].name).s);
    r->C.name = "C";
    return find_source(r->t, m, &r->C);
}

static enum err add_vars(struct dataset *d, const struct law *l)
{
    const char *const *names;
    int n = law_vars(l, &names);
    for (int k = 0; k < n; k++) {
        if (is_variable(d, names[k]))
            continue;
        ENSURE(d->n_vars < DATASET_MAX_VARS, ERR_INPUT,
               "expected laws with at most %d variables", DATASET_MAX_VARS);
        d->name[d->n_vars] = strdup(names[k]);
        ENSURE(d->name[d->n_vars], ERR_FAILED, "out of memory");
        d->n_vars++;
    }
    return OK;
}

// ---- rows

static void skip_row(struct dataset *d, const char *why, int64_t line)
{
    int i = 0;
    while (i < d->n_skips && strcmp(d->skip[i].why, why) != 0)
        i++;
    if (i == DATASET_MAX_SKIPS) {
        i--; // the last one stands for all others
        snprintf(d->skip[i].why, sizeof d->skip[i].why, "other cells are missing");
    } else if (i == d->n_skips) {
        d->skip[d->n_skips].line = line;
        snprintf(d->skip[d->n_skips++].why, sizeof d->skip[0].why, "%s", why);
    }
    d->skip[i].n++;
}

// What may be zero: shares.
static bool may_be_zero(const char *name)
{
    return strcmp(name, "s") == 0 || strcmp(name, "z") == 0;
}

// *v, or *use = false with the row counted as skipped.
static enum err cell(struct reading *r, const struct source *s, int64_t row, double *v,
                     bool *use)
{
    int col = 0;
    const struct table *t = r->t;
    const long long line = (long long)t->line[row];
    enum table_cell got = expr_value(s->e, t, row, v, &col);
    char why[96];
    if (got == CELL_TEXT)
        return err_set(ERR_INPUT,
                       "%s: line %lld, column '%s' (for %s): expected a number, found '%s' "
                       "(--where leaves rows out)",
                       t->path, line, table_quote(t->col[col].name).s, s->name,
                       table_quote(table_text(t, col, row)).s);
    if (got == CELL_NUMBER && isfinite(*v)) {
        ENSURE(*v > 0 || (*v == 0 && may_be_zero(s->name)), ERR_INPUT,
               "%s: line %lld: %s: expected a positive number, found %g (--where leaves rows "
               "out)",
               t->path, line, s->name, *v);
        return OK;
    }
    if (got == CELL_NUMBER)
        snprintf(why, sizeof why, "%s comes out as %g", s->name, *v);
    else
        snprintf(why, sizeof why, "%s is %s", table_quote(t->col[col].name).s,
                 got == CELL_MISSING ? "missing" : "not finite");
    if (*use)
        skip_row(r->d, why, line);
    *use = false;
    return OK;
}

static bool taken(const struct reading *r, int64_t row)
{
    for (int i = 0; i < r->n_filters; i++)
        if (!filter_takes(r->filter[i], r->t, row))
            return false;
    return true;
}

static enum err read_rows(struct reading *r)
{
    struct dataset *d = r->d;
    for (int64_t row = 0; row < r->t->n; row++) {
        if (!taken(r, row)) {
            d->n_filtered++;
            continue;
        }
        bool use = true;
        TRY(cell(r, &r->y, row, &d->y[d->n], &use));
        for (int k = 0; k < d->n_vars; k++)
            TRY(cell(r, &r->var[k], row, &d->x[k][d->n], &use));
        int col;
        if (r->C.e && expr_value(r->C.e, r->t, row, &d->C[d->n], &col) != CELL_NUMBER)
            d->C[d->n] = (double)NAN;
        d->line[d->n] = r->t->line[row];
        d->n += use;
    }
    char counts[512];
    dataset_counts(d, counts, sizeof counts);
    ENSURE(d->n > 0, ERR_INPUT, "%s: expected rows to fit, found %s", r->t->path, counts);
    return OK;
}

// C as given where every row has it, else from sizes and tokens, else unknown.
static void derive_C(struct dataset *d, bool given)
{
    for (int64_t i = 0; given && i < d->n; i++)
        given = d->C[i] > 0 && isfinite(d->C[i]);
    int N = dataset_find(d, "N_a"), D = dataset_find(d, "D");
    d->C_rule = given ? "C" : N >= 0 ? "6 N_a D" : "6 N D";
    if (given)
        return;
    N = N >= 0 ? N : dataset_find(d, "N");
    for (int64_t i = 0; i < d->n && N >= 0 && D >= 0; i++)
        d->C[i] = 6 * d->x[N][i] * d->x[D][i];
    if (N < 0 || D < 0) {
        free(d->C);
        d->C = NULL;
        d->C_rule = "";
    }
}

static enum err make_room(struct dataset *d, int64_t n)
{
    const size_t count = n > 0 ? (size_t)n : 1;
    bool ok = (d->y = malloc(count * sizeof *d->y)) != NULL;
    ok = (d->C = malloc(count * sizeof *d->C)) != NULL && ok;
    ok = (d->line = malloc(count * sizeof *d->line)) != NULL && ok;
    for (int k = 0; k < d->n_vars; k++)
        ok = (d->x[k] = malloc(count * sizeof *d->x[k])) != NULL && ok;
    ENSURE(ok, ERR_FAILED, "out of memory");
    return OK;
}

// ---- one after the other

static enum err build(struct reading *r, const char *map, const char *const *where)
{
    struct expr_map m = {0};
    if (map)
        TRY(expr_map_parse(map, "--map", r->t, &m));
    enum err e = find_sources(r, &m);
    for (int i = 0; e == OK && i < r->n_filters; i++)
        e = filter_parse(where[i], "--where", r->t, &r->filter[i]);
    if (e == OK)
        e = make_room(r->d, r->t->n);
    if (e == OK)
        e = read_rows(r);
    if (e == OK)
        derive_C(r->d, r->C.e != NULL);
    expr_map_free(&m);
    return e;
}

static enum err from_table(const struct table *t, const char *map, const char *const *where,
                           int n_where, struct dataset *d)
{
    struct reading r = {.t = t, .d = d, .n_filters = n_where};
    r.filter = calloc((size_t)n_where + 1, sizeof *r.filter);
    ENSURE(r.filter, ERR_FAILED, "out of memory");
    d->n_table = t->n;
    enum err e = build(&r, map, where);
    for (int i = 0; i < n_where; i++)
        filter_free(r.filter[i]);
    free(r.filter);
    for (int k = 0; k < d->n_vars; k++)
        expr_free(r.var[k].own);
    expr_free(r.y.own);
    expr_free(r.C.own);
    return e;
}

enum err dataset_read(const char *path, const char *map, const char *const *where, int n_where,
                      const struct law *const *laws, int n_laws, struct dataset *out)
{
    memset(out, 0, sizeof *out);
    out->y_name = law_output(laws[0]);
    enum err e = OK;
    for (int i = 0; i < n_laws && e == OK; i++) {
        e = add_vars(out, laws[i]);
        if (e == OK && strcmp(law_output(laws[i]), out->y_name) != 0)
            e = err_set(ERR_INPUT,
                        "expected laws of one quantity, found %s (of %s) and %s (of %s)",
                        law_name(laws[0]), out->y_name, law_name(laws[i]), law_output(laws[i]));
    }
    struct table t = {0};
    if (e == OK)
        e = table_read(path, &t);
    if (e == OK)
        e = from_table(&t, map, where, n_where, out);
    table_free(&t);
    if (e != OK)
        dataset_free(out);
    return e;
}

void dataset_free(struct dataset *d)
{
    for (int k = 0; k < d->n_vars; k++) {
        free(d->name[k]);
        free(d->x[k]);
    }
    free(d->y);
    free(d->C);
    free(d->line);
    memset(d, 0, sizeof *d);
}

// ---- parts of it

int dataset_find(const struct dataset *d, const char *name)
{
    for (int k = 0; k < d->n_vars; k++)
        if (strcmp(d->name[k], name) == 0)
            return k;
    return -1;
}

double *dataset_x(const struct dataset *d, const struct law *l)
{
    const char *const *names;
    const int p = law_vars(l, &names);
    double *x = malloc((size_t)(d->n > 0 ? d->n : 1) * (size_t)p * sizeof *x);
    for (int k = 0; k < p && x; k++) {
        const double *from = d->x[dataset_find(d, names[k])];
        for (int64_t i = 0; i < d->n; i++)
            x[i * p + k] = from[i];
    }
    return x;
}

enum err dataset_subset(const struct dataset *d, const bool *keep, struct dataset *out)
{
    *out = (struct dataset){.y_name = d->y_name, .C_rule = d->C_rule};
    enum err e = OK;
    for (int k = 0; k < d->n_vars && e == OK; k++) {
        out->name[k] = strdup(d->name[k]);
        out->n_vars = k + 1;
        e = out->name[k] ? OK : err_set(ERR_FAILED, "out of memory");
    }
    if (e == OK)
        e = make_room(out, d->n);
    if (e != OK) {
        dataset_free(out);
        return e;
    }
    for (int64_t i = 0; i < d->n; i++) {
        if (!keep[i])
            continue;
        for (int k = 0; k < d->n_vars; k++)
            out->x[k][out->n] = d->x[k][i];
        out->y[out->n] = d->y[i];
        if (d->C)
            out->C[out->n] = d->C[i];
        out->line[out->n++] = d->line[i];
    }
    out->n_table = out->n;
    if (!d->C) {
        free(out->C);
        out->C = NULL;
    }
    return OK;
}

static int by_value(const void *a, const void *b, void *values)
{
    const double *v = values;
    const double x = v[*(const int64_t *)a], y = v[*(const int64_t *)b];
    const int64_t i = *(const int64_t *)a, k = *(const int64_t *)b;
    return x < y ? -1 : x > y ? 1 : i < k ? -1 : i > k;
}

int dataset_scales(const struct dataset *d, int *group)
{
    // Published grids miss their budget by up to 10 %, and neighbouring budgets differ by
    // factors of 1.5 or more: a gap of 25 % parts them, and no scale is wider than 50 %.
    const double gap = log(1.25), widest = log(1.5);
    int64_t *order = d->C ? malloc((size_t)d->n * sizeof *order) : NULL;
    if (!order)
        return 0;
    for (int64_t i = 0; i < d->n; i++)
        order[i] = i;
    qsort_r(order, (size_t)d->n, sizeof *order, by_value, d->C);
    int n = 0;
    double first = 0, last = -INFINITY;
    bool scales = true;
    for (int64_t i = 0; i < d->n && scales; i++) {
        const double c = log(d->C[order[i]]);
        if (i == 0 || c - last > gap) {
            first = c;
            n++;
        }
        last = c;
        scales = c - first <= widest;
        group[order[i]] = n - 1;
    }
    free(order);
    return scales && n < d->n ? n : 0; // each row a scale of its own is none
}

void dataset_counts(const struct dataset *d, char *buf, size_t size)
{
    size_t used;
    if (d->n == d->n_table) {
        snprintf(buf, size, "all %lld rows", (long long)d->n);
        return;
    }
    used = (size_t)snprintf(buf, size, "%lld of %lld rows", (long long)d->n,
                            (long long)d->n_table);
    const char *sep = ": ";
    if (d->n_filtered && used < size) {
        used += (size_t)snprintf(buf + used, size - used, "%s%lld left out by --where", sep,
                                 (long long)d->n_filtered);
        sep = "; ";
    }
    for (int i = 0; i < d->n_skips && used < size; i++) {
        used += (size_t)snprintf(
            buf + used, size - used, "%s%lld skipped, as %s (first: line %lld)", sep,
            (long long)d->skip[i].n, d->skip[i].why, (long long)d->skip[i].line);
        sep = "; ";
    }
}
