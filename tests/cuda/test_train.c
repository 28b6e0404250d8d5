// SPDX-License-Identifier: Apache-2.0
// Training with the CUDA backend from end to end, on the emulator (moetrain_emulated), against
// moetrain on the CPU: 20 steps of jobs that between them use every operation. With the
// argument few only 8 steps of the last two of them, and in bf16 only that bits repeat.
//
// The last job's batches go through the device in micro-batches, through the CPU whole: that,
// too, is another order of sums.
//
// f32. Both round every operation's result in another order of its sums, 2^-24 of its size
// each; 20 steps at a learning rate of 0.01 are too few for that to grow: every loss within
// 1e-5 of the CPU's.
//
// bf16. With F the losses in f32 and R those of the CPU's bf16 (factors of products rounded),
// the root mean square over steps and jobs of g - F is at most twice that of R - F: the device
// rounds the same factors, and rounds stored acts in between (queries and keys before the
// rotation, the experts' gates), about as many roundings again, so that sqrt(2) is expected.
#include "tests/test.h"
#include "tests/worker/trainer.h"
#include <signal.h>
#include <stdbool.h>
#include <time.h>

enum { MOST_LOSSES = 49 };

static int steps = 20;

// ./check-gpu runs moetrain itself.
static const char *device_program(void)
{
    const char *program = getenv("MOESWEEP_TEST_DEVICE_PROGRAM");
    return program != NULL ? program : "moetrain_emulated";
}

struct losses {
    int n; // the curve's, then the validation's
    double x[MOST_LOSSES];
};

static struct losses losses_of(const json_t *result)
{
    struct losses l = {0};
    const json_t *curve = json_object_get(result, "curve");
    for (size_t i = 0; i < json_array_size(curve); i++)
        l.x[l.n++] = json_number_value(json_array_get(json_array_get(curve, i), 1));
    l.x[l.n++] = number(result, "loss");
    return l;
}

static json_t *train(struct scratch *s, json_t *job, const char *program, const char *device)
{
    char value[16];
    snprintf(value, sizeof value, "\"%s\"", device);
    s->program = program;
    job_set(job, "device", value);
    int rc = trainer_run(s, job);
    if (rc != 0) {
        char *err = slurp(s->err);
        fprintf(stderr, "%s, device %s: exit code %d: %s\n", program, device, rc, err);
        free(err);
    }
    CHECK(rc == 0);
    return trainer_check_lines(s);
}

static struct losses on_cpu(struct scratch *s, json_t *job)
{
    json_t *whole = json_deep_copy(job);
    job_set(whole, "train.micro_tokens", NULL);
    json_t *result = train(s, whole, "moetrain", "cpu");
    struct losses l = losses_of(result);
    json_decref(result), json_decref(whole);
    return l;
}

static struct losses on_device(struct scratch *s, json_t *job)
{
    json_t *result = train(s, job, device_program(), "cuda");
    struct losses l = losses_of(result);
    json_decref(result);
    return l;
}

// Up to nine settings: path, value, in turn.
struct variant {
    const char *name, *set[20];
};
static const struct variant variants[] = {
    {"base", {NULL}},
    {"all experts, weights not normalised, odd widths, no dense layer",
     {"arch.K", "5", "arch.N_e", "5", "model.norm_topk", "false", "arch.d", "15", "arch.d_m",
      "7", "arch.d_qkv", "6", "arch.L_d", "0", "train.clip", "0.1", "train.schedule",
      "\"cosine\""}},
    {"sigmoid router, shared experts, two dense layers",
     {"model.router", "\"sigmoid_bias\"", "arch.n_shared", "2", "arch.L_d", "2", "arch.K", "3",
      "arch.N_e", "6"}},
    {"tied, query-key norm, Muon, batch ramp",
     {"model.tied", "true", "model.qk_norm", "true", "train.optimizer", "\"muon\"",
      "train.batch_ramp", "0.5", "arch.N_q", "4", "arch.N_kv", "2", "arch.d", "20", "arch.d_m",
      "12"}},
    {"micro-batches of two sequences and one, query-key norm",
     {"train.batch_tokens", "96", "train.micro_tokens", "80", "train.aux", "0.1",
      "model.qk_norm", "true", "arch.K", "1"}},
};
#define N_VARIANTS (int)(sizeof variants / sizeof *variants)

static json_t *job_of(const struct scratch *s, const struct variant *v)
{
    char tokens[16];
    json_t *job = job_base(s); // 4 experts, d = 16
    job_set(job, "id", NULL);
    job_set(job, "train.batch_tokens", "64"); // 2 sequences
    job_set(job, "val.tokens", "96");         // 3 windows: the last batch has 1
    job_set(job, "val.every", "9");
    for (int i = 0; v->set[i] != NULL; i += 2)
        job_set(job, v->set[i], v->set[i + 1]);
    double batch = number(json_object_get(job, "train"), "batch_tokens");
    snprintf(tokens, sizeof tokens, "%.0f", batch * steps);
    job_set(job, "train.tokens", tokens);
    return job;
}

static double largest_difference(const struct losses *a, const struct losses *b)
{
    double most = 0;
    for (int i = 0; i < a->n; i++)
        most = fmax(most, fabs(a->x[i] / b->x[i] - 1));
    return most;
}

static double add_squares(const struct losses *a, const struct losses *b)
{
    double sum = 0;
    for (int i = 0; i < a->n; i++)
        sum += (a->x[i] - b->x[i]) * (a->x[i] - b->x[i]);
    return sum;
}

