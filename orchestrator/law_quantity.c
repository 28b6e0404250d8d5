// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/law_quantity.h"
#include "core/json.h"
#include "fit/power.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_QUANTITIES = N_COORDS + N_DIMS + 1 }; // V is none; lr and batch_tokens are

struct quantity {
    struct var var;
    int n;
    const struct cell *cell[CONFIG_MAX_SCALES]; // ascending in C
    int fit[CONFIG_MAX_SCALES];
};

// The last decided fit that adopts var at scale C; NULL if none.
static const struct cell *cell_of(const struct steer *s, const char *name, double C, int *fit)
{
    const struct cell *found = NULL;
    for (int p = 0; p < s->cfg->n_phases; p++) {
        const struct cell *c = steer_cell_last(s, p, C);
        while (c && c->state != CELL_DECIDED && c->round > 0) { // a later round is still open
            const struct cell *earlier = NULL;
            for (int i = 0; i < s->n_cells; i++)
                if (s->cells[i].phase == p && s->cells[i].C == C &&
                    s->cells[i].round == c->round - 1)
                    earlier = &s->cells[i];
            c = earlier;
        }
        if (!c || c->state != CELL_DECIDED)
            continue;
        const struct phase *ph = &s->cfg->phases[p];
        for (int f = 0; f < ph->n_fits; f++)
            if (ph->fits[f].adopt && strcmp(ph->axes[ph->fits[f].axis].var.name, name) == 0 &&
                isfinite(c->adopted[f])) {
                found = c;
                *fit = f;
            }
    }
    return found;
}

static int quantities(const struct steer *s, struct quantity *q)
{
    int n = 0;
    for (int p = 0; p < s->cfg->n_phases; p++)
        for (int f = 0; f < s->cfg->phases[p].n_fits; f++) {
            const struct phase *ph = &s->cfg->phases[p];
            struct var var = ph->axes[ph->fits[f].axis].var;
            bool known = !ph->fits[f].adopt || n == MAX_QUANTITIES;
            for (int i = 0; i < n; i++)
                known = known || strcmp(q[i].var.name, var.name) == 0;
            if (known)
                continue;
            q[n] = (struct quantity){.var = var};
            for (int i = 0; i < s->cfg->n_scales; i++) {
                int fit = 0;
                const struct cell *c = cell_of(s, var.name, s->cfg->scales[i], &fit);
                if (c) {
                    q[n].cell[q[n].n] = c;
                    q[n].fit[q[n].n++] = fit;
                }
            }
            n += q[n].n > 0;
        }
    return n;
}

// Which of a fit's numbers a law runs through.
enum part { PART_OPTIMUM, PART_BAND_LO, PART_BAND_HI };

struct law_point {
    double C, value, lo, hi;
    const double *boot;
    int n_boot;
    bool sound; // an interior optimum, or a closed edge of its band
    bool top;   // still falling at the largest value tried
    const char *verdict;
    const struct cell *cell;
    int fit;
};

static struct law_point law_point_of(const struct quantity *q, int i, enum part part)
{
    const struct curve_fit *f = &q->cell[i]->fits[q->fit[i]];
    bool interior = f->verdict == CURVE_INTERIOR;
    struct law_point p = {.C = q->cell[i]->C,
                          .n_boot = f->n_boot,
                          .verdict = curve_verdict_name(f->verdict),
                          .cell = q->cell[i],
                          .fit = q->fit[i]};
    switch (part) {
    case PART_OPTIMUM:
        p.value = q->cell[i]->adopted[q->fit[i]];
        p.lo = f->opt_lo;
        p.hi = f->opt_hi;
        p.boot = f->boot_opt;
        p.sound = interior;
        p.top = f->verdict == CURVE_EDGE_HIGH && f->opt >= f->t_max;
        break;
    case PART_BAND_LO:
        p.value = f->band_lo;
        p.lo = f->band_lo_ci[0];
        p.hi = f->band_lo_ci[1];
        p.boot = f->boot_band_lo;
        p.sound = interior && !f->band_lo_open;
        break;
    case PART_BAND_HI:
        p.value = f->band_hi;
        p.lo = f->band_hi_ci[0];
        p.hi = f->band_hi_ci[1];
        p.boot = f->boot_band_hi;
        p.sound = interior && !f->band_hi_open;
        break;
    }
    return p;
}

static bool sizes(const struct var *var)
{
    return var->kind == VAR_LR || var->kind == VAR_BATCH ||
           (var->kind == VAR_COORD &&
            (var->index == COORD_M || var->index == COORD_N_a || var->index == COORD_N));
}

