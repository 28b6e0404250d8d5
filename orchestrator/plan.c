// SPDX-License-Identifier: GPL-3.0-or-later
// The plan is what steering itself would open if no phase had to wait: the same code makes the
// jobs, so plan and run cannot disagree about a phase that starts at once. What is known of the
// past is fed to it first.
#include "orchestrator/plan.h"
#include "core/executed.h"
#include "core/json.h"
#include "orchestrator/calibrate.h"
#include "orchestrator/records.h"
#include "orchestrator/runtime.h"
#include "orchestrator/steer_state.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct cost {
    double flops, executed, seconds, longest, tokens, memory, gpu;
    int64_t too_large; // runs
};

// What the run takes of one GPU, and of that weights, gradients and moments: where the sweep
// uses some, or --gpu-memory asks.
static double gpu_bytes(const struct job *j, const struct plan_options *opt, double *state)
{
    struct job on_gpu = *j; // shallow
    *state = 0;
    if (!job_on_device(j))
        snprintf(on_gpu.device, sizeof on_gpu.device, "cuda");
    if (!job_on_device(j) && opt->gpu == 0)
        return 0;
    struct executed e = executed_of(&on_gpu);
    *state = (double)e.mem_weights + (double)e.mem_grads + (double)e.mem_optimizer;
    return (double)e.mem_device + EXECUTED_CUDA;
}

static void cost_add(struct cost *c, const struct sweep *cfg, const struct steer_job *sj,
                     const struct plan_options *opt)
{
    const struct job *j = &sj->job;
    double own = runtime_work_of(j).x[0], executed = own * j->width; // of a worker, of all
    struct executed x = executed_of(j);
    c->flops += (double)sj->counts.M * (double)j->train.tokens;
    c->executed += executed;
    c->seconds += executed / opt->rate;
    c->longest = fmax(c->longest, own / opt->rate);
    c->tokens += (double)j->train.tokens;
    // With a checkpoint folder, as every run of a sweep, all of the data are read.
    c->memory = fmax(c->memory, (double)x.mem_total + (double)cfg->corpus_bytes);
    double state, gpu = gpu_bytes(j, opt, &state);
    c->gpu = fmax(c->gpu, gpu);
    c->too_large += opt->gpu > 0 && gpu > opt->gpu;
}

// What the cell asked for at one point: what held before it, and the axes.
static struct wish asked_at(const struct steer *s, const struct cell *c, const struct entry *en)
{
    const struct phase *ph = &s->cfg->phases[c->phase];
    struct wish w, own;
    steer_wish(s, c, &w);
    wish_init(&own);
    for (int a = 0; a < ph->n_axes; a++)
        if (ph->axes[a].source != AXIS_FRACTIONS)
            wish_set(&own, &ph->axes[a].var, c->axes[a].asked[en->at[a]]);
    wish_layer(&w, &own);
    return w;
}

static json_t *structure_json(const struct steer *s, const struct cell *c,
                              const struct entry *en, const struct plan_options *opt)
{
    const struct steer_job *sj = s->jobs[en->job];
    const struct job *j = &sj->job;
    struct wish w = asked_at(s, c, en);
    json_t *o = json_object(), *dev = json_object();
    json_object_set_new(o, "runs", json_integer(1));
    for (int i = 0; i < N_COORDS; i++) {
        double v = coord_of(&sj->counts, (enum coord)i);
        json_object_set_new(o, coord_name((enum coord)i), json_num(v));
        if (!isnan(w.coord[i]))
            json_object_set_new(dev, coord_name((enum coord)i), json_num(v / w.coord[i] - 1));
    }
    json_t *arch = arch_to_json(&j->arch);
    json_object_update(o, arch);
    json_decref(arch);
    json_object_set_new(o, "deviation", dev);
    json_object_set_new(o, "D", json_integer(j->train.tokens));
    json_object_set_new(o, "batch_tokens", json_integer(j->train.batch_tokens));
    json_object_set_new(o, "lr", json_num(j->train.lr));
    json_object_set_new(o, "epochs",
                        json_num((double)j->train.tokens / (double)s->cfg->corpus_train));
    double state, gpu = gpu_bytes(j, opt, &state);
    json_object_set_new(o, "gpu_bytes", json_num(gpu));
    json_object_set_new(o, "gpu_state_bytes", json_num(state));
    return o;
}

