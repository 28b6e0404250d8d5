// SPDX-License-Identifier: GPL-3.0-or-later
// Law files: a fit's report with its resamples and residuals.
#include "core/file.h"
#include "core/json.h"
#include "orchestrator/fit_report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RESIDUALS = 1000, MAX_BOOT = 1000000 };

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// All residuals in order, or that many quantiles of them: what a new observation's interval
// draws from.
static json_t *residuals_json(const struct law_fit *f)
{
    json_t *all = json_array();
    double *r = malloc((size_t)f->n * sizeof *r);
    if (!r)
        return all;
    memcpy(r, f->residual, (size_t)f->n * sizeof *r);
    qsort(r, (size_t)f->n, sizeof *r, by_size);
    const int64_t n = f->n < MAX_RESIDUALS ? f->n : MAX_RESIDUALS;
    for (int64_t i = 0; i < n; i++)
        json_array_append_new(all, json_num(r[(2 * i + 1) * f->n / (2 * n)]));
    free(r);
    return all;
}

static json_t *boot_json(const struct law_fit *f)
{
    const int p = law_params(f->law, NULL);
    json_t *all = json_array();
    for (int i = 0; i < f->n_boot; i++) {
        const double *v = f->boot + (size_t)i * (size_t)p;
        bool ok = true;
        for (int k = 0; k < p; k++)
            ok = ok && isfinite(v[k]);
        json_t *row = ok ? json_array() : NULL;
        for (int k = 0; k < p && ok; k++)
            json_array_append_new(row, json_num(v[k]));
        if (row)
            json_array_append_new(all, row);
    }
    return all;
}

enum err fit_file_write(const char *path, const json_t *report, const struct law_fit *f)
{
    json_t *doc = json_pack("{s:i, s:s}", "v", 1, "t", "fit");
    const char *key;
    json_t *v;
    ENSURE(doc, ERR_FAILED, "out of memory");
    json_t *from = json_deep_copy(report);
    json_object_foreach(from, key, v) json_object_set(doc, key, v);
    json_decref(from);
    json_object_set_new(doc, "residuals", residuals_json(f));
    json_object_set_new(doc, "boot", boot_json(f));
    enum err e = json_write_file(path, doc);
    json_decref(doc);
    return e;
}

// ---- reading

static enum err numbers(const json_t *array, const char *ctx, const char *key, size_t n,
                        double *out)
{
    ENSURE(json_is_array(array) && json_array_size(array) == n, ERR_INPUT,
           "%s: %s: expected %zu numbers", ctx, key, n);
    for (size_t i = 0; i < n; i++) {
        ENSURE(json_is_number(json_array_get(array, i)), ERR_INPUT,
               "%s: %s: expected %zu numbers", ctx, key, n);
        out[i] = json_number_value(json_array_get(array, i));
    }
    return OK;
}

static enum err read_law(json_t *doc, const char *ctx, struct law_fit *f)
{
    char name[32];
    int64_t v, terms;
    const char *t = json_string_value(json_object_get(doc, "t"));
    // What `fit --json` prints is the same without resamples and without these two.
    bool report = !t && json_object_get(doc, "params") && json_object_get(doc, "range");
    ENSURE(json_is_object(doc) && (report || (t && strcmp(t, "fit") == 0)), ERR_INPUT,
           "%s: expected a law file (written by moesweep fit --save), found another", ctx);
    TRY(json_get_i64(doc, ctx, "v", !report, 1, 1, &v));
    TRY(json_get_str(doc, ctx, "law", true, name, sizeof name));
    TRY(json_get_i64(doc, ctx, "terms", true, 1, LAW_MAX_VARS, &terms));
    f->law = law_find(name, (int)terms);
    ENSURE(f->law && law_vars(f->law, NULL) == terms, ERR_INPUT,
           "%s: law: expected one of this version's laws, found %s of %d variables", ctx, name,
           (int)terms);
    return OK;
}

