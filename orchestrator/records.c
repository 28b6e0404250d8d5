// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/records.h"
#include "core/json.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Milliseconds are enough for a time line.
static json_t *seconds(double t)
{
    return json_real(round(t * 1000) / 1000);
}

json_t *records_sweep(const struct records_identity *id)
{
    return json_pack("{s:s, s:i, s:o, s:s, s:s, s:s}", "t", "sweep", "v", RECORDS_VERSION,
                     "hash", json_sprintf("%016" PRIx64, id->hash), "name", id->name, "build",
                     id->build, "isa", id->isa);
}

json_t *records_session(int number, int workers, double time)
{
    return json_pack("{s:s, s:i, s:i, s:o}", "t", "session", "n", number, "workers", workers,
                     "time", seconds(time));
}

json_t *records_job(const struct sweep *cfg, const struct steer_job *sj)
{
    // Where the data lies and where checkpoints go is no part of what a job is.
    json_t *job = job_to_json(&sj->job), *kept = json_object();
    static const char *const parts[] = {"arch", "train", "model"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        json_object_set(kept, parts[i], json_object_get(job, parts[i]));
    json_decref(job);
    return json_pack("{s:s, s:s, s:s, s:f, s:i, s:I, s:I, s:I, s:o}", "t", "job", "id",
                     sj->job.id, "phase", cfg->phases[sj->phase].name, "C", sj->C, "priority",
                     sj->priority, "M", (json_int_t)sj->counts.M, "N_a",
                     (json_int_t)sj->counts.N_a, "N", (json_int_t)sj->counts.N, "job", kept);
}

json_t *records_start(const char *id, int attempt, int worker, double t0)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:o}", "t", "start", "id", id, "attempt", attempt,
                     "worker", worker, "t0", seconds(t0));
}

static json_t *ended(const char *type, const struct job_result *r, int attempt, int worker,
                     double t0, double t1)
{
    json_t *rec = json_pack("{s:s}", "t", type), *result = job_result_to_json(r);
    json_object_update_missing(rec, result);
    json_decref(result);
    json_object_set_new(rec, "id", json_string(r->id));
    json_object_set_new(rec, "attempt", json_integer(attempt));
    json_object_set_new(rec, "worker", json_integer(worker));
    json_object_set_new(rec, "t0", seconds(t0));
    json_object_set_new(rec, "t1", seconds(t1));
    return rec;
}

json_t *records_result(const struct job_result *r, int attempt, int worker, double t0,
                       double t1, const char *backend, json_t *curve)
{
    json_t *rec = ended("result", r, attempt, worker, t0, t1);
    json_object_set_new(rec, "backend", json_string(backend));
    if (curve)
        json_object_set_new(rec, "curve", curve);
    return rec;
}

json_t *records_failure(const struct job_result *r, int attempt, int worker, double t0,
                        double t1, const char *last_words)
{
    json_t *rec = ended("failure", r, attempt, worker, t0, t1);
    json_object_set_new(rec, "stderr", json_string(last_words));
    return rec;
}

json_t *records_stop(const char *why, double time)
{
    return json_pack("{s:s, s:s, s:o}", "t", "stop", "why", why, "time", seconds(time));
}

// ---- reading

enum err records_head(const json_t *records, const char *path, struct records_identity *out)
{
    json_t *head = json_array_get(records, 0);
    char place[JOB_PATH_MAX + 32], hash[32], *end;
    int64_t v = 0;
    snprintf(place, sizeof place, "%s: first record", path);
    ENSURE(strcmp(jstr(head, "t"), "sweep") == 0, ERR_INPUT,
           "%s: expected a sweep record, found \"%s\"", place, jstr(head, "t"));
    TRY(json_get_i64(head, place, "v", true, 1, RECORDS_VERSION, &v));
    TRY(json_get_str(head, place, "hash", true, hash, sizeof hash));
    TRY(json_get_str(head, place, "name", true, out->name, sizeof out->name));
    TRY(json_get_str(head, place, "build", true, out->build, sizeof out->build));
    TRY(json_get_str(head, place, "isa", true, out->isa, sizeof out->isa));
    out->hash = strtoull(hash, &end, 16);
    ENSURE(strlen(hash) == 16 && !*end, ERR_INPUT, "%s: hash: expected 16 hexadecimal digits",
           place);
    return OK;
}

struct replay {
    const struct sweep *cfg;
    const char *path;
    struct steer *steer;
    json_t *job_of, *decision_of; // id -> number in steer's order
    json_t *jobs, *decisions, *attempts;
};

// Takes in what the steering has created since the last time.
static void index_new(struct replay *r)
{
    for (int i = (int)json_object_size(r->job_of); i < steer_n_jobs(r->steer); i++)
        json_object_set_new(r->job_of, steer_job_at(r->steer, i)->job.id, json_integer(i));
    for (int i = (int)json_object_size(r->decision_of); i < steer_n_decisions(r->steer); i++)
        json_object_set_new(r->decision_of, jstr(steer_decision_at(r->steer, i), "id"),
                            json_integer(i));
}

