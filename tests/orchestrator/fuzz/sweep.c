// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/orchestrator/fuzz/sweep.h"
#include "fit/fit.h"
#include "orchestrator/said.h"
#include "tests/orchestrator/fuzz/fuzz.h"
#include <math.h>
#include <string.h>

static const char config[] =
    "name = \"fuzz\"; scales = [1e10]; bootstrap = 0; trainer = \"t {job}\"; retries = 1;\n"
    "data = { kind = \"external\"; tokens = 1000000000L; };\n"
    "arch = { L_d = 1; L_m = 1; d = 16; d_qkv = 8; d_d = 32; d_m = 16; N_q = 2; N_kv = 1;\n"
    "  S = 64; N_e = 8; K = 2; V = 64; };\n" // nothing free: no search for structures
    "start = { M = 4.5e4; };\n"
    "train = { batch_tokens = 256; lr = 0.005; };\n"
    "phases = ( { name = \"rate\";\n"
    "  axes = ( { var = \"lr\"; around = { value = 0.005; }; factor = 2.0; points = 3; } );\n"
    "  fits = ( { axis = \"lr\"; form = \"logquad\"; grow = 1; } ); },\n"
    "  { name = \"batch\"; after = [\"rate\"];\n"
    "  axes = ( { var = \"batch_tokens\"; values = [128, 256]; } ); } );\n";

const struct sweep *fuzz_sweep(void)
{
    static struct sweep cfg;
    if (!cfg.name[0]) {
        fit_init();
        MUST(config_load(fuzz_file(config, strlen(config)), &cfg) == OK);
    }
    return &cfg;
}

static json_t *head(const struct sweep *cfg)
{
    struct records_identity id = {.build = "b", .isa = "i", .hash = cfg->hash};
    snprintf(id.name, sizeof id.name, "%s", cfg->name);
    return records_sweep(&id);
}

static void add_text(json_t *records, const char *text, size_t n)
{
    json_t *rec = json_loadb(text, n, 0, NULL);
    MUST(rec && json_array_append_new(records, rec) == 0);
}

static void add_end(json_t *records, const struct job_result *r, bool final)
{
    struct records_attempt at = {.id = r->id, .attempt = 1, .worker = 1, .t0 = 1, .t1 = 2};
    size_t n;
    char start[RECORDS_START_MAX], *said = said_write(r, NULL, &n), *end;
    add_text(records, start, records_start(&at, start));
    MUST(said && records_end(&at, final, said, n, &end, &n) == OK);
    add_text(records, end, n);
    free(end);
    free(said);
}

static void add_result(json_t *records, struct steer *s, const struct steer_job *sj)
{
    struct job_result r = {.status = JOB_OK, .tokens = sj->job.train.tokens, .seconds = 1};
    memcpy(r.id, sj->job.id, sizeof r.id);
    double t = log(sj->job.train.lr / 0.005);
    r.loss = r.loss_per_byte = 2 + t * t;
    add_end(records, &r, true);
    MUST(steer_result(s, &r) == OK && steer_advance(s) == OK);
}

static void add_failure(json_t *records, const struct steer_job *sj)
{
    struct job_result r = {.status = JOB_FAILED, .loss = NAN, .loss_per_byte = NAN};
    memcpy(r.id, sj->job.id, sizeof r.id);
    add_end(records, &r, false);
}

static json_t *whole(const struct sweep *cfg)
{
    struct steer *s = NULL;
    json_t *records = json_array();
    json_array_append_new(records, head(cfg));
    json_array_append_new(records, records_session(1, 2, 1e9));
    MUST(steer_create(cfg, &s) == OK && steer_advance(s) == OK);
    for (int jobs = 0, done = 0, decisions = 0; done < steer_n_jobs(s); done++) {
        for (; decisions < steer_n_decisions(s); decisions++)
            json_array_append_new(records, json_deep_copy(steer_decision_at(s, decisions)));
        for (; jobs < steer_n_jobs(s); jobs++)
            json_array_append_new(records, records_job(cfg, steer_job_at(s, jobs)));
        if (done == 0)
            add_failure(records, steer_job_at(s, 0));
        add_result(records, s, steer_job_at(s, done));
    }
    MUST(steer_done(s) && steer_n_jobs(s) > 3 && steer_n_decisions(s) >= 1);
    json_array_append_new(records, records_stop("done", 1e9));
    steer_free(s);
    return records;
}

const json_t *fuzz_records(void)
{
    static json_t *records;
    if (!records)
        records = whole(fuzz_sweep());
    return records;
}
