// SPDX-License-Identifier: Apache-2.0
// The program as its users see it: lines, exit codes, repeatability, interruption, divergence.
#include "tests/test.h"
#include "core/rng.h"
#include "tests/worker/trainer.h"
#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static void nap(double s)
{
    nanosleep(&(struct timespec){(time_t)s, (long)((s - (double)(time_t)s) * 1e9)}, NULL);
}

// A job that lasts long enough to be interrupted on purpose: 600 steps.
static json_t *long_job(const struct scratch *s)
{
    json_t *job = job_base(s);
    job_set(job, "train.tokens", "153600");
    return job;
}

static int same(const json_t *a, const json_t *b, const char *key)
{
    return json_object_get(a, key) &&
           json_equal(json_object_get(a, key), json_object_get(b, key));
}

static void check_same_result(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"id",    "status", "loss",  "loss_per_byte", "tokens",
                                       "flops", "curve",  "steps", "epochs",        "balance"};
    for (int i = 0; i < 10; i++) {
        if (!same(a, b, keys[i]))
            fprintf(stderr, "    differs: %s\n", keys[i]);
        CHECK(same(a, b, keys[i]));
    }
}

static void test_result(struct scratch *s)
{
    json_t *job = job_base(s);
    job_set(job, "val.every", "30");
    CHECK(trainer_run(s, job) == 0);
    json_t *a = trainer_check_lines(s), *val = trainer_last(s, "val"), *curve;
    CHECK_STR(json_string_value(json_object_get(a, "status")), "ok");
    CHECK(number(a, "tokens") == 20480 && number(a, "steps") == 80);
    CHECK(number(val, "step") == 60);
    // Words of 18 kinds: the entropy is far below uniform guessing among the symbols, ln 21
    // = 3.04.
    CHECK(number(a, "loss") > .3 && number(a, "loss") < 2.6);
    CHECK(number(a, "loss_per_byte") >= number(a, "loss"));
    CHECK(number(a, "peak_bytes") > 1e6 && number(a, "seconds") > 0 &&
          number(a, "flops") > 1e8);
    CHECK(number(a, "balance") >= 1 && number(a, "balance") <= 4); // at most E over the mean
    curve = json_object_get(a, "curve");
    CHECK(json_array_size(curve) == 48);
    for (int i = 0; i < (int)json_array_size(curve); i++)
        CHECK(json_integer_value(json_array_get(json_array_get(curve, (size_t)i), 0)) ==
              (i + 1) * 80 / 48);
    job_set(job, "id", "\"def\""); // the id is a name, not part of the work
    CHECK(trainer_run(s, job) == 0);
    json_t *b = trainer_check_lines(s);
    CHECK(b && !same(a, b, "id"));
    json_object_set(b, "id", json_object_get(a, "id"));
    check_same_result(a, b); // a second run, bit for bit
    job_set(job, "train.seed", "2");
    CHECK(trainer_run(s, job) == 0);
    json_t *c = trainer_check_lines(s);
    CHECK(c && !same(a, c, "loss"));
    json_decref(a);
    json_decref(b);
    json_decref(c);
    json_decref(val);
    json_decref(job);
}

static void test_stdin_and_flags(struct scratch *s)
{
    json_t *job = job_base(s);
    job_write(s, job);
    CHECK(trainer_wait(trainer_start(s, "-", s->job)) == 0);
    json_decref(trainer_check_lines(s));
    CHECK(trainer_wait(trainer_start(s, "--version", NULL)) == 0);
    char *out = slurp(s->out);
    CHECK_STR(out, "moetrain " MOESWEEP_VERSION "\n");
    free(out);
    CHECK(trainer_wait(trainer_start(s, "--probe", NULL)) == 0);
    json_t *probe = json_load_file(s->out, 0, NULL);
    json_t *cpu = json_object_get(json_object_get(probe, "backends"), "cpu");
    CHECK(json_is_true(json_object_get(cpu, "built")));
    const json_t *bf16 = json_object_get(cpu, "bf16");
    CHECK(json_is_true(json_object_get(bf16, "amx")) !=
          json_is_string(json_object_get(bf16, "why")));
    json_t *cuda = json_object_get(json_object_get(probe, "backends"), "cuda");
    CHECK(json_is_boolean(json_object_get(cuda, "built")));
    CHECK((json_array_size(json_object_get(cuda, "devices")) > 0) !=
          json_is_string(json_object_get(cuda, "why")));
    CHECK(number(probe, "cores") >= 1 && number(probe, "memory_bytes") > 1e8);
    json_decref(probe);
    CHECK(trainer_wait(trainer_start(s, "--help", NULL)) == 0);
    CHECK(trainer_wait(trainer_start(s, "--nonsense", NULL)) == 2);
    json_decref(job);
}

