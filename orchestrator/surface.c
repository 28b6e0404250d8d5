// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/surface.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The loss laws and what their variables are where --map does not say: "" asks for it. N is all
// parameters where a law also knows experts, sparsity or shares; those of a token where it
// knows no experts, or multiplies experts in.
static const struct {
    const char *law, *map;
} defaults[] = {
    {"chinchilla", "N=N_a,D=D"},
    {"kaplan", "N=N_a,D=D"},
    {"finegrained", "N=N,D=D,g=g"},
    {"jointmoe", "N_a=N_a,D=D,E=E"},
    {"fivefactor", "N=N,D=D,N_a=N_a,G=G,s=s"},
    {"allocation", "N=N,D=D,z=z,r=r"},
    {"allocation_q", "N=N,D=D,z=z,r=r"},
    {"wang", "N=N_a,D=D,E=E"},
    {"abnar", "N=N,D=D,z=z"},
    {"upcycling", "N=N_a,D2=D"},
    {"powersum", ""},
};
enum { N_DEFAULTS = sizeof defaults / sizeof *defaults };

// Quantities as a table of one row, for expressions.
struct row {
    struct table t;
    struct table_column col[N_QUANTITIES];
    char name[N_QUANTITIES][16];
    double value[N_QUANTITIES];
};

static void row_make(struct row *r, const double *q)
{
    memset(r, 0, sizeof *r);
    for (int i = 0; i < N_QUANTITIES; i++) {
        strncpy(r->name[i], quantity_name(i), sizeof r->name[i] - 1);
        r->value[i] = q ? q[i] : 1;
        r->col[i] = (struct table_column){.name = r->name[i], .number = &r->value[i]};
    }
    static char path[] = "an architecture"; // what errors call the table
    r->t = (struct table){.path = path, .n = 1, .n_cols = N_QUANTITIES, .col = r->col};
}

static double value_of(const struct surface *s, int var, const double *q)
{
    if (s->column[var] >= 0)
        return q[s->column[var]];
    struct row r;
    double v;
    int col;
    row_make(&r, q);
    return expr_value(s->map[var], &r.t, 0, &v, &col) == CELL_NUMBER ? v : NAN;
}

void surface_vars(const struct surface *s, const double q[N_QUANTITIES], double x[LAW_MAX_VARS])
{
    const int n = law_vars(s->fit->fit.law, NULL);
    for (int k = 0; k < n; k++)
        x[k] = value_of(s, k, q);
}

double surface_term_cost(const struct surface_term *t, double v)
{
    double off = log(v / t->at);
    return (off < 0 ? t->k_lo : t->k_hi) * off * off;
}

double surface_ln_loss(const struct surface *s, const double q[N_QUANTITIES])
{
    if (s->fit) {
        double x[LAW_MAX_VARS];
        surface_vars(s, q, x);
        return log(law_value(s->fit->fit.law, s->fit->fit.value, x, NULL));
    }
    double cost = 0;
    for (int i = 0; i < s->n_terms; i++)
        cost += surface_term_cost(&s->term[i], q[s->term[i].q]);
    return s->ln_best + log1p(cost);
}

double surface_cost(const struct surface *s, const double q[N_QUANTITIES])
{
    double cost = surface_ln_loss(s, q);
    for (int i = 0; i < s->n_pulls; i++) {
        double off = log(q[s->pull[i].q] / s->pull[i].at);
        cost += s->pull[i].weight * off * off;
    }
    return cost;
}

// ---- what the loss depends on

bool surface_var_sees(const struct surface *s, int var, int q)
{
    double at[N_QUANTITIES];
    for (int i = 0; i < N_QUANTITIES; i++)
        at[i] = 0.4 + 0.03 * i; // anywhere, no two alike
    double before = value_of(s, var, at);
    at[q] *= 1.01;
    double after = value_of(s, var, at);
    return after < before || after > before;
}

bool surface_sees(const struct surface *s, int q)
{
    bool sees = false;
    for (int i = 0; s->fit && i < law_vars(s->fit->fit.law, NULL); i++)
        sees = sees || surface_var_sees(s, i, q);
    for (int i = 0; i < s->n_terms; i++)
        sees = sees || s->term[i].q == q;
    return sees;
}

// ---- a law's variables

static enum err wrong_variable(const struct law *l, const char *found)
{
    char list[128] = "";
    const char *const *names;
    const int n = law_vars(l, &names);
    for (int k = 0; k < n; k++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", k ? ", " : "",
                 names[k]);
    return err_set(ERR_INPUT,
                   "recommend: --map: expected each variable of %s (%s) at most once, as "
                   "NAME=EXPRESSION, found '%s'",
                   law_name(l), list, table_quote(found).s);
}

static enum err take(struct surface *s, const char *map, bool defaults_only,
                     const struct table *t)
{
    const struct law *l = s->fit->fit.law;
    char *copy = strdup(map), *save = NULL;
    ENSURE(copy, ERR_FAILED, "out of memory");
    enum err e = OK;
    for (char *p = strtok_r(copy, ",", &save); p && e == OK; p = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(p, '=');
        if (eq)
            *eq = 0;
        int k = eq ? law_var_find(l, p) : -1;
        if (k < 0 || (s->map[k] && !defaults_only))
            e = wrong_variable(l, p);
        else if (!s->map[k]) {
            s->text[k] = strdup(eq + 1);
            e = s->text[k] ? expr_parse(eq + 1, "recommend: --map", t, &s->map[k])
                           : err_set(ERR_FAILED, "out of memory");
            s->column[k] = e == OK ? expr_column(s->map[k]) : -1;
        }
    }
    free(copy);
    return e;
}

static enum err complete(struct surface *s, const char *map)
{
    const struct law *l = s->fit->fit.law;
    const char *const *names;
    const int n = law_vars(l, &names);
    const char *by_default = NULL;
    struct row r;
    row_make(&r, NULL);
    for (int i = 0; i < N_DEFAULTS; i++)
        if (strcmp(defaults[i].law, law_name(l)) == 0)
            by_default = defaults[i].map;
    ENSURE(
        by_default, ERR_INPUT,
        "recommend: %s does not say what a structure and its tokens cost in loss; expected a "
        "law of loss, size and tokens: chinchilla, kaplan, finegrained, jointmoe, "
        "fivefactor, allocation, allocation_q, wang, abnar, upcycling or powersum",
        law_name(l));
    if (map)
        TRY(take(s, map, false, &r.t));
    TRY(take(s, by_default, true, &r.t));
    bool tokens = false;
    for (int k = 0; k < n; k++) {
        ENSURE(s->map[k], ERR_INPUT,
               "recommend: %s: what is %s of an architecture? Expected --map %s=.. "
               "(quantities: docs/recommend.md)",
               law_name(l), names[k], names[k]);
        tokens = tokens || surface_var_sees(s, k, QUANTITY_D);
    }
    ENSURE(tokens, ERR_INPUT,
           "recommend: --map: no variable of %s is made from D: without tokens the largest "
           "model would always be best",
           law_name(l));
    return OK;
}

enum err surface_of_fit(const struct fit_file *fit, const char *map, double C,
                        struct surface *out)
{
    *out = (struct surface){.C = C, .fit = fit};
    enum err e = complete(out, map);
    if (e != OK)
        surface_free(out);
    return e;
}

void surface_free(struct surface *s)
{
    for (int k = 0; k < LAW_MAX_VARS; k++) {
        expr_free(s->map[k]);
        free(s->text[k]);
    }
    memset(s, 0, sizeof *s);
}
