// SPDX-License-Identifier: GPL-3.0-or-later
// What keys mean together: dimensions that must divide or bound each other, tokens that must
// exist.
#include "core/rng.h"
#include "orchestrator/config_internal.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- dimensions

// The dimensions fixed at one point, and the key that fixed each; ARCH_UNSET where none did.
struct fixed {
    int64_t v[N_DIMS];
    char from[N_DIMS][CONFIG_PATH];
};

static void fix(struct fixed *f, int dim, int64_t value, const char *from)
{
    f->v[dim] = value;
    snprintf(f->from[dim], sizeof f->from[dim], "%s", from);
}

static void fixed_by_settings(struct fixed *f, const struct setting *list, int n, double C,
                              const char *where)
{
    for (int i = 0; i < n; i++)
        if (list[i].var.kind == VAR_DIM) {
            char from[CONFIG_PATH];
            snprintf(from, sizeof from, "%.100s.%.15s", where, list[i].var.name);
            fix(f, list[i].var.index, (int64_t)rule_at(&list[i].rule, C), from);
        }
}

static struct fixed fixed_at(const struct sweep *s, int phase, double C)
{
    struct fixed f;
    char where[32];
    for (int i = 0; i < N_DIMS; i++) {
        snprintf(where, sizeof where, "arch.%s", arch_dim_name((enum arch_dim)i));
        fix(&f, i, arch_dim_get(&s->solve.base, (enum arch_dim)i), where);
    }
    fixed_by_settings(&f, s->start, s->n_start, C, "arch");
    const struct phase *ph = &s->phases[phase];
    for (int a = 0; a < ph->n_axes; a++)
        if (ph->axes[a].var.kind == VAR_DIM)
            f.v[ph->axes[a].var.index] = ARCH_UNSET;
    snprintf(where, sizeof where, "phases[%d].set", phase);
    fixed_by_settings(&f, ph->set, ph->n_set, C, where);
    return f;
}

static enum err check_fixed(const struct places *p, const struct fixed *f)
{
    char expected[64];
    int64_t K = f->v[DIM_K], N_e = f->v[DIM_N_e], N_q = f->v[DIM_N_q], N_kv = f->v[DIM_N_kv];
    if (K > 0 && N_e > 0 && K > N_e) {
        bool blame_K = strncmp(f->from[DIM_N_e], "arch", 4) == 0;
        snprintf(expected, sizeof expected, "%s %s = %" PRId64,
                 blame_K ? "at most" : "at least", blame_K ? "N_e" : "K", blame_K ? N_e : K);
        return places_fail(p, f->from[blame_K ? DIM_K : DIM_N_e], expected, "%" PRId64,
                           blame_K ? K : N_e);
    }
    if (N_q > 0 && N_kv > 0 && N_q % N_kv != 0) {
        bool blame_q = strncmp(f->from[DIM_N_kv], "arch", 4) == 0;
        snprintf(expected, sizeof expected, "a %s of %s = %" PRId64,
                 blame_q ? "multiple" : "divisor", blame_q ? "N_kv" : "N_q",
                 blame_q ? N_kv : N_q);
        return places_fail(p, f->from[blame_q ? DIM_N_q : DIM_N_kv], expected, "%" PRId64,
                           blame_q ? N_q : N_kv);
    }
    if (f->v[DIM_d_qkv] > 0 && f->v[DIM_d_qkv] % 2 != 0)
        return places_fail(p, f->from[DIM_d_qkv],
                           "an even number (rotary positions pair entries)", "%" PRId64,
                           f->v[DIM_d_qkv]);
    if (f->v[DIM_L_d] == 0 && f->v[DIM_L_m] == 0)
        return places_fail(p, f->from[DIM_L_m], "at least one layer", "L_d = 0 and L_m = 0");
    return OK;
}

static const struct solve_free *free_find(const struct sweep *s, int dim)
{
    for (int i = 0; i < s->solve.n_free; i++)
        if ((int)s->solve.free[i].dim == dim)
            return &s->solve.free[i];
    return NULL;
}

