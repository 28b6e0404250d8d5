// SPDX-License-Identifier: GPL-3.0-or-later
// Directories that are extended and imported from: what is done again, what is refused, what is
// marked.
#include "core/json.h"
#include "orchestrator/extend.h"
#include "orchestrator/import.h"
#include "orchestrator/journal.h"
#include "orchestrator/origin.h"
#include "orchestrator/plan.h"
#include "orchestrator/run.h"
#include "orchestrator/said.h"
#include "tests/test.h"
#include <sys/stat.h>
#include <unistd.h>

static const char config[] =
    "name = \"%s\";\n"
    "question = \"Does it go on?\";\n"
    "data = { kind = \"external\"; paths = [\"nowhere\"]; tokens = %s; };\n"
    "scales = [1e10, 3e10%s];\n"
    "arch = { S = 64; K = 2; n_shared = 1; N_q = 2; N_kv = 1; L_d = 1; L_m = 1; V = 64; };\n"
    "free = { d_qkv = [2, 96, 2]; N_e = [3, 96, 1]; d_m = [1, 256, 1]; d = [6, 96, 2]; };\n"
    "tolerance = { M = 0.05; x = 0.1; y = 0.1; };\n"
    "start = { M = { value = 6e4; at = 1e10; exponent = 0.4; }; x = 6.8; y = 2.5; };\n"
    "train = { batch_tokens = 256; lr = %s; };\n"
    "bootstrap = 20;\n"
    "trainer = \"/bin/sh train.sh {job}\";\n"
    "phases = ( { name = \"allocation\";\n"
    "  axes = ( { var = \"M\"; around = \"adopted\"; factor = 1.3; points = %d; } );\n"
    "  fits = ( { axis = \"M\"; form = \"logquad\"; } ); seeds = %d; },\n"
    "  { name = \"width\"; after = [\"allocation\"];\n"
    "  axes = ( { var = \"d\"; fractions = [0.0, 0.5, 1.0]; } );\n"
    "  fits = ( { axis = \"d\"; form = \"logquad\"; } ); } );\n";

static char root[] = "/tmp/moesweep-test-XXXXXX";
static const struct records_identity maker = {"", "sh 1", "x86_64", 0};

static const char *in(const char *dir, const char *name)
{
    static char path[8][512];
    static int at;
    at = (at + 1) % 8;
    snprintf(path[at], sizeof path[at], "%s/%s%s%s", root, dir, *name ? "/" : "", name);
    return path[at];
}

