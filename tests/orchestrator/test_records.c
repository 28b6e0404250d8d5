// SPDX-License-Identifier: GPL-3.0-or-later
// The journal replayed: what its results lead to is what it says, or the run refuses to go on.
#include "orchestrator/records.h"
#include "orchestrator/said.h"
#include "orchestrator/status.h"
#include "tests/orchestrator/small_sweep.h"
#include "tests/test.h"
#include <unistd.h>

static const char config[] =
    "name = \"replay\";\n"
    "question = \"Does a journal replay?\";\n" SMALL_SWEEP SMALL_PHASES;

static struct sweep cfg;

static json_t *head(void)
{
    struct records_identity id = {.build = "b 1", .isa = "i", .hash = cfg.hash};
    snprintf(id.name, sizeof id.name, "%s", cfg.name);
    return records_sweep(&id);
}

// A loss that is smooth in M, and some noise that is a function of the job.
static struct job_result result_of(const struct steer_job *sj)
{
    struct job_result r = {.status = JOB_OK, .tokens = sj->job.train.tokens};
    memcpy(r.id, sj->job.id, sizeof r.id);
    double t = log((double)sj->counts.M / 7e4);
    r.loss = r.loss_per_byte = 2 + t * t + 1e-3 * (sj->job.id[0] % 7);
    return r;
}

// The record of an attempt of this job as the journal gets it, read back; ended: its end.
static json_t *attempt_record(const struct job_result *r, int attempt, bool ended, bool final)
{
    struct records_attempt at = {r->id, attempt, 1, 1, 2.0004, NULL};
    char start[RECORDS_START_MAX], *end = NULL;
    size_t n = records_start(&at, start);
    if (!ended)
        return json_loadb(start, n, JSON_REJECT_DUPLICATES, NULL);
    json_t *rest = json_pack("{s:s}", "backend", "fake");
    char *said = said_write(r, rest, &n);
    json_decref(rest);
    CHECK(said && records_end(&at, final, said, n, &end, &n) == OK);
    json_t *rec = json_loadb(end, n, JSON_REJECT_DUPLICATES, NULL);
    CHECK(rec);
    free(end);
    free(said);
    return rec;
}

// What a journal of this sweep would hold when results come in this order: first to last, or
// last to first.
static json_t *journal(bool backwards)
{
    struct steer *s = NULL;
    json_t *records = json_array();
    json_array_append_new(records, head());
    json_array_append_new(records, records_session(1, 2, 1e9));
    CHECK(steer_create(&cfg, &s) == OK && steer_advance(s) == OK);
    int jobs = 0, decisions = 0;
    for (;;) {
        for (; decisions < steer_n_decisions(s); decisions++)
            json_array_append(records, steer_decision_at(s, decisions));
        for (; jobs < steer_n_jobs(s); jobs++)
            json_array_append_new(records, records_job(&cfg, steer_job_at(s, jobs)));
        int next = -1;
        for (int i = 0; i < jobs && (next < 0 || backwards); i++)
            next = steer_job_at(s, i)->final ? next : i;
        if (next < 0)
            break;
        struct job_result r = result_of(steer_job_at(s, next));
        json_array_append_new(records, attempt_record(&r, 1, false, false));
        json_array_append_new(records, attempt_record(&r, 1, true, true));
        CHECK(steer_result(s, &r) == OK && steer_advance(s) == OK);
    }
    CHECK(steer_done(s) && jobs > 12 && decisions == 4);
    steer_free(s);
    return records;
}

// Through text, as the file has it.
static json_t *reread(json_t *records)
{
    char *text = json_dumps(records, JSON_COMPACT);
    json_t *copy = json_loads(text, 0, NULL);
    free(text);
    return copy;
}

static enum err replay(const json_t *records, json_t **law, struct records_past *past)
{
    struct steer *s = NULL;
    CHECK(steer_create(&cfg, &s) == OK);
    enum err e = records_replay(records, &cfg, "journal", s, past);
    if (e == OK && law)
        CHECK(steer_law(s, law) == OK);
    steer_free(s);
    return e;
}

static void test_replay(void)
{
    json_t *forth = journal(false), *back = journal(true), *law[3] = {NULL, NULL, NULL};
    json_t *read = reread(forth);
    struct records_past past;
    CHECK(replay(read, &law[0], &past) == OK);
    CHECK(json_object_size(past.decisions) == 4 && past.sessions == 1 && !past.done);
    records_past_free(&past);
    CHECK(replay(back, &law[1], NULL) == OK);
    CHECK(json_equal(law[0], law[1]));
    // Every beginning of a journal is a journal; what its results imply is done again.
    for (size_t n = json_array_size(read); n > 0; n--) {
        CHECK(replay(read, NULL, NULL) == OK);
        json_array_remove(read, n - 1);
    }
    for (int i = 0; i < 3; i++)
        json_decref(law[i]);
    json_decref(read);
    json_decref(forth);
    json_decref(back);
}