// The free ranges must leave something beside what is fixed.
static enum err check_free(const struct sweep *s, const struct places *p, const struct fixed *f)
{
    const struct solve_free *N_e = free_find(s, DIM_N_e), *q = free_find(s, DIM_d_qkv);
    if (N_e && f->v[DIM_K] > N_e->hi)
        return places_fail(p, "free.N_e", "a range that reaches K",
                           "at most %" PRId64 " where K = %" PRId64, N_e->hi, f->v[DIM_K]);
    if (q && q->lo == q->hi && q->lo % 2 != 0)
        return places_fail(p, "free.d_qkv", "a range with even numbers", "%" PRId64 " alone",
                           q->lo);
    for (int i = 0; i < s->solve.n_free; i++) {
        const struct solve_free *g = &s->solve.free[i];
        const char *name = arch_dim_name(g->dim);
        char key[CONFIG_PATH];
        snprintf(key, sizeof key, "free.%s", name);
        if (f->v[g->dim] != ARCH_UNSET && strncmp(f->from[g->dim], "arch", 4) == 0)
            return places_fail(p, key, "a dimension that arch does not fix", "%s", name);
        if (g->hi / g->step * g->step < g->lo)
            return places_fail(p, key, "a range that holds a multiple of its step",
                               "none of %" PRId64 " from %" PRId64 " to %" PRId64, g->step,
                               g->lo, g->hi);
    }
    return OK;
}

static enum err check_all_given(const struct sweep *s, const struct places *p)
{
    for (int i = 0; i < N_DIMS; i++) {
        bool optional = i == DIM_d_d || i == DIM_N_kv || i == DIM_n_shared || i == DIM_V;
        bool given =
            arch_dim_get(&s->solve.base, (enum arch_dim)i) != ARCH_UNSET || free_find(s, i);
        for (int k = 0; k < s->n_start; k++)
            given = given || (s->start[k].var.kind == VAR_DIM && s->start[k].var.index == i &&
                              i != DIM_d);
        char key[CONFIG_PATH];
        snprintf(key, sizeof key, "arch.%s", arch_dim_name((enum arch_dim)i));
        if (!given && !optional)
            return places_fail(p, key, "a value here or a range under free", "neither");
    }
    return OK;
}

static enum err check_dims(struct sweep *s, const struct places *p)
{
    struct arch *base = &s->solve.base;
    if (base->n_shared == ARCH_UNSET && !free_find(s, DIM_n_shared))
        base->n_shared = 1;
    if (base->N_kv == ARCH_UNSET && base->N_q > 0 && !free_find(s, DIM_N_kv))
        base->N_kv = base->N_q > 1 ? base->N_q / 2 : 1;
    TRY(check_all_given(s, p));
    for (int i = 0; i < s->n_phases; i++) {
        const struct phase *ph = &s->phases[i];
        for (int c = 0; c < ph->n_scales; c++) {
            struct fixed f = fixed_at(s, i, ph->scales[c]);
            TRY(check_fixed(p, &f));
            TRY(check_free(s, p, &f));
            for (int a = 0; a < ph->n_axes; a++) {
                const struct axis *ax = &ph->axes[a];
                for (int k = 0;
                     ax->var.kind == VAR_DIM && ax->source == AXIS_VALUES && k < ax->n; k++) {
                    struct fixed g = f;
                    char from[CONFIG_PATH];
                    snprintf(from, sizeof from, "phases[%d].axes[%d].values[%d]", i, a, k);
                    fix(&g, ax->var.index, (int64_t)ax->values[k], from);
                    TRY(check_fixed(p, &g));
                }
            }
        }
    }
    return OK;
}

// ---- tokens

static const struct rule *setting_rule(const struct setting *list, int n, int coord)
{
    for (int i = 0; i < n; i++)
        if (list[i].var.kind == VAR_COORD && list[i].var.index == coord)
            return &list[i].rule;
    return NULL;
}

// The smallest M that a phase asks for at scale C before growth; NaN if it asks for none.
static double smallest_M(const struct sweep *s, const struct phase *ph, double C)
{
    const struct rule *start = setting_rule(s->start, s->n_start, COORD_M);
    const struct rule *set = setting_rule(ph->set, ph->n_set, COORD_M);
    double M = set ? rule_at(set, C) : start ? rule_at(start, C) : NAN;
    for (int a = 0; a < ph->n_axes; a++) {
        const struct axis *ax = &ph->axes[a];
        if (ax->var.kind != VAR_COORD || ax->var.index != COORD_M)
            continue;
        if (ax->source == AXIS_VALUES)
            return ax->values[0];
        double center = ax->around_adopted ? M : rule_at(&ax->center, C);
        return center * pow(ax->factor, -0.5 * (ax->n - 1));
    }
    return M;
}

