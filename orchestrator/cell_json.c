// SPDX-License-Identifier: GPL-3.0-or-later
// A decided cell as JSON: the journal's decision record and, in full, an element of law.json's
// cells.
#include "core/json.h"
#include "orchestrator/steer_state.h"
#include <math.h>
#include <string.h>

enum { CURVE_POINTS = 64 };

static json_t *prior_json(const struct prior_run *run, const struct curve_fit *fit, int i)
{
    return json_pack("{s:I, s:o, s:o, s:i, s:o, s:b}", "prior", (json_int_t)run->line, "t",
                     json_num(run->t), "loss", json_num(run->loss), "group", -1 - run->group,
                     "residual", json_num(fit->residual[i]), "outlier", fit->outlier[i]);
}

// A job, or the line of a prior run.
static json_t *observation_json(const struct steer *s, const struct cell *c, int f, int i)
{
    int at = c->fit_entry[f][i];
    return at < 0 ? json_sprintf("prior, line %ld", s->cfg->prior.run[-1 - at].line)
                  : json_string(s->jobs[c->entries[at].job]->job.id);
}

static int priors_in(const struct cell *c, int f)
{
    int n = 0;
    for (int i = 0; i < c->fits[f].n; i++)
        n += c->fit_entry[f][i] < 0;
    return n;
}

static json_t *points_json(const struct steer *s, const struct cell *c, int f)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    const struct curve_fit *fit = &c->fits[f];
    json_t *list = json_array();
    for (int i = 0; i < fit->n && fit->residual; i++) {
        if (c->fit_entry[f][i] < 0) {
            json_array_append_new(
                list, prior_json(&s->cfg->prior.run[-1 - c->fit_entry[f][i]], fit, i));
            continue;
        }
        const struct entry *en = &c->entries[c->fit_entry[f][i]];
        const struct steer_job *sj = s->jobs[en->job];
        int group = 0; // the other axes' positions, as one number
        for (int a = 0; a < ph->n_axes; a++)
            if (a != ph->fits[f].axis)
                group = group * CONFIG_MAX_POINTS + en->at[a];
        double t = var_value(&ph->axes[ph->fits[f].axis].var, &sj->job.arch, &sj->counts,
                             sj->job.train.lr, (double)sj->job.train.batch_tokens);
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:o, s:i, s:I, s:o, s:b}", "job", sj->job.id, "t",
                            json_num(t), "loss", json_num(sj->result.loss), "group", group,
                            "seed", (json_int_t)sj->job.train.seed, "residual",
                            json_num(fit->residual[i]), "outlier", fit->outlier[i]));
    }
    return list;
}

static json_t *curve_json(const struct curve_fit *fit)
{
    json_t *list = json_array();
    if (fit->verdict == CURVE_FAILED || !(fit->t_max > fit->t_min))
        return list;
    for (int i = 0; i < CURVE_POINTS; i++) {
        double at = (double)i / (CURVE_POINTS - 1);
        double t = fit->t_min > 0 ? fit->t_min * pow(fit->t_max / fit->t_min, at)
                                  : fit->t_min + at * (fit->t_max - fit->t_min);
        json_array_append_new(list, json_pair(t, curve_fit_value(fit, t)));
    }
    return list;
}

json_t *decide_fit_at(const struct steer *s, const struct cell *c, int f)
{
    static const char *const names[] = {"M", "x", "y", "d"};
    const struct curve_fit *fit = &c->fits[f];
    json_t *at = json_object();
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct var var;
        double sum = 0;
        int n = 0;
        ASSERT(var_find(names[k], &var));
        for (int i = 0; i < fit->n && fit->residual; i++) {
            if (isnan(fit->residual[i]) || c->fit_entry[f][i] < 0) // a prior run: not of ours
                continue;
            const struct steer_job *sj = s->jobs[c->entries[c->fit_entry[f][i]].job];
            sum += log(var_value(&var, &sj->job.arch, &sj->counts, 0, 0));
            n++;
        }
        json_object_set_new(at, names[k], json_num(n > 0 ? exp(sum / n) : NAN));
    }
    return at;
}

// How the first coefficient goes with the other axes.
static json_t *along_json(const struct phase *ph, const struct cell *c, int f)
{
    const struct curve_fit *fit = &c->fits[f];
    json_t *along = json_object();
    for (int k = 0; k < fit->n_along; k++)
        json_object_set_new(along, ph->axes[c->along_axis[f][k]].var.name,
                            json_num(fit->along[k]));
    return along;
}

