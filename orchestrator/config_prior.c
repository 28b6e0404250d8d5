// SPDX-License-Identifier: GPL-3.0-or-later
// prior: runs of other programs, from a table. Where they only say where to begin, their
// optimum becomes a start value here; where they are points of a fit, decide.c takes them.
#include "core/file.h"
#include "fit/expr.h"
#include "fit/power.h"
#include "orchestrator/config_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4, MAX_RUNS = 100000 };
static const double SAME_SCALE = 0.02; // C = M D of rounded M and D

bool prior_same_scale(double C, double D)
{
    return fabs(C / D - 1) <= SAME_SCALE;
}

int prior_runs(const struct sweep *s, int p, int f)
{
    bool asked = s->prior.use == PRIOR_FIT && f == 0 && s->prior.n > 0;
    return asked && strcmp(s->prior.phase, s->phases[p].name) == 0 ? s->prior.n : 0;
}

enum err read_prior_table(struct reader *r, const struct node *n)
{
    char file[JOB_PATH_MAX], *to = r->s->prior.table;
    const char *text = node_text(n);
    if (!text || !*text)
        return node_fail(r->tree, n, n->key->shape);
    node_file(r->tree, n, file);
    const char *slash = strrchr(file, '/');
    int dir = *text == '/' || !slash ? 0 : (int)(slash - file + 1);
    if (snprintf(to, JOB_PATH_MAX, "%.*s%s", dir, file, text) >= JOB_PATH_MAX)
        return node_fail(r->tree, n, "a path of less than 4096 bytes");
    return OK;
}

// ---- rows

struct source {
    struct table t;
    struct expr *e[COLUMNS]; // NULL: no such column (group alone)
    const char *name[COLUMNS];
};

static enum err find_columns(struct source *src, const char *map)
{
    struct expr_map m = {0};
    char text[80], all[256];
    if (*map)
        TRY(expr_map_parse(map, "prior.map", &src->t, &m));
    enum err e = OK;
    for (int k = 0; e == OK && k < COLUMNS; k++) {
        int i = expr_map_find(&m, src->name[k]);
        if (i >= 0) {
            src->e[k] = m.e[i];
            m.e[i] = NULL;
        } else if (table_find(&src->t, src->name[k]) >= 0) {
            snprintf(text, sizeof text, "\"%s\"", src->name[k]);
            e = expr_parse(text, "a column", &src->t, &src->e[k]);
        } else if (k < COLUMNS - 1) {
            table_names(&src->t, all, sizeof all);
            e = err_set(ERR_INPUT,
                        "%s: expected a column %s, or prior.map = \"%s=..\"; found columns %s",
                        src->t.path, src->name[k], src->name[k], all);
        }
    }
    expr_map_free(&m);
    return e;
}

// *whole: false where a value is missing or not finite.
static enum err read_row(const struct source *src, int64_t row, double v[COLUMNS], bool *whole)
{
    *whole = true;
    for (int k = 0; k < COLUMNS; k++) {
        int col = 0;
        v[k] = 0;
        if (!src->e[k])
            continue;
        enum table_cell kind = expr_value(src->e[k], &src->t, row, &v[k], &col);
        ENSURE(kind != CELL_TEXT, ERR_INPUT,
               "%s line %lld, column %s: expected a number, found '%s'", src->t.path,
               (long long)src->t.line[row], src->t.col[col].name,
               table_quote(table_text(&src->t, col, row)).s);
        if (kind != CELL_NUMBER || !isfinite(v[k]))
            *whole = false;
        else
            ENSURE(v[k] > 0 || k == COLUMNS - 1, ERR_INPUT,
                   "%s line %lld, %s: expected a positive number, found %g", src->t.path,
                   (long long)src->t.line[row], src->name[k], v[k]);
    }
    return OK;
}

static enum err read_rows(const struct source *src, struct prior *pr)
{
    ENSURE(src->t.n <= MAX_RUNS, ERR_INPUT, "%s: expected at most %d runs, found %lld",
           src->t.path, MAX_RUNS, (long long)src->t.n);
    double *group = calloc((size_t)src->t.n + 1, sizeof *group);
    pr->run = calloc((size_t)src->t.n + 1, sizeof *pr->run);
    enum err e = group && pr->run ? OK : err_set(ERR_FAILED, "out of memory");
    int groups = 0;
    for (int64_t i = 0; e == OK && i < src->t.n; i++) {
        double v[COLUMNS];
        bool whole;
        e = read_row(src, i, v, &whole);
        if (e != OK || !whole)
            continue;
        int g = 0;
        while (g < groups && group[g] != v[3])
            g++;
        group[g] = v[3];
        groups += g == groups;
        pr->run[pr->n++] = (struct prior_run){v[0], v[1], v[2], g, (long)src->t.line[i]};
    }
    free(group);
    TRY(e);
    ENSURE(pr->n > 0, ERR_INPUT, "%s: no row has C, %s and loss", src->t.path, src->name[1]);
    return OK;
}

static enum err read_table(struct prior *pr, const char *var)
{
    struct source src = {.name = {"C", var, "loss", "group"}};
    TRY(table_read(pr->table, &src.t));
    enum err e = find_columns(&src, pr->map);
    if (e == OK)
        e = read_rows(&src, pr);
    for (int k = 0; k < COLUMNS; k++)
        expr_free(src.e[k]);
    table_free(&src.t);
    return e;
}

