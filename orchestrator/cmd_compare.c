// SPDX-License-Identifier: GPL-3.0-or-later
// moesweep compare: laws on the same rows, by the error on rows that were held out, and AICc.
#include "core/json.h"
#include "fit/holdout.h"
#include "orchestrator/cmd.h"
#include "orchestrator/compare_isoflop.h"
#include "orchestrator/fit_report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LAWS = 16, KINDS = 2 };

struct entry {
    const struct law *law;
    double rmse_log, aicc, r2;
    bool converged;
    double rmse[KINDS];   // of each kind of holding out
    double *error[KINDS]; // n each
    int unsound;          // fits without the held-out rows that did not converge
    int64_t used[KINDS];
    char why[256]; // the law could not be fitted
};

// A way of holding out; folds = 0: not used.
struct holdout {
    const char *key; // in the document
    char what[160];
    int *held, folds;
    int64_t rows;
};

struct comparison {
    struct dataset d;
    struct entry e[MAX_LAWS];
    int n;
    struct holdout h[KINDS];
    int by; // the kind that ranks; -1: AICc does
    struct law_options o;
};

// ---- what is held out

static enum err hold_largest(struct comparison *c, double share, struct holdout *h)
{
    ENSURE(c->d.C, ERR_INPUT,
           "compare: --holdout largest: expected C, or N and D to have it from; "
           "--map 'C=..' gives it");
    holdout_largest(&c->d, share, h->held);
    h->key = "largest";
    h->folds = 1;
    snprintf(h->what, sizeof h->what, "the %.3g %% of rows with the largest compute (C = %s)",
             100 * share, c->d.C_rule);
    return OK;
}

// true where there are scales to leave out.
static bool hold_scales(struct comparison *c, struct holdout *h)
{
    const int n = dataset_scales(&c->d, h->held);
    if (n < 3)
        return false;
    for (int64_t i = 0; i < c->d.n; i++)
        h->held[i]++;
    h->key = "scales";
    h->folds = n;
    snprintf(h->what, sizeof h->what, "each of %d scales of compute in turn (C = %s)", n,
             c->d.C_rule);
    return true;
}

struct marker {
    const char *path, *map, *text;
};

// Rows that a filter takes: read anew with the filter, matched by line.
static enum err hold_rows(struct comparison *c, const struct marker *m,
                          const struct cmd_list *where, const struct law *const *laws,
                          struct holdout *h)
{
    struct dataset part;
    struct cmd_list with = *where;
    ENSURE(with.n < CMD_MAX_LIST, ERR_INPUT, "compare: --where: too many");
    with.item[with.n++] = m->text;
    enum err e = dataset_read(m->path, m->map, with.item, with.n, laws, c->n, &part);
    if (e != OK)
        return err_prefix(e, "--holdout '%s'", m->text);
    for (int64_t i = 0, k = 0; i < c->d.n; i++) {
        h->held[i] = k < part.n && part.line[k] == c->d.line[i];
        k += h->held[i];
    }
    dataset_free(&part);
    h->key = "rows";
    h->folds = 1;
    snprintf(h->what, sizeof h->what, "rows with %.120s", m->text);
    return OK;
}

static enum err choose(struct comparison *c, const struct marker *m,
                       const struct cmd_list *where, const struct law *const *laws)
{
    struct holdout *first = &c->h[0], *second = &c->h[1];
    const char *text = m->text;
    c->by = 0;
    if (!text) {
        c->by = c->d.C ? 0 : -1;
        if (c->d.C)
            TRY(hold_largest(c, .1, first));
        if (c->d.C)
            hold_scales(c, second);
        return OK;
    }
    if (strcmp(text, "scales") == 0) {
        ENSURE(hold_scales(c, first), ERR_INPUT,
               "compare: --holdout scales: expected runs at three or more scales of compute");
        return OK;
    }
    if (strncmp(text, "largest", 7) != 0 || (text[7] != ':' && text[7]))
        return hold_rows(c, m, where, laws, first);
    double share = .1;
    ENSURE(
        !text[7] || (table_number(text + 8, &share) && share > 0 && share < 1), ERR_INPUT,
        "compare: --holdout: expected largest:SHARE with a share between 0 and 1, found '%s'",
        text);
    return hold_largest(c, share, first);
}

