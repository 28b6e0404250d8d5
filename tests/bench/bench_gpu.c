// SPDX-License-Identifier: Apache-2.0
// Each CUDA operation and the whole step at three sizes (gpu_floor.c), against the time that an
// H100 would take at least.
//
//     bench_gpu --floor        the floors alone: no device is needed
//     bench_gpu [--f32] [SIZE] on this machine's device: the best of several runs by the clock
//     bench_gpu --json [SIZE]  the step's seconds, for compare_pytorch_gpu.py
//     bench_gpu --names        the sizes
//
// Exit codes: 0; 1: something failed; 2: no device.
#include "core/rng.h"
#include "tests/bench/gpu_floor.h"
#include "worker/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS 10
#define BATCH 1048576 // tokens of the batch that is cut into micro-batches
#define MICRO 4       // micro-batches of the batch that is timed
enum { MOST_BUFFERS = 24, PATTERN = 1 << 20 };

static struct bench {
    const struct ops *ops;
    const struct gpu_size *size;
    struct gpu_costs costs;
    enum gemm_kind kind;
    struct rng rng;
    void *buffer[MOST_BUFFERS];
    int n_buffers;
    double sum; // of calls times seconds
} b;

// ---- floors -------------------------------------------------------------------------------

static void print_floors(const struct gpu_size *s)
{
    const struct gpu_costs t = gpu_costs_of(s, true);
    printf("\n%s: %.2fe9 parameters, %lld tokens a step (sequences of %lld)\n\n"
           "| operation | calls | GFLOP | MB | floor, us | a step, ms | limited by |\n"
           "|---|--:|--:|--:|--:|--:|---|\n",
           s->name, t.params / 1e9, (long long)s->tokens, (long long)s->arch.S);
    for (int i = 0; i < t.n; i++) {
        const struct gpu_cost *c = &t.op[i];
        printf("| %s | %.0f | %.4g | %.4g | %.3g | %.3g | %s |\n", c->op, c->calls,
               c->flops / 1e9, c->bytes / 1e6, 1e6 * gpu_floor(c),
               1e3 * c->calls * gpu_floor(c), gpu_limit(c));
    }
    printf("| step | | %.4g | | | %.4g | |\n\nAt its floor a step would run %.3g tokens/s, at "
           "%.0f %% of the "
           "tensor cores' rate.\n",
           t.flops_step / 1e9, 1e3 * t.seconds_step, (double)s->tokens / t.seconds_step,
           100 * t.flops_step / H100_TENSOR / t.seconds_step);
    double micro = BATCH / (double)s->tokens, batch = gpu_batch_floor(&t, micro);
    printf(
        "A batch of %d tokens in %.0f such micro-batches: %.3g s, %.3g tokens/s; the experts' "
        "loads, counted ahead, are %.0f %% more FLOPs and %.0f %% of the time, adding "
        "gradients %.0f %%.\n",
        BATCH, micro, batch, BATCH / batch, 100 * t.flops_ahead / t.flops_step,
        100 * micro * t.seconds_ahead / batch, 100 * (micro - 1) * t.seconds_add / batch);
}

// ---- buffers and time ----------------------------------------------------------------------

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *get(int64_t n, size_t size)
{
    void *p = b.ops->alloc((size_t)n * size);
    if (p == NULL || b.n_buffers == MOST_BUFFERS) {
        fprintf(stderr, "bench_gpu: out of memory\n");
        exit(1);
    }
    return b.buffer[b.n_buffers++] = p;
}

// n uniform numbers around 0, of which the first million repeat; as bfloat16 their upper
// halves.
static void *numbers(int64_t n, size_t size)
{
    static float x[PATTERN];
    static uint16_t upper[PATTERN];
    char *p = get(n, size);
    for (int i = 0; i < PATTERN; i++) {
        uint32_t bits;
        x[i] = (float)(rng_uniform(&b.rng) - 0.5);
        memcpy(&bits, &x[i], sizeof bits);
        upper[i] = (uint16_t)(bits >> 16);
    }
    for (int64_t at = 0; at < n; at += PATTERN) {
        int64_t m = n - at < PATTERN ? n - at : PATTERN;
        b.ops->upload(p + (size_t)at * size, size == 2 ? (void *)upper : (void *)x,
                      (size_t)m * size);
    }
    return p;
}

static real *reals(int64_t n)
{
    return numbers(n, sizeof(real));
}

static act *acts(int64_t n)
{
    return numbers(n, b.ops->act_bytes);
}

