// SPDX-License-Identifier: GPL-3.0-or-later
// Early stops: what the runs of a cell are compared with on the way, and what it means for the
// cell that some did not end. All of it follows from final results, when the cell opens.
#include "orchestrator/steer_state.h"
#include <math.h>
#include <string.h>

// The run's learning curve is the one that its steps call for, as every trainer tells it that
// takes part; what was sampled by the clock is none.
static bool has_curve(const struct steer_job *sj)
{
    const struct job_result *r = &sj->result;
    int64_t steps = job_steps(&sj->job);
    if (r->n_curve == 0 || r->n_curve != job_curve_passed(steps, steps))
        return false;
    for (int i = 0; i < r->n_curve; i++)
        if (r->curve[i].step != job_curve_step(steps, i + 1))
            return false;
    return true;
}

// The last point of the curve at or before that share of so many steps, from 1; 0: none.
static int64_t point_at(int64_t steps, double share)
{
    return job_curve_passed(steps, (int64_t)floor(share * (double)steps));
}

static bool is_better(const struct steer_job *a, const struct steer_job *b)
{
    if (!b || a->result.loss != b->result.loss)
        return !b || a->result.loss < b->result.loss;
    return strcmp(a->job.id, b->job.id) < 0;
}

void steer_find_reference(const struct steer *s, struct cell *c)
{
    const struct early_stop *es = &s->cfg->phases[c->phase].stop;
    const struct steer_job *best = NULL;
    for (int i = 0; i < s->n_cells; i++) {
        const struct cell *q = &s->cells[i];
        for (int k = 0; steer_is_behind(s, q, c) && k < q->n_entries; k++) {
            const struct steer_job *sj = s->jobs[q->entries[k].job];
            if (steer_job_ok(sj) && has_curve(sj) && is_better(sj, best))
                best = sj;
        }
    }
    for (int i = 0; best && i < es->n; i++) {
        int64_t point = point_at(job_steps(&best->job), es->at[i]);
        double limit = point > 0 ? (1 + es->margin) * best->result.curve[point - 1].loss : NAN;
        if (!(limit > 0 && isfinite(limit)))
            continue;
        c->stop_at[c->n_stop] = es->at[i];
        c->stop_above[c->n_stop++] = limit;
    }
    c->reference = c->n_stop > 0 ? best : NULL;
}

void steer_set_stops(const struct cell *c, struct job *j)
{
    int64_t steps = job_steps(j), last = 0;
    for (int i = 0; i < c->n_stop; i++) {
        int64_t point = point_at(steps, c->stop_at[i]);
        if (point <= last) // so few steps that two shares come to the same point
            continue;
        last = point;
        j->stop[j->n_stop++] =
            (struct job_point){job_curve_step(steps, point), c->stop_above[i]};
    }
    job_set_id(j);
}

static bool has_job(const struct cell *c, int job)
{
    for (int i = 0; i < c->n_entries; i++)
        if (c->entries[i].job == job)
            return true;
    return false;
}

static bool is_job_behind(const struct steer *s, const struct cell *c, int job)
{
    for (int i = 0; i < s->n_cells; i++)
        if (steer_is_behind(s, &s->cells[i], c) && has_job(&s->cells[i], job))
            return true;
    return false;
}

// Jobs of the cell's own phase and of siblings do not count: when they come to be depends on
// arrivals. What was stopped early stands in where stopping early is asked for, too.
int steer_stand_in(const struct steer *s, const struct cell *c, const char *work)
{
    int best = -1;
    for (int i = steer_find_work(s, work); i >= 0; i = s->jobs[i]->twin - 1) {
        const struct steer_job *sj = s->jobs[i], *b = best >= 0 ? s->jobs[best] : NULL;
        bool pruned = steer_job_pruned(sj);
        if ((pruned && c->n_stop == 0) || !is_job_behind(s, c, i))
            continue;
        if (!b || pruned < steer_job_pruned(b) ||
            (pruned == steer_job_pruned(b) && strcmp(sj->job.id, b->job.id) < 0))
            best = i;
    }
    return best;
}

void steer_cut(const struct steer_job *sj, struct job_result *r)
{
    memcpy(r->id, sj->job.id, sizeof r->id);
    const int64_t steps = job_steps(&sj->job);
    for (int i = 0; i < r->n_curve && r->curve[i].step == job_curve_step(steps, i + 1); i++) {
        if (!job_stops_at(&sj->job, r->curve[i], r->cause, sizeof r->cause))
            continue;
        int64_t tokens = job_tokens_after(&sj->job, r->curve[i].step);
        double share = r->tokens > 0 ? (double)tokens / (double)r->tokens : 0;
        r->status = JOB_PRUNED;
        r->loss = r->loss_per_byte = r->balance = NAN;
        r->tokens = tokens;
        r->seconds *= share;
        r->flops *= share;
        r->epochs *= share;
        r->n_curve = i + 1;
        return;
    }
}

bool steer_pruned_beyond(const struct steer *s, const struct cell *c, int axis, bool low)
{
    double ok = NAN, pruned = NAN; // the outermost values on that side, higher is further
    for (int i = 0; i < c->n_entries; i++) {
        const struct steer_job *sj = s->jobs[c->entries[i].job];
        double asked = c->axes[axis].asked[c->entries[i].at[axis]];
        double out = low ? -asked : asked;
        if (steer_job_ok(sj))
            ok = fmax(ok, out);
        else if (steer_job_pruned(sj))
            pruned = fmax(pruned, out);
    }
    return pruned > ok;
}