static enum err read_params(json_t *doc, const char *ctx, struct law_fit *f)
{
    const struct law_param *p;
    const int n = law_params(f->law, &p);
    json_t *params;
    TRY(json_get_obj(doc, ctx, "params", true, &params));
    for (int k = 0; k < n; k++) {
        json_t *one;
        TRY(json_get_obj(params, ctx, p[k].name, true, &one));
        TRY(json_get_num(one, ctx, "value", true, -INFINITY, INFINITY, &f->value[k]));
        f->identified[k] = jtrue(one, "identified");
        f->lo[k] = jnum(one, "lo");
        f->hi[k] = jnum(one, "hi");
    }
    char objective[16];
    TRY(json_get_str(doc, ctx, "objective_kind", true, objective, sizeof objective));
    TRY(fit_objective_find(ctx, objective, &f->options.objective));
    f->rmse_log = jnum(doc, "rmse_log");
    f->converged = jtrue(doc, "converged");
    return OK;
}

static enum err read_resamples(json_t *doc, const char *ctx, struct law_fit *f)
{
    const size_t p = (size_t)law_params(f->law, NULL);
    const json_t *boot = json_object_get(doc, "boot"), *res = json_object_get(doc, "residuals");
    const size_t n = json_array_size(boot), m = json_array_size(res);
    ENSURE(n <= MAX_BOOT && m <= MAX_RESIDUALS, ERR_INPUT,
           "%s: expected at most %d resamples and %d residuals", ctx, MAX_BOOT, MAX_RESIDUALS);
    ENSURE(n == 0 || m > 0, ERR_INPUT,
           "%s: residuals: expected some beside resamples, found none", ctx);
    f->boot = malloc((n * p + 1) * sizeof *f->boot);
    f->residual = malloc((m + 1) * sizeof *f->residual);
    ENSURE(f->boot && f->residual, ERR_FAILED, "out of memory");
    for (size_t i = 0; i < n; i++)
        TRY(numbers(json_array_get(boot, i), ctx, "boot", p, f->boot + i * p));
    if (m)
        TRY(numbers(res, ctx, "residuals", m, f->residual));
    f->n_boot = (int)n;
    f->n = (int64_t)m;
    return OK;
}

static enum err read_doc(json_t *doc, const char *ctx, struct fit_file *out)
{
    struct law_fit *f = &out->fit;
    json_t *range;
    double C[2];
    TRY(read_law(doc, ctx, f));
    TRY(read_params(doc, ctx, f));
    TRY(read_resamples(doc, ctx, f));
    TRY(json_get_obj(doc, ctx, "range", true, &range));
    const char *const *names;
    const int n = law_vars(f->law, &names);
    for (int k = 0; k < n; k++) {
        double lo_hi[2];
        TRY(numbers(json_object_get(range, names[k]), ctx, names[k], 2, lo_hi));
        out->lo[k] = lo_hi[0];
        out->hi[k] = lo_hi[1];
    }
    out->C_lo = out->C_hi = (double)NAN;
    if (json_object_get(range, "C")) {
        TRY(numbers(json_object_get(range, "C"), ctx, "C", 2, C));
        out->C_lo = C[0];
        out->C_hi = C[1];
    }
    return OK;
}

enum err fit_file_from_json(json_t *doc, const char *ctx, struct fit_file *out)
{
    memset(out, 0, sizeof *out);
    enum err e = read_doc(doc, ctx, out);
    if (e != OK)
        fit_file_free(out);
    return e;
}

enum err fit_file_read(const char *path, struct fit_file *out)
{
    json_t *doc;
    TRY(json_read_file(path, &doc));
    enum err e = fit_file_from_json(doc, path, out);
    json_decref(doc);
    return e;
}

void fit_file_free(struct fit_file *f)
{
    law_fit_free(&f->fit);
    memset(f, 0, sizeof *f);
}
