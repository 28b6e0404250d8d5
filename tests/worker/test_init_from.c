// SPDX-License-Identifier: Apache-2.0
// moetrain starting from a checkpoint: the first loss, the tokens counted, interruption, wrong
// files.
#include "tests/test.h"
#include "tests/worker/trainer.h"
#include <unistd.h>

static char kept[160];

static void set_text(json_t *job, const char *path, const char *text)
{
    char quoted[256];
    snprintf(quoted, sizeof quoted, "\"%s\"", text);
    job_set(job, path, quoted);
}

static json_t *run(const struct scratch *s, const json_t *job)
{
    int rc = trainer_run(s, job);
    char *err = slurp(s->err);
    if (rc != 0)
        fprintf(stderr, "    exit code %d: %s\n", rc, err);
    CHECK(rc == 0);
    free(err);
    return trainer_check_lines(s);
}

// The dense model that the others grow from, with QK-norm; its checkpoint stays.
static json_t *dense_job(const struct scratch *s)
{
    json_t *job = job_base(s);
    job_set(job, "arch.L_d", "2");
    job_set(job, "arch.L_m", "0");
    job_set(job, "arch.d_d", "24");
    job_set(job, "model.qk_norm", "true");
    set_text(job, "checkpoint.dir", s->checkpoints);
    job_set(job, "checkpoint.keep", "true");
    return job;
}

// One step of a rate that moves nothing: the result's loss is the initial model's.
static json_t *grown_job(const struct scratch *s)
{
    json_t *job = job_base(s);
    job_set(job, "id", NULL);
    job_set(job, "arch.d_d", "24");
    job_set(job, "arch.d_m", "12");
    job_set(job, "arch.n_shared", "0");
    job_set(job, "model.qk_norm", "true");
    set_text(job, "init.from", kept);
    job_set(job, "train.tokens", "256");
    job_set(job, "train.lr", "1e-30");
    return job;
}

static void test_first_loss_and_tokens(const struct scratch *s)
{
    json_t *dense = dense_job(s), *job = grown_job(s);
    json_t *d = run(s, dense);
    CHECK(number(d, "tokens") == 20480 && number(d, "init_tokens") == 0);
    CHECK(access(kept, F_OK) == 0);
    json_t *m = run(s, job);
    // The same function computed in another order: about 100 roundings (tests/worker/
    // test_upcycle.c) of a loss of order 1.
    CHECK_REL(number(m, "loss"), number(d, "loss"), 100 * 0x1p-24);
    CHECK(number(m, "init_tokens") == 20480 && number(m, "tokens") == 256);
    // Trained on, it gets better than the dense model was, and starts there.
    job_set(job, "train.tokens", "20480");
    job_set(job, "train.lr", "0.003");
    job_set(job, "init.noise", "0.1");
    json_t *t = run(s, job);
    CHECK(number(t, "loss") < number(d, "loss"));
    json_t *curve = json_object_get(t, "curve");
    double first = json_number_value(json_array_get(json_array_get(curve, 0), 1));
    CHECK_REL(first, number(d, "loss"), .1); // from random weights: ln V, 60 % more
    json_decref(d), json_decref(m), json_decref(t), json_decref(dense), json_decref(job);
}

// Another folder and name are the same work, other content is another.
static void test_identity(const struct scratch *s)
{
    char copy[160], command[400];
    json_t *job = grown_job(s);
    snprintf(copy, sizeof copy, "%s/other-name", s->dir);
    snprintf(command, sizeof command, "cp '%s' '%s'", kept, copy);
    CHECK(system(command) == 0);
    json_t *a = run(s, job);
    set_text(job, "init.from", copy);
    json_t *b = run(s, job);
    CHECK(json_equal(json_object_get(a, "id"), json_object_get(b, "id")));
    CHECK(json_equal(json_object_get(a, "loss"), json_object_get(b, "loss")));
    set_text(job, "init.hash", "0123456789abcdef");
    CHECK(trainer_run(s, job) == 2);
    char *err = slurp(s->err);
    CHECK(strstr(err, "expected the file whose hash is 0123456789abcdef, found ") != NULL);
    free(err);
    job_set(job, "init.hash", NULL);
    CHECK(truncate(copy, 4000) == 0);
    CHECK(trainer_run(s, job) == 2);
    err = slurp(s->err);
    CHECK(strstr(err, "init.from: ") && strstr(err, "bytes, found 4000"));
    free(err);
    char *out = slurp(s->out);
    CHECK(out[0] == 0);
    free(out);
    // Another dense model at the same place.
    set_text(job, "init.from", kept);
    json_t *dense = dense_job(s);
    job_set(dense, "train.seed", "3");
    json_decref(run(s, dense));
    json_t *c = run(s, job);
    CHECK(!json_equal(json_object_get(a, "id"), json_object_get(c, "id")));
    json_decref(a), json_decref(b), json_decref(c), json_decref(job), json_decref(dense);
}

