// SPDX-License-Identifier: GPL-3.0-or-later
// What a cell says once all its jobs are final: fits along its axes, the values adopted from
// them, the rank-preservation test and the fairness analysis.
#include "orchestrator/steer_state.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct steer_job *entry_job(const struct steer *s, const struct entry *en)
{
    return s->jobs[en->job];
}

static int by_job_id(const void *a, const void *b, void *ctx)
{
    const struct steer *s = ctx;
    const struct entry *ea = a, *eb = b;
    return strcmp(entry_job(s, ea)->job.id, entry_job(s, eb)->job.id);
}

// Numbers the combinations of the axes in mask: entries with equal values there share a number.
static void number_groups(const struct cell *c, int n_axes, unsigned mask, int *group)
{
    int n = 0;
    for (int i = 0; i < c->n_entries; i++) {
        int same = -1;
        for (int j = 0; j < i && same < 0; j++) {
            bool equal = true;
            for (int a = 0; a < n_axes; a++)
                if (mask & (1u << a))
                    equal = equal && c->entries[i].at[a] == c->entries[j].at[a];
            if (equal)
                same = group[j];
        }
        group[i] = same >= 0 ? same : n++;
    }
}

static double entry_value(const struct steer *s, const struct cell *c, const struct entry *en,
                          int axis)
{
    const struct steer_job *sj = entry_job(s, en);
    struct var var = s->cfg->phases[c->phase].axes[axis].var;
    return var_value(&var, &sj->job.arch, &sj->counts, sj->job.train.lr,
                     (double)sj->job.train.batch_tokens);
}

// Where the runs on an axis that ended well are, and whether some beyond were stopped early.
struct ended {
    double lo, hi;
    bool stopped_low, stopped_high;
};

// No further than the runs that ended well, where those beyond were stopped early.
static double held_back(double v, const struct ended *e)
{
    v = e->stopped_low ? fmax(v, e->lo) : v;
    return e->stopped_high ? fmin(v, e->hi) : v;
}

// What the cell adopts on one axis, and why in a sentence (cases of small sweeps included).
static void adopt(struct cell *c, int f, int grow, int grown, const struct ended *ended)
{
    const struct curve_fit *fit = &c->fits[f];
    char *rule = c->rule[f];
    size_t size = sizeof c->rule[f];
    const bool low = fit->verdict == CURVE_EDGE_LOW;
    const char *more = (low ? ended->stopped_low : ended->stopped_high)
                           ? "runs there were stopped early"
                       : grow == 0     ? "growing it was not asked for"
                       : grown >= grow ? "the limit of growth is reached"
                                       : "a further value could not be built";
    switch (fit->verdict) {
    case CURVE_INTERIOR:
        c->adopted[f] = fit->opt;
        snprintf(rule, size, "interior optimum of the fit");
        break;
    case CURVE_EDGE_LOW:
        c->adopted[f] = held_back(fit->opt, ended);
        snprintf(
            rule, size,
            fit->opt > fit->t_min || ended->stopped_low
                ? "the interval of the optimum reaches the lower edge of the values tried (%s)"
                : "optimum at the lower edge of the values tried (%s): the smallest tried",
            more);
        break;
    case CURVE_EDGE_HIGH:
        c->adopted[f] = held_back(fit->opt, ended);
        snprintf(
            rule, size,
            fit->opt < fit->t_max || ended->stopped_high
                ? "the interval of the optimum reaches the upper edge of the values tried (%s)"
                : "still falling at the upper edge of the values tried (%s): the largest "
                  "affordable",
            more);
        break;
    case CURVE_UNRESOLVED:
        c->adopted[f] = held_back(sqrt(fit->band_lo * fit->band_hi), ended);
        snprintf(rule, size, "unresolved by the noise: the middle of the near-optimal band");
        break;
    default:
        c->adopted[f] = NAN;
        snprintf(rule, size, "no fit: the earlier value stands");
    }
}

// Where the n runs of fit f stand on the phase's other axes that they vary on: ln of the value,
// less its mean. The fit's optimum may move along with these; how many there are.
static int along_axes(const struct steer *s, struct cell *c, int f, int n,
                      struct curve_obs *obs)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    int found = 0;
    for (int a = 0; a < ph->n_axes && found < CURVE_MAX_ALONG; a++) {
        double mean = 0;
        bool varies = false;
        for (int i = 0; i < n; i++) {
            const struct entry *en = &c->entries[c->fit_entry[f][i]];
            obs[i].along[found] = log(entry_value(s, c, en, a));
            mean += obs[i].along[found] / n;
            varies = varies || en->at[a] != c->entries[c->fit_entry[f][0]].at[a];
        }
        for (int i = 0; i < n; i++)
            obs[i].along[found] -= mean;
        c->along_axis[f][found] = a;
        found += varies && isfinite(mean) && a != ph->fits[f].axis;
    }
    return found;
}