// Killed at random moments until it gets through: the same bits as in one go.
static void test_kill_and_resume(struct scratch *s)
{
    json_t *job = long_job(s);
    CHECK(trainer_run(s, job) == 0);
    json_t *whole = trainer_check_lines(s);
    char dir[128];
    snprintf(dir, sizeof dir, "\"%s\"", s->checkpoints);
    job_set(job, "checkpoint.dir", dir);
    job_set(job, "checkpoint.every_s", "0.002");
    double length = number(whole, "seconds"), resumed = 0;
    struct rng r;
    rng_seed(&r, (uint64_t)getpid(), 1); // another set of moments each time, by intent
    for (int i = 0; i < 6; i++) {
        json_t *saved = NULL;
        job_write(s, job);
        pid_t pid = trainer_start(s, s->job, NULL);
        for (int k = 0; k < 10000 && !saved; k++, nap(.002)) // something to continue from
            saved = trainer_last(s, "checkpoint");
        json_decref(saved);
        nap(.3 * length * rng_uniform(&r));
        kill(pid, SIGKILL);
        int rc = trainer_wait(pid);
        CHECK(rc == 128 + SIGKILL || rc == 0);
        json_t *hello = trainer_last(s, "hello");
        resumed = fmax(resumed, number(hello, "resumed_step"));
        json_decref(hello);
    }
    CHECK(trainer_run(s, job) == 0);
    json_t *pieces = trainer_check_lines(s);
    printf("killed six times in %.2f s of training, resumed as late as step %g\n", length,
           resumed);
    CHECK(resumed > 0); // else nothing was tested
    check_same_result(whole, pieces);
    char left[160];
    snprintf(left, sizeof left, "%s/checkpoint", s->checkpoints);
    CHECK(access(left, F_OK) != 0); // a finished run leaves none
    json_decref(whole);
    json_decref(pieces);
    json_decref(job);
}

// Sends the signal once the run has shown progress; tries again should it win the race to its
// end. The run has stopped with a checkpoint then.
static void interrupt(struct scratch *s, json_t *job, int signal)
{
    int rc = 0;
    job_write(s, job);
    for (int attempt = 0; attempt < 20 && rc == 0; attempt++) {
        json_t *line = NULL;
        pid_t pid = trainer_start(s, s->job, NULL);
        for (int k = 0; k < 10000 && !line; k++, nap(.002))
            line = trainer_last(s, "progress");
        json_decref(line);
        kill(pid, signal);
        rc = trainer_wait(pid);
    }
    CHECK(rc == 3);
}

// The folder is made with the first checkpoint.
static void test_folder(struct scratch *s)
{
    json_t *job = long_job(s);
    char dir[128], quoted[140], file[160];
    snprintf(dir, sizeof dir, "%s/new", s->dir);
    snprintf(quoted, sizeof quoted, "\"%s\"", dir);
    snprintf(file, sizeof file, "%s/checkpoint", dir);
    job_set(job, "checkpoint.dir", quoted);
    CHECK(trainer_run(s, job) == 0 && access(dir, F_OK) != 0);
    interrupt(s, job, SIGTERM);
    CHECK(access(file, F_OK) == 0);
    CHECK(trainer_run(s, job) == 0 && access(file, F_OK) != 0 && access(dir, F_OK) == 0);
    json_decref(job);
}

