// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/orchestrator/sweep_sample.h"
#include "orchestrator/said.h"
#include "tests/orchestrator/small_sweep.h"
#include "tests/test.h"
#include <unistd.h>

static const char config[] =
    "name = \"sample\";\n"
    "question = \"What does a reader see?\";\n" SMALL_SWEEP SMALL_PHASES;

struct job_result sample_result(const struct steer_job *sj)
{
    struct job_result r = {.status = JOB_OK, .tokens = sj->job.train.tokens, .epochs = NAN};
    memcpy(r.id, sj->job.id, sizeof r.id);
    double t = log((double)sj->counts.M / 7e4);
    r.loss = r.loss_per_byte = 2 + t * t + 1e-3 * (sj->job.id[0] % 7);
    r.flops = sj->C;
    r.seconds = sj->C / 1e10 * (1 + .1 * (sj->job.id[1] % 3)); // 1e10 FLOP/s, about
    return r;
}

static void add(struct journal *j, json_t *rec)
{
    CHECK(rec && journal_append(j, rec) == OK);
    json_decref(rec);
}

void sample_start(struct journal *j, const struct records_attempt *at)
{
    char text[RECORDS_START_MAX];
    CHECK(journal_append_text(j, text, records_start(at, text)) == OK);
}

void sample_end(struct journal *j, const struct job_result *r, const struct records_attempt *at,
                bool final, json_t *rest)
{
    char *end = NULL;
    size_t n = 0;
    char *said = said_write(r, rest, &n);
    json_decref(rest);
    CHECK(said && records_end(at, final, said, n, &end, &n) == OK);
    CHECK(end && journal_append_text(j, end, n) == OK);
    free(end);
    free(said);
}

// One attempt or two, on the worker that is free first.
static double train(struct journal *j, const struct steer_job *sj, int number,
                    double free_at[2])
{
    int w = free_at[1] < free_at[0];
    struct job_result r = sample_result(sj);
    struct records_attempt at = {.id = r.id, .attempt = 1, .worker = w + 1, .t0 = free_at[w]};
    if (number % 5 == 2) {
        struct job_result bad = r;
        bad.status = JOB_FAILED;
        bad.loss = bad.loss_per_byte = NAN;
        snprintf(bad.cause, sizeof bad.cause, "signal 11 (Segmentation fault)");
        at.t1 = at.t0 + .5;
        sample_start(j, &at);
        sample_end(j, &bad, &at, false, json_pack("{s:s}", "stderr", "ouch"));
        at.t0 = at.t1;
        at.attempt++;
    }
    at.t1 = free_at[w] = at.t0 + r.seconds;
    sample_start(j, &at);
    sample_end(j, &r, &at, true,
               json_pack("{s:s, s:[[i, f], [i, f]]}", "backend", "fake", "curve", 10,
                         r.loss + 1, 20, r.loss));
    return free_at[w];
}

static void sweep(struct journal *j, const struct sweep *cfg, int results)
{
    struct steer *s = NULL;
    double free_at[2] = {1e9 + 1, 1e9 + 1}, end = 0;
    int jobs = 0, decisions = 0;
    CHECK(steer_create(cfg, &s) == OK && steer_advance(s) == OK);
    for (int n = 0;; n++) {
        for (; decisions < steer_n_decisions(s); decisions++)
            add(j, json_incref(steer_decision_at(s, decisions)));
        for (; jobs < steer_n_jobs(s); jobs++)
            add(j, records_job(cfg, steer_job_at(s, jobs)));
        int next = 0;
        while (next < jobs && steer_job_at(s, next)->final)
            next++;
        if (next == jobs || n == results)
            break;
        struct job_result r = sample_result(steer_job_at(s, next));
        end = fmax(end, train(j, steer_job_at(s, next), n, free_at));
        CHECK(steer_result(s, &r) == OK && steer_advance(s) == OK);
    }
    if (results < 0) {
        CHECK(steer_done(s) && decisions == 4);
        add(j, records_stop("done", end));
    }
    steer_free(s);
}

void sample_sweep(const char *dir, int results, struct sweep *cfg)
{
    char path[256], *text = NULL;
    snprintf(path, sizeof path, "%s/sample.cfg", dir);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(config, f) >= 0);
    fclose(f);
    if (config_load(path, cfg) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    unlink(path);
    CHECK(config_resolved(cfg, &text) == OK);
    snprintf(path, sizeof path, "%s/config.resolved.cfg", dir);
    f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0);
    fclose(f);
    free(text);
    struct journal *j = NULL;
    struct records_identity id = {.build = "sh 1", .isa = "i", .hash = cfg->hash};
    snprintf(id.name, sizeof id.name, "%s", cfg->name);
    snprintf(path, sizeof path, "%s/journal", dir);
    unlink(path);
    CHECK(journal_open(path, NULL, NULL, NULL, &j) == OK);
    add(j, records_sweep(&id));
    add(j, records_session(1, 2, 1e9));
    sweep(j, cfg, results);
    CHECK(journal_sync(j) == OK);
    journal_close(j);
}

json_t *sample_law(const struct sweep *cfg, const json_t *records)
{
    struct steer *s = NULL;
    json_t *law = NULL;
    CHECK(steer_create(cfg, &s) == OK);
    enum err e = records_replay(records, cfg, "journal", s, NULL);
    CHECK(e == OK);
    while (e == OK && !steer_done(s)) {
        for (int i = 0; i < steer_n_jobs(s); i++) {
            struct job_result r = sample_result(steer_job_at(s, i));
            CHECK(steer_result(s, &r) == OK);
        }
        e = steer_advance(s);
    }
    CHECK(e == OK && steer_law(s, &law) == OK);
    steer_free(s);
    return law;
}