static enum err fit_axis(const struct steer *s, struct cell *c, int f, int *group,
                         struct curve_obs *obs)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    const struct fit_spec *fs = &ph->fits[f];
    unsigned others = ((1u << ph->n_axes) - 1u) & ~(1u << fs->axis);
    number_groups(c, ph->n_axes, others, group);
    free(c->fit_entry[f]);
    c->fit_entry[f] =
        malloc((size_t)(c->n_entries + s->cfg->prior.n + 1) * sizeof **c->fit_entry);
    ENSURE(c->fit_entry[f], ERR_FAILED, "out of memory");
    struct curve_options opt = {
        .band = s->cfg->band, .n_boot = s->cfg->n_boot, .seed = s->cfg->seed};
    struct ended ended = {.lo = INFINITY, .hi = -INFINITY};
    int n = 0;
    for (int i = 0; i < c->n_entries; i++) {
        const struct steer_job *sj = entry_job(s, &c->entries[i]);
        double t = entry_value(s, c, &c->entries[i], fs->axis);
        const struct arch *a = &sj->job.arch;
        if (steer_job_ok(sj) || steer_job_pruned(sj))
            opt.t_max_form = fmax(opt.t_max_form, (double)(a->N_e + a->n_shared) /
                                                      (double)(a->K + a->n_shared));
        if (steer_job_pruned(sj)) { // worse than what ended, so tried as well
            opt.tried_lo = opt.tried_lo > 0 ? fmin(opt.tried_lo, t) : t;
            opt.tried_hi = fmax(opt.tried_hi, t);
        }
        if (!steer_job_ok(sj))
            continue;
        ended.lo = fmin(ended.lo, t);
        ended.hi = fmax(ended.hi, t);
        c->fit_entry[f][n] = i;
        obs[n++] = (struct curve_obs){.t = t,
                                      .loss = sj->result.loss,
                                      .group = group[i],
                                      .level = 1 + c->entries[i].at[fs->axis]};
    }
    opt.n_along = along_axes(s, c, f, n, obs);
    for (int i = 0; i < prior_runs(s->cfg, c->phase, f); i++) { // elsewhere as the mean is
        const struct prior_run *run = &s->cfg->prior.run[i];
        if (!prior_same_scale(run->C, c->C))
            continue;
        opt.own = c->n_entries; // numbers of the cell's own groups are below
        c->fit_entry[f][n] = -1 - i;
        obs[n++] = (struct curve_obs){
            .t = run->t, .loss = run->loss, .group = c->n_entries + run->group};
    }
    curve_fit_free(&c->fits[f]);
    TRY(curve_fit_run(fs->form, obs, n, &opt, &c->fits[f]));
    const struct cell_axis *ax = &c->axes[fs->axis];
    ended.stopped_low = steer_pruned_beyond(s, c, fs->axis, true);
    ended.stopped_high = steer_pruned_beyond(s, c, fs->axis, false);
    adopt(c, f, fs->grow, ax->grown_low + ax->grown_high, &ended);
    return OK;
}

static int axis_of_d(const struct phase *ph)
{
    for (int a = 0; a < ph->n_axes; a++)
        if (ph->axes[a].var.kind == VAR_D_FRACTION ||
            (ph->axes[a].var.kind == VAR_DIM && ph->axes[a].var.index == DIM_d))
            return a;
    return -1;
}

// Mean loss over seeds of the entries that share group g and position k on axis; NaN if none.
// *d: theirs.
static double mean_at(const struct steer *s, const struct cell *c, const int *group, int g,
                      int axis, int k, double *d)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < c->n_entries; i++) {
        const struct steer_job *sj = entry_job(s, &c->entries[i]);
        if (group[i] != g || c->entries[i].at[axis] != k || !steer_job_ok(sj))
            continue;
        sum += sj->result.loss;
        *d = (double)sj->job.arch.d;
        n++;
    }
    return n ? sum / n : NAN;
}

static enum err analyse_rank(const struct steer *s, struct cell *c, int *group)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    int axis = axis_of_d(ph), n = 0;
    if (axis < 0)
        return OK;
    number_groups(c, ph->n_axes, ((1u << ph->n_axes) - 1u) & ~(1u << axis), group);
    double *x = calloc((size_t)c->n_entries + 1, sizeof *x);
    double *y = calloc((size_t)c->n_entries + 1, sizeof *y);
    json_decref(c->rank_pairs);
    c->rank_pairs = json_array();
    for (int g = 0; x && y && g < c->n_entries; g++) {
        const struct entry *first = NULL;
        for (int i = 0; i < c->n_entries && !first; i++)
            if (group[i] == g)
                first = &c->entries[i];
        if (!first)
            break;
        double at_median = NAN, best = NAN, nearest = INFINITY;
        for (int k = 0; k < c->axes[axis].n; k++) {
            double d = NAN, loss = mean_at(s, c, group, g, axis, k, &d);
            if (isnan(loss))
                continue;
            if (isnan(best) || loss < best)
                best = loss;
            double far = fabs(log(d / first->median_d));
            if (far < nearest) {
                nearest = far;
                at_median = loss;
            }
        }
        if (isnan(best))
            continue;
        const struct counts *k = &entry_job(s, first)->counts;
        x[n] = at_median;
        y[n++] = best;
        json_array_append_new(c->rank_pairs,
                              json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "C", c->C, "M",
                                        (double)k->M, "x", k->x, "y", k->y, "median", at_median,
                                        "best", best));
    }
    enum err e = x && y ? rank_stats_run(x, y, n, s->cfg->n_boot, s->cfg->seed, &c->rank)
                        : err_set(ERR_FAILED, "out of memory");
    c->has_rank = e == OK;
    free(x);
    free(y);
    return e;
}