// ---- fits

static enum err fit_one(struct comparison *c, struct entry *e)
{
    struct law_fit f;
    double *x = dataset_x(&c->d, e->law);
    ENSURE(x, ERR_FAILED, "out of memory");
    struct law_data ld = {.n = c->d.n, .x = x, .y = c->d.y};
    struct law_options squares = c->o;
    squares.objective = LAW_SQUARES_LOG; // what AICc is about
    enum err err = law_fit_run(e->law, &ld, &squares, &f);
    if (err == OK) {
        e->aicc = aicc(f.n, law_params(e->law, NULL), f.rmse_log);
        law_fit_free(&f);
        err = law_fit_run(e->law, &ld, &c->o, &f);
    }
    if (err == OK) {
        e->rmse_log = f.rmse_log;
        e->r2 = f.r2;
        e->converged = f.converged;
        law_fit_free(&f);
    }
    free(x);
    return err;
}

static enum err evaluate(struct comparison *c, struct entry *e)
{
    enum err err = fit_one(c, e);
    for (int k = 0; k < KINDS && err == OK; k++) {
        const struct holdout *h = &c->h[k];
        int unsound;
        if (!h->folds)
            continue;
        err = holdout_errors(&c->d, e->law, &c->o, h->held, h->folds, e->error[k], &unsound);
        e->unsound += err == OK ? unsound : 0;
        if (err == OK)
            e->rmse[k] = holdout_rmse(e->error[k], c->d.n, &e->used[k]);
    }
    if (err == ERR_INPUT) { // one law that cannot be fitted does not end a comparison
        snprintf(e->why, sizeof e->why, "%.255s", err_message());
        return OK;
    }
    return err;
}

static double score(const struct comparison *c, const struct entry *e)
{
    const double s = e->why[0] ? INFINITY : c->by >= 0 ? e->rmse[c->by] : e->aicc;
    return isnan(s) ? INFINITY : s;
}

static int by_score(const void *a, const void *b, void *of)
{
    const double x = score(of, a), y = score(of, b);
    return x < y ? -1 : x > y;
}

// ---- the answer

static void verdict(const struct comparison *c, char *buf, size_t size)
{
    const struct entry *a = &c->e[0], *b = c->n > 1 ? &c->e[1] : NULL;
    const char *best = law_name(a->law);
    if (!isfinite(score(c, a))) {
        snprintf(buf, size, "none of these laws can be compared on these rows");
    } else if (c->by < 0) {
        snprintf(
            buf, size,
            "no rows could be held out (C is not known): by AICc alone, %s describes these "
            "rows best; that says nothing of larger runs",
            best);
    } else if (!b || !isfinite(score(c, b))) {
        snprintf(buf, size, "%s is wrong by %.3g %% (rmse) on the rows held out", best,
                 100 * a->rmse[c->by]);
    } else {
        const struct holdout *h = &c->h[c->by];
        const double t =
            holdout_contrast(b->error[c->by], a->error[c->by], h->held, h->folds, c->d.n);
        // Two standard errors, the usual 95 %.
        snprintf(buf, size,
                 "%s predicts the rows held out %s: wrong by %.3g %% (rmse), %s by %.3g %%%s",
                 best, t > 2 ? "best" : "no worse than any other", 100 * a->rmse[c->by],
                 law_name(b->law), 100 * b->rmse[c->by],
                 t > 2 ? "" : "; the difference is no larger than chance makes it");
    }
}

