// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/records.h"
#include "core/json.h"
#include "orchestrator/origin.h"
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
    static const char *const parts[] = {"arch", "train", "model", "stop_above"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        json_object_set(kept, parts[i], json_object_get(job, parts[i]));
    json_decref(job);
    return json_pack("{s:s, s:s, s:s, s:f, s:i, s:I, s:I, s:I, s:o}", "t", "job", "id",
                     sj->job.id, "phase", cfg->phases[sj->phase].name, "C", sj->C, "priority",
                     sj->priority, "M", (json_int_t)sj->counts.M, "N_a",
                     (json_int_t)sj->counts.N_a, "N", (json_int_t)sj->counts.N, "job", kept);
}

// As jansson writes seconds(t): a record that is read and written again stays the same. It must
// be JSON whatever a worker takes for the time.
static const char *seconds_text(double t, char buf[40])
{
    int n = snprintf(buf, 40, "%.17g", t > 0 && t < 1e12 ? round(t * 1000) / 1000 : 0);
    if (strspn(buf, "0123456789") == (size_t)n)
        memcpy(buf + n, ".0", 3);
    return buf;
}

size_t records_start(const struct records_attempt *a, char buf[RECORDS_START_MAX])
{
    char t0[40];
    int n =
        snprintf(buf, RECORDS_START_MAX,
                 "{\"t\":\"start\",\"id\":\"%.16s\",\"attempt\":%d,\"worker\":%d,\"t0\":%s}",
                 a->id, a->attempt, a->worker, seconds_text(a->t0, t0));
    return (size_t)n;
}

enum err records_end(const struct records_attempt *a, bool final, const char *said, size_t n,
                     char **out, size_t *n_out)
{
    char t0[40], t1[40], *origin = a->origin ? json_dumps(a->origin, JSON_COMPACT) : NULL;
    size_t n_origin = origin ? strlen(origin) - 1 : 0; // without the bracket that ends it
    size_t size = RECORDS_START_MAX + n + n_origin, at;
    char *text = malloc(size);
    if (!text) {
        free(origin);
        return err_set(ERR_FAILED, "out of memory for a record");
    }
    at = (size_t)snprintf(text, size, "{\"t\":\"%s\",\"id\":\"%.16s\",",
                          final ? "result" : "failure", a->id);
    memcpy(text + at, said + 1, n - 2);
    at += n - 2;
    at += (size_t)snprintf(
        text + at, size - at, ",\"attempt\":%d,\"worker\":%d,\"t0\":%s,\"t1\":%s%s%.*s}",
        a->attempt, a->worker, seconds_text(a->t0, t0), seconds_text(a->t1, t1),
        origin ? "," : "", n_origin ? (int)n_origin - 1 : 0, origin ? origin + 1 : "");
    free(origin);
    *out = text;
    *n_out = at;
    return OK;
}

json_t *records_stop(const char *why, double time)
{
    return json_pack("{s:s, s:s, s:o}", "t", "stop", "why", why, "time", seconds(time));
}

json_t *records_extend(const struct records_identity *id, int number, const char *keys,
                       double time)
{
    return json_pack("{s:s, s:i, s:o, s:s, s:s, s:o}", "t", "extend", "n", number, "hash",
                     json_sprintf("%016" PRIx64, id->hash), "name", id->name, "keys", keys,
                     "time", seconds(time));
}

json_t *records_prior(const struct sweep *cfg)
{
    const struct prior *pr = &cfg->prior;
    const char *slash = strrchr(pr->table, '/');
    json_t *rows = json_array();
    for (int i = 0; i < pr->n; i++)
        json_array_append_new(rows, json_pack("[I, f, f, f, i]", (json_int_t)pr->run[i].line,
                                              pr->run[i].C, pr->run[i].t, pr->run[i].loss,
                                              pr->run[i].group));
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:o}", "t", "prior", "table",
                     slash ? slash + 1 : pr->table, "hash",
                     json_sprintf("%016" PRIx64, pr->hash), "map", pr->map, "phase", pr->phase,
                     "use", pr->use == PRIOR_FIT ? "fit" : "start", "rows", rows);
}

json_t *records_import(json_t *result, const char *source, const char *dir)
{
    static const char *const where[] = {"attempt", "worker", "t0", "t1"}; // in that sweep
    json_t *rec = json_pack("{s:s}", "t", "import"), *row = json_copy(result);
    for (size_t i = 0; i < sizeof where / sizeof *where; i++)
        json_object_del(row, where[i]);
    json_object_update_missing(rec, row);
    json_decref(row);
    if (!json_object_get(rec, "source")) // else: imported there, too
        json_object_set_new(rec, "source", json_string(source));
    json_object_set_new(rec, "dir", json_string(dir));
    return rec;
}