static bool is_triad_axis(const struct axis *ax)
{
    return ax->var.kind == VAR_COORD;
}

// Losses over the geometric mean of their M level, grouped by triad.
static enum err analyse_spread(const struct steer *s, struct cell *c, int *group)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    size_t size = (size_t)c->n_entries + 1;
    int *level = calloc(size, sizeof *level), *structure = calloc(size, sizeof *structure);
    int *kept_group = calloc(size, sizeof *kept_group);
    int *kept_structure = calloc(size, sizeof *kept_structure);
    double *loss = calloc(size, sizeof *loss);
    unsigned m_mask = 0, triad_mask = 0;
    for (int a = 0; a < ph->n_axes; a++) {
        if (is_triad_axis(&ph->axes[a]))
            triad_mask |= 1u << a;
        if (ph->axes[a].var.kind == VAR_COORD && ph->axes[a].var.index == COORD_M)
            m_mask |= 1u << a;
    }
    enum err e = OK;
    if (!level || !structure || !kept_group || !kept_structure || !loss) {
        e = err_set(ERR_FAILED, "out of memory");
        goto done;
    }
    number_groups(c, ph->n_axes, m_mask, level);
    number_groups(c, ph->n_axes, triad_mask, group);
    number_groups(c, ph->n_axes, (1u << ph->n_axes) - 1u, structure);
    json_decref(c->spread_rows);
    c->spread_rows = json_array();
    int n = 0;
    for (int i = 0; i < c->n_entries; i++) {
        const struct steer_job *sj = entry_job(s, &c->entries[i]);
        if (!steer_job_ok(sj))
            continue;
        double sum = 0;
        int count = 0;
        for (int j = 0; j < c->n_entries; j++)
            if (level[j] == level[i] && steer_job_ok(entry_job(s, &c->entries[j]))) {
                sum += log(entry_job(s, &c->entries[j])->result.loss);
                count++;
            }
        loss[n] = sj->result.loss / exp(sum / count);
        kept_group[n] = group[i];
        kept_structure[n++] = structure[i];
        json_array_append_new(
            c->spread_rows,
            json_pack("{s:s, s:f, s:f, s:f, s:I, s:f, s:i}", "job", sj->job.id, "M",
                      (double)sj->counts.M, "x", sj->counts.x, "y", sj->counts.y, "d",
                      (json_int_t)sj->job.arch.d, "loss", sj->result.loss, "group", group[i]));
    }
    e = spread_run(loss, kept_group, kept_structure, n, s->cfg->n_boot, s->cfg->seed,
                   &c->spread);
    c->has_spread = e == OK;
done:
    free(level);
    free(structure);
    free(kept_group);
    free(kept_structure);
    free(loss);
    return e;
}

enum err decide_cell(const struct steer *s, struct cell *c)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    struct steer sorter = *s; // qsort_r wants a context without const
    if (c->n_entries > 0)     // none may be feasible: then there is no array either
        qsort_r(c->entries, (size_t)c->n_entries, sizeof *c->entries, by_job_id, &sorter);
    int *group = calloc((size_t)c->n_entries + 1, sizeof *group);
    struct curve_obs *obs = calloc((size_t)(c->n_entries + s->cfg->prior.n) + 1, sizeof *obs);
    enum err e = group && obs ? OK : err_set(ERR_FAILED, "out of memory");
    for (int f = 0; e == OK && f < ph->n_fits; f++)
        e = fit_axis(s, c, f, group, obs);
    if (e == OK && ph->analysis == ANALYSIS_RANK)
        e = analyse_rank(s, c, group);
    if (e == OK && ph->analysis == ANALYSIS_FAIRNESS)
        e = analyse_spread(s, c, group);
    free(group);
    free(obs);
    return e;
}

void decide_cell_free(struct cell *c)
{
    for (int f = 0; f < CONFIG_MAX_AXES; f++) {
        curve_fit_free(&c->fits[f]);
        free(c->fit_entry[f]);
        c->fit_entry[f] = NULL;
    }
    json_decref(c->rank_pairs);
    json_decref(c->spread_rows);
    c->rank_pairs = c->spread_rows = NULL;
}