static int32_t *ints(int64_t n, int64_t below)
{
    int32_t *host = malloc((size_t)n * sizeof *host), *p = get(n, sizeof *p);
    if (host == NULL)
        abort();
    for (int64_t i = 0; i < n; i++)
        host[i] = (int32_t)rng_below(&b.rng, (uint64_t)below);
    b.ops->upload(p, host, (size_t)n * sizeof *p);
    free(host);
    return p;
}

static void release(void)
{
    b.ops->weights_changed(NULL, 0); // other arrays will have these addresses
    while (b.n_buffers > 0)
        b.ops->release(b.buffer[--b.n_buffers]);
}

static void wait(void)
{
    float x;
    b.ops->download(&x, b.buffer[0], sizeof x);
}

static void report(const char *op, double seconds)
{
    for (int i = 0; i < b.costs.n; i++)
        if (strcmp(b.costs.op[i].op, op) == 0) {
            const struct gpu_cost *c = &b.costs.op[i];
            printf("| %s | %.0f | %.4g | %.3g | %.2f | %s |\n", op, c->calls, 1e6 * seconds,
                   1e6 * gpu_floor(c), gpu_floor(c) / seconds, gpu_limit(c));
            fflush(stdout);
            b.sum += c->calls * seconds;
        }
}

// The best of RUNS waits for 4 calls, a quarter of it.
#define TIME(op, call)                                                                         \
    do {                                                                                       \
        double best_ = 1e9;                                                                    \
        call;                                                                                  \
        wait();                                                                                \
        for (int run_ = 0; run_ < RUNS; run_++) {                                              \
            double start_ = now();                                                             \
            for (int i_ = 0; i_ < 4; i_++)                                                     \
                call;                                                                          \
            wait();                                                                            \
            double took_ = (now() - start_) / 4;                                               \
            best_ = took_ < best_ ? took_ : best_;                                             \
        }                                                                                      \
        report(op, best_);                                                                     \
    } while (0)

// ---- the operations -------------------------------------------------------------------------

static void time_small(void)
{
    const struct arch *a = &b.size->arch;
    int64_t T = b.size->tokens, d = a->d;
    real *x = reals(T * d), *y = reals(T * d), *r = reals(T), *g = reals(d), *dg = reals(d);
    real *w = reals(a->V * d);
    act *n = acts(T * d);
    int32_t *token = ints(T, a->V);
    TIME("embed_fwd", b.ops->embed_fwd(x, w, token, T, d));
    TIME("embed_bwd", b.ops->embed_bwd(w, x, token, T, d));
    TIME("copy", b.ops->copy(y, x, T * d));
    TIME("clear rows", b.ops->clear(y, T * d));
    TIME("clear embedding", b.ops->clear(w, a->V * d));
    TIME("rmsnorm_fwd", b.ops->rmsnorm_fwd(n, r, x, g, T, d));
    TIME("rmsnorm_bwd", b.ops->rmsnorm_bwd(y, dg, x, x, g, r, T, d));
    release();
}

static void time_linear(const char *fwd, const char *bwd, int64_t I, int64_t O, bool add)
{
    int64_t T = b.size->tokens;
    act *x = acts(T * I), *y = acts(T * O);
    real *w = reals(I * O), *sum = reals(T * O), *dx = reals(T * I), *dw = reals(I * O);
    b.ops->weights_changed(w, I * O);
    if (add)
        TIME(fwd, b.ops->linear_fwd_add(sum, x, w, T, I, O, b.kind));
    else
        TIME(fwd, b.ops->linear_fwd(y, x, w, T, I, O, b.kind));
    TIME(bwd, b.ops->linear_bwd(dx, dw, sum, x, w, T, I, O, 0, b.kind));
    release();
}

static void time_attention(void)
{
    const struct arch *a = &b.size->arch;
    const struct attention_sizes n = {b.size->tokens / a->S,
                                      a->S,
                                      a->N_q,
                                      a->N_kv,
                                      a->d_qkv,
                                      (a->N_q + 2 * a->N_kv) * a->d_qkv};
    int64_t T = b.size->tokens, Q = n.Hq * n.D;
    act *qkv = acts(T * n.ld), *o = acts(T * Q);
    real *lse = reals(T * n.Hq), *d_o = reals(T * Q), *d = reals(T * n.ld),
         *table = reals(a->S * n.D);
    TIME("rope_fwd", b.ops->rope_fwd(qkv, table, n.B, n.T, n.Hq + n.Hkv, n.D, n.ld));
    TIME("attention_fwd", b.ops->attention_fwd(o, lse, qkv, qkv, n, b.kind, NULL));
    TIME("attention_bwd", b.ops->attention_bwd(d, d_o, qkv, qkv, o, lse, n, b.kind, NULL));
    TIME("rope_bwd", b.ops->rope_bwd(d, table, n.B, n.T, n.Hq + n.Hkv, n.D, n.ld));
    release();
}

