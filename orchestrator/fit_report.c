// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/fit_report.h"
#include "core/json.h"
#include "fit/information.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_ROWS = 5 };

static const char *const objectives[] = {
    [LAW_HUBER_LOG] = "huber",
    [LAW_SQUARES_LOG] = "log",
    [LAW_SQUARES] = "plain",
    [LAW_ASYMMETRIC] = "asymmetric",
};
static const char *const boots[] = {
    [LAW_BOOT_CASES] = "cases",
    [LAW_BOOT_RESIDUALS] = "residuals",
    [LAW_BOOT_SCALES] = "scales",
};

const char *fit_objective_name(enum law_objective o)
{
    return objectives[o];
}

const char *fit_boot_name(enum law_boot b)
{
    return boots[b];
}

enum err fit_objective_find(const char *cmd, const char *name, enum law_objective *o)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(objectives[i], name) == 0) {
            *o = (enum law_objective)i;
            return OK;
        }
    return err_set(ERR_INPUT,
                   "%s: --objective: expected huber, log, plain or asymmetric, found '%s'", cmd,
                   name);
}

enum err fit_boot_find(const char *name, enum law_boot *b)
{
    for (int i = 0; i < 3; i++)
        if (strcmp(boots[i], name) == 0) {
            *b = (enum law_boot)i;
            return OK;
        }
    return err_set(ERR_INPUT, "fit: --boot: expected cases, residuals or scales, found '%s'",
                   name);
}

// ---- the document

static json_t *params_json(const struct law_fit *f)
{
    const struct law_param *p;
    const int n = law_params(f->law, &p);
    json_t *all = json_object();
    for (int k = 0; k < n; k++) {
        json_t *one = json_interval(f->value[k], f->n_boot ? f->lo[k] : (double)NAN,
                                    f->n_boot ? f->hi[k] : (double)NAN);
        json_object_set_new(one, "identified", json_boolean(f->identified[k]));
        json_object_set_new(all, p[k].name, one);
    }
    return all;
}

static json_t *rows_json(const struct dataset *d)
{
    char counts[512];
    dataset_counts(d, counts, sizeof counts);
    json_t *skips = json_array();
    for (int i = 0; i < d->n_skips; i++)
        json_array_append_new(skips, json_pack("{s:s, s:I, s:I}", "why", d->skip[i].why, "n",
                                               (json_int_t)d->skip[i].n, "line",
                                               (json_int_t)d->skip[i].line));
    return json_pack("{s:I, s:I, s:I, s:o, s:s}", "read", (json_int_t)d->n_table, "used",
                     (json_int_t)d->n, "filtered", (json_int_t)d->n_filtered, "skipped", skips,
                     "summary", counts);
}

static json_t *span_json(const double *v, int64_t n)
{
    double lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        lo = fmin(lo, v[i]);
        hi = fmax(hi, v[i]);
    }
    return json_pair(lo, hi);
}

static json_t *range_json(const struct law_fit *f, const struct dataset *d)
{
    const char *const *names;
    const int n = law_vars(f->law, &names);
    json_t *range = json_object();
    for (int k = 0; k < n; k++)
        json_object_set_new(range, names[k], span_json(d->x[dataset_find(d, names[k])], d->n));
    if (d->C && dataset_find(d, "C") < 0)
        json_object_set_new(range, "C", span_json(d->C, d->n));
    return range;
}

static enum err influence_json(const struct law_fit *f, const struct dataset *d,
                               const double *x, json_t *doc)
{
    const struct law_param *p;
    struct influence row[SHOWN_ROWS];
    int n;
    int64_t outliers;
    law_params(f->law, &p);
    TRY(influence_of(f, x, d->n, SHOWN_ROWS, row, &n, &outliers));
    json_t *rows = json_array();
    for (int i = 0; i < n; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "line", json_integer(d->line[row[i].row]));
        json_object_set_new(one, "residual", json_num(row[i].residual));
        json_object_set_new(one, "z", json_num(row[i].z));
        json_object_set_new(one, "distance", json_num(row[i].distance));
        if (row[i].param >= 0) {
            json_object_set_new(one, "param", json_string(p[row[i].param].name));
            json_object_set_new(one, "moves", json_num(row[i].moves));
        }
        json_array_append_new(rows, one);
    }
    json_object_set_new(doc, "outliers", json_integer(outliers));
    json_object_set_new(doc, "influence", rows);
    return OK;
}