static enum err check_tokens(const struct sweep *s, const struct places *p)
{
    const char *key = s->base.data.kind == DATA_EXTERNAL ? "data.tokens" : "data.paths";
    char expected[160];
    for (int i = 0; i < s->n_phases; i++) {
        const struct phase *ph = &s->phases[i];
        for (int c = 0; c < ph->n_scales; c++) {
            double C = ph->scales[c], D = C / smallest_M(s, ph, C);
            if (isnan(D))
                continue;
            if (D > s->max_epochs * (double)s->corpus_train) {
                snprintf(expected, sizeof expected,
                         "at least %.0f training tokens (phase %s sees %.3g tokens at C = %g, "
                         "each at "
                         "most data.max_epochs = %g times)",
                         ceil(D / s->max_epochs), ph->name, D, C, s->max_epochs);
                return places_fail(p, key, expected, "%" PRId64, s->corpus_train);
            }
            double batch = rule_at(&s->batch_tokens, C);
            if (D < batch) {
                snprintf(expected, sizeof expected,
                         "at most the %.0f tokens of a run at C = %g", D, C);
                return places_fail(p, "train.batch_tokens", expected, "%g", batch);
            }
        }
    }
    return OK;
}

static enum err check_start(const struct sweep *s, const struct places *p)
{
    if (s->solve.n_free == 0)
        return OK;
    for (int i = 0; i < s->n_phases; i++)
        for (int c = 0; c < s->phases[i].n_scales; c++)
            if (isnan(smallest_M(s, &s->phases[i], s->phases[i].scales[c])))
                return places_fail(p, "start.M", "a value, as dimensions are free", "nothing");
    return OK;
}

// moetrain would leave what is lent to it idle.
static enum err check_width(const struct sweep *s, const struct places *p)
{
    size_t word = strcspn(s->trainer, " \t");
    bool ours = (word == 8 || (word > 8 && s->trainer[word - 9] == '/')) &&
                strncmp(s->trainer + word - 8, "moetrain", 8) == 0;
    for (int i = 0; i < s->n_scales && ours; i++)
        if (rule_at(&s->width, s->scales[i]) > 1)
            return places_fail(p, "width", "1: moetrain uses one GPU, or `threads`", "%g",
                               rule_at(&s->width, s->scales[i]));
    return OK;
}

// Early stops need something to compare with; an analysis reads the losses of all runs.
static enum err check_early_stop(const struct sweep *s, const struct places *p)
{
    char key[CONFIG_PATH], margin[CONFIG_PATH];
    for (int i = 0; i < s->n_phases; i++) {
        const struct phase *ph = &s->phases[i];
        snprintf(key, sizeof key, "phases[%d].early_stop", i);
        snprintf(margin, sizeof margin, "phases[%d].early_stop.margin", i);
        if (ph->stop.n == 0 && places_has(p, margin))
            return places_fail(p, margin, "this key beside at", "it without");
        if (ph->stop.n > 0 && ph->n_after == 0 && ph->rounds == 1)
            return places_fail(
                p, key,
                "it in a phase with `after` or `rounds`, which has earlier runs to "
                "compare with",
                "neither in phase %s", ph->name);
        if (ph->stop.n > 0 && ph->analysis != ANALYSIS_NONE)
            return places_fail(
                p, key,
                "it in a phase without `analysis`, which reads the losses of all "
                "runs",
                "both in phase %s", ph->name);
    }
    return OK;
}

bool sweep_stops_early(const struct sweep *s)
{
    for (int i = 0; i < s->n_phases; i++)
        if (s->phases[i].stop.n > 0)
            return true;
    return false;
}

enum err config_check(struct sweep *s, const struct places *p)
{
    if (!strstr(s->trainer, "{job}"))
        return places_fail(p, "trainer", "a command with {job} in it", "\"%.200s\"",
                           s->trainer);
    if (s->base.train.warmup + s->base.train.decay > 1 &&
        s->base.train.schedule == SCHEDULE_WSD)
        return places_fail(p, "train.decay", "warmup + decay of at most 1", "%g",
                           s->base.train.warmup + s->base.train.decay);
    TRY(check_early_stop(s, p));
    TRY(check_prior(s, p));
    TRY(check_width(s, p));
    TRY(check_dims(s, p));
    TRY(check_start(s, p));
    TRY(config_check_corpus(s, p));
    TRY(check_tokens(s, p));
    TRY(check_init(s, p));
    s->base.arch = s->solve.base;
    char *flat = NULL;
    TRY(config_flat(s, &flat));
    s->hash = rng_hash(flat, strlen(flat), RNG_HASH_START);
    free(flat);
    return OK;
}