static void time_blocks(const char *fwd, const char *bwd, struct ffn_sizes n, int64_t R,
                        const real *s, real *ds)
{
    int64_t T = b.size->tokens, each = n.C * n.F;
    act *x = acts(T * n.C), *gu = acts(R * 2 * n.F);
    real *y = reals(T * n.C), *w = reals(n.E * 3 * each), *dw = reals(n.E * 3 * each);
    real *w_d = w + n.E * 2 * each, *dw_d = dw + n.E * 2 * each;
    b.ops->weights_changed(w, n.E * 3 * each);
    TIME(fwd, b.ops->ffn_fwd(y, gu, x, s, w, w_d, n, b.kind, NULL));
    TIME(bwd, b.ops->ffn_bwd(y, dw, dw_d, ds, y, x, gu, s, w, w_d, n, false, b.kind, NULL));
}

static void time_block(const char *fwd, const char *bwd, int64_t F)
{
    const int64_t T = b.size->tokens, all[2] = {0, T};
    time_blocks(fwd, bwd, (struct ffn_sizes){1, b.size->arch.d, F, all, NULL, NULL, 0}, T, NULL,
                NULL);
    release();
}

static void time_routed(void)
{
    const struct arch *a = &b.size->arch;
    const struct router_kind kind = {a->N_e, a->K, false, false};
    int64_t T = b.size->tokens, E = a->N_e, d = a->d, R = T * a->K, *offset;
    act *x = acts(T * d);
    real *z = reals(T * E), *p = reals(T * E), *dz = reals(T * E), *w = reals(R),
         *total = reals(T);
    real *w_router = reals(E * d), *dw_router = reals(E * d), *dx = reals(T * d);
    real *by_slot = reals(R), *ds = reals(R), *dp = calloc((size_t)E, sizeof *dp);
    int32_t *choice = ints(R, E), *token = ints(R, T), *slot = ints(R, R);
    offset = calloc((size_t)E + 1, sizeof *offset);
    if (offset == NULL || dp == NULL)
        abort();
    TIME("router_fwd", b.ops->router_fwd(p, choice, w, total, z, NULL, T, kind));
    TIME("dispatch_plan", b.ops->dispatch_plan(offset, token, slot, choice, T, E, a->K));
    TIME("dispatch_weights", b.ops->dispatch_weights(by_slot, w, slot, R));
    TIME("dispatch_weights_bwd", b.ops->dispatch_weights_bwd(w, by_slot, slot, R));
    TIME("router_bwd", b.ops->router_bwd(dz, w, dp, p, choice, w, total, T, kind));
    TIME("linear_fwd router", b.ops->linear_fwd(z, x, w_router, T, d, E, GEMM_FULL));
    TIME("linear_bwd router",
         b.ops->linear_bwd(dx, dw_router, dz, x, w_router, T, d, E, LINEAR_ADD_DX, GEMM_FULL));
    time_blocks("ffn_fwd routed", "ffn_bwd routed",
                (struct ffn_sizes){E, d, a->d_m, offset, token, slot, a->K}, R, by_slot, ds);
    free(offset), free(dp);
    release();
}

static void time_unembed(void)
{
    int64_t T = b.size->tokens, d = b.size->arch.d, V = b.size->arch.V;
    act *x = acts(T * d);
    real *w = reals(V * d), *dx = reals(T * d), *dw = reals(V * d);
    int32_t *target = ints(T, V);
    double *loss = get(1, sizeof *loss);
    b.ops->weights_changed(w, V * d);
    TIME("unembed_xent",
         b.ops->unembed_xent(loss, dx, dw, x, w, target, T, T, d, V, false, b.kind, NULL));
    release();
}

// On a tenth of the parameters, so that they fit beside nothing else; the rest is proportional.
static void time_optimizer(void)
{
    const struct adamw o = {1e-4, .9, .95, 1e-8, .1, 1};
    int64_t n = (int64_t)b.costs.params / 10;
    real *p = reals(n), *m = reals(n), *v = reals(n), *g = reals(n);
    double whole = b.costs.params / (double)n, start, took[2];
    b.ops->clear(v, n);
    b.ops->weights_changed(p, n);
    wait();
    for (int i = 0; i < 2; i++) { // the first call warms up
        start = now();
        b.ops->grad_square(g, n);
        took[0] = now() - start;
        start = now();
        b.ops->adamw_update(p, m, v, g, n, &o);
        wait();
        took[1] = now() - start;
    }
    report("grad_square", whole * took[0]);
    report("adamw_update", whole * took[1]);
    release();
}