static json_t *law_json(const struct comparison *c, const struct entry *e, double best_aicc)
{
    json_t *one = json_object();
    json_object_set_new(one, "law", json_string(law_name(e->law)));
    json_object_set_new(one, "parameters", json_integer(law_params(e->law, NULL)));
    const bool ok = !e->why[0];
    const double none = (double)NAN;
    json_object_set_new(one, "rmse_log", json_num(ok ? e->rmse_log : none));
    json_object_set_new(one, "r2", json_num(ok ? e->r2 : none));
    json_object_set_new(one, "aicc", json_num(ok ? e->aicc : none));
    json_object_set_new(one, "aicc_over_best", json_num(ok ? e->aicc - best_aicc : none));
    json_object_set_new(one, "converged", json_boolean(ok && e->converged && !e->unsound));
    json_t *held = json_object();
    for (int k = 0; k < KINDS; k++)
        if (c->h[k].folds)
            json_object_set_new(held, c->h[k].key,
                                json_pack("{s:o, s:I}", "rmse_log",
                                          json_num(ok ? e->rmse[k] : none), "n",
                                          (json_int_t)e->used[k]));
    json_object_set_new(one, "held_out", held);
    if (!ok) {
        json_t *why = json_string(e->why);
        json_object_set_new(one, "why", why ? why : json_string("it cannot be fitted"));
    }
    return one;
}

static json_t *document(const struct comparison *c)
{
    char text[512];
    double best = INFINITY;
    json_t *doc = json_object(), *laws = json_array(), *held = json_object();
    for (int i = 0; i < c->n; i++)
        best = fmin(best, c->e[i].why[0] ? INFINITY : c->e[i].aicc);
    for (int i = 0; i < c->n; i++)
        json_array_append_new(laws, law_json(c, &c->e[i], best));
    for (int k = 0; k < KINDS; k++)
        if (c->h[k].folds)
            json_object_set_new(held, c->h[k].key,
                                json_pack("{s:s, s:I, s:i}", "what", c->h[k].what, "rows",
                                          (json_int_t)c->h[k].rows, "folds", c->h[k].folds));
    dataset_counts(&c->d, text, sizeof text);
    json_object_set_new(doc, "n", json_integer(c->d.n));
    json_object_set_new(doc, "rows", json_string(text));
    json_object_set_new(doc, "held_out", held);
    json_object_set_new(doc, "ranked_by", json_string(c->by >= 0 ? c->h[c->by].key : "aicc"));
    json_object_set_new(doc, "laws", laws);
    verdict(c, text, sizeof text);
    json_object_set_new(doc, "verdict", json_string(text));
    return doc;
}

static void print_text(const struct comparison *c, const json_t *doc)
{
    printf("%s\n", jstr(doc, "rows"));
    for (int k = 0; k < KINDS; k++)
        if (c->h[k].folds)
            printf("%s: held out %s, %lld rows\n", c->h[k].key, c->h[k].what,
                   (long long)c->h[k].rows);
    printf("\n  %-13s %10s", "law", "parameters");
    for (int k = 0; k < KINDS; k++)
        if (c->h[k].folds)
            printf(" %10s", c->h[k].key);
    printf(" %10s %10s\n", "all rows", "AICc");
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(doc, "laws"), i, one)
    {
        const struct entry *e = &c->e[i];
        printf("  %-13s %10d", law_name(e->law), law_params(e->law, NULL));
        if (e->why[0]) {
            printf("  %s\n", e->why);
            continue;
        }
        for (int k = 0; k < KINDS; k++)
            if (c->h[k].folds)
                printf(" %8.3f %%", 100 * e->rmse[k]);
        printf(" %8.3f %% %+10.1f%s\n", 100 * e->rmse_log, jnum(one, "aicc_over_best"),
               e->converged && !e->unsound ? "" : "  NOT CONVERGED");
    }
    printf("\nerrors: rmse of ln %s; AICc: over the smallest, by least squares in ln %s\n%s\n",
           c->d.y_name, c->d.y_name, jstr(doc, "verdict"));
}

