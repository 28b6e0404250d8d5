// SPDX-License-Identifier: GPL-3.0-or-later
// How a sweep stands. The journal says what is done and decided; status.json, while a run is
// alive, who is doing what.
#include "core/json.h"
#include "orchestrator/cmd.h"
#include "orchestrator/origin.h"
#include "orchestrator/run.h"
#include "orchestrator/status.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct view {
    struct sweep cfg;
    struct steer *steer;
    json_t *live; // status.json; NULL if there is none
};

static enum err view_open(const char *dir, struct view *v)
{
    memset(v, 0, sizeof *v);
    TRY(run_load(dir, &v->cfg, &v->steer, NULL));
    if (status_read(dir, &v->live) != OK)
        v->live = NULL; // a sweep that never wrote one, or a torn disk: the journal is enough
    return OK;
}

static void view_close(struct view *v)
{
    steer_free(v->steer);
    config_free(&v->cfg);
    json_decref(v->live);
}

// Jobs of one phase at one scale by state.
static json_t *cell_counts(const struct view *v, int phase, double C)
{
    int known = 0, ok = 0, failed = 0;
    for (int i = 0; i < steer_n_jobs(v->steer); i++) {
        const struct steer_job *sj = steer_job_at(v->steer, i);
        if (sj->phase != phase || sj->C != C)
            continue;
        known++;
        ok += steer_job_ok(sj);
        failed += sj->final && !steer_job_ok(sj);
    }
    return json_pack("{s:s, s:f, s:i, s:i, s:i}", "phase", v->cfg.phases[phase].name, "C", C,
                     "known", known, "ok", ok, "failed", failed);
}

// The last decision of each phase and scale: what is adopted now.
static json_t *adopted_now(const struct view *v)
{
    json_t *now = json_object();
    for (int i = 0; i < steer_n_decisions(v->steer); i++) {
        json_t *d = steer_decision_at(v->steer, i), *value;
        const char *name;
        double C = json_number_value(json_object_get(d, "C"));
        json_object_foreach(json_object_get(d, "adopted"), name, value)
        {
            char key[64];
            snprintf(key, sizeof key, "%s@%.4g", name, C);
            json_object_set(now, key, value);
        }
    }
    return now;
}

static json_t *view_json(const struct view *v)
{
    json_t *phases = json_array();
    for (int p = 0; p < v->cfg.n_phases; p++)
        for (int i = 0; i < v->cfg.phases[p].n_scales; i++)
            json_array_append_new(phases, cell_counts(v, p, v->cfg.phases[p].scales[i]));
    return json_pack("{s:s, s:b, s:i, s:i, s:i, s:o, s:o, s:o*, s:O?}", "sweep", v->cfg.name,
                     "done", steer_done(v->steer), "known", steer_n_jobs(v->steer), "expected",
                     steer_expected_jobs(v->steer), "decisions", steer_n_decisions(v->steer),
                     "phases", phases, "adopted", adopted_now(v), "origins",
                     origins_of(v->steer), "live", v->live);
}

static void print_view(const json_t *j)
{
    size_t i;
    json_t *c, *live = json_object_get(j, "live");
    const char *name;
    printf(
        "%s: %s\n\n  %-16s %10s %6s %6s %6s\n", json_string_value(json_object_get(j, "sweep")),
        json_is_true(json_object_get(j, "done")) ? "all decisions are taken" : "not finished",
        "phase", "C", "known", "done", "failed");
    json_array_foreach(json_object_get(j, "phases"), i, c) printf(
        "  %-16s %10.3g %6lld %6lld %6lld\n", json_string_value(json_object_get(c, "phase")),
        json_number_value(json_object_get(c, "C")),
        (long long)json_integer_value(json_object_get(c, "known")),
        (long long)json_integer_value(json_object_get(c, "ok")),
        (long long)json_integer_value(json_object_get(c, "failed")));
    puts("\n  adopted so far:");
    json_object_foreach(json_object_get(j, "adopted"), name, c)
        printf("    %-16s %.5g\n", name, json_number_value(c));
    json_array_foreach(json_object_get(j, "origins"), i, c)
    {
        char words[512];
        origin_words(c, words, sizeof words);
        printf("\n  %.0f results %s", jnum(c, "runs"), words);
    }
    if (json_is_array(json_object_get(j, "origins")))
        putchar('\n');
    if (!json_is_object(live))
        return;
    char line[512];
    status_line(live, line, sizeof line);
    printf("\n  %s: %s\n", json_string_value(json_object_get(live, "state")), line);
    json_array_foreach(json_object_get(live, "workers"), i, c)
    {
        status_worker_line(c, line, sizeof line);
        printf("  %s\n", line);
    }
}

static bool ended(const json_t *j)
{
    const char *state = json_string_value(json_object_get(json_object_get(j, "live"), "state"));
    return !state || (strcmp(state, "running") != 0 && strcmp(state, "draining") != 0);
}

enum err cmd_status(int argc, char **argv)
{
    const char *dir = NULL;
    int watch = 0, json = 0;
    const struct cmd_option options[] = {{"DIR", .text = &dir, .required = 1},
                                         {"--watch", .flag = &watch},
                                         {"--json", .flag = &json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    for (bool last = !watch;; sleep(1)) {
        struct view v;
        TRY(view_open(dir, &v));
        json_t *j = view_json(&v);
        view_close(&v);
        ENSURE(j, ERR_FAILED, "out of memory");
        last = last || ended(j);
        if (json) {
            TRY(cmd_print_json(j));
        } else {
            if (watch && isatty(STDOUT_FILENO))
                fputs("\033[H\033[2J", stdout); // top left, clear
            print_view(j);
            fflush(stdout);
            json_decref(j);
        }
        if (last)
            return OK;
    }
}
