// SPDX-License-Identifier: GPL-3.0-or-later
// moesweep analyze: the papers' analyses of a law file, or of a law fitted here to a table.
#include "core/json.h"
#include "orchestrator/analyze.h"
#include "orchestrator/assign.h"
#include "orchestrator/cmd.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct analyze_args {
    const char *file, *law, *map, *at, *compute, *objective, *plot;
    struct cmd_list where;
    double bootstrap, seed, tolerance;
    int json, force;
};

struct subject {
    struct fit_file file;
    struct dataset d;
    double *x;
};

static void release(struct subject *s)
{
    fit_file_free(&s->file);
    dataset_free(&s->d);
    free(s->x);
}

static void span(const double *v, int64_t n, double *lo, double *hi)
{
    *lo = INFINITY;
    *hi = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        *lo = fmin(*lo, v[i]);
        *hi = fmax(*hi, v[i]);
    }
}

static enum err options_of(const struct analyze_args *a, struct law_options *o)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *o = (struct law_options){.n_boot = 200, .seed = 1, .threads = cores > 0 ? (int)cores : 1};
    if (a->bootstrap > 0) {
        ENSURE(a->bootstrap == floor(a->bootstrap) && a->bootstrap >= 40 && a->bootstrap <= 1e6,
               ERR_INPUT, "analyze: --bootstrap: expected 40 to 1000000 resamples, found %g",
               a->bootstrap);
        o->n_boot = (int)a->bootstrap;
    }
    if (a->seed > 0) {
        ENSURE(a->seed == floor(a->seed) && a->seed <= 9e15, ERR_INPUT,
               "analyze: --seed: expected a whole number, found %g", a->seed);
        o->seed = (uint64_t)a->seed;
    }
    return a->objective ? fit_objective_find("analyze", a->objective, &o->objective) : OK;
}

static enum err fit_here(const struct analyze_args *a, const struct law_options *o,
                         struct subject *s)
{
    const struct law *l;
    const char *const *names;
    bool confounded[LAW_MAX_PARAMS];
    TRY(law_of(a->law, a->map, &l));
    TRY(dataset_read(a->file, a->map, a->where.item, a->where.n, &l, 1, &s->d));
    s->x = dataset_x(&s->d, l);
    ENSURE(s->x, ERR_FAILED, "out of memory");
    const struct law_data d = {.n = s->d.n, .x = s->x, .y = s->d.y};
    enum err e = law_fit_run(l, &d, o, &s->file.fit);
    if (e != OK)
        return err_prefix(e, "%s", a->file);
    TRY(dataset_confounded(&s->d, l, s->file.fit.value, confounded));
    for (int k = 0; k < law_params(l, NULL); k++)
        s->file.fit.identified[k] = s->file.fit.identified[k] && !confounded[k];
    for (int k = 0; k < law_vars(l, &names); k++)
        span(s->d.x[dataset_find(&s->d, names[k])], s->d.n, &s->file.lo[k], &s->file.hi[k]);
    s->file.C_lo = s->file.C_hi = (double)NAN;
    if (s->d.C)
        span(s->d.C, s->d.n, &s->file.C_lo, &s->file.C_hi);
    return OK;
}

static enum err load(const struct analyze_args *a, struct analyze_input *in, struct subject *s)
{
    TRY(options_of(a, &in->options));
    if (a->law) {
        TRY(fit_here(a, &in->options, s));
        in->d = &s->d;
        in->data_x = s->x;
    } else {
        ENSURE(!a->map && !a->where.n && !a->objective && !(a->bootstrap > 0), ERR_INPUT,
               "analyze: --map, --where, --objective and --bootstrap belong to a table: "
               "expected --law NAME with them");
        enum err e = fit_file_read(a->file, &s->file);
        if (e != OK)
            return err_prefix(e, "analyze: expected a law file, or --law NAME for a table");
    }
    analyze_defaults(&s->file, in);
    return OK;
}

static enum err budgets_of(const char *text, struct analyze_input *in)
{
    in->n_C = 0;
    for (const char *p = text; *p;) {
        char piece[64];
        const size_t len = strcspn(p, ",");
        double v = 0;
        snprintf(piece, sizeof piece, "%.*s", (int)(len < 63 ? len : 63), p);
        ENSURE(table_number(piece, &v) && v > 0 && in->n_C < ANALYZE_MAX_BUDGETS, ERR_INPUT,
               "analyze: --compute: expected up to %d positive numbers, found '%s'",
               ANALYZE_MAX_BUDGETS, table_quote(text).s);
        in->C[in->n_C++] = v;
        p += len + (p[len] == ',');
    }
    return OK;
}

static enum err answer(const struct analyze_args *a, struct analyze_input *in)
{
    const struct law *l = in->file->fit.law;
    const char *const *names, *why = NULL;
    const int n = law_vars(l, &names);
    json_t *doc;
    if (a->at)
        TRY(assign_parse("analyze", "--at", a->at, names, n, in->x));
    if (a->compute)
        TRY(budgets_of(a->compute, in));
    if (a->tolerance > 0)
        in->tolerance = a->tolerance;
    ENSURE(isfinite(law_value(l, in->file->fit.value, in->x, NULL)), ERR_INPUT,
           "analyze: %s has no value at the middle of the data, or at --at", law_name(l));
    TRY(analyze_run(in, &doc));
    enum err e = a->plot ? analyze_plot(a->plot, in, doc, &why) : OK;
    if (why)
        fprintf(stderr, "moesweep: analyze: no plot: %s\n", why);
    if (a->plot)
        json_object_set_new(doc, "plot", why ? json_null() : json_string(a->plot));
    if (e == OK && a->json)
        return cmd_print_json(doc);
    if (e == OK) {
        analyze_print(doc);
        if (a->plot && !why)
            printf("\nplot: %s\n", a->plot);
    }
    json_decref(doc);
    return e;
}

enum err cmd_analyze(int argc, char **argv)
{
    struct analyze_args a = {0};
    const struct cmd_option options[] = {{"LAW.json|DATA", .text = &a.file, .required = 1},
                                         {"--law", .text = &a.law},
                                         {"--map", .text = &a.map},
                                         {"--where", .list = &a.where},
                                         {"--objective", .text = &a.objective},
                                         {"--bootstrap", .number = &a.bootstrap},
                                         {"--seed", .number = &a.seed},
                                         {"--at", .text = &a.at},
                                         {"--compute", .text = &a.compute},
                                         {"--tolerance", .number = &a.tolerance},
                                         {"--plot", .text = &a.plot},
                                         {"--force", .flag = &a.force},
                                         {"--json", .flag = &a.json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    TRY(cmd_new_file("analyze", "--plot", a.plot, a.force));
    struct analyze_input in = {0};
    struct subject s = {0};
    enum err e = load(&a, &in, &s);
    if (e == OK)
        e = answer(&a, &in);
    release(&s);
    return e;
}