// A record changed under a valid CRC, by another build say, is not believed.
static void tamper(const char *type, const char *key, json_t *value)
{
    json_t *whole = journal(false), *read = reread(whole), *rec;
    size_t i;
    json_array_foreach(read, i, rec)
    {
        if (strcmp(json_string_value(json_object_get(rec, "t")), type) != 0)
            continue;
        json_object_set(rec, key, value);
        break;
    }
    CHECK(i < json_array_size(read));
    CHECK(replay(read, NULL, NULL) == ERR_INPUT);
    CHECK(strstr(err_message(), "journal") != NULL);
    json_decref(value);
    json_decref(whole);
    json_decref(read);
}

static void test_head(void)
{
    struct records_identity id;
    json_t *records = json_array();
    CHECK(records_head(records, "journal", &id) == ERR_INPUT);
    json_array_append_new(records, head());
    CHECK(records_head(records, "journal", &id) == OK);
    CHECK(id.hash == cfg.hash);
    CHECK_STR(id.name, "replay");
    json_object_set_new(json_array_get(records, 0), "v", json_integer(2));
    CHECK(records_head(records, "journal", &id) == ERR_INPUT);
    json_decref(records);
}

// A worker's text becomes part of a record only where the record stays one.
static void check_said(const char *said, enum err expected)
{
    struct records_attempt at = {"abc", 2, 3, 1.0004, NAN, NULL};
    struct job_result r, plain;
    CHECK(said_read(said, strlen(said), &r) == expected);
    if (said_read_plain(said, strlen(said), &plain))
        CHECK(expected == OK);
    if (expected != OK)
        return;
    char *text = NULL;
    size_t n = 0;
    CHECK(records_end(&at, false, said, strlen(said), &text, &n) == OK);
    json_t *rec = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    json_t *right =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f}", "t", "failure", "id", "abc", "status",
                  "failed", "attempt", 2, "worker", 3, "t0", 1.0, "t1", 0.0);
    CHECK(json_equal(rec, right));
    json_decref(rec);
    json_decref(right);
    free(text);
}

static void test_said(void)
{
    check_said("{\"status\":\"failed\"}", OK);
    check_said("{ \"status\" : \"failed\" }", OK);
    check_said("{\"status\":\"failed\"} ", ERR_FAILED);
    check_said("{\"status\":\n\"failed\"}", ERR_FAILED);
    check_said(" {\"status\":\"failed\"}", ERR_FAILED);
    check_said("{}", ERR_INPUT);
    check_said("[1]", ERR_INPUT);
    check_said("", ERR_FAILED);
    check_said("{\"status\":\"failed\",\"t\":1}", ERR_FAILED);
    check_said("{\"status\":\"failed\",\"t1\":2}", ERR_FAILED);
}

#define NUMBERS(loss, tokens, seconds)                                                         \
    "{\"status\":\"ok\",\"loss\":" loss ",\"loss_per_byte\":null,\"tokens\":" tokens           \
    ",\"init_tokens\":0,\"seconds\":" seconds ",\"flops\":1.5e20,\"peak_bytes\":7,"            \
    "\"balance\":-1e-5,\"epochs\":0.25,\"cause\":\"\""