static json_t *fit_json(const struct steer *s, const struct cell *c, int f, bool full)
{
    const struct fit_spec *fs = &s->cfg->phases[c->phase].fits[f];
    const struct curve_fit *fit = &c->fits[f];
    const struct cell_axis *ax = &c->axes[fs->axis];
    json_t *band =
        json_pack("{s:o, s:o, s:o, s:b, s:b, s:o, s:o}", "tolerance", json_num(fit->band_tol),
                  "lo", json_num(fit->band_lo), "hi", json_num(fit->band_hi), "lo_open",
                  fit->band_lo_open, "hi_open", fit->band_hi_open, "lo_ci",
                  json_pair(fit->band_lo_ci[0], fit->band_lo_ci[1]), "hi_ci",
                  json_pair(fit->band_hi_ci[0], fit->band_hi_ci[1]));
    json_t *j = json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "axis",
        s->cfg->phases[c->phase].axes[fs->axis].var.name, "form", curve_form_name(fs->form),
        "verdict", curve_verdict_name(fit->verdict), "n", fit->n, "groups", fit->n_groups,
        "coef", json_pair(fit->coef[0], fit->coef[1]), "intercept", json_num(fit->intercept),
        "sigma", json_num(fit->sigma), "condition", json_num(fit->condition), "range",
        json_pair(fit->t_min, fit->t_max), "optimum",
        json_interval(fit->opt, fit->opt_lo, fit->opt_hi), "optimum_loss",
        json_num(fit->opt_loss));
    json_object_set_new(j, "raw_minimum",
                        json_pack("{s:o, s:o}", "t", json_num(fit->raw_min_t), "loss",
                                  json_num(fit->raw_min_loss)));
    json_object_set_new(j, "band", band);
    json_object_set_new(j, "grew", json_integer(ax->grown_low + ax->grown_high));
    json_object_set_new(j, "adopted", fs->adopt ? json_num(c->adopted[f]) : json_null());
    json_object_set_new(j, "rule", json_string(fs->adopt ? c->rule[f] : "shown, not adopted"));
    json_t *outliers = json_array();
    for (int i = 0; i < fit->n && fit->outlier; i++)
        if (fit->outlier[i])
            json_array_append_new(outliers, observation_json(s, c, f, i));
    json_object_set_new(j, "outliers", outliers);
    if (priors_in(c, f) > 0)
        json_object_set_new(j, "prior", json_integer(priors_in(c, f)));
    if (full) { // not in the journal: records of older builds have none of these
        json_object_set_new(j, "along", along_json(&s->cfg->phases[c->phase], c, f));
        json_object_set_new(j, "at", decide_fit_at(s, c, f));
        json_object_set_new(j, "points", points_json(s, c, f));
        json_object_set_new(j, "curve", curve_json(fit));
    }
    return j;
}

enum err decide_cell_json(const struct steer *s, const struct cell *c, bool full, json_t **out)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    int grown = 0;
    for (int a = 0; a < ph->n_axes; a++)
        grown += c->axes[a].grown_low + c->axes[a].grown_high;
    json_t *inputs = json_array(), *excluded = json_array(), *fits = json_array(),
           *adopted = json_object();
    for (int i = 0; i < c->n_entries; i++) {
        const struct steer_job *sj = s->jobs[c->entries[i].job];
        json_array_append_new(inputs, json_string(sj->job.id));
        if (sj->final && !steer_job_ok(sj)) // the cause, which may name a host or path: journal
            json_array_append_new(excluded, json_pack("{s:s, s:s}", "job", sj->job.id, "why",
                                                      job_status_name(sj->result.status)));
    }
    for (int f = 0; f < ph->n_fits; f++) {
        json_array_append_new(fits, fit_json(s, c, f, full));
        if (ph->fits[f].adopt && isfinite(c->adopted[f]))
            json_object_set_new(adopted, ph->axes[ph->fits[f].axis].var.name,
                                json_real(c->adopted[f]));
    }
    json_t *id = c->round || ph->rounds > 1
                     ? json_sprintf("%s@%.4g.%d.%d", ph->name, c->C, c->round, grown)
                     : json_sprintf("%s@%.4g.%d", ph->name, c->C, grown);
    *out = json_pack("{s:s, s:o, s:s, s:f, s:i, s:o, s:o, s:o, s:o, s:o}", "t", "decision",
                     "id", id, "phase", ph->name, "C", c->C, "round", c->round, "inputs",
                     inputs, "excluded", excluded, "infeasible", json_deep_copy(c->infeasible),
                     "fits", fits, "adopted", adopted);
    ENSURE(*out, ERR_FAILED, "out of memory: decision of phase %s", ph->name);
    if (c->reference)
        json_object_set_new(*out, "stopped_against", json_string(c->reference->job.id));
    return OK;
}
