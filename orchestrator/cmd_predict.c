// SPDX-License-Identifier: GPL-3.0-or-later
// moesweep predict: a law file's value at a point, or its compute-optimal split, with
// intervals, and how far from the data that is.
#include "core/json.h"
#include "fit/compute.h"
#include "fit/fit.h"
#include "orchestrator/assign.h"
#include "orchestrator/cmd.h"
#include "orchestrator/fit_report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int note_beyond(json_t *notes, const char *name, double v, double lo, double hi)
{
    const double times = analysis_beyond(v, lo, hi);
    if (!(times > 1))
        return 0;
    json_array_append_new(
        notes,
        json_sprintf("%s = %.4g is beyond the data by a factor of %.3g (fitted from %.4g "
                     "to %.4g): an extrapolation",
                     name, v, times, lo, hi));
    return 1;
}

// Sentences; *beyond_data: of how many variables the point is outside the data.
static json_t *notes_of(const struct fit_file *f, const double *x, double C, int *beyond_data)
{
    const char *const *names;
    const int n = law_vars(f->fit.law, &names);
    json_t *notes = json_array();
    *beyond_data = 0;
    for (int k = 0; k < n; k++)
        *beyond_data += note_beyond(notes, names[k], x[k], f->lo[k], f->hi[k]);
    if (C > 0)
        *beyond_data += note_beyond(notes, "C", C, f->C_lo, f->C_hi);
    if (!f->fit.converged)
        json_array_append_new(notes, json_string("the fit did not converge"));
    if (!f->fit.n_boot)
        json_array_append_new(notes,
                              json_string("the law file holds no resamples (--bootstrap 0): "
                                          "no intervals"));
    return notes;
}

static enum err size_and_tokens(const struct law *l, int *size, int *tokens)
{
    ENSURE(compute_vars(l, size, tokens), ERR_INPUT,
           "predict: --compute: expected a law of size and tokens for which C = 6 N D "
           "(chinchilla, kaplan, jointmoe, fivefactor), found %s; --at evaluates it",
           law_name(l));
    return OK;
}

// The compute of a point, where the law has C = 6 N D; NaN otherwise.
static double compute_of(const struct law *l, const double *x)
{
    int size, tokens;
    return compute_vars(l, &size, &tokens) ? 6 * x[size] * x[tokens] : (double)NAN;
}

static json_t *value_json(const struct fit_file *f, const double *x)
{
    double v, lo, hi, new_v, new_lo, new_hi;
    law_fit_predict(&f->fit, x, &v, &lo, &hi);
    law_fit_predict_new(&f->fit, x, &new_v, &new_lo, &new_hi);
    json_t *value = json_interval(v, lo, hi);
    json_object_set_new(value, "run_lo", json_num(new_lo));
    json_object_set_new(value, "run_hi", json_num(new_hi));
    return value;
}

static json_t *point_json(const struct law *l, const double *x)
{
    const char *const *names;
    const int n = law_vars(l, &names);
    json_t *at = json_object();
    for (int k = 0; k < n; k++)
        json_object_set_new(at, names[k], json_num(x[k]));
    return at;
}

// The optimum's size, tokens and loss over the resamples, each at its own optimum.
static enum err optimum_json(const struct fit_file *f, double C, const double *best,
                             json_t *doc)
{
    const struct law *l = f->fit.law;
    const int p = law_params(l, NULL), n = f->fit.n_boot, vars = law_vars(l, NULL);
    const char *const *names;
    int size, tokens;
    law_vars(l, &names);
    TRY(size_and_tokens(l, &size, &tokens));
    double *v = malloc((size_t)(n + 1) * 3 * sizeof *v), lo[3], hi[3];
    ENSURE(v, ERR_FAILED, "out of memory");
    for (int i = 0; i < n; i++) {
        const double *params = f->fit.boot + (size_t)i * (size_t)p;
        double x[LAW_MAX_VARS];
        memcpy(x, best, (size_t)vars * sizeof *x);
        compute_optimum(l, params, C, x);
        v[i] = x[size];
        v[n + i] = x[tokens];
        v[2 * n + i] = law_value(l, params, x, NULL);
    }
    for (int k = 0; k < 3; k++)
        fit_interval(v + k * n, n, &lo[k], &hi[k]);
    free(v);
    json_object_set_new(doc, "C", json_num(C));
    json_object_set_new(doc, names[size], json_interval(best[size], lo[0], hi[0]));
    json_object_set_new(doc, names[tokens], json_interval(best[tokens], lo[1], hi[1]));
    json_object_set_new(doc, "loss",
                        json_interval(law_value(l, f->fit.value, best, NULL), lo[2], hi[2]));
    return OK;
}