// The seeds of one point become one structure with a count.
static json_t *structures_json(const struct steer *s, const struct cell *c,
                               const struct plan_options *opt)
{
    json_t *list = json_array(), *at = json_object(), *same;
    char key[CONFIG_MAX_AXES * 12];
    for (int i = 0; i < c->n_entries; i++) {
        const struct entry *en = &c->entries[i];
        for (int a = 0, n = 0; a < CONFIG_MAX_AXES; a++)
            n += snprintf(key + n, sizeof key - (size_t)n, "%d ", en->at[a]);
        same = json_object_get(at, key);
        if (same) {
            json_int_t runs = json_integer_value(json_object_get(same, "runs"));
            json_object_set_new(same, "runs", json_integer(runs + 1));
            continue;
        }
        same = structure_json(s, c, en, opt);
        json_object_set(at, key, same);
        json_array_append_new(list, same);
    }
    json_decref(at);
    return list;
}

// Runs that growth at the edges and further rounds may add, at most.
static int64_t more_runs(const struct phase *ph, int64_t runs)
{
    int64_t grown = 0;
    for (int f = 0; f < ph->n_fits; f++) {
        int64_t others = ph->seeds;
        for (int a = 0; a < ph->n_axes; a++)
            others *= a == ph->fits[f].axis ? 1 : ph->axes[a].n;
        grown += ph->fits[f].grow * others;
    }
    return (runs + grown) * ph->rounds - runs;
}

static json_t *after_json(const struct sweep *cfg, const struct phase *ph)
{
    json_t *list = json_array();
    for (int i = 0; i < ph->n_after; i++)
        json_array_append_new(list, json_string(cfg->phases[ph->after[i]].name));
    return list;
}

static json_t *maybe_cost(const struct sweep *cfg, double seconds)
{
    return cfg->price_per_hour > 0 ? json_num(cfg->price_per_hour * seconds / 3600)
                                   : json_null();
}

// seen: by job, whether an earlier cell already counted it.
static json_t *cell_plan(const struct sweep *cfg, const struct steer *s, const struct cell *c,
                         const struct plan_options *opt, bool *seen, struct cost *sum)
{
    const struct phase *ph = &cfg->phases[c->phase];
    struct cost cost = {0};
    int64_t runs = 0, shared = 0, known = 0;
    for (int i = 0; i < c->n_entries; i++) {
        int job = c->entries[i].job;
        shared += seen[job];
        known += !seen[job] && s->jobs[job]->final;
        if (!seen[job] && !s->jobs[job]->final) {
            runs++;
            cost_add(&cost, cfg, s->jobs[job], opt);
            cost_add(sum, cfg, s->jobs[job], opt);
        }
        seen[job] = true;
    }
    json_t *structures = structures_json(s, c, opt), *o = json_object();
    json_object_set_new(o, "phase", json_string(ph->name));
    json_object_set_new(o, "C", json_num(c->C));
    json_object_set_new(o, "after", after_json(cfg, ph));
    if (ph->stop.n > 0)
        json_object_set_new(o, "stops_early_at", json_real(ph->stop.at[0]));
    json_object_set_new(o, "points", json_integer((json_int_t)json_array_size(structures)));
    json_object_set_new(o, "runs", json_integer(runs));
    json_object_set_new(o, "known", json_integer(known));
    json_object_set_new(o, "shared", json_integer(shared));
    bool over = c->state == CELL_DECIDED && (ph->rounds == 1 || s->phase_closed[c->phase]);
    json_object_set_new(o, "more_runs", json_integer(over ? 0 : more_runs(ph, runs)));
    json_object_set_new(o, "flops", json_num(cost.flops));
    json_object_set_new(o, "executed_flops", json_num(cost.executed));
    json_object_set_new(o, "tokens", json_num(cost.tokens));
    json_object_set_new(o, "worker_hours", json_num(cost.seconds / 3600));
    json_object_set_new(o, "longest_hours", json_num(cost.longest / 3600));
    json_object_set_new(o, "memory_bytes", json_num(cost.memory));
    json_object_set_new(o, "gpu_bytes", json_num(cost.gpu));
    json_object_set_new(o, "too_large", json_integer(cost.too_large));
    json_object_set_new(o, "cost", maybe_cost(cfg, cost.seconds));
    json_object_set_new(o, "structures", structures);
    json_object_set(o, "infeasible", c->infeasible);
    return o;
}

