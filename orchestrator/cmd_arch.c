// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/executed.h"
#include "core/solve.h"
#include "orchestrator/cmd.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// "name=value,name=value": calls set for each pair.
static enum err pairs(const char *option, const char *text,
                      enum err (*set)(void *ctx, const char *name, const char *value),
                      void *ctx)
{
    char *copy = strdup(text), *save = NULL;
    ENSURE(copy, ERR_FAILED, "out of memory");
    enum err e = OK;
    for (char *p = strtok_r(copy, ",", &save); p && e == OK; p = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(p, '=');
        if (!eq) {
            e = err_set(ERR_INPUT, "arch: %s: expected name=value, found '%s'", option, p);
            break;
        }
        *eq = 0;
        e = set(ctx, p, eq + 1);
    }
    free(copy);
    return e;
}

static enum err set_dim(void *ctx, const char *name, const char *value)
{
    int dim = arch_dim_find(name);
    ENSURE(dim >= 0, ERR_INPUT, "arch: --set: '%s' is no dimension", name);
    char *end;
    long long v = strtoll(value, &end, 10);
    ENSURE(*value && !*end && v >= 0 && v <= 1 << 24, ERR_INPUT,
           "arch: --set %s: expected an integer from 0 to 16777216, found '%s'", name, value);
    ENSURE(arch_dim_get(ctx, (enum arch_dim)dim) == ARCH_UNSET, ERR_INPUT,
           "arch: --set %s: given twice", name);
    *arch_dim(ctx, (enum arch_dim)dim) = v;
    return OK;
}

struct wanted {
    struct solve_spec spec;
    double d;
    int n;
};

static enum err set_want(void *ctx, const char *name, const char *value)
{
    struct wanted *w = ctx;
    char *end;
    double v = strtod(value, &end);
    ENSURE(*value && !*end && isfinite(v) && v >= 0, ERR_INPUT,
           "arch: --triad %s: expected a number of at least 0, found '%s'", name, value);
    int coord = coord_find(name);
    ENSURE(isnan(strcmp(name, "d") == 0 ? w->d
                 : coord >= 0           ? w->spec.want[coord]
                                        : NAN),
           ERR_INPUT, "arch: --triad %s: given twice", name);
    if (strcmp(name, "d") == 0)
        w->d = v;
    else if (coord >= 0)
        w->spec.want[coord] = v;
    else
        return err_set(ERR_INPUT,
                       "arch: --triad: expected M, x, y, d or another coordinate, found '%s'",
                       name);
    w->n++;
    return OK;
}

static enum err set_free(void *ctx, const char *name, const char *value)
{
    struct wanted *w = ctx;
    int dim = arch_dim_find(name);
    long long lo, hi, step;
    char rest;
    ENSURE(dim >= 0, ERR_INPUT, "arch: --free: '%s' is no dimension", name);
    ENSURE(sscanf(value, "%lld:%lld:%lld%c", &lo, &hi, &step, &rest) == 3 && lo >= 0 &&
               hi >= lo && hi <= 1 << 24 && step > 0,
           ERR_INPUT, "arch: --free %s: expected LO:HI:STEP, found '%s'", name, value);
    if (w->n == 0)
        w->spec.n_free = 0; // the first --free replaces the default list
    ENSURE(w->n < SOLVE_MAX_FREE, ERR_INPUT, "arch: --free: more than %d dimensions",
           (int)SOLVE_MAX_FREE);
    w->n++;
    w->spec.free[w->spec.n_free++] = (struct solve_free){(enum arch_dim)dim, lo, hi, step};
    return OK;
}

// A dimension that is set is not free.
static enum err refuse_both(const struct solve_spec *s, const struct arch *set)
{
    for (int i = 0; i < s->n_free; i++)
        ENSURE(arch_dim_get(set, s->free[i].dim) == ARCH_UNSET, ERR_INPUT,
               "arch: --free %s: expected a dimension that --set does not fix",
               arch_dim_name(s->free[i].dim));
    return OK;
}

static void drop_set(struct solve_spec *s, const struct arch *set)
{
    int kept = 0;
    for (int i = 0; i < s->n_free; i++)
        if (arch_dim_get(set, s->free[i].dim) == ARCH_UNSET)
            s->free[kept++] = s->free[i];
    s->n_free = kept;
}

// What the paper holds fixed, where it is neither set nor free.
static void paper_dims(const struct solve_spec *s, struct arch *a)
{
    static const struct {
        enum arch_dim dim;
        int64_t value;
    } fixed[] = {{DIM_S, 8192}, {DIM_K, 8}, {DIM_N_e, 288}};
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed; k++) {
        bool free = false;
        for (int i = 0; i < s->n_free; i++)
            free = free || s->free[i].dim == fixed[k].dim;
        int64_t *v = arch_dim(a, fixed[k].dim);
        *v = *v == ARCH_UNSET && !free ? fixed[k].value : *v;
    }
}

