// SPDX-License-Identifier: Apache-2.0
// Whole training steps (forward, backward, clip, AdamW) at four sizes against the f32 roofline
// of this machine, measured in the same run on one thread:
//
//     floor = sum over operations of max(FLOPs / rate, bytes / bandwidth)
//
// rate: the best product of square matrices, 128 to 1024; bandwidth: a sum of two arrays far
// beyond the caches. FLOPs are what the mathematics needs (causal attention halved, backward
// twice forward, nothing that is recomputed); bytes are an operation's inputs and outputs, each
// once. Also printed: FLOPs alone over rate and time, a stricter figure that forgives no memory
// traffic. Times are processor time, so that other work on the machine does not count; the best
// of several steps.
//
//     bench_step [--json] [--check] [--quick] [--precision f32|bf16]
//     bench_step --threads N [--check] [--quick] [--precision f32|bf16]
//
// --precision bf16: instead, the time of a step in f32 and in bf16, and how many times faster.
// --threads: instead, steps of N threads against steps of one, turn about and by the clock, the
// best of each; --check then wants M and L to gain a factor of 0.9 N (1.8 with two threads).
// --check: exit code 1 when S or M is under half of the roofline. --quick: without L. XS to L:
// all layers MoE, multi-head attention, 256 bytes a sequence, 4096 a step; d10 to d40: models
// as the demo trains, 64 symbols a sequence, 256 a step: all in the caches, so that only FLOPs
// bound them and no roofline is given.
#include "core/rng.h"
#include "kernels/gemm.h"
#include "worker/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_TOKENS 4096
#define REQUIRED 0.5
#define REQUIRED_GAIN 0.9 // of the number of threads

static double read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static float *fill(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x);
    struct rng r;
    if (x == NULL)
        abort();
    rng_seed(&r, 1, 0);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(rng_uniform(&r) - 0.5);
    return x;
}

// FLOP/s of the faster of both ways to multiply squares.
static double best_rate(void)
{
    float *a = fill(1024 * 1024), *b = fill(1024 * 1024), *c = fill(1024 * 1024);
    double best = 0;
    for (int64_t n = 128; n <= 1024; n *= 2)
        for (int large = 0; large < 2; large++)
            for (int i = 0; i < 5; i++) {
                int64_t times =
                    (int64_t)1 << 28 > n * n * n ? ((int64_t)1 << 28) / (n * n * n) : 1;
                double start = seconds();
                for (int64_t k = 0; k < times; k++)
                    (large ? gemm_large : gemm_small)(false, false, n, n, n, a, n, b, n, false,
                                                      c, n);
                double rate = 2 * (double)(n * n * n * times) / (seconds() - start);
                best = rate > best ? rate : best;
            }
    free(a), free(b), free(c);
    return best;
}

// Bytes/s of c = a + b, 64 MiB each.
static double best_bandwidth(void)
{
    const int64_t n = 1 << 24;
    float *a = fill(n), *b = fill(n), *c = fill(n);
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double start = seconds();
        for (int64_t k = 0; k < n; k++)
            c[k] = a[k] + b[k];
        __asm__ volatile("" : : "r"(c) : "memory"); // c is used: the loop stays
        double rate = 3 * (double)n * sizeof *a / (seconds() - start);
        best = rate > best ? rate : best;
    }
    free(a), free(b), free(c);
    return best;
}

struct roofline {
    double rate, bandwidth;
    double floor, flops; // seconds, FLOPs of one step
};

static void op(struct roofline *r, double flops, double reals)
{
    double compute = flops / r->rate, memory = 4 * reals / r->bandwidth;
    r->floor += compute > memory ? compute : memory;
    r->flops += flops;
}

// y [m, n] = x [m, k] W^T: forward, dx, dW.
static void product(struct roofline *r, double m, double n, double k, double matrices)
{
    for (int i = 0; i < 3; i++)
        op(r, 2 * m * n * k, m * (n + k) + matrices * n * k);
}

