// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/truth_score.h"
#include "core/json.h"
#include "orchestrator/candidate.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

// Heads, experts and S of the sweep's structures at a scale; what is free stays unset.
static struct arch arch_at(const struct sweep *cfg, double C)
{
    struct arch a = cfg->solve.base;
    struct wish w;
    wish_init(&w);
    wish_settings(&w, cfg->start, cfg->n_start, C);
    for (int i = 0; i < N_DIMS; i++)
        if (i != DIM_d && !isnan(w.dim[i]))
            *arch_dim(&a, (enum arch_dim)i) = (int64_t)w.dim[i];
    arch_fill_defaults(&a);
    return a;
}

// The planted optimum where the others were.
static double planted_at(const struct truth *t, int i, const struct sweep *cfg,
                         const json_t *at, double C)
{
    double v[TRUTH_MAX];
    struct arch a = arch_at(cfg, C);
    for (int w = 0; w < t->n; w++) {
        double was = number(at, t->optima[w].var.name);
        v[w] = isnan(was) ? truth_at(&t->optima[w], t, C) : was;
    }
    return truth_at(&t->optima[i], t, C) * exp(truth_moved(t, i, &a, C, v));
}

// At an edge a law claims a side.
static bool holds(const json_t *point, const char *verdict, double planted)
{
    return (planted >= number(point, "lo") || strcmp(verdict, "edge_low") == 0) &&
           (planted <= number(point, "hi") || strcmp(verdict, "edge_high") == 0);
}

static enum err add_width(double width, struct truth_score *s)
{
    double *grown = realloc(s->width, (size_t)(s->n_width + 1) * sizeof *grown);
    ENSURE(grown, ERR_FAILED, "out of memory");
    s->width = grown;
    s->width[s->n_width++] = width;
    return OK;
}

static struct truth_scale *scale_of(struct truth_score *s, double C)
{
    int k = 0;
    while (k < s->n_scales && s->scale[k].C != C)
        k++;
    ASSERT(k < CONFIG_MAX_SCALES);
    if (k == s->n_scales)
        s->scale[s->n_scales++] = (struct truth_scale){.C = C};
    return &s->scale[k];
}

static enum err add_point(const struct truth *t, int i, const struct sweep *cfg,
                          const json_t *point, struct truth_score *s)
{
    const char *verdict = json_string_value(json_object_get(point, "verdict"));
    double C = number(point, "C");
    struct truth_scale *scale = scale_of(s, C);
    scale->points++;
    if (!verdict || strcmp(verdict, "unresolved") == 0 || strcmp(verdict, "failed") == 0) {
        s->unresolved++;
        return OK;
    }
    double planted = planted_at(t, i, cfg, json_object_get(point, "at"), C);
    bool held = holds(point, verdict, planted);
    scale->missed += !held;
    s->inside += held;
    s->missed += !held;
    s->missed_whole += !holds(point, verdict, truth_at(&t->optima[i], t, C));
    if (strcmp(verdict, "interior") != 0)
        return OK;
    scale->n_off++;
    scale->off += log(number(point, "value") / planted);
    return add_width(log(number(point, "hi") / number(point, "lo")), s);
}

enum err truth_score_add(const struct truth *t, const struct sweep *cfg, const json_t *law,
                         struct truth_score *scores)
{
    const json_t *laws = json_object_get(law, "laws");
    for (int i = 0; i < t->n; i++) {
        const json_t *points =
            json_object_get(json_object_get(laws, t->optima[i].var.name), "points");
        scores[i].absent += json_array_size(points) == 0;
        for (size_t k = 0; k < json_array_size(points); k++)
            TRY(add_point(t, i, cfg, json_array_get(points, k), &scores[i]));
    }
    return OK;
}

double truth_score_honest(const struct truth_score *s, bool whole)
{
    int all = s->inside + s->missed + s->unresolved;
    return all > 0 ? (double)(all - (whole ? s->missed_whole : s->missed)) / all : NAN;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double truth_score_width(struct truth_score *s)
{
    if (s->n_width == 0)
        return NAN;
    qsort(s->width, (size_t)s->n_width, sizeof *s->width, ascending);
    return .5 * (s->width[(s->n_width - 1) / 2] + s->width[s->n_width / 2]);
}

void truth_scores_free(struct truth_score *scores)
{
    for (int i = 0; i < TRUTH_MAX; i++)
        free(scores[i].width);
}