static json_t *power_json(const struct power_fit *f, json_t *points, const char *rule)
{
    json_t *boot = json_array();
    for (int i = 0; i < f->n_boot; i++)
        json_array_append_new(boot, json_pair(f->boot_lnk[i], f->boot_p[i]));
    return json_pack("{s:b, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "fitted",
                     f->fitted, "n", f->n, "k", json_num(f->k), "p", json_num(f->p), "p_lo",
                     json_num(f->p_lo), "p_hi", json_num(f->p_hi), "rmse_log",
                     json_num(f->rmse_log), "X", json_pair(f->X_min, f->X_max), "points",
                     points, "boot", boot, "rule", rule);
}

// No trend claimed: one value, and the interval that covers all of its points.
static json_t *constant_json(const struct law_point *pts, int n, json_t *points)
{
    double sum = 0, lo = INFINITY, hi = -INFINITY, top = -INFINITY;
    int sound = 0, edges = 0;
    bool known = true; // the uncertainty of every point
    for (int i = 0; i < n; i++)
        sound += pts[i].sound;
    for (int i = 0; i < n; i++) {
        edges += pts[i].top;
        top = fmax(top, pts[i].value);
        if (sound && !pts[i].sound)
            continue;
        sum += log(pts[i].value);
        known = known && isfinite(pts[i].lo) && isfinite(pts[i].hi);
        lo = fmin(lo, fmin(pts[i].lo, pts[i].value));
        hi = fmax(hi, fmax(pts[i].hi, pts[i].value));
    }
    int used = sound ? sound : n;
    bool largest = !sound && edges == n;
    double value = largest ? top : exp(sum / used);
    const char *rule =
        largest
            ? "still falling at the largest value tried at every scale: the largest affordable"
        : n == 1 ? "one scale only, no power law: its value is carried unchanged"
        : sound
            ? "fewer than three interior optima, no trend claimed: their geometric mean"
            : "no interior optimum at any scale, no trend claimed: geometric mean of what was "
              "adopted";
    return json_pack("{s:b, s:i, s:o, s:f, s:n, s:n, s:n, s:o, s:o, s:[], s:o, s:s}", "fitted",
                     0, "n", used, "k", json_num(value), "p", 0.0, "p_lo", "p_hi", "rmse_log",
                     "X", json_pair(pts[0].C, pts[n - 1].C), "points", points, "boot",
                     "constant", json_interval(value, known ? lo : NAN, known ? hi : NAN),
                     "rule", rule);
}

static enum err law_of(const struct steer *s, const struct quantity *q, enum part part,
                       double C_below, json_t **out)
{
    struct law_point pts[CONFIG_MAX_SCALES];
    struct power_point pp[CONFIG_MAX_SCALES];
    json_t *points = json_array();
    int n = 0, sound = 0, used = 0;
    for (int i = 0; i < q->n; i++) {
        struct law_point p = law_point_of(q, i, part);
        if (p.C >= C_below || (part != PART_OPTIMUM && !p.sound))
            continue;
        pts[n++] = p;
        sound += p.sound;
        json_array_append_new(
            points, json_pack("{s:f, s:o, s:o, s:o, s:s, s:o}", "C", p.C, "value",
                              json_num(p.value), "lo", json_num(p.lo), "hi", json_num(p.hi),
                              "verdict", p.verdict, "at", decide_fit_at(s, p.cell, p.fit)));
    }
    *out = NULL;
    if (n == 0 || (part != PART_OPTIMUM && n < 2)) {
        json_decref(points);
        return OK;
    }
    int need = sizes(&q->var) ? 2 : 3; // two points always make a line: enough for sizes alone
    bool all = sound < need && sizes(&q->var) && n >= 2;
    if (sound < need && !all) {
        *out = constant_json(pts, n, points);
        return OK;
    }
    for (int i = 0; i < n; i++)
        if (all || pts[i].sound)
            pp[used++] =
                (struct power_point){pts[i].C, pts[i].value, pts[i].boot, pts[i].n_boot};
    struct power_fit fit;
    enum err e = power_fit_run(pp, used, s->cfg->seed, &fit);
    if (e != OK) {
        json_decref(points);
        return e;
    }
    char rule[160];
    snprintf(rule, sizeof rule, "power law through %d %s%s", used,
             all ? "adopted values, not all of them interior optima: take it with care"
                 : "interior optima",
             used == 2 ? " (two scales: nothing tests the line)" : "");
    *out = power_json(&fit, points, rule);
    power_fit_free(&fit);
    return OK;
}