static void norm(struct roofline *r, double T, double d)
{
    op(r, 0, 2 * T * d); // x -> y
    op(r, 0, 4 * T * d); // dy, x, dx -> dx
}

static void attention(struct roofline *r, const struct arch *a, double T)
{
    double d = (double)a->d, keys = ((double)a->S + 1) / 2; // on average
    double q = (double)(a->N_q * a->d_qkv), kv = (double)(a->N_kv * a->d_qkv);
    norm(r, T, d);
    product(r, T, q + 2 * kv, d, 1);
    op(r, 0, 2 * T * (q + kv)); // RoPE in place
    op(r, 0, 2 * T * (q + kv));
    op(r, 4 * T * q * keys, T * (2 * q + 2 * kv)); // two products: q, k, v -> o
    op(r, 8 * T * q * keys, T * (4 * q + 4 * kv)); // four: q, k, v, o, do -> dq, dk, dv
    product(r, T, d, q, 1);
    op(r, 0, 2 * T * d); // residual
}

static void ffn(struct roofline *r, double rows, double d, double F, double experts)
{
    product(r, rows, 2 * F, d, experts);
    product(r, rows, d, F, experts);
    op(r, 0, rows * 3 * F); // SwiGLU: gate, up -> h
    op(r, 0, rows * 6 * F); // dh, gate, up -> their gradients, h
}

static void moe(struct roofline *r, const struct arch *a, double T)
{
    double d = (double)a->d, E = (double)a->N_e, K = (double)a->K;
    product(r, T, E, d, 1); // router
    op(r, 0, 2 * T * E);    // softmax
    op(r, 0, 2 * T * E);
    op(r, 0, 2 * T * K * d);         // gather
    op(r, 0, T * K * d + 2 * T * d); // combine
    op(r, 0, 4 * T * K * d);         // backward: both gathers
    op(r, 0, T * K * d + 2 * T * d); // and the combine
    ffn(r, T * K, d, (double)a->d_m, E);
    if (a->n_shared > 0)
        ffn(r, T, d, (double)(a->n_shared * a->d_m), 1);
}

static void step_floor(struct roofline *r, const struct arch *a, double T, int64_t params)
{
    double d = (double)a->d, V = (double)a->V;
    for (int64_t l = 0; l < a->L_d + a->L_m; l++) {
        attention(r, a, T);
        norm(r, T, d);
        if (l < a->L_d)
            ffn(r, T, d, (double)a->d_d, 1);
        else
            moe(r, a, T);
    }
    op(r, 0, 2 * T * d); // embedding
    op(r, 0, 3 * T * d);
    norm(r, T, d);
    product(r, T, V, d, 1);
    op(r, 0, 2 * T * V);          // softmax and its gradient
    op(r, 0, 8 * (double)params); // norm reads g; AdamW reads p, g, m, v, writes p, m, v
}

struct size {
    const char *name;
    struct arch arch;
    int64_t tokens;
    int steps;
};

// One model and the text that it repeats.
struct trial {
    struct model *m;
    int32_t tokens[MOST_TOKENS + 1];
    int64_t step;
    double best; // seconds
};

static void trial_start(struct trial *t, const struct size *s, enum gemm_kind gemm, int threads)
{
    struct job_model opt = {.rope_base = 10000, .init_scale = 1};
    struct rng r;
    if (model_create(&s->arch, &opt, ops_cpu(), gemm, s->tokens, threads, &t->m) != OK) {
        fprintf(stderr, "bench_step: %s\n", err_message());
        exit(1);
    }
    model_init(t->m, 1);
    rng_seed(&r, 1, 1);
    for (int i = 0; i <= MOST_TOKENS; i++)
        t->tokens[i] = (int32_t)rng_below(&r, (uint64_t)s->arch.V);
    t->step = 0;
    t->best = 1e9;
}