// What an upcycled run leaves can be started from in its turn: its D1 is the sum.
static void test_chain(const struct scratch *s)
{
    char first[160], second[200];
    snprintf(first, sizeof first, "%s/first", s->dir);
    json_t *job = grown_job(s);
    job_set(job, "train.tokens", "2560");
    job_set(job, "train.lr", "0.003");
    set_text(job, "checkpoint.dir", first);
    job_set(job, "checkpoint.keep", "true");
    json_t *a = run(s, job);
    json_t *b = run(s, job); // the last checkpoint is there: nothing is left to do
    CHECK(number(b, "init_tokens") == 20480 && number(b, "tokens") == 2560);
    CHECK(json_equal(json_object_get(a, "loss"), json_object_get(b, "loss")));
    snprintf(second, sizeof second, "%s/checkpoint", first);
    set_text(job, "init.from", second);
    job_set(job, "checkpoint", "{}");
    job_set(job, "train.tokens", "256");
    job_set(job, "train.lr", "1e-30");
    json_t *c = run(s, job);
    CHECK(json_equal(json_object_get(a, "loss"), json_object_get(c, "loss"))); // every bit
    CHECK(number(c, "init_tokens") == 20480 + 2560);
    json_decref(a), json_decref(b), json_decref(c), json_decref(job);
}

static void refused(const struct scratch *s, const json_t *job, const char *words)
{
    CHECK(trainer_run(s, job) == 2);
    char *err = slurp(s->err), *out = slurp(s->out);
    if (!strstr(err, words))
        fprintf(stderr, "    wanted '%s', got '%s'\n", words, err);
    CHECK(strstr(err, words) && count_lines(err) == 1 && out[0] == 0);
    free(err), free(out);
}

static void test_refusals(const struct scratch *s)
{
    json_t *job = grown_job(s);
    job_set(job, "arch.d_m", "7");
    refused(s, job, "d_d: expected a multiple of the job's d_m = 7, found 24");
    job_set(job, "arch.d_m", "12");
    job_set(job, "model.qk_norm", "false");
    refused(s, job, "model.qk_norm: expected false as in the job, found true");
    job_set(job, "model.qk_norm", "true");
    set_text(job, "init.from", s->text);
    refused(s, job, "text.txt: not a checkpoint of this format");
    set_text(job, "init.from", s->dir);
    refused(s, job, "expected a regular file, found a folder");
    set_text(job, "init.from", "/nowhere");
    refused(s, job, "init.from: /nowhere: cannot read: No such file");
    // The run's own would take its place.
    set_text(job, "init.from", kept);
    set_text(job, "checkpoint.dir", s->checkpoints);
    refused(s, job, "found the one in checkpoint.dir");
    CHECK(access(kept, F_OK) == 0);
    job_set(job, "checkpoint", NULL);
    FILE *text = fopen(s->text, "a"); // one more symbol
    CHECK(text && fputs("~~~ ~~~", text) >= 0 && fclose(text) == 0);
    refused(s, job, "V: expected ");
    json_decref(job);
}

int main(void)
{
    struct scratch s;
    scratch_make(&s, 200000, 40);
    snprintf(kept, sizeof kept, "%s/checkpoint", s.checkpoints);
    test_first_loss_and_tokens(&s);
    test_chain(&s);
    test_identity(&s);
    test_refusals(&s); // last: it changes the text
    scratch_free(&s);
    return test_summary();
}