static void test_signals(struct scratch *s)
{
    json_t *job = long_job(s);
    job_set(job, "model.router", "\"sigmoid_bias\""); // its biases are in the checkpoint too
    job_set(job, "train.optimizer", "\"muon\"");
    job_set(job, "train.batch_ramp", "0.6");
    CHECK(trainer_run(s, job) == 0);
    json_t *whole = trainer_check_lines(s);
    static const int signals[] = {SIGTERM, SIGINT};
    char dir[128];
    snprintf(dir, sizeof dir, "\"%s\"", s->checkpoints);
    job_set(job, "checkpoint.dir", dir);
    for (int i = 0; i < 2; i++) {
        interrupt(s, job, signals[i]);
        json_t *stopped = trainer_check_lines(s), *checkpoint = trainer_last(s, "checkpoint");
        CHECK_STR(json_string_value(json_object_get(stopped, "status")), "stopped");
        CHECK(json_is_null(json_object_get(stopped, "loss")));
        CHECK(number(checkpoint, "step") == number(stopped, "steps"));
        CHECK(number(stopped, "steps") >= 12); // the first curve point
        json_decref(stopped);
        json_decref(checkpoint);
    }
    CHECK(trainer_run(s, job) == 0);
    json_t *pieces = trainer_check_lines(s), *hello = trainer_last(s, "hello");
    CHECK(number(hello, "resumed_step") > 0);
    check_same_result(whole, pieces);
    json_decref(hello);
    json_decref(whole);
    json_decref(pieces);
    json_decref(job);
}

// bf16: another loss than f32's, twice the same one, also in pieces; hello says what
// multiplies.
static void test_bf16(struct scratch *s)
{
    json_t *job = long_job(s);
    CHECK(trainer_run(s, job) == 0);
    json_t *f32 = trainer_check_lines(s);
    job_set(job, "train.precision", "\"bf16\"");
    CHECK(trainer_run(s, job) == 0);
    json_t *whole = trainer_check_lines(s), *hello = trainer_last(s, "hello");
    const char *backend = json_string_value(json_object_get(hello, "backend"));
    CHECK(backend && (strstr(backend, "+amx-bf16") || strstr(backend, "+bf16-emulated")));
    CHECK(!same(f32, whole, "loss"));
    // Both have learned the words: far below the ln 21 = 3.04 of guessing.
    CHECK(number(f32, "loss") < 2.6 && number(whole, "loss") < 2.6);
    json_decref(hello);
    char dir[128];
    snprintf(dir, sizeof dir, "\"%s\"", s->checkpoints);
    job_set(job, "checkpoint.dir", dir);
    interrupt(s, job, SIGTERM);
    CHECK(trainer_run(s, job) == 0);
    json_t *pieces = trainer_check_lines(s);
    hello = trainer_last(s, "hello");
    CHECK(number(hello, "resumed_step") > 0);
    check_same_result(whole, pieces);
    json_decref(hello);
    json_decref(f32);
    json_decref(whole);
    json_decref(pieces);
    json_decref(job);
}

// Stops the run with a checkpoint; returns its path in buf.
static void leave_checkpoint(struct scratch *s, json_t *job, char *buf, size_t size)
{
    interrupt(s, job, SIGTERM);
    snprintf(buf, size, "%s/checkpoint", s->checkpoints);
    CHECK(access(buf, F_OK) == 0);
}

// Runs the job to its end: the checkpoint was refused for the reason, kept aside, and nothing
// of it used.
static void check_refused(struct scratch *s, json_t *job, const char *reason,
                          const json_t *fresh)
{
    char aside[160];
    snprintf(aside, sizeof aside, "%s/checkpoint.refused", s->checkpoints);
    unlink(aside);
    CHECK(trainer_run(s, job) == 0);
    json_t *res = trainer_check_lines(s), *hello = trainer_last(s, "hello");
    char *err = slurp(s->err);
    CHECK(number(hello, "resumed_step") == 0);
    int told = strstr(err, "checkpoint refused") && strstr(err, reason);
    if (!told)
        fprintf(stderr, "    wanted '%s', got '%s'\n", reason, err);
    CHECK(told);
    CHECK(access(aside, F_OK) == 0);
    check_same_result(fresh, res);
    free(err);
    json_decref(res);
    json_decref(hello);
}