// Number of what has this id; the steering goes on only when the journal shows that it did.
static enum err find(struct replay *r, json_t *table, const char *id, int *out)
{
    if (!json_object_get(table, id)) {
        TRY(steer_advance(r->steer));
        index_new(r);
    }
    const json_t *number = json_object_get(table, id);
    *out = number ? (int)json_integer_value(number) : -1;
    return OK;
}

static enum err mismatch(const struct replay *r, const char *what, const char *id)
{
    return err_set(
        ERR_INPUT,
        "%s: the journal was made by another build or configuration: its %s %s is not what "
        "its results lead to here",
        r->path, what, id);
}

static enum err replay_job(struct replay *r, const json_t *rec)
{
    const char *id = jstr(rec, "id");
    int i;
    TRY(find(r, r->job_of, id, &i));
    if (i < 0)
        return mismatch(r, "job", id);
    json_t *here = records_job(r->cfg, steer_job_at(r->steer, i));
    bool same = json_equal(here, rec);
    json_decref(here);
    if (!same)
        return mismatch(r, "job", id);
    json_object_set_new(r->jobs, id, json_true());
    return OK;
}

static enum err replay_decision(struct replay *r, const json_t *rec)
{
    const char *id = jstr(rec, "id");
    int i;
    TRY(find(r, r->decision_of, id, &i));
    if (i < 0 || !json_equal(steer_decision_at(r->steer, i), rec))
        return mismatch(r, "decision", id);
    json_object_set_new(r->decisions, id, json_true());
    return OK;
}

static enum err replay_result(struct replay *r, json_t *rec)
{
    struct job_result result;
    int i;
    TRY(job_result_from_json(rec, r->path, &result));
    TRY(find(r, r->job_of, result.id, &i));
    return i < 0 ? mismatch(r, "result of job", result.id) : steer_result(r->steer, &result);
}

static void count_attempt(struct replay *r, const json_t *rec, bool crash)
{
    json_t *pair = json_object_get(r->attempts, jstr(rec, "id"));
    if (!pair) {
        pair = json_pack("[i, i]", 0, 0);
        json_object_set_new(r->attempts, jstr(rec, "id"), pair);
    }
    json_int_t attempt = json_integer_value(json_object_get(rec, "attempt"));
    if (attempt > json_integer_value(json_array_get(pair, 0)))
        json_array_set_new(pair, 0, json_integer(attempt));
    if (crash)
        json_array_set_new(pair, 1,
                           json_integer(json_integer_value(json_array_get(pair, 1)) + 1));
}

static enum err replay_one(struct replay *r, json_t *rec, struct records_past *past)
{
    const char *t = jstr(rec, "t");
    past->done = strcmp(t, "stop") == 0 && strcmp(jstr(rec, "why"), "done") == 0;
    if (strcmp(t, "job") == 0)
        return replay_job(r, rec);
    if (strcmp(t, "decision") == 0)
        return replay_decision(r, rec);
    if (strcmp(t, "result") == 0)
        return replay_result(r, rec);
    if (strcmp(t, "start") == 0 || strcmp(t, "failure") == 0)
        count_attempt(r, rec, *t == 'f');
    past->sessions += strcmp(t, "session") == 0;
    return OK;
}

struct records_fold {
    struct replay r;
    struct records_past *past;
};

enum err records_fold_open(const struct sweep *cfg, const char *path, struct steer *s,
                           struct records_past *past, struct records_fold **out)
{
    *past = (struct records_past){json_object(), json_object(), json_object(), 0, false};
    struct records_fold *f = malloc(sizeof *f);
    ENSURE(f, ERR_FAILED, "out of memory");
    f->past = past;
    f->r = (struct replay){
        cfg,           path, s, json_object(), json_object(), past->jobs, past->decisions,
        past->attempts};
    *out = f;
    return OK;
}

enum err records_fold_take(struct records_fold *f, json_t *rec)
{
    return replay_one(&f->r, rec, f->past);
}

void records_fold_close(struct records_fold *f)
{
    if (!f)
        return;
    json_decref(f->r.job_of);
    json_decref(f->r.decision_of);
    free(f);
}

enum err records_replay(const json_t *records, const struct sweep *cfg, const char *path,
                        struct steer *s, struct records_past *past)
{
    struct records_past unwanted = {0};
    bool keep = past != NULL;
    past = past ? past : &unwanted;
    struct records_fold *f = NULL;
    enum err e = records_fold_open(cfg, path, s, past, &f);
    for (size_t i = 0; e == OK && i < json_array_size(records); i++)
        e = records_fold_take(f, json_array_get(records, i));
    if (e == OK)
        e = steer_advance(s);
    records_fold_close(f);
    if (e != OK || !keep)
        records_past_free(past);
    return e;
}

void records_past_free(struct records_past *p)
{
    json_decref(p->jobs);
    json_decref(p->decisions);
    json_decref(p->attempts);
    *p = (struct records_past){0};
}

void records_attempts(const struct records_past *p, const char *id, int *attempts, int *crashes)
{
    const json_t *pair = json_object_get(p->attempts, id);
    *attempts = (int)json_integer_value(json_array_get(pair, 0));
    *crashes = (int)json_integer_value(json_array_get(pair, 1));
}
