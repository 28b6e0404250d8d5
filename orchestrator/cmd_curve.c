// SPDX-License-Identifier: GPL-3.0-or-later
// moesweep curve: final losses from the first part of learning curves, and curves against a
// fitted law.
#include "core/json.h"
#include "fit/analysis.h"
#include "orchestrator/cmd.h"
#include "orchestrator/curve_report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct curve_args {
    const char *data, *map, *law, *run, *plot;
    double part;
    int json, force;
};

static const double positions[] = {.1, .25, .5, .7, .8, .9, 1};
enum { N_POSITIONS = sizeof positions / sizeof *positions };

// ---- calibration on runs that have ended

static enum err score_json(const struct curve_subject *s, enum learning_method m, json_t *out,
                           double *rmse)
{
    struct learning_score q;
    TRY(learning_test(s->t.run, s->t.n, m, s->part, &q));
    *rmse = q.rmse;
    json_t *one = json_object();
    json_object_set_new(one, "method", json_string(learning_method_name(m)));
    json_object_set_new(one, "from", json_string(learning_method_text(m)));
    json_object_set_new(one, "n", json_integer(q.n));
    json_object_set_new(one, "rmse_log", json_num(q.rmse));
    json_object_set_new(one, "half_width", json_num(q.half));
    json_object_set_new(one, "covered", json_num(q.cover));
    json_object_set_new(one, "n_largest", json_integer(q.n_large));
    json_object_set_new(one, "rmse_log_largest", json_num(q.rmse_large));
    json_object_set_new(one, "covered_largest", json_num(q.cover_large));
    json_array_append_new(out, one);
    return OK;
}

// Sets s->best to the method with the smallest error of runs left out; N_LEARNING_METHODS:
// none.
static enum err add_methods(struct curve_subject *s, json_t *doc)
{
    json_t *rows = json_array();
    double least = INFINITY;
    json_object_set_new(doc, "methods", rows);
    s->best = N_LEARNING_METHODS;
    for (int m = 0; m < N_LEARNING_METHODS; m++) {
        double rmse;
        if (m == LEARNING_law && !s->t.law)
            continue;
        TRY(score_json(s, (enum learning_method)m, rows, &rmse));
        if (rmse < least) {
            least = rmse;
            s->best = (enum learning_method)m;
        }
    }
    json_object_set_new(doc, "best",
                        s->best < N_LEARNING_METHODS
                            ? json_string(learning_method_name(s->best))
                            : json_null());
    return OK;
}

// ---- runs

static json_t *guess_json(const struct learning_guess *g)
{
    return json_interval(g->value, g->lo, g->hi);
}

// What is known of a run's end from its first part, in three ways that need not agree.
static enum err run_json(const struct curve_subject *s, int i, double share, json_t **out)
{
    const struct learning_run *r = &s->t.run[i];
    struct learning_guess g;
    json_t *one = json_object();
    *out = one;
    json_object_set_new(one, "run", json_string(r->name));
    json_object_set_new(one, "share", json_num(share));
    json_object_set_new(one, "final", json_num(r->final));
    if (s->best < N_LEARNING_METHODS) {
        TRY(learning_predict(s->t.run, s->t.n, s->best, share, r, &g));
        json_object_set_new(one, "calibrated", guess_json(&g));
        json_object_set_new(one, "calibrated_on", json_integer(g.n));
    }
    TRY(learning_extrapolate(r, share, &g));
    json_object_set_new(one, "constant_rate", guess_json(&g));
    if (s->t.law) {
        const double *x = s->t.x + i * LAW_MAX_VARS;
        double beyond = 1;
        law_fit_predict_new(&s->law.fit, x, &g.value, &g.lo, &g.hi);
        json_object_set_new(one, "law", guess_json(&g));
        for (int k = 0; k < law_vars(s->t.law, NULL); k++)
            beyond = fmax(beyond, analysis_beyond(x[k], s->law.lo[k], s->law.hi[k]));
        json_object_set_new(one, "beyond", json_num(beyond));
    }
    return OK;
}

static enum err add_open(const struct curve_subject *s, json_t *doc)
{
    json_t *rows = json_array();
    json_object_set_new(doc, "open", rows);
    for (int i = 0; i < s->t.n; i++) {
        json_t *one;
        if (isfinite(s->t.run[i].final))
            continue;
        enum err e = run_json(s, i, learning_share(&s->t.run[i]), &one);
        json_array_append_new(rows, one);
        TRY(e);
    }
    return OK;
}

static enum err add_run(struct curve_subject *s, const char *name, json_t *doc)
{
    json_t *one = NULL;
    s->shown = -1;
    for (int i = 0; name && i < s->t.n; i++)
        if (strcmp(s->t.run[i].name, name) == 0)
            s->shown = i;
    ENSURE(!name || s->shown >= 0, ERR_INPUT, "curve: --run: no run %s among %d",
           table_quote(name).s, s->t.n);
    if (s->shown < 0)
        return OK;
    const double share = fmin(s->part, learning_share(&s->t.run[s->shown]));
    enum err e = run_json(s, s->shown, share, &one);
    json_object_set_new(doc, "run", one);
    return e;
}