// waits: by cell, whether it is planned around values that may still change.
static enum err cells_plan(const struct sweep *cfg, const struct steer *s, const bool *waits,
                           const struct plan_options *opt, json_t *out)
{
    bool *seen = calloc((size_t)s->n_jobs + 1, sizeof *seen);
    ENSURE(seen, ERR_FAILED, "out of memory");
    struct cost sum = {0};
    json_int_t now = 0, later = 0, more = 0, known = 0;
    json_t *phases = json_array(), *total = json_object();
    for (int i = 0; i < s->n_cells; i++) {
        const struct cell *c = &s->cells[i];
        json_t *o = cell_plan(cfg, s, c, opt, seen, &sum);
        json_int_t runs = json_integer_value(json_object_get(o, "runs"));
        *(waits[i] ? &later : &now) += runs;
        known += json_integer_value(json_object_get(o, "known"));
        json_object_set_new(o, "waits", json_boolean(waits[i]));
        more += json_integer_value(json_object_get(o, "more_runs"));
        json_array_append_new(phases, o);
    }
    free(seen);
    json_object_set_new(out, "phases", phases);
    json_object_set_new(total, "runs_now", json_integer(now));
    json_object_set_new(total, "runs_later", json_integer(later));
    json_object_set_new(total, "known", json_integer(known));
    json_object_set_new(total, "unused", json_integer(s->n_known - known));
    json_object_set_new(total, "more_runs", json_integer(more));
    json_object_set_new(total, "flops", json_num(sum.flops));
    json_object_set_new(total, "executed_flops", json_num(sum.executed));
    json_object_set_new(total, "worker_hours", json_num(sum.seconds / 3600));
    json_object_set_new(total, "hours_at_best",
                        json_num(fmax(sum.seconds / opt->workers, sum.longest) / 3600));
    json_object_set_new(total, "memory_bytes", json_num(sum.memory));
    json_object_set_new(total, "gpu_bytes", json_num(sum.gpu));
    json_object_set_new(total, "too_large", json_integer(sum.too_large));
    json_object_set_new(total, "cost", maybe_cost(cfg, sum.seconds));
    json_object_set_new(out, "total", total);
    return OK;
}

// The phases by the speed that is known, and what they take in all.
static enum err forecast(const struct sweep *cfg, const struct steer *s, const bool *waits,
                         struct plan_options *opt, json_t *out)
{
    struct forecast_basis b;
    json_t *tried = json_array();
    forecast_begin(&b, cfg, opt->rate, opt->workers);
    enum err e = opt->calibrate > 0 ? calibrate(cfg, s, opt->calibrate, &b, tried) : OK;
    double executed = 0, seconds = 0;
    for (int i = 0; i < s->n_jobs; i++) {
        if (s->jobs[i]->final)
            continue;
        executed += runtime_work_of(&s->jobs[i]->job).x[0];
        seconds += forecast_seconds(&b, &s->jobs[i]->job);
    }
    opt->rate = opt->calibrate > 0 && seconds > 0 ? executed / seconds : b.runtime.rate;
    json_object_set_new(out, "rate", json_num(opt->rate));
    json_object_set_new(out, "rate_guessed", json_boolean(strcmp(b.from, "guess") == 0));
    json_object_set(out, "calibration", opt->calibrate > 0 ? tried : json_null());
    json_decref(tried);
    TRY(e);
    TRY(cells_plan(cfg, s, waits, opt, out));
    double more = jnum(json_object_get(out, "total"), "more_runs");
    json_object_set_new(out, "forecast", forecast_json(&b, cfg, s, (int64_t)more));
    return OK;
}

// All cells opened, and which of them wait for others.
static enum err open_all(struct steer *s, const json_t *past, bool **waits)
{
    if (past)
        TRY(records_know(past, "journal", s));
    TRY(steer_advance(s));
    *waits = calloc((size_t)s->n_cells + 1, sizeof **waits);
    ENSURE(*waits, ERR_FAILED, "out of memory");
    for (int i = 0; i < s->n_cells; i++)
        (*waits)[i] = s->cells[i].state == CELL_WAITING;
    return steer_open_all(s);
}

enum err plan_sweep(const struct sweep *cfg, const struct plan_options *opt, json_t **out)
{
    struct plan_options known = *opt;
    struct steer *s = NULL;
    bool *waits = NULL;
    enum err e = steer_create(cfg, &s);
    if (e == OK)
        e = open_all(s, opt->past, &waits);
    *out = json_object();
    json_object_set_new(*out, "name", json_string(cfg->name));
    json_object_set_new(*out, "question", json_string(cfg->question));
    json_object_set_new(*out, "workers", json_integer(opt->workers));
    json_object_set_new(*out, "gpu_memory", opt->gpu > 0 ? json_num(opt->gpu) : json_null());
    if (e == OK)
        e = forecast(cfg, s, waits, &known, *out);
    steer_free(s);
    free(waits);
    if (e != OK) {
        json_decref(*out);
        *out = NULL;
    }
    return e;
}