// What workers write is of the plain form, and read as it is by the general reader; what is not
// JSON never is.
static void test_said_plain(void)
{
    static const struct {
        const char *said;
        bool plain;
    } cases[] = {
        {NUMBERS("2.5", "3", "1.0") "}", true},
        {NUMBERS("2", "0", "0") ",\"backend\":\"b\",\"curve\":[],\"stderr\":\"s\"}", true},
        {NUMBERS("2.5", "3", "1.0") ",\"curve\":[[1,2.5],[2,null],[30,-1e-9]]}", true},
        {NUMBERS("2.5", "3", "1.0") ",\"curve\":[[1,2.5],]}", false},
        {NUMBERS("2.5", "3", "1.0") ",\"curve\":[[01,2.5]]}", false},
        {NUMBERS("2.5", "3", "1.0") ",\"curve\":[[1,2.5]", false},
        {NUMBERS("2.5", "3", "1.0") ",\"curve\":[]]}", false},
        {NUMBERS("2.5", "3", "1.0") ",\"stderr\":\"\",\"backend\":\"\"}", false},
        {NUMBERS("2.5", "3", "1.0") ",\"backend\":\"a\\nb\"}", false},
        {NUMBERS("2.5", "3", "1.0") ",\"backend\":\"a\tb\"}", false},
        {NUMBERS("2.5", "3", "1.0") ",\"backend\":\"\xc3\"}", false},
        {NUMBERS("2.5", "3", "1.0") "", false},
        {NUMBERS("2.5", "3", "1.0") "}}", false},
        {NUMBERS("null", "3", "1.0") "}", false},
        {NUMBERS("-2.5", "3", "1.0") "}", false},
        {NUMBERS("0.0", "3", "1.0") "}", false},
        {NUMBERS("02.5", "3", "1.0") "}", false},
        {NUMBERS("2.", "3", "1.0") "}", false},
        {NUMBERS(".5", "3", "1.0") "}", false},
        {NUMBERS("2.5e", "3", "1.0") "}", false},
        {NUMBERS("2.5e400", "3", "1.0") "}", false},
        {NUMBERS("2.5", "-3", "1.0") "}", false},
        {NUMBERS("2.5", "3.5", "1.0") "}", false},
        {NUMBERS("2.5", "9999999999999999999", "1.0") "}", false},
        {NUMBERS("2.5", "3", "-1.0") "}", false},
        {NUMBERS("2.5", "3", "null") "}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job_result a, b;
        const char *said = cases[i].said;
        bool plain = said_read_plain(said, strlen(said), &a);
        CHECK(plain == cases[i].plain);
        json_t *object = json_loads(said, JSON_REJECT_DUPLICATES, NULL);
        if (plain) {
            CHECK(job_result_from_json(object, "RESULT", &b) == OK);
            json_t *x = job_result_to_json(&a), *y = job_result_to_json(&b);
            CHECK(json_equal(x, y));
            CHECK(a.n_curve == b.n_curve && memcmp(a.curve, b.curve, sizeof a.curve) == 0);
            json_decref(x);
            json_decref(y);
        }
        json_decref(object);
    }
    CHECK(!said_read_plain(cases[0].said, strlen(cases[0].said) - 1, &(struct job_result){0}));
}

// As jansson would write it, to the byte, and the reader's plain form wherever it can be.
// A trainer's line read without building JSON (fuzz_protocol compares what comes out).
static void test_said_line(void)
{
    static const struct {
        const char *line;
        bool plain;
    } cases[] = {
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":2.5,\"seconds\":0.001}", true},
        {"{\"t\":\"result\",\"tokens\":64,\"loss\":2,\"balance\":null,\"status\":\"ok\"}",
         true},
        {"{\"t\":\"result\",\"status\":\"oom\"}", true},
        {"{\"t\":\"result\",\"status\":\"ok\"}", false},
        {"{\"t\":\"result\",\"loss\":2.5}", false},
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":2.5,\"loss\":2.5}", false},
        {"{\"t\":\"result\",\"status\":\"ok\",\"status\":\"ok\",\"loss\":2.5}", false},
        {"{\"t\":\"result\",\"status\":\"good\",\"loss\":2.5}", false},
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":2.5,\"seconds\":-1}", false},
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":2.5,\"tokens\":6.5}", false},
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":2.5,\"cause\":\"\"}", false},
        {"{\"t\":\"result\",\"status\":\"ok\",\"loss\":2.5} ", false},
        {"{\"t\":\"hello\",\"status\":\"ok\",\"loss\":2.5}", false},
        {"", false},
    };
    struct job_result r;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK(said_read_line(cases[i].line, strlen(cases[i].line), &r) == cases[i].plain);
    CHECK(said_read_line(cases[0].line, strlen(cases[0].line), &r) && r.status == JOB_OK &&
          r.loss == 2.5 && r.seconds == .001 && r.tokens == 0 && isnan(r.balance));
}

static void check_written(const struct job_result *r, json_t *rest, bool plain)
{
    size_t n = 0;
    char *said = said_write(r, rest, &n);
    json_t *words = job_result_to_json(r);
    json_object_del(words, "t");
    json_object_update(words, rest);
    char *right = json_dumps(words, JSON_COMPACT);
    struct job_result back;
    CHECK_STR(said, right);
    CHECK(n == strlen(right));
    CHECK(said_read_plain(said, n, &back) == plain);
    CHECK(said_read(said, n, &back) == OK);
    json_t *again = job_result_to_json(&back);
    json_object_del(again, "t");
    json_object_update(again, rest);
    CHECK(json_equal(again, words));
    json_decref(again);
    json_decref(words);
    free(right);
    free(said);
}

