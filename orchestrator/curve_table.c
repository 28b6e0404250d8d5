// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/curve_table.h"
#include "core/json.h"
#include "fit/expr.h"
#include "orchestrator/fit_report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 5, MAX_SOURCES = COLUMNS + LAW_MAX_VARS };
enum column { AT, LOSS, END, FINAL, SCALE };
static const char *const columns[COLUMNS] = {"D", "loss", "D_end", "final", "C"};

// ---- reading

struct point {
    int64_t row;
    double v[COLUMNS];
};

struct reader {
    struct table t;
    struct expr_map map;
    int run;                          // column
    struct expr *source[MAX_SOURCES]; // columns, then the law's variables; NULL: not there
    int n_sources;
    struct point *point;
    int64_t n;
};

static enum err find_source(struct reader *r, const char *name, bool required,
                            struct expr **out)
{
    const int k = expr_map_find(&r->map, name);
    char all[256], text[64];
    *out = NULL;
    if (k >= 0) {
        *out = r->map.e[k];
        r->map.e[k] = NULL; // owned by the sources from here on
        return OK;
    }
    if (table_find(&r->t, name) >= 0) {
        snprintf(text, sizeof text, "\"%s\"", name);
        return expr_parse(text, "a column", &r->t, out);
    }
    table_names(&r->t, all, sizeof all);
    ENSURE(!required, ERR_INPUT,
           "curve: %s: expected a column %s, or --map '%s=..'; found columns %s", r->t.path,
           name, name, all);
    return OK;
}

static enum err find_sources(struct reader *r, const struct law *law)
{
    struct expr *run;
    TRY(find_source(r, "run", true, &run));
    r->run = expr_column(run);
    expr_free(run);
    ENSURE(r->run >= 0, ERR_INPUT, "curve: --map run: expected a column");
    for (int k = 0; k < COLUMNS; k++)
        TRY(find_source(r, columns[k], k <= END, &r->source[r->n_sources++]));
    const char *const *names;
    const int vars = law ? law_vars(law, &names) : 0;
    for (int k = 0; k < vars; k++)
        TRY(find_source(r, names[k], strcmp(names[k], "D") != 0, &r->source[r->n_sources++]));
    return OK;
}

// NaN: missing, not finite, or no such source.
static enum err cell(const struct reader *r, int source, int64_t row, double *out)
{
    int col;
    *out = (double)NAN;
    if (!r->source[source])
        return OK;
    const enum table_cell kind = expr_value(r->source[source], &r->t, row, out, &col);
    ENSURE(kind != CELL_TEXT, ERR_INPUT,
           "curve: %s line %lld, %s: expected a number, found '%s'", r->t.path,
           (long long)r->t.line[row], r->t.col[col].name,
           table_quote(table_text(&r->t, col, row)).s);
    if (kind != CELL_NUMBER || !isfinite(*out))
        *out = (double)NAN;
    ENSURE(!(*out <= 0) || source > SCALE, ERR_INPUT,
           "curve: %s line %lld, %s: expected a positive number, found %g", r->t.path,
           (long long)r->t.line[row], columns[source], *out);
    return OK;
}

static enum err read_points(struct reader *r, int64_t *left_out)
{
    r->point = malloc((size_t)(r->t.n + 1) * sizeof *r->point);
    ENSURE(r->point, ERR_FAILED, "out of memory for %lld points", (long long)r->t.n);
    for (int64_t i = 0; i < r->t.n; i++) {
        struct point *p = &r->point[r->n];
        p->row = i;
        for (int k = 0; k < COLUMNS; k++)
            TRY(cell(r, k, i, &p->v[k]));
        const bool whole = isfinite(p->v[AT]) && isfinite(p->v[LOSS]) && isfinite(p->v[END]);
        r->n += whole;
        *left_out += !whole;
    }
    ENSURE(r->n > 0, ERR_INPUT, "curve: %s: no row has D, loss and D_end", r->t.path);
    return OK;
}

static int by_name(const struct reader *r, int64_t a, int64_t b)
{
    const int order = strcmp(table_text(&r->t, r->run, a), table_text(&r->t, r->run, b));
    const double *v = r->t.col[r->run].number, x = v[a], y = v[b];
    return order ? order : (x > y) - (x < y); // NaN, for text, is neither
}

static int by_run(const void *va, const void *vb, void *of)
{
    const struct point *a = va, *b = vb;
    const int order = by_name(of, a->row, b->row);
    if (order)
        return order;
    return a->v[AT] != b->v[AT] ? (a->v[AT] > b->v[AT] ? 1 : -1) : (a->row > b->row) * 2 - 1;
}

static void name_of(const struct reader *r, int64_t row, char name[48])
{
    const char *text = table_text(&r->t, r->run, row);
    if (*text)
        snprintf(name, 48, "%s", table_quote(text).s);
    else
        snprintf(name, 48, "%.15g", r->t.col[r->run].number[row]);
}

// The law along the run's points, and its variables at the end.
static enum err follow(const struct reader *r, const struct fit_file *law, int64_t row,
                       struct learning_run *run, double *along, double *x)
{
    const struct law *l = law->fit.law;
    const int D = law_var_find(l, "D");
    for (int k = 0; k < law_vars(l, NULL); k++)
        TRY(cell(r, COLUMNS + k, row, &x[k]));
    for (int i = 0; i < run->n; i++) {
        x[D] = run->D[i];
        along[i] = law_value(l, law->fit.value, x, NULL);
    }
    x[D] = run->D_end;
    run->law = along;
    run->law_end = law_value(l, law->fit.value, x, NULL);
    return OK;
}