static json_t *unidentified_json(const struct law_fit *f)
{
    const struct law_param *p;
    const int n = law_params(f->law, &p);
    json_t *names = json_array();
    for (int k = 0; k < n; k++)
        if (!f->identified[k])
            json_array_append_new(names, json_string(p[k].name));
    return names;
}

static enum err doubts_json(const struct law_fit *f, const struct dataset *d, json_t *notes)
{
    TRY(dataset_doubts(d, f->law, notes));
    if (!f->converged)
        json_array_append_new(notes, json_string("the fit did not converge: its numbers are "
                                                 "where it stopped, not an answer"));
    if (f->minima > 1)
        json_array_append_new(
            notes, json_sprintf("the search ended in %d different minima: the best is shown",
                                f->minima));
    int failed = 0;
    const int p = law_params(f->law, NULL);
    for (int i = 0; i < f->n_boot; i++)
        failed += !isfinite(f->boot[(size_t)i * (size_t)p]);
    if (failed)
        json_array_append_new(notes,
                              json_sprintf("%d of %d resamples had no fit: the intervals "
                                           "leave them out",
                                           failed, f->n_boot));
    return OK;
}

enum err fit_report(const struct law_fit *f, const struct dataset *d, const double *x,
                    const char *data, json_t **out)
{
    json_t *doc = json_object(), *notes = json_array();
    json_object_set_new(doc, "law", json_string(law_name(f->law)));
    json_object_set_new(doc, "n", json_integer(f->n));
    json_object_set_new(doc, "params", params_json(f));
    json_object_set_new(doc, "objective", json_num(f->objective));
    json_object_set_new(doc, "rmse_log", json_num(f->rmse_log));
    json_object_set_new(doc, "r2", json_num(f->r2));
    json_object_set_new(doc, "converged", json_boolean(f->converged));
    json_object_set_new(doc, "condition", json_num(f->condition));
    json_object_set_new(doc, "minima", json_integer(f->minima));
    json_object_set_new(doc, "formula", json_string(law_formula(f->law)));
    json_object_set_new(doc, "source", json_string(law_source(f->law)));
    json_object_set_new(doc, "terms", json_integer(law_vars(f->law, NULL)));
    json_object_set_new(doc, "gives", json_string(d->y_name));
    json_object_set_new(doc, "rows", rows_json(d));
    json_object_set_new(doc, "range", range_json(f, d));
    json_object_set_new(doc, "objective_kind", json_string(objectives[f->options.objective]));
    json_object_set_new(doc, "bootstrap",
                        json_pack("{s:i, s:s, s:I}", "n", f->n_boot, "kind",
                                  boots[f->options.boot], "seed",
                                  (json_int_t)(f->options.seed & INT64_MAX)));
    json_object_set_new(doc, "not_identified", unidentified_json(f));
    json_t *name = json_string(data); // not UTF-8: no name
    json_object_set_new(doc, "data", name ? name : json_null());
    enum err e = influence_json(f, d, x, doc);
    if (e == OK)
        e = doubts_json(f, d, notes);
    json_object_set_new(doc, "notes", notes);
    *out = doc;
    if (e != OK)
        json_decref(doc);
    return e;
}

// ---- for people

// " 0.33 to 0.36"; an end that the data do not give is said.
static void print_profile(FILE *f, const json_t *profile)
{
    const double ends[2] = {jnum(profile, "lo"), jnum(profile, "hi")};
    for (int i = 0; i < 2; i++)
        if (isfinite(ends[i]))
            fprintf(f, "%s%.5g", i ? " to " : "   profile ", ends[i]);
        else
            fprintf(f, "%sno limit", i ? " to " : "   profile ");
}

