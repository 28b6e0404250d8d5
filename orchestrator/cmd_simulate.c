// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/json.h"
#include "orchestrator/cmd.h"
#include "orchestrator/simulate.h"
#include "orchestrator/truth_score.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SERVICE 2e-5 // s a message: 50,000 a second, what `run` reaches with its journal
#define SPREAD .15   // of times about their predictions
#define REPAIR 60    // s

static double number(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static json_t *result_json(const struct simulate_result *r, int workers)
{
    json_t *j = json_object();
    json_object_set_new(j, "jobs", json_integer(r->jobs));
    json_object_set_new(j, "attempts", json_integer(r->assigned));
    json_object_set_new(j, "lost_attempts", json_integer(r->lost));
    json_object_set_new(j, "deaths", json_integer(r->deaths));
    json_object_set_new(j, "makespan_s", json_num(r->makespan));
    json_object_set_new(j, "over_bound", json_num(r->makespan / r->bound - 1));
    json_object_set_new(j, "utilization", json_num(r->busy / (workers * r->makespan)));
    json_object_set_new(j, "wasted", json_num(r->wasted / (r->busy + r->wasted)));
    json_object_set_new(j, "manager_load", json_num(r->manager));
    return j;
}

static json_t *scales_json(const struct truth_score *s)
{
    json_t *list = json_array();
    for (int k = 0; k < s->n_scales; k++) {
        const struct truth_scale *at = &s->scale[k];
        json_array_append_new(list, json_pack("{s:f, s:i, s:i, s:f, s:o}", "C", at->C, "points",
                                              at->points, "missed", at->missed, "honest",
                                              1 - (double)at->missed / at->points, "off",
                                              json_num(at->off / at->n_off)));
    }
    return list;
}

static json_t *scores_json(const struct truth *t, struct truth_score *scores)
{
    json_t *list = json_array();
    for (int i = 0; i < t->n; i++) {
        struct truth_score *s = &scores[i];
        json_array_append_new(
            list,
            json_pack("{s:s, s:i, s:i, s:i, s:i, s:o, s:i, s:o, s:o, s:o}", "quantity",
                      t->optima[i].var.name, "inside", s->inside, "unresolved", s->unresolved,
                      "missed", s->missed, "sweeps_without", s->absent, "honest",
                      json_num(truth_score_honest(s, false)), "missed_whole", s->missed_whole,
                      "honest_whole", json_num(truth_score_honest(s, true)), "width",
                      json_num(truth_score_width(s)), "scales", scales_json(s)));
    }
    return list;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// off: mean of ln(reported / planted) of the interior optima
static void print_scales(const json_t *scales)
{
    for (size_t k = 0; k < json_array_size(scales); k++) {
        const json_t *at = json_array_get(scales, k);
        printf("     at %.3g: honest in %.1f %%, on average %+.2f %% off\n", number(at, "C"),
               100 * number(at, "honest"), 100 * number(at, "off"));
    }
}

static void print_text(const json_t *j)
{
    const json_t *r = json_object_get(j, "first"), *scores = json_object_get(j, "optima");
    printf("%.0f jobs on %.0f workers: %.4g s, %.2f %% over the least possible; workers train "
           "%.2f "
           "%% of the time\n",
           number(r, "jobs"), number(j, "workers"), number(r, "makespan_s"),
           100 * number(r, "over_bound"), 100 * number(r, "utilization"));
    printf(
        "%.0f deaths of workers cost %.0f attempts and %.2f %% of the training; the manager is "
        "busy %.3g %% of the time\n",
        number(r, "deaths"), number(r, "lost_attempts"), 100 * number(r, "wasted"),
        100 * number(r, "manager_load"));
    const json_t *blind = json_object_get(j, "blind");
    if (blind)
        printf("if the scheduler knew nothing of speeds: %.4g s, %.2f %% over the least "
               "possible\n",
               number(blind, "makespan_s"), 100 * number(blind, "over_bound"));
    for (size_t i = 0; i < json_array_size(scores); i++) {
        const json_t *s = json_array_get(scores, i);
        printf("%-4s planted inside the interval %.0f times, unresolved %.0f, missed %.0f: "
               "honest in %.1f %% (%.1f %% of the whole surface's); half of the intervals "
               "inside the grid are narrower than %.3g in ln\n",
               json_string_value(json_object_get(s, "quantity")), number(s, "inside"),
               number(s, "unresolved"), number(s, "missed"), 100 * number(s, "honest"),
               100 * number(s, "honest_whole"), number(s, "width"));
        print_scales(json_object_get(s, "scales"));
    }
    printf("simulated in %.2f s, %.0f MiB\n", number(j, "wall_s"),
           number(j, "peak_bytes") / 1048576);
}

static enum err each_sweep(const struct sweep *cfg, const struct truth *t, int sweeps,
                           struct simulate_options *o, struct truth_score *scores, json_t *out)
{
    for (int k = 0; k < sweeps; k++, o->seed++) {
        struct simulate_result r;
        json_t *law;
        TRY(simulate_sweep(cfg, t, o, &r, &law));
        enum err e = truth_score_add(t, cfg, law, scores);
        json_decref(law);
        TRY(e);
        if (k == 0)
            json_object_set_new(out, "first", result_json(&r, o->workers));
    }
    return OK;
}

static enum err many_sweeps(const struct sweep *cfg, const char *path, int sweeps,
                            struct simulate_options *o, json_t *out)
{
    struct truth t;
    struct truth_score scores[TRUTH_MAX] = {0};
    TRY(truth_read(path, &t));
    enum err e = each_sweep(cfg, &t, sweeps, o, scores, out);
    json_object_set_new(out, "sweeps", json_integer(sweeps));
    json_object_set_new(out, "optima", scores_json(&t, scores));
    truth_scores_free(scores);
    return e;
}

static enum err simulate(const struct sweep *cfg, const char *truth, double jobs, double sweeps,
                         struct simulate_options *o, json_t *out)
{
    struct simulate_result r;
    if (truth)
        return many_sweeps(cfg, truth, sweeps > 0 ? (int)sweeps : 1, o, out);
    TRY(simulate_jobs(cfg, (int64_t)jobs, o, &r));
    json_object_set_new(out, "first", result_json(&r, o->workers));
    if (o->n_speeds > 0) {
        o->blind = true;
        TRY(simulate_jobs(cfg, (int64_t)jobs, o, &r));
        json_object_set_new(out, "blind", result_json(&r, o->workers));
    }
    return OK;
}

// "1,1,0.5"
static enum err read_speeds(const char *text, struct simulate_options *o)
{
    for (const char *at = text; at && *at;) {
        char *end;
        double v = strtod(at, &end);
        ENSURE(
            end > at && (!*end || *end == ',') && v >= 1e-3 && v <= 1e3 &&
                o->n_speeds < SIMULATE_SPEEDS,
            ERR_INPUT,
            "simulate: --speeds: expected at most %d numbers from 0.001 to 1000 as \"1,0.5\", "
            "found \"%.80s\"",
            SIMULATE_SPEEDS, text);
        o->speeds[o->n_speeds++] = v;
        at = *end ? end + 1 : end;
    }
    return OK;
}

enum err cmd_simulate(int argc, char **argv)
{
    const char *config = NULL, *truth = NULL, *speeds = NULL;
    double workers = 0, jobs = 0, sweeps = 0, seed = 1;
    int as_json = 0;
    struct simulate_options o = {.spread = SPREAD, .repair = REPAIR, .service = SERVICE};
    const struct cmd_option options[] = {{"SWEEP.cfg", .text = &config, .required = 1},
                                         {"--truth", .text = &truth},
                                         {"--sweeps", .number = &sweeps},
                                         {"--jobs", .number = &jobs},
                                         {"--workers", .number = &workers},
                                         {"--rate", .number = &o.rate},
                                         {"--spread", .number = &o.spread},
                                         {"--mtbf", .number = &o.mtbf},
                                         {"--repair", .number = &o.repair},
                                         {"--service", .number = &o.service},
                                         {"--speeds", .text = &speeds},
                                         {"--seed", .number = &seed},
                                         {"--json", .flag = &as_json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    TRY(read_speeds(speeds, &o));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (workers == 0)
        workers = cores > 0 ? (double)cores : 1;
    ENSURE(workers <= 1e6, ERR_INPUT, "simulate: --workers: expected at most 1000000, found %g",
           workers);
    ENSURE((truth != NULL) != (jobs > 0), ERR_INPUT,
           "simulate: expected --truth FILE (a sweep that is steered) or --jobs N (N jobs "
           "drawn from "
           "its plan)");
    ENSURE(jobs <= 1e8 && sweeps <= 1e6, ERR_INPUT,
           "simulate: expected at most 1e8 jobs and 1e6 sweeps");
    o.workers = (int)workers;
    o.seed = (uint64_t)seed;
    struct sweep cfg;
    struct rusage use;
    double from = seconds_now();
    TRY(config_load(config, &cfg));
    json_t *out = json_pack("{s:i}", "workers", o.workers);
    enum err e = simulate(&cfg, truth, jobs, sweeps, &o, out);
    config_free(&cfg);
    getrusage(RUSAGE_SELF, &use);
    json_object_set_new(out, "wall_s", json_num(seconds_now() - from));
    json_object_set_new(out, "peak_bytes", json_integer((json_int_t)use.ru_maxrss * 1024));
    if (e == OK && as_json)
        return cmd_print_json(out);
    if (e == OK)
        print_text(out);
    json_decref(out);
    return e;
}