// ---- the start value

static int by_C(const void *a, const void *b)
{
    const struct prior_run *x = a, *y = b;
    return x->C != y->C ? (x->C > y->C) - (x->C < y->C) : (x->line > y->line) * 2 - 1;
}

// Interior optima of the table's scales, by the form of the phase's fit.
static enum err optima(const struct sweep *s, const struct fit_spec *fs,
                       struct power_point *pts, int *n)
{
    const struct prior *pr = &s->prior;
    struct prior_run *run = malloc((size_t)pr->n * sizeof *run);
    struct curve_obs *obs = malloc((size_t)pr->n * sizeof *obs);
    enum err e = run && obs ? OK : err_set(ERR_FAILED, "out of memory");
    if (e == OK) {
        memcpy(run, pr->run, (size_t)pr->n * sizeof *run);
        qsort(run, (size_t)pr->n, sizeof *run, by_C);
    }
    struct curve_options opt = {.band = s->band, .n_boot = s->n_boot, .seed = s->seed};
    for (int i = 0, k; e == OK && i < pr->n && *n < CONFIG_MAX_SCALES; i = k) {
        struct curve_fit fit;
        for (k = i; k < pr->n && prior_same_scale(run[k].C, run[i].C); k++) {
            obs[k - i] =
                (struct curve_obs){.t = run[k].t, .loss = run[k].loss, .group = run[k].group};
            opt.t_max_form = fmax(opt.t_max_form, 2 * run[k].t); // expansion: beyond them all
        }
        e = curve_fit_run(fs->form, obs, k - i, &opt, &fit);
        if (e != OK)
            break;
        if (fit.verdict == CURVE_INTERIOR)
            pts[(*n)++] = (struct power_point){.X = run[i].C, .value = fit.opt};
        curve_fit_free(&fit);
    }
    free(run);
    free(obs);
    return e;
}

static enum err set_start(struct sweep *s, const struct places *p, const struct var *var,
                          const struct rule *rule)
{
    double lo, hi;
    bool integer;
    var_range(var, &lo, &hi, &integer);
    for (int i = 0; i < s->n_scales; i++) {
        double v = rule_at(rule, s->scales[i]);
        if (!(v >= lo && v <= hi))
            return places_fail(p, "prior.table", "runs that give a start value in its range",
                               "%s = %g at C = %g", var->name, v, s->scales[i]);
    }
    int i = 0;
    while (i < s->n_start && strcmp(s->start[i].var.name, var->name) != 0)
        i++;
    if (i == CONFIG_MAX_SETTINGS)
        return places_fail(p, "start", "fewer values", "%d", i);
    s->n_start += i == s->n_start;
    s->start[i] = (struct setting){.var = *var, .rule = *rule};
    return OK;
}

static enum err start_from(struct sweep *s, const struct places *p, const struct var *var,
                           const struct fit_spec *fs)
{
    struct power_point pts[CONFIG_MAX_SCALES];
    struct power_fit law = {0};
    int n = 0;
    if (var->kind != VAR_COORD)
        return places_fail(p, "prior.use",
                           "\"fit\", as the phase's first axis has no start value",
                           "\"start\"");
    TRY(optima(s, fs, pts, &n));
    if (n == 0)
        return places_fail(p, "prior.table", "a scale with an interior optimum", "none");
    TRY(power_fit_run(pts, n, s->seed, &law));
    // As across scales of a sweep: two points make no trend of a shape.
    bool size = var->index == COORD_M || var->index == COORD_N_a || var->index == COORD_N;
    double mean = 0; // of ln
    for (int i = 0; i < n; i++)
        mean += log(pts[i].value) / n;
    struct rule rule = {.value = exp(mean)};
    if (law.fitted && (size || n >= 3))
        rule = (struct rule){
            .at = s->scales[0], .value = law.k * pow(s->scales[0], law.p), .exponent = law.p};
    power_fit_free(&law);
    return set_start(s, p, var, &rule);
}

enum err check_prior(struct sweep *s, const struct places *p)
{
    struct prior *pr = &s->prior;
    if (!pr->table[0] && places_has(p, "prior"))
        return places_fail(p, "prior.table", "path of a CSV file", "nothing");
    if (!pr->table[0])
        return OK;
    const struct phase *ph = NULL;
    for (int i = 0; i < s->n_phases; i++)
        ph = strcmp(s->phases[i].name, pr->phase) == 0 ? &s->phases[i] : ph;
    if (!ph || ph->n_fits == 0)
        return places_fail(p, "prior.phase", "the name of a phase with a fit", "\"%s\"",
                           pr->phase);
    if (file_hash(pr->table, &pr->hash) != OK)
        return places_fail(p, "prior.table", "a CSV file", "%s", err_message());
    char *real = realpath(pr->table, NULL);
    if (real && strlen(real) < sizeof pr->table)
        snprintf(pr->table, sizeof pr->table, "%s", real);
    free(real);
    const struct var *var = &ph->axes[ph->fits[0].axis].var;
    TRY(read_table(pr, var->name));
    return pr->use == PRIOR_START ? start_from(s, p, var, &ph->fits[0]) : OK;
}