static void print_text(const struct arch *a, json_t *j)
{
    for (int i = 0; i < N_DIMS; i++)
        printf("%-9s %12lld  %s\n", arch_dim_name((enum arch_dim)i),
               (long long)arch_dim_get(a, (enum arch_dim)i), arch_dim_what((enum arch_dim)i));
    const char *name;
    json_t *v, *executed = json_object_get(j, "executed"),
               *dev = json_object_get(j, "deviation");
    puts("\nby the paper's count (non-embedding, no router)");
    json_object_foreach(j, name, v) if (json_is_number(v) && arch_dim_find(name) < 0)
        printf("%-18s %18.12g\n", name, json_number_value(v));
    puts("\nas executed and stored");
    json_object_foreach(executed, name, v) if (json_is_number(v))
        printf("%-18s %18.12g\n", name, json_number_value(v));
    json_object_foreach(json_object_get(executed, "memory_bytes"), name, v)
        printf("memory %-11s %18.12g bytes\n", name, json_number_value(v));
    if (dev)
        puts("\ndeviation from what was asked");
    json_object_foreach(dev, name, v)
        printf("%-18s %+17.3f %%\n", name, 100 * json_number_value(v));
}

static enum err solve(struct wanted *w, struct arch *a, json_t **asked, json_t **deviation)
{
    struct solution sol;
    int64_t *list = NULL;
    int n = 0;
    double d = w->d;
    if (isnan(d)) { // the median feasible one
        TRY(solve_feasible(&w->spec, &list, &n));
        d = n ? (double)list[(n - 1) / 2] : 1;
        free(list);
    }
    TRY(solve_nearest(&w->spec, d, &sol));
    int64_t V = a->V;
    *a = sol.arch;
    a->V = V;
    *asked = json_object();
    *deviation = json_object();
    for (int i = 0; i < N_COORDS; i++)
        if (!isnan(w->spec.want[i])) {
            json_object_set_new(*asked, coord_name((enum coord)i), json_real(w->spec.want[i]));
            json_object_set_new(*deviation, coord_name((enum coord)i),
                                json_real(sol.deviation[i]));
        }
    json_object_set_new(*asked, "d", json_real(d));
    return OK;
}

enum err cmd_arch(int argc, char **argv)
{
    const char *set = NULL, *triad = NULL, *free_dims = NULL;
    double batch = 0;
    int json = 0, tied = 0;
    const struct cmd_option options[] = {{"--set", .text = &set},
                                         {"--triad", .text = &triad},
                                         {"--free", .text = &free_dims},
                                         {"--batch-tokens", .number = &batch},
                                         {"--tied", .flag = &tied},
                                         {"--json", .flag = &json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    ENSURE(set || triad, ERR_INPUT, "arch: expected --set or --triad (moesweep arch --help)");
    ENSURE(triad || !free_dims, ERR_INPUT, "arch: --free: expected beside --triad alone");
    ENSURE(batch <= 0x1p53, ERR_INPUT, "arch: --batch-tokens: expected at most 2^53, found %g",
           batch);
    struct arch a = arch_unset();
    struct wanted w = {.d = NAN};
    solve_defaults(&w.spec);
    if (triad)
        a = w.spec.base;
    if (set)
        TRY(pairs("--set", set, set_dim, &a));
    if (a.V == ARCH_UNSET)
        a.V = 0;
    json_t *asked = NULL, *deviation = NULL;
    if (triad) {
        if (free_dims)
            TRY(pairs("--free", free_dims, set_free, &w));
        w.n = 0;
        TRY(pairs("--triad", triad, set_want, &w));
        if (free_dims)
            TRY(refuse_both(&w.spec, &a));
        else
            drop_set(&w.spec, &a);
        paper_dims(&w.spec, &a);
        w.spec.base = a;
        TRY(solve(&w, &a, &asked, &deviation));
    } else {
        arch_fill_defaults(&a);
        TRY(arch_check(&a));
    }
    struct job job = executed_job(&a, tied, batch >= 1 ? (int64_t)batch : a.S);
    json_t *j = executed_report_json(&job);
    if (asked) {
        json_object_set_new(j, "asked", asked);
        json_object_set_new(j, "deviation", deviation);
    }
    if (json)
        return cmd_print_json(j);
    print_text(&a, j);
    json_decref(j);
    return OK;
}