// D = C/M: the other half of the (C, M, D) law.
static json_t *law_D(const json_t *law_M)
{
    json_t *d = json_deep_copy(law_M), *v;
    double k = json_number_value(json_object_get(law_M, "k"));
    double p = json_number_value(json_object_get(law_M, "p"));
    json_object_set_new(d, "k", json_num(1 / k));
    json_object_set_new(d, "p", json_num(1 - p));
    json_t *p_lo = json_object_get(law_M, "p_lo"), *p_hi = json_object_get(law_M, "p_hi");
    if (json_is_number(p_lo) && json_is_number(p_hi)) {
        json_object_set_new(d, "p_lo", json_num(1 - json_number_value(p_hi)));
        json_object_set_new(d, "p_hi", json_num(1 - json_number_value(p_lo)));
    }
    size_t i;
    json_array_foreach(json_object_get(d, "boot"), i, v)
    {
        json_array_set_new(v, 0, json_num(-json_number_value(json_array_get(v, 0))));
        json_array_set_new(v, 1, json_num(1 - json_number_value(json_array_get(v, 1))));
    }
    json_array_foreach(json_object_get(d, "points"), i, v)
    {
        double C = json_number_value(json_object_get(v, "C"));
        double value = json_number_value(json_object_get(v, "value"));
        double lo = json_number_value(json_object_get(v, "lo"));
        double hi = json_number_value(json_object_get(v, "hi"));
        json_object_set_new(v, "value", json_num(C / value));
        json_object_set_new(v, "lo", json_num(C / hi));
        json_object_set_new(v, "hi", json_num(C / lo));
    }
    v = json_object_get(law_M, "constant"); // of k: 1/0 becomes null
    if (v)
        json_object_set_new(d, "constant",
                            json_interval(1 / k,
                                          1 / json_number_value(json_object_get(v, "hi")),
                                          1 / json_number_value(json_object_get(v, "lo"))));
    json_object_set_new(d, "rule", json_string("D = C/M"));
    return d;
}

// Where an adopted d and its interval lie in the feasible list of their scale's adopted triad:
// how a width that has no law of its own is carried to other sizes.
static void fractions_of_d(const struct steer *s, const struct quantity *q, json_t *law)
{
    int last = q->n - 1;
    const struct cell *c = q->cell[last];
    const struct curve_fit *f = &c->fits[q->fit[last]];
    struct wish w;
    wish_init(&w);
    wish_settings(&w, s->cfg->start, s->cfg->n_start, c->C);
    struct quantity all[MAX_QUANTITIES];
    int n = quantities(s, all);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < all[i].n; k++)
            if (all[i].cell[k]->C == c->C) {
                struct wish upper;
                wish_init(&upper);
                wish_set(&upper, &all[i].var, all[i].cell[k]->adopted[all[i].fit[k]]);
                wish_layer(&w, &upper);
            }
    const char *const names[] = {"fraction", "fraction_lo", "fraction_hi"};
    const double d[] = {c->adopted[q->fit[last]], f->opt_lo, f->opt_hi};
    w.d_fraction = NAN;
    for (int i = 0; i < 3; i++) {
        struct solution sol;
        double fraction = NAN;
        w.dim[DIM_d] = d[i];
        if (isnan(d[i]) || wish_solve(&s->cfg->solve, &w, NULL, &sol, &fraction, NULL) != OK)
            fraction = NAN;
        json_object_set_new(law, names[i], json_num(fraction));
    }
}

static bool is_d(const struct var *v)
{
    return v->kind == VAR_DIM && v->index == DIM_d;
}

enum err quantity_laws(const struct steer *s, json_t *laws)
{
    static const char *const suffix[] = {"", ".band_lo", ".band_hi"};
    struct quantity q[MAX_QUANTITIES];
    int n = quantities(s, q);
    for (int i = 0; i < n; i++)
        for (int part = PART_OPTIMUM; part <= PART_BAND_HI; part++) {
            char name[32];
            json_t *law;
            TRY(law_of(s, &q[i], (enum part)part, INFINITY, &law));
            if (!law)
                continue;
            snprintf(name, sizeof name, "%s%s", q[i].var.name, suffix[part]);
            if (part == PART_OPTIMUM && is_d(&q[i].var) &&
                !json_is_true(json_object_get(law, "fitted"))) {
                fractions_of_d(s, &q[i], law);
                json_object_set_new(
                    law, "rule",
                    json_string("no power law: carried as its position in the list "
                                "of feasible d (0 narrowest, 1 widest)"));
            }
            json_object_set_new(laws, name, law);
            if (strcmp(name, "M") == 0)
                json_object_set_new(laws, "D", law_D(law));
        }
    return OK;
}

enum err quantity_hold_out(const struct steer *s, const char *name, struct quantity_held *out)
{
    struct quantity q[MAX_QUANTITIES];
    int n = quantities(s, q);
    memset(out, 0, sizeof *out);
    for (int i = 0; i < n; i++) {
        if (strcmp(q[i].var.name, name) != 0 || q[i].n < 3)
            continue;
        struct law_point last = law_point_of(&q[i], q[i].n - 1, PART_OPTIMUM);
        *out = (struct quantity_held){last.C, last.value, last.lo, last.hi, NULL};
        return law_of(s, &q[i], PART_OPTIMUM, last.C, &out->law);
    }
    return OK;
}