static void print_param(FILE *f, const char *name, const json_t *p, const json_t *profile,
                        bool intervals)
{
    const double lo = jnum(p, "lo"), hi = jnum(p, "hi");
    fprintf(f, "  %-9s %14.8g", name, jnum(p, "value"));
    if (intervals && isfinite(lo) && isfinite(hi))
        fprintf(f, "   %.5g to %.5g", lo, hi);
    if (profile)
        print_profile(f, profile);
    fputs(jtrue(p, "identified") ? "\n" : "   not identified\n", f);
}

static void print_params(FILE *f, const json_t *r)
{
    const json_t *boot = json_object_get(r, "bootstrap");
    const json_t *profiles = json_object_get(r, "profile");
    const bool intervals = jnum(boot, "n") > 0;
    const char *name;
    json_t *p;
    fprintf(f, "\n  %-9s %14s   %s\n", "parameter", "value", intervals ? "95 % interval" : "");
    json_object_foreach(json_object_get(r, "params"), name, p)
        print_param(f, name, p, json_object_get(profiles, name), intervals);
    if (intervals)
        fprintf(f, "  (intervals: %g resamples of %s)\n", jnum(boot, "n"), jstr(boot, "kind"));
}

static void print_names(FILE *f, const char *before, const json_t *names, const char *after)
{
    size_t i;
    json_t *v;
    json_array_foreach(names, i, v) fprintf(f, "%s%s", i ? ", " : before, json_string_value(v));
    if (json_array_size(names))
        fputs(after, f);
}

static void print_quality(FILE *f, const json_t *r)
{
    fprintf(f,
            "\nrmse of ln %s %.5f, R2 %.5f, objective (%s) %.6g\n"
            "%s; condition number %.2g; %g %s found\n",
            jstr(r, "gives"), jnum(r, "rmse_log"), jnum(r, "r2"), jstr(r, "objective_kind"),
            jnum(r, "objective"), jtrue(r, "converged") ? "converged" : "NOT CONVERGED",
            jnum(r, "condition"), jnum(r, "minima"),
            jnum(r, "minima") == 1 ? "minimum" : "minima");
    print_names(f, "not identified by these data: ", json_object_get(r, "not_identified"),
                " (do not use these numbers; what the law predicts may still be sound)\n");
}

static void print_influence(FILE *f, const json_t *r)
{
    const json_t *rows = json_object_get(r, "influence");
    if (!json_array_size(rows))
        return;
    fprintf(f, "\nrows that move the answer most (%g outliers beyond 4 robust sd)\n",
            jnum(r, "outliers"));
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        char moves[64] = "";
        if (*jstr(row, "param"))
            snprintf(moves, sizeof moves, "; without it %s moves by %+.2f standard errors",
                     jstr(row, "param"), jnum(row, "moves"));
        fprintf(f, "  line %-6g %+.2f %% from the law (%+.1f sd)%s\n", jnum(row, "line"),
                100 * jnum(row, "residual"), jnum(row, "z"), moves);
    }
}

void fit_report_print(const json_t *r, FILE *f)
{
    fprintf(f, "%s: %s\n", jstr(r, "law"), jstr(r, "formula"));
    if (*jstr(r, "source"))
        fprintf(f, "  (%s)\n", jstr(r, "source"));
    if (*jstr(r, "data"))
        fprintf(f, "%s: ", jstr(r, "data"));
    fprintf(f, "%s\n", jstr(json_object_get(r, "rows"), "summary"));
    print_params(f, r);
    print_quality(f, r);
    print_influence(f, r);
    const json_t *notes = json_object_get(r, "notes");
    if (json_array_size(notes))
        fputs("\nwarnings\n", f);
    size_t i;
    json_t *v;
    json_array_foreach(notes, i, v) fprintf(f, "  %s\n", json_string_value(v));
}

void fit_list_laws(FILE *f)
{
    for (int i = 0; law_at(i); i++) {
        const struct law *l = law_at(i);
        fprintf(f, "%-13s %s\n", law_name(l), law_formula(l));
        if (*law_source(l))
            fprintf(f, "%-13s   %s\n", "", law_source(l));
    }
}