// Adds squares of the distances from the losses F in f32.
static void compare_bf16(struct scratch *s, json_t *job, const struct losses *F, double *naive,
                         double *device)
{
    job_set(job, "train.precision", "\"bf16\"");
    struct losses R = on_cpu(s, job), g = on_device(s, job);
    CHECK(R.n == F->n && g.n == F->n);
    *naive += add_squares(&R, F), *device += add_squares(&g, F);
    printf("    bf16: from f32 %.1e, the CPU's %.1e\n", sqrt(add_squares(&g, F) / F->n),
           sqrt(add_squares(&R, F) / F->n));
}

// The last n variants; bf16: in bf16, too.
static void test_losses(struct scratch *s, int n, bool bf16)
{
    double naive = 0, device = 0;
    for (int i = N_VARIANTS - n; i < N_VARIANTS; i++) {
        json_t *job = job_of(s, &variants[i]);
        struct losses F = on_cpu(s, job), f = on_device(s, job);
        CHECK(F.n >= steps + 1 && f.n == F.n);
        CHECK(F.x[F.n - 2] < F.x[0]); // it learns
        double apart = largest_difference(&f, &F);
        printf("%s: losses within %.1e of the CPU's\n", variants[i].name, apart);
        CHECK(apart <= 1e-5);
        if (bf16)
            compare_bf16(s, job, &F, &naive, &device);
        json_decref(job);
    }
    CHECK(sqrt(device) <= 2 * sqrt(naive) && (naive > 0) == bf16);
}

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

// Stopped after its first line; the exit code.
static int stop_early(const struct scratch *s, const json_t *job)
{
    json_t *line = NULL;
    job_write(s, job);
    pid_t pid = trainer_start(s, s->job, NULL);
    for (int k = 0; k < 20000 && !line; k++) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        line = trainer_last(s, "progress");
    }
    json_decref(line);
    kill(pid, SIGTERM);
    return trainer_wait(pid);
}

// Twice the same bits, in one go and in two, in another order of threads and blocks.
static void test_bits(struct scratch *s, const struct variant *v, const char *precision)
{
    json_t *job = job_of(s, v);
    char dir[128];
    job_set(job, "train.precision", precision);
    json_t *whole = train(s, job, device_program(), "cuda");
    setenv("MOESWEEP_EMULATE_SCHEDULE", "7", 1);
    json_t *again = train(s, job, device_program(), "cuda");
    unsetenv("MOESWEEP_EMULATE_SCHEDULE");
    check_same(whole, again);
    snprintf(dir, sizeof dir, "\"%s\"", s->checkpoints);
    job_set(job, "checkpoint.dir", dir);
    int rc = 0;
    for (int attempt = 0; attempt < 10 && rc == 0; attempt++) // should it win the race
        rc = stop_early(s, job);
    CHECK(rc == 3);
    json_t *rest = train(s, job, device_program(), "cuda"), *hello = trainer_last(s, "hello");
    CHECK(number(hello, "resumed_step") > 0);
    CHECK(number(hello, "resumed_step") < number(whole, "steps"));
    check_same(whole, rest);
    json_decref(whole), json_decref(again), json_decref(rest), json_decref(hello);
    json_decref(job);
}

static void check_refused(const struct scratch *s, const json_t *job, const char *message)
{
    int rc = trainer_run(s, job);
    char *err = slurp(s->err), *out = slurp(s->out);
    bool right =
        rc == 2 && out[0] == 0 && count_lines(err) == 1 && strstr(err, message) != NULL;
    if (!right)
        fprintf(stderr, "exit code %d, stderr '%s', wanted '%s'\n", rc, err, message);
    CHECK(right);
    free(err), free(out);
}

// A machine without a GPU, one whose GPU is too small, and what its kernels cannot do: one
// line.
static void test_refused(struct scratch *s)
{
    json_t *job = job_of(s, &variants[0]);
    job_set(job, "device", "\"cuda\"");
    s->program = device_program();
    const char *chosen = getenv("CUDA_VISIBLE_DEVICES");
    char visible[256] = "";
    snprintf(visible, sizeof visible, "%s", chosen != NULL ? chosen : "0");
    setenv("MOESWEEP_EMULATE_DEVICES", "0", 1), setenv("CUDA_VISIBLE_DEVICES", "", 1);
    check_refused(s, job, "device: cuda: no usable device: ");
    unsetenv("MOESWEEP_EMULATE_DEVICES"), setenv("CUDA_VISIBLE_DEVICES", visible, 1);
    if (strcmp(device_program(), "moetrain_emulated") == 0) {
        setenv("MOESWEEP_EMULATE_CAPABILITY", "7", 1);
        check_refused(s, job,
                      "device: cuda: no usable device: expected compute capability 8.0");
        unsetenv("MOESWEEP_EMULATE_CAPABILITY");
    }
    job_set(job, "arch.d_qkv", "258");
    check_refused(s, job, "arch.d_qkv: expected at most 256 with device cuda, found 258");
    json_decref(job);
}

int main(int argc, char **argv)
{
    struct scratch s;
    const bool few = argc > 1 && strcmp(argv[1], "few") == 0;
    steps = few ? 8 : steps;
    scratch_make(&s, 200000, 40);
    test_refused(&s);
    test_losses(&s, few ? 2 : N_VARIANTS, !few);
    test_bits(&s, &variants[N_VARIANTS - 1], "\"bf16\"");
    if (!few) {
        test_bits(&s, &variants[N_VARIANTS - 2], "\"bf16\"");
        test_bits(&s, &variants[N_VARIANTS - 3], "\"f32\"");
    }
    scratch_free(&s);
    return test_summary();
}