static void trial_step(struct trial *t, const struct size *s, clockid_t clock)
{
    const struct job_train train = {.beta1 = 0.9, .beta2 = 0.95, .wd = 0.1};
    double start = read_clock(clock);
    model_gradients(t->m, t->tokens, t->tokens + 1, s->tokens, 0.01);
    model_clip(t->m, 1);
    model_step(t->m, &train, 1e-3, ++t->step);
    double took = read_clock(clock) - start;
    t->best = took < t->best ? took : t->best;
}

// Seconds of the fastest step.
static double best_step(const struct size *s, int64_t *params)
{
    struct trial t;
    trial_start(&t, s, GEMM_FULL, 1);
    *params = model_n_params(t.m);
    for (int i = 0; i < s->steps; i++)
        trial_step(&t, s, CLOCK_PROCESS_CPUTIME_ID);
    model_free(t.m);
    return t.best;
}

// --precision bf16: steps of both precisions in turn, so that what else the machine does
// touches both.
static void compare_precisions(const struct size *sizes, int n_sizes)
{
    enum gemm_kind bf16 = gemm_kind_bf16();
    printf("bf16 on %s%s\nsize  f32 ms  bf16 ms  times faster  bf16 tokens/s\n", gemm_backend(),
           gemm_kind_suffix(bf16));
    for (const struct size *s = sizes; s < sizes + n_sizes; s++) {
        struct trial full, half;
        trial_start(&full, s, GEMM_FULL, 1);
        trial_start(&half, s, bf16, 1);
        for (int i = 0; i < s->steps; i++) {
            trial_step(&full, s, CLOCK_PROCESS_CPUTIME_ID);
            trial_step(&half, s, CLOCK_PROCESS_CPUTIME_ID);
        }
        model_free(full.m);
        model_free(half.m);
        printf("%-4s %7.2f %8.2f %13.2f %14.0f\n", s->name, 1e3 * full.best, 1e3 * half.best,
               full.best / half.best, (double)s->tokens / half.best);
        fflush(stdout);
    }
}

// How much faster steps of several threads are. Interference on either side spoils one turn,
// not the result.
static double print_gain(const struct size *s, enum gemm_kind gemm, int threads)
{
    struct trial one, many;
    trial_start(&one, s, gemm, 1);
    trial_start(&many, s, gemm, threads);
    for (int i = 0; i < 2 * s->steps; i++) {
        trial_step(&one, s, CLOCK_MONOTONIC);
        trial_step(&many, s, CLOCK_MONOTONIC);
    }
    model_free(one.m), model_free(many.m);
    printf("%-4s %10.2f %11.2f %6.2f %9.0f\n", s->name, 1e3 * one.best, 1e3 * many.best,
           one.best / many.best, (double)s->tokens / many.best);
    fflush(stdout);
    return one.best / many.best;
}

// Whether a step's tensors leave the caches, so that the roofline's bandwidth bounds them.
static bool streams(const struct size *s)
{
    return s->tokens == MOST_TOKENS;
}

static void print_row(const struct size *s, int64_t params, double t, const struct roofline *r)
{
    printf("%-4s %11lld %8.2f ", s->name, (long long)params, 1e3 * t);
    if (streams(s))
        printf("%9.2f %12.2f", 1e3 * r->floor, r->floor / t);
    else
        printf("%9s %12s", "-", "-");
    printf(" %11.2f %9.0f %8.1f\n", r->flops / r->rate / t, (double)s->tokens / t,
           r->flops / t / 1e9);
}

static bool required(const char *size)
{
    return strcmp(size, "S") == 0 || strcmp(size, "M") == 0;
}

static int gains(const struct size *sizes, int n, enum gemm_kind gemm, int threads, bool check)
{
    bool failed = false;
    printf("size  1 thread ms  %d threads ms  gain  tokens/s\n", threads);
    for (int i = 0; i < n; i++) {
        bool wanted = strcmp(sizes[i].name, "M") == 0 || strcmp(sizes[i].name, "L") == 0;
        double gain = print_gain(&sizes[i], gemm, threads);
        failed |= wanted && !(gain >= REQUIRED_GAIN * threads);
    }
    if (failed)
        fprintf(stderr, "bench_step: M or L gains less than %.2f\n", REQUIRED_GAIN * threads);
    return check && failed;
}