static void test_refused_checkpoints(struct scratch *s)
{
    json_t *job = long_job(s), *other = long_job(s);
    char dir[128], path[160], byte;
    snprintf(dir, sizeof dir, "\"%s\"", s->checkpoints);
    job_set(other, "train.seed", "9");
    CHECK(trainer_run(s, job) == 0);
    json_t *fresh = trainer_check_lines(s);
    job_set(job, "checkpoint.dir", dir);
    job_set(other, "checkpoint.dir", dir);

    leave_checkpoint(s, job, path, sizeof path); // cut short
    CHECK(truncate(path, 5000) == 0);
    check_refused(s, job, "bytes, found 5000", fresh);

    leave_checkpoint(s, job, path, sizeof path); // one bit of the weights
    int fd = open(path, O_RDWR);
    CHECK(pread(fd, &byte, 1, 4000) == 1);
    byte ^= 4;
    CHECK(pwrite(fd, &byte, 1, 4000) == 1);
    close(fd);
    check_refused(s, job, "CRC", fresh);

    leave_checkpoint(s, other, path, sizeof path); // another seed's
    check_refused(s, job, "of another job", fresh);

    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666); // no checkpoint at all
    CHECK(write(fd, (char[100]){0}, 100) == 100);
    close(fd);
    check_refused(s, job, "cut short", fresh);

    leave_checkpoint(s, job, path, sizeof path); // the text has changed
    FILE *text = fopen(s->text, "r+");
    CHECK(text && fputs("until", text) >= 0 && fclose(text) == 0);
    unlink(s->err);
    CHECK(trainer_run(s, job) == 0);
    char *err = slurp(s->err);
    CHECK(strstr(err, "of another text") != NULL);
    free(err);
    json_decref(fresh);
    json_decref(job);
    json_decref(other);
}

static void test_divergence(struct scratch *s)
{
    json_t *job = job_base(s);
    job_set(job, "train.lr", "1000");
    job_set(job, "train.warmup", "0");
    CHECK(trainer_run(s, job) == 0);
    json_t *res = trainer_check_lines(s);
    CHECK_STR(json_string_value(json_object_get(res, "status")), "diverged");
    CHECK(json_is_null(json_object_get(res, "loss")));
    CHECK(json_string_length(json_object_get(res, "cause")) > 0);
    CHECK(number(res, "steps") < 80);
    json_decref(res);
    json_decref(job);
}

