// SPDX-License-Identifier: Apache-2.0
// Jobs of several threads, and of micro-batches: the same bits whatever runs beside them, on
// fewer processors than threads, and over an interruption.
#include "tests/test.h"
#include "tests/worker/trainer.h"
#include <sched.h>
#include <signal.h>
#include <time.h>

static void check_same(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"loss",  "loss_per_byte", "tokens", "flops",
                                       "curve", "steps",         "balance"};
    for (int i = 0; i < 7; i++) {
        const json_t *x = json_object_get(a, keys[i]), *y = json_object_get(b, keys[i]);
        if (!(x && json_equal(x, y)))
            fprintf(stderr, "    differs: %s\n", keys[i]);
        CHECK(x && json_equal(x, y));
    }
}

static json_t *run(const struct scratch *s, json_t *job, int threads)
{
    char n[16];
    snprintf(n, sizeof n, "%d", threads);
    job_set(job, "threads", n);
    CHECK(trainer_run(s, job) == 0);
    return trainer_check_lines(s);
}

// Everything on one processor: threads take turns as the system likes.
static json_t *run_on_one_processor(const struct scratch *s, json_t *job, int threads)
{
    cpu_set_t all, one;
    size_t cpu = 0;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0); // the trainer inherits it
    json_t *result = run(s, job, threads);
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
    char *err = slurp(s->err), wanted[48];
    snprintf(wanted, sizeof wanted, "%d threads on 1 processor", threads);
    CHECK(strstr(err, wanted) != NULL);
    free(err);
    return result;
}

static void test_bits(const struct scratch *s, const char *key, const char *value)
{
    json_t *job = job_base(s); // 8 sequences a batch, 80 steps
    job_set(job, "id", NULL);
    job_set(job, "val.tokens", "832"); // 26 windows: the last batch has 2
    job_set(job, key, value);
    json_t *one = run(s, job, 1);
    for (int threads = 2; threads <= 3; threads++) {
        json_t *a = run(s, job, threads), *b = run(s, job, threads),
               *c = run_on_one_processor(s, job, threads);
        check_same(a, b);
        check_same(a, c);
        // In float the parts' sums round elsewhere: other bits, hence another id; after 80
        // steps nearly the same loss.
        CHECK(number(a, "loss") != number(one, "loss"));
        CHECK_REL(number(a, "loss"), number(one, "loss"), .05);
        CHECK(!json_equal(json_object_get(a, "id"), json_object_get(one, "id")));
        json_decref(a), json_decref(b), json_decref(c);
    }
    json_t *eight = run(s, job, 8), *many = run(s, job, 60); // a sequence each
    check_same(eight, many);
    json_decref(eight), json_decref(many), json_decref(one), json_decref(job);
}

// 8 sequences of 32 tokens a batch, three at a time: in memory together, not in what is learnt.
static void test_micro(const struct scratch *s)
{
    json_t *job = job_base(s);
    job_set(job, "id", NULL);
    job_set(job, "val.tokens", "832"); // 26 windows
    json_t *whole = run(s, job, 1), *whole2 = run(s, job, 2);
    job_set(job, "train.micro_tokens", "256"); // the whole batch
    json_t *same = run(s, job, 1), *same2 = run(s, job, 2);
    check_same(whole, same);
    check_same(whole2, same2);
    CHECK(!json_equal(json_object_get(whole, "id"), json_object_get(same, "id")));
    job_set(job, "train.micro_tokens", "100");
    json_t *micro = run(s, job, 1), *hello = trainer_last(s, "hello");
    CHECK(number(micro, "loss") != number(whole, "loss"));
    CHECK_REL(number(micro, "loss"), number(whole, "loss"), .05);
    for (int threads = 2; threads <= 3; threads++) {
        json_t *a = run(s, job, threads), *b = run_on_one_processor(s, job, threads);
        check_same(a, b);
        json_decref(a), json_decref(b);
    }
    job_set(job, "train.micro_tokens", "1"); // less than a sequence: one at a time
    json_t *one = run(s, job, 1), *many = run(s, job, 3), *less = trainer_last(s, "hello");
    check_same(one, many); // on one thread
    CHECK(number(less, "memory_bytes") < number(hello, "memory_bytes"));
    json_decref(whole), json_decref(whole2), json_decref(same), json_decref(same2);
    json_decref(micro), json_decref(hello), json_decref(one), json_decref(many);
    json_decref(less), json_decref(job);
}

// Stopped after some progress and continued: the same bits as in one go.
static void test_resume(const struct scratch *s, const char *micro)
{
    json_t *job = job_base(s), *stopped = NULL;
    char dir[128];
    int rc = 0;
    job_set(job, "id", NULL);
    job_set(job, "train.tokens", "153600");
    job_set(job, "train.micro_tokens", micro);
    json_t *whole = run(s, job, 2);
    snprintf(dir, sizeof dir, "\"%s\"", s->checkpoints);
    job_set(job, "checkpoint.dir", dir);
    job_write(s, job);
    for (int attempt = 0; attempt < 20 && rc == 0; attempt++) { // should it win the race
        json_t *line = NULL;
        pid_t pid = trainer_start(s, s->job, NULL);
        for (int k = 0; k < 10000 && !line; k++) {
            nanosleep(&(struct timespec){0, 2000000}, NULL);
            line = trainer_last(s, "progress");
        }
        json_decref(line);
        kill(pid, SIGTERM);
        rc = trainer_wait(pid);
        json_decref(stopped);
        stopped = trainer_check_lines(s);
    }
    CHECK(rc == 3);
    CHECK(number(stopped, "steps") > 0 && number(stopped, "steps") < 600);
    json_t *rest = run(s, job, 2), *hello = trainer_last(s, "hello");
    CHECK(number(hello, "resumed_step") == number(stopped, "steps"));
    check_same(whole, rest);
    json_decref(stopped), json_decref(rest), json_decref(hello), json_decref(whole);
    json_decref(job);
}

int main(void)
{
    struct scratch s;
    scratch_make(&s, 200000, 40);
    test_bits(&s, "train.optimizer", "\"adamw\"");
    test_bits(&s, "train.optimizer", "\"muon\"");
    test_bits(&s, "train.precision", "\"bf16\"");
    test_bits(&s, "model.router", "\"sigmoid_bias\"");
    test_micro(&s);
    test_resume(&s, NULL);
    test_resume(&s, "96");
    scratch_free(&s);
    return test_summary();
}