int main(int argc, char **argv)
{
    // d, layers, heads, expert width, experts, K
#define SIZE(name, d, L, H, F, E, K, steps)                                                    \
    {                                                                                          \
        name, {0, L, d, (d) / (H), 3 * (d), F, H, H, 256, E, K, 0, 256}, 4096, steps           \
    }
    // d, d_qkv, expert width
#define TINY(name, d, q, F)                                                                    \
    {                                                                                          \
        name, {1, 1, d, q, 3 * (d), F, 2, 1, 64, 16, 2, 1, 80}, 256, 300                       \
    }
    static const struct size sizes[] = {TINY("d10", 10, 6, 26),
                                        TINY("d16", 16, 8, 24),
                                        TINY("d24", 24, 14, 40),
                                        TINY("d40", 40, 20, 64),
                                        SIZE("XS", 32, 2, 1, 32, 4, 1, 40),
                                        SIZE("S", 64, 4, 2, 64, 8, 2, 20),
                                        SIZE("M", 128, 6, 4, 128, 16, 2, 8),
                                        SIZE("L", 256, 8, 4, 128, 32, 4, 3)};
    const int n_sizes = sizeof sizes / sizeof *sizes;
    bool bf16 = false, json = false, check = false, quick = false, failed = false;
    int threads = 0;
    for (int i = 1; i < argc; i++) {
        json |= strcmp(argv[i], "--json") == 0;
        check |= strcmp(argv[i], "--check") == 0;
        quick |= strcmp(argv[i], "--quick") == 0;
        if (strcmp(argv[i], "--precision") == 0 && i + 1 < argc)
            bf16 = strcmp(argv[++i], "bf16") == 0;
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            threads = atoi(argv[++i]);
    }
    if (threads > 0)
        return gains(sizes, quick ? n_sizes - 1 : n_sizes, bf16 ? gemm_kind_bf16() : GEMM_FULL,
                     threads, check);
    gemm_one_thread();
    if (bf16) {
        compare_precisions(sizes, quick ? n_sizes - 1 : n_sizes);
        return 0;
    }
    double rate = best_rate(), bandwidth = best_bandwidth();
    if (json)
        printf("{\"rate\":%.6g,\"bandwidth\":%.6g,\"blas\":\"%s\",\"sizes\":[", rate, bandwidth,
               gemm_backend());
    else
        printf(
            "products %.0f GFLOP/s (best square, %s), memory %.1f GB/s\n"
            "size  parameters  step ms  floor ms  of roofline  FLOPs/rate  tokens/s  GFLOP/s\n",
            rate / 1e9, gemm_backend(), bandwidth / 1e9);
    for (int i = 0; i < (quick ? n_sizes - 1 : n_sizes); i++) {
        struct roofline r = {rate, bandwidth, 0, 0};
        int64_t params;
        double t = best_step(&sizes[i], &params);
        step_floor(&r, &sizes[i].arch, (double)sizes[i].tokens, params);
        double reached = r.floor / t;
        failed |= required(sizes[i].name) && !(reached >= REQUIRED);
        if (json)
            printf("%s{\"size\":\"%s\",\"params\":%lld,\"seconds\":%.6g,\"flops\":%.6g,"
                   "\"flops_over_rate\":%.4f,\"tokens_per_second\":%.6g",
                   i > 0 ? "," : "", sizes[i].name, (long long)params, t, r.flops,
                   r.flops / rate / t, (double)sizes[i].tokens / t);
        if (json && streams(&sizes[i]))
            printf(",\"floor\":%.6g,\"reached\":%.4f", r.floor, reached);
        if (json)
            printf("}");
        else
            print_row(&sizes[i], params, t, &r);
        fflush(stdout);
    }
    if (json)
        printf("]}\n");
    if (failed)
        fprintf(stderr, "bench_step: S or M is under %.0f %% of the roofline\n",
                100 * REQUIRED);
    return check && failed;
}