// A point of the learning curve above what the job allows ends the run: there, with what was
// trained so far, and in the same bits when the run was killed before.
static void test_pruned(struct scratch *s)
{
    json_t *job = long_job(s);
    CHECK(trainer_run(s, job) == 0);
    json_t *whole = trainer_check_lines(s), *curve = json_object_get(whole, "curve");
    // Points 24 and 36 of 48 over 600 steps; the run is below the first limit and above the
    // second by one part in 10^12.
    double at300 = json_number_value(json_array_get(json_array_get(curve, 23), 1));
    double at450 = json_number_value(json_array_get(json_array_get(curve, 35), 1));
    char stops[128], dir[128], left[160];
    snprintf(stops, sizeof stops, "[[300,%.17g],[450,%.17g]]", at300, at450 * (1 - 1e-12));
    job_set(job, "stop_above", stops);
    CHECK(trainer_run(s, job) == 0);
    json_t *pruned = trainer_check_lines(s), *last = trainer_last(s, "progress");
    CHECK_STR(json_string_value(json_object_get(pruned, "status")), "pruned");
    CHECK(json_is_null(json_object_get(pruned, "loss")));
    CHECK(number(pruned, "steps") == 450 && number(pruned, "tokens") == 450 * 256);
    CHECK(number(pruned, "flops") == number(whole, "flops") * .75);
    CHECK(json_array_size(json_object_get(pruned, "curve")) == 36);
    CHECK(number(last, "step") == 450); // the point itself is told
    CHECK(strstr(json_string_value(json_object_get(pruned, "cause")), "at step 450 above"));
    for (size_t i = 0; i < 36; i++)
        CHECK(json_equal(json_array_get(json_object_get(pruned, "curve"), i),
                         json_array_get(curve, i)));
    json_decref(last);
    snprintf(dir, sizeof dir, "\"%s\"", s->checkpoints);
    job_set(job, "checkpoint.dir", dir);
    interrupt(s, job, SIGTERM);
    CHECK(trainer_run(s, job) == 0);
    json_t *pieces = trainer_check_lines(s), *hello = trainer_last(s, "hello");
    CHECK(number(hello, "resumed_step") > 0);
    check_same_result(pruned, pieces);
    snprintf(left, sizeof left, "%s/checkpoint", s->checkpoints);
    CHECK(access(left, F_OK) != 0);
    // At its limits to the last bit a run goes on, and ends as it would without.
    snprintf(stops, sizeof stops, "[[300,%.17g],[450,%.17g]]", at300, at450);
    job_set(job, "stop_above", stops);
    CHECK(trainer_run(s, job) == 0);
    json_t *ended = trainer_check_lines(s);
    CHECK_STR(json_string_value(json_object_get(ended, "status")), "ok");
    CHECK(same(ended, whole, "loss") && same(ended, whole, "curve"));
    json_decref(whole);
    json_decref(pruned);
    json_decref(pieces);
    json_decref(hello);
    json_decref(ended);
    json_decref(job);
}

// Memory that runs out although the machine has it: a result. (Sanitizers need it all
// themselves.)
static void test_out_of_memory(struct scratch *s)
{
#if defined(SANITIZED)
    (void)s;
#else
    json_t *job = job_base(s);
    job_set(job, "arch.d", "1024"); // 10^8 bytes of weights and as much thrice again
    job_set(job, "arch.d_m", "1024");
    s->data_limit = 100 << 20;
    CHECK(trainer_run(s, job) == 0);
    s->data_limit = 0;
    json_t *res = trainer_check_lines(s);
    CHECK_STR(json_string_value(json_object_get(res, "status")), "oom");
    CHECK(json_string_length(json_object_get(res, "cause")) > 0);
    CHECK(number(res, "tokens") == 0);
    json_decref(res);
    json_decref(job);
#endif
}

static void test_sigmoid_router(struct scratch *s)
{
    json_t *job = job_base(s);
    job_set(job, "model.router", "\"sigmoid_bias\"");
    CHECK(trainer_run(s, job) == 0);
    json_t *res = trainer_check_lines(s);
    CHECK(number(res, "loss") > .3 && number(res, "loss") < 2.6);
    json_decref(res);
    json_decref(job);
}

static void test_closed_output(struct scratch *s)
{
    json_t *job = job_base(s);
    job_write(s, job);
    snprintf(s->out, sizeof s->out, "/dev/full");
    CHECK(trainer_wait(trainer_start(s, s->job, NULL)) == 1);
    snprintf(s->out, sizeof s->out, "%s/out", s->dir);
    char *err = slurp(s->err);
    CHECK(strstr(err, "standard output") != NULL);
    free(err);
    json_decref(job);
}

int main(void)
{
    struct scratch s;
    scratch_make(&s, 200000, 40);
    test_result(&s);
    test_stdin_and_flags(&s);
    test_kill_and_resume(&s);
    test_folder(&s);
    test_signals(&s);
    test_bf16(&s);
    test_divergence(&s);
    test_pruned(&s);
    test_out_of_memory(&s);
    test_sigmoid_router(&s);
    test_closed_output(&s);
    test_refused_checkpoints(&s); // last: it changes the text
    scratch_free(&s);
    return test_summary();
}
