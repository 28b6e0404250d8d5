// SPDX-License-Identifier: GPL-3.0-or-later
// moesweep fit: a law fitted to anyone's table of runs.
#include "core/json.h"
#include "fit/information.h"
#include "orchestrator/assign.h"
#include "orchestrator/cmd.h"
#include "orchestrator/fit_plot.h"
#include "orchestrator/fit_profile.h"
#include "orchestrator/fit_report.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fit_args {
    const char *data, *law, *map, *bootstrap, *boot, *objective, *plot, *save, *next, *profile;
    struct cmd_list where;
    double seed, threads, corner, budget;
    int json, list, demo, force;
};

struct fitted {
    const struct law *law;
    struct dataset d;
    double *x;
    int *scale; // NULL: no scales
    uint32_t profiled;
    struct law_fit f;
};

// ---- the demonstration

#define DEMO_FILE "data/gemstones_cool_end.jsonl"
#define DEMO_MAP "N=params_active_precise,D=tokens,loss=final_loss"

// A name that is free here: a demonstration never asks.
static enum err demo_plot(char *path, size_t size)
{
    for (int i = 1; i < 100; i++) {
        snprintf(path, size, i == 1 ? "fit-demo.svg" : "fit-demo-%d.svg", i);
        if (access(path, F_OK) != 0)
            return OK;
    }
    return err_set(ERR_INPUT, "fit: --demo: fit-demo.svg to fit-demo-99.svg exist already");
}

// ---- options

static enum err count(const char *name, double v, double most, int *out)
{
    ENSURE(v == floor(v) && v <= most, ERR_INPUT,
           "fit: %s: expected a whole number of at most %g, found %g", name, most, v);
    *out = (int)v;
    return OK;
}

static enum err options_of(const struct fit_args *a, struct law_options *o)
{
    *o = (struct law_options){.n_boot = 200, .seed = 1, .corner = a->corner};
    if (a->bootstrap) {
        char *end;
        const long n = strtol(a->bootstrap, &end, 10);
        // Fewer have no 2.5 % quantile.
        ENSURE(*a->bootstrap && !*end && (n == 0 || (n >= 40 && n <= 1000000)), ERR_INPUT,
               "fit: --bootstrap: expected 0 or 40 to 1000000 resamples, found '%s'",
               a->bootstrap);
        o->n_boot = (int)n;
    }
    if (a->seed > 0) {
        ENSURE(a->seed == floor(a->seed) && a->seed <= 9e15, ERR_INPUT,
               "fit: --seed: expected a whole number, found %g", a->seed);
        o->seed = (uint64_t)a->seed;
    }
    if (a->objective)
        TRY(fit_objective_find("fit", a->objective, &o->objective));
    if (a->boot)
        TRY(fit_boot_find(a->boot, &o->boot));
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    o->threads = cores > 0 ? (int)cores : 1;
    return a->threads > 0 ? count("--threads", a->threads, 1024, &o->threads) : OK;
}

// ---- running

static enum err find_scales(struct fitted *r, enum law_boot boot)
{
    int *group = malloc((size_t)r->d.n * sizeof *group);
    ENSURE(group, ERR_FAILED, "out of memory");
    const int n = dataset_scales(&r->d, group);
    if (n >= 2)
        r->scale = group;
    else
        free(group);
    ENSURE(boot != LAW_BOOT_SCALES || n >= 3, ERR_INPUT,
           "fit: --boot scales: expected runs at three or more scales of compute (a column C, "
           "--map 'C=..', or N and D), found %d",
           n);
    return OK;
}

static struct law_data data_of(const struct fitted *r)
{
    return (struct law_data){.n = r->d.n, .x = r->x, .y = r->d.y, .scale = r->scale};
}