// The i-th run: points from .. from + n of the sorted ones.
static enum err make_run(const struct reader *r, const struct fit_file *law, int64_t from,
                         int n, struct curve_table *out)
{
    const struct point *last = &r->point[from + n - 1];
    struct learning_run *run = &out->run[out->n];
    double *D = out->numbers + 3 * from, *loss = D + n, *along = loss + n;
    name_of(r, last->row, out->name[out->n]);
    for (int i = 0; i < n; i++) {
        D[i] = r->point[from + i].v[AT];
        loss[i] = r->point[from + i].v[LOSS];
    }
    *run = (struct learning_run){.name = out->name[out->n],
                                 .n = n,
                                 .D = D,
                                 .loss = loss,
                                 .D_end = last->v[END],
                                 .law_end = (double)NAN,
                                 .final = last->v[FINAL],
                                 .C = last->v[SCALE]};
    ENSURE(run->D[n - 1] <= run->D_end * (1 + 1e-6), ERR_INPUT,
           "curve: %s line %lld, run %s: expected D of at most D_end = %g, found %g", r->t.path,
           (long long)r->t.line[last->row], run->name, run->D_end, run->D[n - 1]);
    if (law)
        TRY(follow(r, law, last->row, run, along, out->x + out->n * LAW_MAX_VARS));
    out->n++;
    return OK;
}

static enum err make_runs(struct reader *r, const struct fit_file *law, struct curve_table *out)
{
    int64_t runs = 0;
    qsort_r(r->point, (size_t)r->n, sizeof *r->point, by_run, r);
    for (int64_t i = 0; i < r->n; i++)
        runs += i == 0 || by_name(r, r->point[i - 1].row, r->point[i].row) != 0;
    out->run = calloc((size_t)runs, sizeof *out->run);
    out->name = calloc((size_t)runs, sizeof *out->name);
    out->x = calloc((size_t)runs * LAW_MAX_VARS, sizeof *out->x);
    out->numbers = malloc((size_t)r->n * 3 * sizeof *out->numbers);
    ENSURE(out->run && out->name && out->x && out->numbers, ERR_FAILED,
           "out of memory for %lld points", (long long)r->n);
    for (int64_t i = 1, from = 0; i <= r->n; i++) {
        if (i < r->n && by_name(r, r->point[i - 1].row, r->point[i].row) == 0)
            continue;
        TRY(make_run(r, law, from, (int)(i - from), out));
        from = i;
    }
    return OK;
}

static void reader_free(struct reader *r)
{
    for (int k = 0; k < r->n_sources; k++)
        expr_free(r->source[k]);
    expr_map_free(&r->map);
    table_free(&r->t);
    free(r->point);
}

static enum err read_all(const char *path, const char *map, const struct fit_file *law,
                         struct reader *r, struct curve_table *out)
{
    TRY(table_read(path, &r->t));
    if (map)
        TRY(expr_map_parse(map, "--map", &r->t, &r->map));
    TRY(find_sources(r, law ? law->fit.law : NULL));
    TRY(read_points(r, &out->left_out));
    return make_runs(r, law, out);
}

enum err curve_table_read(const char *path, const char *map, const struct fit_file *law,
                          struct curve_table *out)
{
    struct reader r = {0};
    *out = (struct curve_table){0};
    ENSURE(!law || law_var_find(law->fit.law, "D") >= 0, ERR_INPUT,
           "curve: --law: expected a law of tokens D, found %s", law_name(law->fit.law));
    out->law = law ? law->fit.law : NULL;
    enum err e = read_all(path, map, law, &r, out);
    reader_free(&r);
    if (e != OK)
        curve_table_free(out);
    return e;
}

void curve_table_free(struct curve_table *t)
{
    free(t->run);
    free(t->numbers);
    free(t->name);
    free(t->x);
    *t = (struct curve_table){0};
}

// ---- writing

static void write_curve(FILE *f, const struct steer_job *sj, const json_t *curve)
{
    const struct job *j = &sj->job;
    const struct counts *c = &sj->counts;
    size_t i;
    json_t *point;
    json_array_foreach(curve, i, point)
    {
        const double step = jnum_at(point, 0), loss = jnum_at(point, 1);
        if (!(step > 0) || !isfinite(loss))
            continue;
        fprintf(f, "%s,%.17g,%lld,%lld,%lld,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%lld,%lld,%lld,",
                j->id, sj->C, (long long)c->M, (long long)c->N_a, (long long)c->N, c->x, c->y,
                c->r, c->G, c->s, c->z, (long long)j->arch.N_e, (long long)j->arch.K,
                (long long)j->train.seed);
        fprintf(f, "%lld,%lld,%.9g,%.9g\n", (long long)sj->result.tokens,
                (long long)job_tokens_after(j, (int64_t)step), loss, sj->result.loss);
    }
}

enum err curve_table_write(FILE *f, const struct steer *s, const json_t *records)
{
    json_t *curves = json_object(), *rec;
    size_t k;
    ENSURE(curves, ERR_FAILED, "out of memory");
    json_array_foreach(records, k, rec) if (strcmp(jstr(rec, "t"), "result") == 0 ||
                                            strcmp(jstr(rec, "t"), "import") == 0)
        json_object_set(curves, jstr(rec, "id"), json_object_get(rec, "curve"));
    fputs("run,C,M,N_a,N,x,y,r,G,s,z,N_e,K,seed,D_end,D,loss,final\n", f);
    for (int i = 0; i < steer_n_jobs(s); i++) {
        const struct steer_job *sj = steer_job_at(s, i);
        if (sj->final && steer_job_ok(sj))
            write_curve(f, sj, json_object_get(curves, sj->job.id));
    }
    json_decref(curves);
    return OK;
}