// ---- reading

static bool is(const json_t *rec, const char *type)
{
    return strcmp(jstr(rec, "t"), type) == 0;
}

// The last record that says under which name and hash the sweep goes on.
static json_t *last_extension(const json_t *records, size_t *at)
{
    for (size_t i = json_array_size(records); i-- > 1;)
        if (is(json_array_get(records, i), "extend")) {
            *at = i;
            return json_array_get(records, i);
        }
    *at = 0;
    return NULL;
}

static enum err read_name(json_t *rec, const char *place, struct records_identity *out)
{
    char hash[32], *end;
    TRY(json_get_str(rec, place, "hash", true, hash, sizeof hash));
    TRY(json_get_str(rec, place, "name", true, out->name, sizeof out->name));
    out->hash = strtoull(hash, &end, 16);
    ENSURE(strlen(hash) == 16 && !*end, ERR_INPUT, "%s: hash: expected 16 hexadecimal digits",
           place);
    return OK;
}

enum err records_head(const json_t *records, const char *path, struct records_identity *out)
{
    json_t *head = json_array_get(records, 0);
    char place[JOB_PATH_MAX + 32];
    size_t at;
    int64_t v = 0;
    snprintf(place, sizeof place, "%s: first record", path);
    ENSURE(strcmp(jstr(head, "t"), "sweep") == 0, ERR_INPUT,
           "%s: expected a sweep record, found \"%s\"", place, jstr(head, "t"));
    TRY(json_get_i64(head, place, "v", true, 1, RECORDS_VERSION, &v));
    TRY(read_name(head, place, out));
    TRY(json_get_str(head, place, "build", true, out->build, sizeof out->build));
    TRY(json_get_str(head, place, "isa", true, out->isa, sizeof out->isa));
    json_t *extension = last_extension(records, &at);
    if (extension) {
        snprintf(place, sizeof place, "%s: record %zu", path, at + 1);
        TRY(read_name(extension, place, out));
    }
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

static enum err know(struct steer *s, const struct job_result *r, const json_t *rec)
{
    json_t *origin = origin_of(rec);
    enum err e = steer_know(s, r, origin);
    json_decref(origin);
    return e;
}

static enum err know_record(struct steer *s, json_t *rec, const char *path)
{
    struct job_result result;
    if (!is(rec, "result") && !is(rec, "import"))
        return OK;
    TRY(job_result_from_json(rec, path, &result));
    return know(s, &result, rec);
}

enum err records_know(const json_t *records, const char *path, struct steer *s)
{
    size_t i;
    json_t *rec;
    json_array_foreach(records, i, rec) TRY(know_record(s, rec, path));
    return OK;
}

static enum err replay_result(struct replay *r, json_t *rec)
{
    struct job_result result;
    int i;
    TRY(job_result_from_json(rec, r->path, &result));
    TRY(find(r, r->job_of, result.id, &i));
    return i < 0 ? mismatch(r, "result of job", result.id) : know(r->steer, &result, rec);
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

// old: of a configuration that another one has extended since.
static enum err replay_one(struct replay *r, json_t *rec, bool old, struct records_past *past)
{
    past->done = is(rec, "stop") && strcmp(jstr(rec, "why"), "done") == 0;
    if (is(rec, "start") || is(rec, "failure"))
        count_attempt(r, rec, is(rec, "failure"));
    past->sessions += is(rec, "session");
    if (old) {
        if (is(rec, "job"))
            json_object_set_new(r->jobs, jstr(rec, "id"), json_true());
        return know_record(r->steer, rec, r->path);
    }
    if (is(rec, "job"))
        return replay_job(r, rec);
    if (is(rec, "decision"))
        return replay_decision(r, rec);
    if (is(rec, "result"))
        return replay_result(r, rec);
    return know_record(r->steer, rec, r->path);
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

enum err records_fold_take(struct records_fold *f, json_t *rec, bool old)
{
    return replay_one(&f->r, rec, old, f->past);
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
    size_t extension;
    last_extension(records, &extension);
    enum err e = records_fold_open(cfg, path, s, past, &f);
    for (size_t i = 0; e == OK && i < json_array_size(records); i++)
        e = records_fold_take(f, json_array_get(records, i), i < extension);
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