static enum err run(const struct fit_args *a, const char *data, struct fitted *r)
{
    struct law_options o;
    TRY(options_of(a, &o));
    TRY(law_of(a->law, a->map, &r->law));
    if (a->profile)
        TRY(fit_profile_parse(a->profile, r->law, &r->profiled));
    TRY(dataset_read(data, a->map, a->where.item, a->where.n, &r->law, 1, &r->d));
    r->x = dataset_x(&r->d, r->law);
    ENSURE(r->x, ERR_FAILED, "out of memory");
    TRY(find_scales(r, o.boot));
    const struct law_data ld = data_of(r);
    enum err e = law_fit_run(r->law, &ld, &o, &r->f);
    if (e != OK)
        return err_prefix(e, "%s", data);
    bool confounded[LAW_MAX_PARAMS];
    TRY(dataset_confounded(&r->d, r->law, r->f.value, confounded));
    for (int k = 0; k < law_params(r->law, NULL); k++)
        r->f.identified[k] = r->f.identified[k] && !confounded[k];
    return OK;
}

static void release(struct fitted *r)
{
    law_fit_free(&r->f);
    dataset_free(&r->d);
    free(r->x);
    free(r->scale);
}

// ---- what else is asked for

static json_t *at_json(const struct law *l, const double *x)
{
    const char *const *names;
    const int n = law_vars(l, &names);
    json_t *at = json_object();
    for (int k = 0; k < n; k++)
        json_object_set_new(at, names[k], json_num(x[k]));
    return at;
}

static enum err add_next(const struct fit_args *a, const struct fitted *r, json_t *doc)
{
    double x[LAW_MAX_VARS];
    struct next_plan plan;
    const char *const *names;
    const int n = law_vars(r->law, &names);
    for (int k = 0; k < n; k++)
        x[k] = (double)NAN;
    TRY(assign_parse("fit", "--next", a->next, names, n, x));
    TRY(next_runs(&r->f, &r->d, x, a->budget, &plan));
    json_t *runs = json_array();
    for (int i = 0; i < plan.n; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "at", at_json(r->law, plan.run[i].x));
        json_object_set_new(one, "runs", json_integer(plan.run[i].count));
        json_object_set_new(one, "C", json_num(plan.run[i].C));
        json_object_set_new(one, "alone_leaves", json_num(plan.run[i].alone));
        json_array_append_new(runs, one);
    }
    json_t *next = json_object();
    json_object_set_new(next, "at", at_json(r->law, x));
    json_object_set_new(next, "sd_ln", json_num(plan.hopeless ? (double)NAN : plan.sd));
    json_object_set_new(next, "noise", json_num(plan.noise));
    json_object_set_new(next, "C", json_num(plan.C));
    json_object_set_new(next, "width_left", json_num(plan.left));
    json_object_set_new(next, "runs", runs);
    json_object_set_new(doc, "next", next);
    return OK;
}

static void print_next(const json_t *next)
{
    const json_t *runs = json_object_get(next, "runs");
    printf("\nruns that would sharpen the prediction at ");
    assign_print(json_object_get(next, "at"), stdout);
    if (!isfinite(jnum(next, "sd_ln"))) {
        puts("\n  none can be named: it rests on parameters that these data do not identify at "
             "all");
        return;
    }
    printf("\n  now: known to %.3g %% (1 sd, linearised; noise of a run %.3g %%)\n",
           100 * jnum(next, "sd_ln"), 100 * jnum(next, "noise"));
    if (!json_array_size(runs)) {
        puts("  no run on the grid (the data's range, and three times beyond) would help");
        return;
    }
    size_t i;
    json_t *one;
    json_array_foreach(runs, i, one)
    {
        printf("  %g x ", jnum(one, "runs"));
        assign_print(json_object_get(one, "at"), stdout);
        printf("  C = %.3g each; one alone narrows the interval by %.2g %%\n", jnum(one, "C"),
               100 * (1 - jnum(one, "alone_leaves")));
    }
    printf("  all together: C = %.3g, %.0f %% of the interval left\n", jnum(next, "C"),
           100 * jnum(next, "width_left"));
}