static void test_said_write(void)
{
    static const double reals[] = {0,     1,    2.345678901234567, 1e-5, 1.5e-300, 1e15,
                                   1e16,  1e17, 1.25e20,           .1,   1 / 3.,   1e300,
                                   1e100, NAN,  123456789.25};
    json_t *rest =
        json_pack("{s:s, s:[[i, f], [i, n]]}", "backend", "cpu", "curve", 1, 2.5, 20);
    json_t *failed = json_pack("{s:s}", "stderr", "one\ntwo");
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        double v = reals[i], none = isfinite(v) ? v : 0;
        struct job_result r = {.status = JOB_OK,
                               .loss = v > 0 ? v : 1,
                               .loss_per_byte = v,
                               .tokens = INT64_C(123456789012),
                               .init_tokens = (int64_t)i,
                               .seconds = none,
                               .flops = none,
                               .balance = -v,
                               .epochs = v};
        // Numbers of another size are read by the general reader.
        check_written(&r, rest, !(v < 1e-99 && v > 0) && !(v > 1e99));
        r.status = JOB_FAILED;
        r.loss = NAN;
        snprintf(r.cause, sizeof r.cause, "exit code 1");
        check_written(&r, NULL, !(v < 1e-99 && v > 0) && !(v > 1e99));
        check_written(&r, failed, false);
        snprintf(r.cause, sizeof r.cause, "a \"quoted\" \\ caus\xc3\xa9");
        check_written(&r, rest, false);
    }
    json_decref(rest);
    json_decref(failed);
}

static void test_attempts(void)
{
    json_t *records = journal(false);
    struct steer *s = NULL;
    CHECK(steer_create(&cfg, &s) == OK && steer_advance(s) == OK);
    struct job_result r = result_of(steer_job_at(s, 0));
    steer_free(s);
    r.status = JOB_FAILED;
    json_array_append_new(records, attempt_record(&r, 7, false, false));
    json_array_append_new(records, attempt_record(&r, 7, true, false));
    json_array_append_new(records, records_stop("done", 3));
    struct records_past past;
    int attempts, crashes;
    CHECK(replay(records, NULL, &past) == OK);
    records_attempts(&past, r.id, &attempts, &crashes);
    CHECK(attempts == 7 && crashes == 1);
    records_attempts(&past, "abc", &attempts, &crashes);
    CHECK(attempts == 0 && crashes == 0);
    CHECK(past.done);
    records_past_free(&past);
    json_decref(records);
}

static void test_status_lines(void)
{
    char text[256];
    json_t *j = json_pack("{s:{s:i,s:i,s:i,s:i,s:i}, s:f, s:f}", "jobs", "done", 42, "failed",
                          1, "running", 3, "known", 50, "expected", 60, "training_share", .825,
                          "eta_s", 3725.0);
    status_line(j, text, sizeof text);
    CHECK_STR(
        text,
        "42 of about 60 jobs, 1 failed, 3 running, workers train 82 % of the time, about 1 h "
        "02 min left");
    json_object_set_new(j, "eta_s", json_null());
    json_object_set_new(json_object_get(j, "jobs"), "expected", json_integer(50));
    status_line(j, text, 30); // cut, never overrun
    CHECK_STR(text, "42 of 50 jobs, 1 failed, 3 ru");
    json_decref(j);
    j = json_pack("{s:i, s:s}", "rank", 2, "state", "idle");
    status_worker_line(j, text, sizeof text);
    CHECK_STR(text, "    2  idle");
    json_decref(j);
    status_line(NULL, text, sizeof text); // a foreign document shows nonsense at worst
}

int main(void)
{
    char path[] = "/tmp/moesweep-test-XXXXXX.cfg";
    int fd = mkstemps(path, 4);
    CHECK(fd >= 0 && write(fd, config, strlen(config)) == (ssize_t)strlen(config));
    close(fd);
    CHECK(config_load(path, &cfg) == OK);
    unlink(path);
    if (test_failures) {
        fprintf(stderr, "%s\n", err_message());
        return 1;
    }
    test_head();
    test_replay();
    tamper("job", "M", json_integer(1));
    tamper("job", "id", json_string("abcdef"));
    tamper("decision", "fits", json_array());
    tamper("decision", "id", json_string("allocation@5.0"));
    tamper("result", "loss",
           json_real(3.25)); // another decision follows than the one that is there
    tamper("result", "id", json_string("abcdef"));
    tamper("result", "status", json_string("splendid"));
    test_said();
    test_said_plain();
    test_said_line();
    test_said_write();
    test_attempts();
    test_status_lines();
    config_free(&cfg);
    return test_summary();
}