static enum err make_room(struct comparison *c)
{
    for (int k = 0; k < KINDS; k++) {
        c->h[k].held = calloc((size_t)c->d.n, sizeof *c->h[k].held);
        ENSURE(c->h[k].held, ERR_FAILED, "out of memory");
        for (int i = 0; i < c->n; i++) {
            c->e[i].error[k] = malloc((size_t)c->d.n * sizeof(double));
            ENSURE(c->e[i].error[k], ERR_FAILED, "out of memory");
        }
    }
    return OK;
}

static enum err find_laws(struct comparison *c, const char *names, const char *map,
                          const struct law **laws)
{
    char copy[512], *save = NULL;
    ENSURE(snprintf(copy, sizeof copy, "%s", names) < (int)sizeof copy, ERR_INPUT,
           "compare: --laws: expected at most %d names", MAX_LAWS);
    for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
        ENSURE(c->n < MAX_LAWS, ERR_INPUT, "compare: --laws: expected at most %d names",
               MAX_LAWS);
        enum err e = law_of(p, map, &laws[c->n]);
        if (e != OK)
            return err_prefix(e, "compare: --laws");
        for (int i = 0; i < c->n; i++)
            ENSURE(laws[i] != laws[c->n], ERR_INPUT, "compare: --laws: %s is given twice", p);
        c->e[c->n].law = laws[c->n];
        c->n++;
    }
    ENSURE(c->n > 0, ERR_INPUT, "compare: --laws: expected names of laws, found none");
    return OK;
}

static enum err compare(struct comparison *c, const struct marker *m, const char *names,
                        const struct cmd_list *where)
{
    const struct law *laws[MAX_LAWS];
    TRY(find_laws(c, names, m->map, laws));
    TRY(dataset_read(m->path, m->map, where->item, where->n, laws, c->n, &c->d));
    TRY(make_room(c));
    TRY(choose(c, m, where, laws));
    for (int k = 0; k < KINDS; k++)
        for (int64_t i = 0; i < c->d.n && c->h[k].folds; i++)
            c->h[k].rows += c->h[k].held[i] > 0;
    for (int i = 0; i < c->n; i++)
        TRY(evaluate(c, &c->e[i]));
    qsort_r(c->e, (size_t)c->n, sizeof *c->e, by_score, c);
    return OK;
}

static enum err answer(const struct comparison *c, double isoflop, int json)
{
    json_t *iso = NULL;
    if (isoflop > 0)
        TRY(compare_isoflop(&c->d, &c->o, isoflop, &iso));
    json_t *doc = document(c);
    if (iso)
        json_object_set_new(doc, "isoflop", iso);
    if (json)
        return cmd_print_json(doc);
    print_text(c, doc);
    if (iso)
        compare_isoflop_print(iso);
    json_decref(doc);
    return OK;
}

enum err cmd_compare(int argc, char **argv)
{
    struct marker m = {0};
    const char *names = NULL, *objective = NULL;
    struct cmd_list where = {.n = 0};
    double threads = 0, isoflop = 0;
    int json = 0;
    const struct cmd_option options[] = {{"DATA", .text = &m.path, .required = 1},
                                         {"--laws", .text = &names, .required = 1},
                                         {"--map", .text = &m.map},
                                         {"--where", .list = &where},
                                         {"--holdout", .text = &m.text},
                                         {"--objective", .text = &objective},
                                         {"--isoflop", .number = &isoflop},
                                         {"--threads", .number = &threads},
                                         {"--json", .flag = &json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct comparison c = {.o = {.seed = 1, .threads = cores > 0 ? (int)cores : 1}};
    if (threads >= 1 && threads <= 1024)
        c.o.threads = (int)threads;
    if (objective)
        TRY(fit_objective_find("compare", objective, &c.o.objective));
    enum err e = compare(&c, &m, names, &where);
    if (e == OK)
        e = answer(&c, isoflop, json);
    for (int k = 0; k < KINDS; k++) {
        free(c.h[k].held);
        for (int i = 0; i < c.n; i++)
            free(c.e[i].error[k]);
    }
    dataset_free(&c.d);
    return e;
}