static enum err draw(const char *path, const struct fitted *r, json_t *doc)
{
    const char *why;
    TRY(fit_plot(path, &r->f, &r->d, r->x, json_object_get(doc, "profile"), &why));
    if (why)
        fprintf(stderr, "moesweep: fit: no plot: %s\n", why);
    json_object_set_new(doc, "plot", why ? json_null() : json_string(path));
    return OK;
}

static enum err answer(const struct fit_args *a, const char *data, const struct fitted *r)
{
    json_t *doc;
    TRY(fit_report(&r->f, &r->d, r->x, data, &doc));
    const struct law_data ld = data_of(r);
    enum err e = a->profile ? fit_profile_add(&r->f, &ld, r->profiled, doc) : OK;
    if (e == OK && a->save)
        e = fit_file_write(a->save, doc, &r->f);
    if (e == OK && a->next)
        e = add_next(a, r, doc);
    if (e == OK && a->plot)
        e = draw(a->plot, r, doc);
    if (e == OK && a->json)
        return cmd_print_json(doc);
    if (e == OK) {
        fit_report_print(doc, stdout);
        if (a->next)
            print_next(json_object_get(doc, "next"));
        if (*jstr(doc, "plot"))
            printf("\nplot: %s\n", jstr(doc, "plot"));
        if (a->save)
            printf("law file: %s (moesweep predict %s --at ..)\n", a->save, a->save);
    }
    json_decref(doc);
    return e;
}

static enum err demonstrate(struct fit_args *a, char *data, size_t size, char *plot,
                            size_t plot_size)
{
    ENSURE(!a->data && !a->law && !a->map && !a->where.n, ERR_INPUT,
           "fit: --demo: expected no data, law, map or filter of your own");
    TRY(cmd_installed("fit: --demo", DEMO_FILE, data, size));
    a->data = data;
    a->law = "chinchilla";
    a->map = DEMO_MAP;
    if (!a->plot) {
        TRY(demo_plot(plot, plot_size));
        a->plot = plot;
    }
    if (!a->json)
        printf("moesweep fit %s --law %s \\\n    --map '%s' --plot %s\n\n", data, a->law,
               a->map, a->plot);
    return OK;
}

enum err cmd_fit(int argc, char **argv)
{
    struct fit_args a = {0};
    char data[PATH_MAX], plot[32];
    const struct cmd_option options[] = {{"DATA", .text = &a.data},
                                         {"--law", .text = &a.law},
                                         {"--map", .text = &a.map},
                                         {"--where", .list = &a.where},
                                         {"--bootstrap", .text = &a.bootstrap},
                                         {"--boot", .text = &a.boot},
                                         {"--objective", .text = &a.objective},
                                         {"--corner", .number = &a.corner},
                                         {"--seed", .number = &a.seed},
                                         {"--threads", .number = &a.threads},
                                         {"--profile", .text = &a.profile},
                                         {"--plot", .text = &a.plot},
                                         {"--save", .text = &a.save},
                                         {"--force", .flag = &a.force},
                                         {"--next", .text = &a.next},
                                         {"--budget", .number = &a.budget},
                                         {"--list", .flag = &a.list},
                                         {"--demo", .flag = &a.demo},
                                         {"--json", .flag = &a.json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    if (a.list) {
        fit_list_laws(stdout);
        return OK;
    }
    if (a.demo)
        TRY(demonstrate(&a, data, sizeof data, plot, sizeof plot));
    ENSURE(a.data, ERR_INPUT,
           "fit: expected DATA, a CSV or JSON Lines file (or --demo, --list; "
           "moesweep fit --help)");
    ENSURE(a.law, ERR_INPUT, "fit: expected --law NAME (moesweep fit --list)");
    TRY(cmd_new_file("fit", "--plot", a.plot, a.force));
    TRY(cmd_new_file("fit", "--save", a.save, a.force));
    struct fitted r = {0};
    enum err e = run(&a, a.data, &r);
    if (e == OK)
        e = answer(&a, a.data, &r);
    release(&r);
    return e;
}