static void print_interval(const char *what, const json_t *v, int digits)
{
    printf("  %-6s %.*g", what, digits, jnum(v, "value"));
    if (isfinite(jnum(v, "lo")))
        printf("   95 %%: %.*g to %.*g", digits, jnum(v, "lo"), digits, jnum(v, "hi"));
    putchar('\n');
}

static void print_text(json_t *doc)
{
    const char *name;
    json_t *v, *best = json_object_get(doc, "optimum"), *notes = json_object_get(doc, "notes");
    printf("%s at ", jstr(doc, "law"));
    assign_print(json_object_get(doc, "at"), stdout);
    putchar('\n');
    if (best) {
        printf("the best of C = %.4g\n", jnum(best, "C"));
        json_object_foreach(best, name, v) if (json_is_object(v)) print_interval(name, v, 6);
    } else {
        const json_t *value = json_object_get(doc, "value");
        print_interval("law", value, 6);
        if (isfinite(jnum(value, "run_lo")))
            printf("  a run there: 95 %%: %.6g to %.6g\n", jnum(value, "run_lo"),
                   jnum(value, "run_hi"));
    }
    size_t i;
    json_array_foreach(notes, i, v) printf("  %s\n", json_string_value(v));
}

static enum err predict(const struct fit_file *f, const char *text, double C, json_t **out)
{
    const struct law *l = f->fit.law;
    const char *const *names;
    const int n = law_vars(l, &names);
    double x[LAW_MAX_VARS];
    int size = -1, tokens = -1;
    if (C > 0)
        TRY(size_and_tokens(l, &size, &tokens));
    const char *asked[LAW_MAX_VARS]; // what --at is to give
    int at[LAW_MAX_VARS], n_asked = 0;
    double given[LAW_MAX_VARS];
    for (int k = 0; k < n; k++)
        if (k != size && k != tokens) {
            given[n_asked] = (double)NAN;
            at[n_asked] = k;
            asked[n_asked++] = names[k];
        }
    TRY(assign_parse("predict", "--at", text ? text : "", asked, n_asked, given));
    for (int k = 0; k < n_asked; k++)
        x[at[k]] = given[k];
    if (C > 0)
        compute_optimum(l, f->fit.value, C, x);
    ENSURE(isfinite(law_value(l, f->fit.value, x, NULL)), ERR_INPUT,
           "predict: %s has no %s there", law_name(l), C > 0 ? "minimum" : "value");
    json_t *doc = json_object();
    json_object_set_new(doc, "law", json_string(law_name(l)));
    json_object_set_new(doc, "at", point_json(l, x));
    json_object_set_new(doc, "value", value_json(f, x));
    json_t *best = C > 0 ? json_object() : NULL;
    enum err e = best ? optimum_json(f, C, x, best) : OK;
    if (best)
        json_object_set_new(doc, "optimum", best);
    int beyond_data;
    json_t *notes = notes_of(f, x, compute_of(l, x), &beyond_data);
    json_object_set_new(doc, "extrapolates", json_boolean(beyond_data > 0));
    json_object_set_new(doc, "notes", notes);
    *out = doc;
    if (e != OK)
        json_decref(doc);
    return e;
}

enum err cmd_predict(int argc, char **argv)
{
    const char *path = NULL, *at = NULL;
    double C = 0;
    int json = 0;
    const struct cmd_option options[] = {{"LAW.json", .text = &path, .required = 1},
                                         {"--at", .text = &at},
                                         {"--compute", .number = &C},
                                         {"--json", .flag = &json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    ENSURE(at || C > 0, ERR_INPUT, "predict: expected --at NAME=VALUE,.. or --compute C");
    struct fit_file f;
    TRY(fit_file_read(path, &f));
    json_t *doc = NULL;
    enum err e = predict(&f, at, C, &doc);
    fit_file_free(&f);
    TRY(e);
    if (json)
        return cmd_print_json(doc);
    print_text(doc);
    json_decref(doc);
    return OK;
}