static void make(struct sweep *cfg, const char *name, const char *tokens, const char *scale,
                 const char *lr, int points, int seeds)
{
    FILE *f = fopen(in("sweep.cfg", ""), "w");
    CHECK(f != NULL);
    fprintf(f, config, name, tokens, scale, lr, points, seeds);
    fclose(f);
    if (config_load(in("sweep.cfg", ""), cfg) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
}

static struct job_result result_of(const struct steer_job *sj)
{
    struct job_result r = {.status = JOB_OK, .tokens = sj->job.train.tokens};
    memcpy(r.id, sj->job.id, sizeof r.id);
    double t = log((double)sj->counts.M / 7e4);
    r.loss = r.loss_per_byte = 2 + t * t + 1e-3 * (sj->job.id[0] % 7);
    return r;
}

static json_t *head_of(const struct sweep *cfg)
{
    struct records_identity id = maker;
    memcpy(id.name, cfg->name, sizeof id.name);
    id.hash = cfg->hash;
    return records_sweep(&id);
}

// A final result as the journal gets it, read back.
static json_t *end_record(const struct job_result *r)
{
    struct records_attempt at = {r->id, 1, 1, 1, 2, NULL};
    char *end = NULL;
    size_t n = 0;
    char *said = said_write(r, NULL, &n);
    CHECK(said && records_end(&at, true, said, n, &end, &n) == OK);
    json_t *rec = json_loadb(end, n, JSON_REJECT_DUPLICATES, NULL);
    free(end);
    free(said);
    return rec;
}

// Goes on behind what the records hold, to the end of the sweep or until so many results are
// new; returns how many are.
static int go_on(const struct sweep *cfg, json_t *records, int most)
{
    struct steer *s = NULL;
    struct records_past past;
    int n = 0;
    CHECK(steer_create(cfg, &s) == OK);
    CHECK(records_replay(records, cfg, "journal", s, &past) == OK);
    for (int jobs = 0, decisions = 0; !test_failures;) {
        for (; decisions < steer_n_decisions(s); decisions++) {
            json_t *d = steer_decision_at(s, decisions);
            if (!json_object_get(past.decisions, jstr(d, "id")))
                json_array_append(records, d);
        }
        for (; jobs < steer_n_jobs(s); jobs++)
            if (!json_object_get(past.jobs, steer_job_at(s, jobs)->job.id))
                json_array_append_new(records, records_job(cfg, steer_job_at(s, jobs)));
        int next = 0;
        while (next < jobs && steer_job_at(s, next)->final)
            next++;
        if (next == jobs || n == most)
            break;
        struct job_result r = result_of(steer_job_at(s, next));
        json_array_append_new(records, end_record(&r));
        CHECK(steer_result(s, &r) == OK && steer_advance(s) == OK);
        n++;
    }
    CHECK(steer_done(s) || n == most);
    records_past_free(&past);
    steer_free(s);
    return n;
}

static void write_dir(const char *dir, const struct sweep *cfg, const json_t *records)
{
    struct journal *j = NULL;
    char *text = NULL;
    size_t i;
    json_t *rec;
    mkdir(in(dir, ""), 0777);
    unlink(in(dir, "journal"));
    CHECK(journal_open(in(dir, "journal"), NULL, NULL, NULL, &j) == OK);
    json_array_foreach(records, i, rec) CHECK(journal_append(j, rec) == OK);
    CHECK(journal_sync(j) == OK);
    journal_close(j);
    CHECK(config_resolved(cfg, &text) == OK);
    FILE *f = fopen(in(dir, "config.resolved.cfg"), "w");
    fputs(text, f);
    fclose(f);
    free(text);
}

static json_t *law_of(const char *dir)
{
    struct sweep cfg;
    struct steer *s = NULL;
    json_t *law = NULL;
    enum err e = run_load(in(dir, ""), &cfg, &s, NULL);
    CHECK(e == OK);
    if (e != OK) {
        fprintf(stderr, "%s\n", err_message());
        return NULL;
    }
    CHECK(steer_law(s, &law) == OK);
    steer_free(s);
    config_free(&cfg);
    return law;
}

static json_t *whole(const struct sweep *cfg)
{
    json_t *records = json_array();
    json_array_append_new(records, head_of(cfg));
    go_on(cfg, records, 1000);
    return records;
}

static json_t *extension(const struct sweep *cfg, const json_t *records)
{
    struct records_identity id = maker;
    memcpy(id.name, cfg->name, sizeof id.name);
    id.hash = cfg->hash;
    return records_extend(&id, extend_number(records) + 1, "scales: ..", 3);
}

static int count(const json_t *records, const char *type)
{
    int n = 0;
    for (size_t i = 0; i < json_array_size(records); i++)
        n += strcmp(jstr(json_array_get(records, i), "t"), type) == 0;
    return n;
}

// Every cut of the extended journal goes on to the law of the larger sweep from scratch; each
// job is trained once.
static void test_extended(const struct sweep *small, const struct sweep *large)
{
    for (int done = 2; done <= 1000; done += 998) { // extended when unfinished, when finished
        json_t *records = json_array(), *fresh = whole(large);
        json_array_append_new(records, head_of(small));
        int first = go_on(small, records, done), at = (int)json_array_size(records);
        CHECK(extend_number(records) == 1);
        json_array_append_new(records, extension(large, records));
        CHECK(extend_number(records) == 2);
        int second = go_on(large, records, 1000);
        CHECK(second < count(fresh, "result") && first + second == count(records, "result"));
        CHECK(count(records, "job") >= count(fresh, "job"));
        write_dir("fresh", large, fresh);
        write_dir("extended", large, records);
        json_t *a = law_of("fresh"), *b = law_of("extended");
        CHECK(a && json_equal(a, b));
        json_decref(b);
        for (int n = (int)json_array_size(records); n > at && !test_failures; n -= 3) {
            json_t *cut = json_array();
            for (int i = 0; i < n; i++)
                json_array_append(cut, json_array_get(records, (size_t)i));
            go_on(large, cut, 1000);
            CHECK(count(cut, "result") == first + second);
            write_dir("cut", large, cut);
            b = law_of("cut");
            CHECK(json_equal(a, b));
            json_decref(b);
            json_decref(cut);
        }
        json_decref(a);
        json_decref(records);
        json_decref(fresh);
    }
}

static void test_keys(const struct sweep *small, const struct sweep *large,
                      const struct sweep *other)
{
    CHECK(extend_check(small, large, "out") == OK && extend_check(large, small, "out") == OK);
    CHECK(extend_check(small, other, "out") == ERR_INPUT);
    CHECK(strstr(err_message(), "train.lr: was 0.005, is 0.004") != NULL);
    CHECK(strstr(err_message(), "scales: ") == NULL);

    struct sweep was;
    json_t *records = whole(small);
    write_dir("was", small, records);
    CHECK(extend_was(in("was", ""), records, &was) == OK && was.hash == small->hash);
    config_free(&was);
    // An extension that ended between two steps has put the configuration aside.
    CHECK(rename(in("was", "config.resolved.cfg"), in("was", "config.resolved.1.cfg")) == 0);
    CHECK(extend_was(in("was", ""), records, &was) == OK && was.hash == small->hash);
    config_free(&was);
    write_dir("was", large, records);
    CHECK(extend_was(in("was", ""), records, &was) == ERR_INPUT);
    json_decref(records);
}

static enum err import(const struct sweep *cfg, const struct records_identity *here,
                       const json_t *known, const char *dir, bool mixed, json_t **fresh)
{
    struct import im;
    CHECK(import_begin(cfg, here, known, mixed, &im) == OK);
    enum err e = import_sweep(&im, in(dir, ""));
    *fresh = json_incref(im.fresh);
    import_free(&im);
    return e;
}

static void refused(const struct sweep *cfg, const struct records_identity *here,
                    const json_t *known, const char *dir, const char *why)
{
    json_t *fresh;
    CHECK(import(cfg, here, known, dir, false, &fresh) == ERR_INPUT);
    if (!strstr(err_message(), why))
        fprintf(stderr, "expected '%s', found '%s'\n", why, err_message());
    CHECK(strstr(err_message(), why) != NULL);
    json_decref(fresh);
}

static json_t *last_result(json_t *records)
{
    size_t i = json_array_size(records);
    while (i-- > 0 && strcmp(jstr(json_array_get(records, i), "t"), "result") != 0)
        ;
    return json_array_get(records, i);
}

static void test_import(const struct sweep *small, const struct sweep *large,
                        const struct sweep *data)
{
    json_t *records = whole(small), *none = json_array(), *fresh, *more;
    write_dir("small", small, records);
    int n = count(records, "result");
    CHECK(import(large, &maker, none, "small", false, &fresh) == OK);
    CHECK((int)json_array_size(fresh) == n);
    CHECK(!json_object_get(json_array_get(fresh, 0), "build"));
    CHECK(import(large, &maker, records, "small", false, &more) == OK); // all there already
    CHECK(json_array_size(more) == 0);
    json_decref(more);

    // The larger sweep behind them: its own law, with the origins on top.
    json_t *mine = json_array(), *all = whole(large);
    json_array_append_new(mine, head_of(large));
    json_array_extend(mine, fresh);
    int trained = go_on(large, mine, 1000);
    CHECK(trained < count(all, "result"));
    write_dir("mine", large, mine);
    write_dir("all", large, all);
    json_t *a = law_of("mine"), *b = law_of("all");
    const json_t *origin = json_array_get(json_object_get(a, "origins"), 0);
    char source[64];
    snprintf(source, sizeof source, "small %016llx", (unsigned long long)small->hash);
    CHECK_STR(jstr(origin, "source"), source);
    CHECK(jnum(origin, "runs") == count(all, "job") - trained);
    CHECK(json_equal(json_object_get(a, "cells"), json_object_get(b, "cells")));
    CHECK(json_equal(json_object_get(a, "laws"), json_object_get(b, "laws")));
    CHECK(!json_object_get(b, "origins"));
    json_decref(a);
    json_decref(b);
    // Imported from there, a result keeps where it was trained.
    json_t *again;
    CHECK(import(large, &maker, none, "mine", false, &again) == OK);
    CHECK(json_array_size(again) == (size_t)(n + trained));
    CHECK_STR(jstr(json_array_get(again, 0), "source"), source);
    json_decref(again);

    // Other data, another trainer, another loss.
    refused(data, &maker, none, "small", "saw other data");
    struct sweep other = *large;
    snprintf(other.trainer, sizeof other.trainer, "/bin/sh other.sh {job}");
    refused(&other, &maker, none, "small", "expected \"/bin/sh other.sh");
    struct records_identity here = maker;
    snprintf(here.build, sizeof here.build, "sh 2");
    refused(large, &here, none, "small", "another trainer, sh 1; here it is sh 2");
    here = maker;
    snprintf(here.isa, sizeof here.isa, "aarch64");
    refused(large, &here, none, "small", "another instruction set, x86_64");
    CHECK(import(large, &here, none, "small", true, &more) == OK);
    CHECK_STR(jstr(json_array_get(more, 0), "isa"), "x86_64");
    json_decref(more);
    json_object_set_new(last_result(records), "loss", json_real(2.25));
    refused(large, &maker, records, "small", "a loss of 2.25 is known");
    json_object_set_new(last_result(records), "status", json_string("diverged"));
    refused(large, &maker, records, "small", "diverged is known");
    // A failure is the other machine's.
    json_object_set_new(last_result(records), "status", json_string("failed"));
    write_dir("failed", small, records);
    CHECK(import(large, &maker, none, "failed", false, &more) == OK);
    CHECK((int)json_array_size(more) == n - 1);
    json_decref(more);
    json_object_set_new(last_result(records), "loss", json_string("low"));
    write_dir("failed", small, records);
    refused(large, &maker, none, "failed", "loss");
    refused(large, &maker, none, "nothing", "nothing/journal");
    json_decref(fresh);
    json_decref(none);
    json_decref(mine);
    json_decref(all);
    json_decref(records);
}

// Results of a resumed sweep that another build gave are counted.
static void test_mixed(const struct sweep *small)
{
    json_t *records = json_array(), *rec;
    char words[256];
    json_array_append_new(records, head_of(small));
    go_on(small, records, 1000);
    size_t i;
    int n = 0;
    json_array_foreach(records, i, rec) if (strcmp(jstr(rec, "t"), "result") == 0)
    {
        origin_mark(rec, &maker, n++ % 2 ? "sh 2" : maker.build, maker.isa);
        json_t *origin = origin_of(rec);
        origin_words(origin, words, sizeof words);
        CHECK_STR(words, n % 2 ? "" : "by sh 2");
        json_decref(origin);
    }
    write_dir("mixed", small, records);
    json_t *law = law_of("mixed"), *origins = json_object_get(law, "origins");
    CHECK(json_array_size(origins) == 1);
    CHECK(jnum(json_array_get(origins, 0), "runs") == n / 2);
    char *text = json_dumps(json_object_get(law, "notes"), 0);
    CHECK(strstr(text, "by sh 2") && strstr(text, "not comparable bit for bit"));
    free(text);
    json_decref(law);
    json_decref(records);
}

// The plan of an extension or import knows what is there.
static void test_plan(const struct sweep *small, const struct sweep *large,
                      const struct sweep *other)
{
    json_t *records = whole(small), *past, *plan, *all = whole(large);
    struct cmd_list dirs = {.n = 0};
    struct plan_options opt = {.workers = 1, .rate = 1e9};
    write_dir("planned", small, records);
    CHECK(plan_past(other, in("planned", ""), &dirs, &past) == ERR_INPUT);
    CHECK(plan_past(large, in("planned", ""), &dirs, &past) == OK);
    opt.past = past;
    CHECK(plan_sweep(large, &opt, &plan) == OK);
    const json_t *total = json_object_get(plan, "total");
    CHECK(jnum(total, "known") > 0 && jnum(total, "runs_now") > 0);
    CHECK(jnum(total, "known") + jnum(total, "unused") == count(records, "result"));
    json_decref(plan);
    json_decref(past);
    write_dir("complete", large, all);
    dirs = (struct cmd_list){.item = {in("complete", "")}, .n = 1};
    CHECK(plan_past(large, NULL, &dirs, &past) == OK);
    opt.past = past;
    CHECK(plan_sweep(large, &opt, &plan) == OK); // nothing is left, and it costs nothing
    total = json_object_get(plan, "total");
    CHECK(jnum(total, "known") == count(all, "result") && jnum(total, "executed_flops") == 0);
    CHECK(jnum(total, "runs_now") == 0 && jnum(total, "runs_later") == 0);
    CHECK(jnum(total, "more_runs") == 0 && jnum(total, "unused") == 0);
    json_decref(plan);
    json_decref(past);
    json_decref(records);
    json_decref(all);
}

int main(void)
{
    static struct sweep small, large, other, data;
    char command[64];
    if (!mkdtemp(root))
        SKIP("no temporary folder");
    make(&small, "small", "1000000000L", "", "0.005", 3, 1);
    make(&large, "large", "1000000000L", ", 9e10", "0.005", 5, 2);
    make(&other, "large", "1000000000L", ", 9e10", "0.004", 5, 2);
    make(&data, "large", "2000000000L", ", 9e10", "0.005", 5, 2);
    test_extended(&small, &large);
    test_keys(&small, &large, &other);
    test_import(&small, &large, &data);
    test_mixed(&small);
    test_plan(&small, &large, &other);
    config_free(&small);
    config_free(&large);
    config_free(&other);
    config_free(&data);
    snprintf(command, sizeof command, "rm -r %s", root);
    CHECK(system(command) == 0);
    return test_summary();
}