// ---- whole curves against the law

// Mean and spread over the runs that have ended of ln of the curve at that share, or (above 1)
// of the final loss, over the law.
static json_t *excess_json(const struct curve_subject *s, double share)
{
    double sum = 0, square = 0;
    int n = 0;
    for (int i = 0; i < s->t.n; i++) {
        const struct learning_run *r = &s->t.run[i];
        const double off = share <= 1 ? learning_excess(r, share) : log(r->final / r->law_end);
        if (!isfinite(r->final) || !isfinite(off))
            continue;
        n++;
        sum += off;
        square += off * off;
    }
    const double mean = sum / n, left = fmax(0, square - n * mean * mean);
    json_t *one = json_object();
    json_object_set_new(one, "share", share <= 1 ? json_num(share) : json_null());
    json_object_set_new(one, "n", json_integer(n));
    json_object_set_new(one, "excess", json_num(expm1(mean)));
    json_object_set_new(one, "sd", json_num(n > 1 ? sqrt(left / (n - 1)) : (double)NAN));
    return one;
}

static void add_law(const struct curve_subject *s, json_t *doc)
{
    if (!s->t.law)
        return;
    json_t *rows = json_array();
    for (int k = 0; k < N_POSITIONS; k++)
        json_array_append_new(rows, excess_json(s, positions[k]));
    json_object_set_new(doc, "against_law", rows);
    json_t *end = excess_json(s, 2);
    json_object_set_new(doc, "final_over_law", end);
    if (fabs(jnum(end, "excess")) > 2 * jnum(end, "sd"))
        json_array_append_new(json_object_get(doc, "notes"),
                              json_string("the final losses are not those of the law: was it "
                                          "fitted to other columns (--map), or other runs?"));
}

// ---- the document

static void add_counts(const struct curve_subject *s, const char *data, json_t *doc)
{
    int ended = 0;
    json_t *notes = json_array();
    for (int i = 0; i < s->t.n; i++)
        ended += isfinite(s->t.run[i].final);
    json_object_set_new(doc, "data", json_string(data));
    json_object_set_new(doc, "ended", json_integer(ended));
    json_object_set_new(doc, "not_ended", json_integer(s->t.n - ended));
    json_object_set_new(doc, "rows_left_out", json_integer(s->t.left_out));
    json_object_set_new(doc, "part", json_num(s->part));
    if (ended <= LEARNING_LEAST)
        json_array_append_new(
            notes, json_sprintf("%d runs that have ended: with fewer than %d nothing says how "
                                "far the loss drops as the learning rate falls",
                                ended, LEARNING_LEAST + 1));
    if (!s->t.law)
        json_array_append_new(notes, json_string("no law to compare the curves with (--law)"));
    json_object_set_new(doc, "notes", notes);
}

static enum err report(struct curve_subject *s, const struct curve_args *a, json_t *doc)
{
    add_counts(s, a->data, doc);
    TRY(add_methods(s, doc));
    TRY(add_run(s, a->run, doc));
    TRY(add_open(s, doc));
    add_law(s, doc);
    return OK;
}

static enum err answer(struct curve_subject *s, const struct curve_args *a)
{
    const char *why = NULL;
    json_t *doc = json_object();
    enum err e = doc ? report(s, a, doc) : err_set(ERR_FAILED, "out of memory");
    if (e == OK && a->plot)
        e = curve_plot(a->plot, s, &why);
    if (why)
        fprintf(stderr, "moesweep: curve: no plot: %s\n", why);
    if (a->plot)
        json_object_set_new(doc, "plot", why ? json_null() : json_string(a->plot));
    if (e == OK && a->json)
        return cmd_print_json(doc);
    if (e == OK) {
        curve_print(doc);
        if (a->plot && !why)
            printf("\nplot: %s\n", a->plot);
    }
    json_decref(doc);
    return e;
}

enum err cmd_curve(int argc, char **argv)
{
    struct curve_args a = {.part = .5};
    const struct cmd_option options[] = {{"CURVES", .text = &a.data, .required = 1},
                                         {"--part", .number = &a.part},
                                         {"--law", .text = &a.law},
                                         {"--map", .text = &a.map},
                                         {"--run", .text = &a.run},
                                         {"--plot", .text = &a.plot},
                                         {"--force", .flag = &a.force},
                                         {"--json", .flag = &a.json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    ENSURE(a.part <= 1, ERR_INPUT, "curve: --part: expected a share of at most 1, found %g",
           a.part);
    TRY(cmd_new_file("curve", "--plot", a.plot, a.force));
    struct curve_subject s = {.part = a.part};
    enum err e = a.law ? fit_file_read(a.law, &s.law) : OK;
    if (e == OK)
        e = curve_table_read(a.data, a.map, a.law ? &s.law : NULL, &s.t);
    if (e == OK)
        e = answer(&s, &a);
    curve_table_free(&s.t);
    fit_file_free(&s.law);
    return e;
}