static void time_operations(void)
{
    const struct arch *a = &b.size->arch;
    int64_t W = (a->N_q + 2 * a->N_kv) * a->d_qkv;
    time_small();
    time_linear("linear_fwd qkv", "linear_bwd qkv", a->d, W, false);
    time_linear("linear_fwd_add o", "linear_bwd o", a->N_q * a->d_qkv, a->d, true);
    time_attention();
    time_routed();
    if (a->n_shared > 0)
        time_block("ffn_fwd shared", "ffn_bwd shared", a->n_shared * a->d_m);
    if (a->L_d > 0)
        time_block("ffn_fwd dense", "ffn_bwd dense", a->d_d);
    time_unembed();
    time_optimizer();
}

// ---- the step -------------------------------------------------------------------------------

// Seconds of the fastest of RUNS steps of so many micro-batches.
static double best_step(struct model *m, int64_t micro)
{
    const struct job_train train = {.beta1 = 0.9, .beta2 = 0.95, .wd = 0.1};
    int64_t n = micro * b.size->tokens;
    int32_t *tokens = malloc((size_t)(n + 1) * sizeof *tokens);
    double best = 1e9;
    if (tokens == NULL)
        abort();
    for (int64_t i = 0; i <= n; i++)
        tokens[i] = (int32_t)rng_below(&b.rng, (uint64_t)b.size->arch.V);
    for (int i = 0; i < RUNS; i++) {
        double start = now();
        model_gradients(m, tokens, tokens + 1, n, 0.01);
        model_clip(m, 1);
        model_step(m, &train, 1e-4, i + 1);
        model_loss(m);
        best = now() - start < best ? now() - start : best;
    }
    free(tokens);
    return best;
}

// The operations' workspace is that of the model, which is made first and freed before they
// run.
static int run_size(bool json)
{
    struct job_model opt = {.rope_base = 10000, .init_scale = 1};
    struct model *m;
    if (model_create(&b.size->arch, &opt, b.ops, b.kind, b.size->tokens, 1, &m) != OK) {
        fprintf(stderr, "bench_gpu: %s: %s\n", b.size->name, err_message());
        return 1;
    }
    model_init(m, 1);
    double step = best_step(m, 1), batch = best_step(m, MICRO);
    model_free(m);
    if (json) {
        json_t *arch = arch_to_json(&b.size->arch);
        json_t *line = json_pack("{s:s, s:I, s:f, s:f, s:o}", "size", b.size->name, "tokens",
                                 (json_int_t)b.size->tokens, "seconds", step, "floor",
                                 b.costs.seconds_step, "arch", arch);
        json_dumpf(line, stdout, 0);
        printf("\n");
        json_decref(line);
        return 0;
    }
    printf(
        "\n%s, %s\n\n| operation | calls | us | floor on an H100, us | of it | limited by |\n"
        "|---|--:|--:|--:|--:|---|\n",
        b.size->name, b.ops->name);
    b.sum = 0;
    time_operations();
    printf("| sum of the calls | | %.4g | | | |\n| step | 1 | %.4g | %.4g | %.2f | |\n"
           "| step of %d micro-batches | 1 | %.4g | %.4g | %.2f | |\n"
           "\n%.4g tokens/s, %.1f %% of the tensor cores' rate\n",
           1e6 * b.sum, 1e6 * step, 1e6 * b.costs.seconds_step, b.costs.seconds_step / step,
           MICRO, 1e6 * batch, 1e6 * gpu_batch_floor(&b.costs, MICRO),
           gpu_batch_floor(&b.costs, MICRO) / batch, (double)b.size->tokens / step,
           100 * b.costs.flops_step / H100_TENSOR / step);
    return 0;
}

int main(int argc, char **argv)
{
    const char *only = NULL;
    bool floors = false, names = false, json = false, bf16 = true;
    int status = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--floor") == 0)
            floors = true;
        else if (strcmp(argv[i], "--names") == 0)
            names = true;
        else if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--f32") == 0)
            bf16 = false;
        else
            only = argv[i];
    }
    for (int i = 0; names && i < GPU_SIZES; i++)
        printf("%s\n", gpu_sizes[i].name);
    if (names)
        return 0;
    if (!floors && ops_cuda(bf16, &b.ops) != OK) {
        fprintf(stderr, "bench_gpu: %s\n", err_message());
        return 2;
    }
    b.kind = bf16 ? GEMM_BF16 : GEMM_FULL;
    for (int i = 0; i < GPU_SIZES; i++) {
        b.size = &gpu_sizes[i];
        b.costs = gpu_costs_of(b.size, bf16);
        rng_seed(&b.rng, 1, 0);
        if (only != NULL && strcmp(only, b.size->name) != 0)
            continue;
        if (floors)
            print_floors(b.size);
        else
            status |= run_size(json);
    }
    return status;
}
