// SPDX-License-Identifier: Apache-2.0
// Runs every operation of a backend over a list of shapes and writes its outputs for test_ops.c
// (op_run.h). Built over the CPU's kernels in float and in double, and over the CUDA kernels in
// the emulator's flavours. A third argument names the only group to run. The first shapes of
// every list, `few`, are what each change runs. Roundings are counted as in
// tests/kernels/dump_ops.c.
#include "tests/cuda/op_run.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- linear, embed
// ----------------------------------------------------------------------------

// How: products of normal numbers, exact ones, in full precision whatever the way (a router's),
// with weights that the backend keeps rounded copies of.
enum how { NORMAL, WHOLE, ROUTER, KEPT };

static void linear(int64_t T, int64_t I, int64_t O, enum how how, int skip)
{
    const bool whole = how == WHOLE;
    const enum gemm_kind kind = how == ROUTER ? GEMM_FULL : run.kind;
    op_begin(skip, &(struct ops_sizes){.T = T, .R = T, .d = I, .F = O, .params = OP_PARAMS},
             "linear %dx%dx%d/%d+%d", (int)T, (int)I, (int)O, how, skip);
    act *x = whole ? op_whole_acts(T * I, 4) : op_normal_acts(T * I, 1);
    real *w = whole         ? op_whole(O * I, 4)
              : how == KEPT ? op_params(O * I + 5, 1) + 5
                            : op_normal(O * I, 1);
    real *dy = whole ? op_whole(T * O, 4) : op_normal(T * O, 1);
    real *sum = whole ? op_whole(T * O, 4) : op_normal(T * O, 1);
    real *dx = op_unset(T * I), *dw = op_unset(O * I);
    if (how == ROUTER) {
        real *y = op_unset(T * O);
        run.ops->linear_fwd(y, x, w, T, I, O, kind);
        op_emit("y", y, T * O, (double)I);
    } else {
        act *y = op_unset_acts(T * O);
        run.ops->linear_fwd(y, x, w, T, I, O, kind);
        op_emit_acts("y", y, T * O, whole ? 0 : (double)I);
    }
    run.ops->linear_fwd_add(sum, x, w, T, I, O, kind);
    op_emit("y+", sum, T * O, whole ? 0 : (double)I + 1);
    run.ops->linear_bwd(dx, dw, dy, x, w, T, I, O, 0, kind);
    op_emit("dx", dx, T * I, whole ? 0 : (double)O);
    op_emit("dw", dw, O * I, whole ? 0 : (double)T);
    run.ops->linear_bwd(dx, dw, dy, x, w, T, I, O, LINEAR_ADD_DX, kind);
    op_emit("dx+", dx, T * I, whole ? 0 : (double)O + 1);
    run.ops->linear_bwd(dx, dw, dy, x, w, T, I, O, LINEAR_ADD_DW, kind);
    op_emit("dw+", dw, O * I, whole ? 0 : (double)T + 1);
    op_end();
}

static void linears(void)
{
    static const struct {
        int64_t T, I, O;
        enum how how;
    } shapes[] = {
        {1, 1, 1, NORMAL},   {13, 10, 30, NORMAL},  {37, 20, 33, WHOLE},   {19, 24, 5, ROUTER},
        {11, 9, 7, KEPT},    {1, 40, 7, NORMAL},    {257, 48, 18, NORMAL}, {64, 500, 3, NORMAL},
        {3, 7, 300, NORMAL}, {128, 64, 64, NORMAL}, {100, 31, 97, WHOLE},  {128, 32, 64, WHOLE},
        {1, 16, 1, ROUTER},  {130, 48, 16, ROUTER}, {64, 32, 48, KEPT},    {33, 63, 65, NORMAL},
    };
    EACH(i, shapes, 5)
    linear(shapes[i].T, shapes[i].I, shapes[i].O, shapes[i].how, (int)(i % 2));
}

static void embed(int64_t T, int64_t V, int64_t C, bool whole, int skip)
{
    op_begin(skip, &(struct ops_sizes){.T = T, .R = T, .d = C, .V = V}, "embed %dx%dx%d/%d+%d",
             (int)T, (int)V, (int)C, whole, skip);
    int32_t *host = malloc((size_t)T * sizeof *host);
    for (int64_t i = 0; i < T; i++)
        host[i] = (int32_t)(V - 1 - i * i % V);
    real *w = op_normal(V * C, 1), *y = op_unset(T * C);
    real *dy = whole ? op_whole(T * C, 9) : op_normal(T * C, 1);
    real *dw = whole ? op_whole(V * C, 9) : op_normal(V * C, 1);
    int32_t *token = op_ints(host, T);
    run.ops->embed_fwd(y, w, token, T, C);
    op_emit("y", y, T * C, 0);
    run.ops->embed_bwd(dw, dy, token, T, C);
    op_emit("dw", dw, V * C, whole ? 0 : (double)T);
    free(host);
    op_end();
}

static void embeds(void)
{
    static const struct {
        int64_t T, V, C;
        bool whole;
    } shapes[] = {
        {1, 1, 1, false},    {40, 7, 5, true},    {65, 33, 36, false},
        {300, 1, 20, true},  {70, 5000, 8, true}, {513, 257, 3, false},
        {33, 2, 300, false}, {1, 300, 64, false}, {3000, 300, 4, true},
    };
    EACH(i, shapes, 3)
    embed(shapes[i].T, shapes[i].V, shapes[i].C, shapes[i].whole, (int)(i % 2));
}

// ---- norms, rope
// ------------------------------------------------------------------------------

static void rmsnorm(int64_t T, int64_t C, double sd, int skip)
{
    op_begin(skip, &(struct ops_sizes){.T = T, .R = T, .d = C}, "rmsnorm %dx%d/%g+%d", (int)T,
             (int)C, sd, skip);
    real *x = op_normal(T * C, sd), *g = op_normal(C, 1), *dy = op_normal(T * C, 1);
    real *r = op_unset(T), *dx = op_normal(T * C, 1), *dg = op_normal(C, 1);
    act *y = op_unset_acts(T * C);
    run.ops->rmsnorm_fwd(y, r, x, g, T, C);
    op_emit_acts("y", y, T * C, (double)C + 6);
    op_emit("r", r, T, (double)C + 5);
    run.ops->rmsnorm_bwd(dx, dg, dy, x, g, r, T, C);
    op_emit("dx", dx, T * C, 2 * (double)C + 12);
    op_emit("dg", dg, C, (double)(T + C) + 8);
    op_end();
}

static void rmsnorms(void)
{
    static const struct {
        int64_t T, C;
        double sd;
    } shapes[] = {
        {1, 1, 1},    {20, 10, 2}, {9, 200, 2},    {33, 64, 1},  {300, 36, 1e-3},
        {2, 1027, 1}, {70, 48, 0}, {1, 4096, 1e3}, {5000, 3, 1},
    };
    EACH(i, shapes, 3)
    rmsnorm(shapes[i].T, shapes[i].C, shapes[i].sd, (int)(i % 2));
}

static void heads(int64_t n, int64_t Hq, int64_t Hkv, int64_t D, int skip)
{
    const struct head_sizes h = {n, Hq, Hkv, D, (Hq + 2 * Hkv) * D};
    op_begin(skip, &(struct ops_sizes){.T = n, .R = n, .Hq = Hq, .Hkv = Hkv, .D = D},
             "heads %dx%d/%dx%d+%d", (int)n, (int)Hq, (int)Hkv, (int)D, skip);
    act *x = op_normal_acts(n * h.ld, 2), *y = op_unset_acts(n * h.ld);
    real *gq = op_normal(D, 1), *gk = op_normal(D, 1), *r = op_unset(n * (Hq + Hkv));
    real *d = op_normal(n * h.ld, 1), *dgq = op_normal(D, 1), *dgk = op_normal(D, 1);
    run.ops->rmsnorm_heads_fwd(y, r, x, gq, gk, h);
    op_emit_acts("y", y, n * h.ld, (double)D + 6);
    op_emit("r", r, n * (Hq + Hkv), (double)D + 5);
    run.ops->rmsnorm_heads_bwd(d, dgq, dgk, x, gq, gk, r, h, run.scratch);
    op_emit("d", d, n * h.ld, 2 * (double)D + 12);
    op_emit("dgq", dgq, D, (double)(n * Hq + D) + 8);
    op_emit("dgk", dgk, D, (double)(n * Hkv + D) + 8);
    op_end();
}

static void rope(int64_t B, int64_t T, int64_t H, int64_t D, int64_t ld, bool whole, int skip)
{
    op_begin(skip,
             &(struct ops_sizes){.T = B * T, .R = B * T, .S = T, .Hq = H, .Hkv = H, .D = D},
             "rope %dx%dx%dx%d/%d/%d+%d", (int)B, (int)T, (int)H, (int)D, (int)ld, whole, skip);
    int64_t n = B * T * ld;
    double *angles = malloc((size_t)(T * D) * sizeof *angles);
    for (int64_t t = 0; t < T; t++)
        for (int64_t j = 0; j < D / 2; j++) {
            double angle = (double)t * pow(100, -2 * (double)j / (double)D);
            angles[t * D + j] = cos(angle), angles[t * D + D / 2 + j] = sin(angle);
        }
    real *table = whole ? op_whole(T * D, 3) : op_reals(angles, T * D);
    act *x = whole ? op_whole_acts(n, 9) : op_normal_acts(n, 1);
    real *dx = whole ? op_whole(n, 9) : op_normal(n, 1);
    run.ops->rope_fwd(x, table, B, T, H, D, ld);
    op_emit_acts("y", x, n, whole ? 0 : 3);
    run.ops->rope_bwd(dx, table, B, T, H, D, ld);
    op_emit("dx", dx, n, whole ? 0 : 3);
    free(angles);
    op_end();
}

static void heads_and_ropes(void)
{
    static const struct {
        int64_t B, T, Hq, Hkv, D;
    } shapes[] = {
        {1, 1, 1, 1, 2},   {2, 9, 4, 2, 10},   {1, 5, 3, 3, 64},
        {1, 40, 2, 1, 16}, {3, 33, 3, 1, 128}, {2, 7, 12, 4, 6},
    };
    EACH(i, shapes, 2)
    {
        int64_t B = shapes[i].B, T = shapes[i].T, Hq = shapes[i].Hq, Hkv = shapes[i].Hkv,
                D = shapes[i].D;
        heads(B * T, Hq, Hkv, D, (int)(i % 2));
        rope(B, T, Hq + Hkv, D, (Hq + 2 * Hkv) * D, i % 2, (int)(i % 2));
    }
    rope(1, 3, 2, 4, 9, true, 1);
}

// ---- attention
// --------------------------------------------------------------------------------

// Scores of standard deviation sd^2: an error of one, of D products and a scaling, is
// multiplied by up to 5 sd^2 in the exponent's argument, and as often more in what multiplies
// P. normed: queries and keys are read from rows of their own.
static void attention(struct attention_sizes n, double sd, bool normed, int skip)
{
    const double score = 25 * sd * sd * (double)(n.D + 2), sum = (double)n.T + 12;
    int64_t T = n.B * n.T, in = T * n.ld, out = T * n.Hq * n.D;
    op_begin(skip,
             &(struct ops_sizes){
                 .T = T, .R = T, .S = n.T, .Hq = n.Hq, .Hkv = n.Hkv, .D = n.D, .d = n.Hq * n.D},
             "attention %dx%d/%d/%dx%d/%g/%d+%d", (int)n.B, (int)n.T, (int)n.Hq, (int)n.Hkv,
             (int)n.D, sd, normed, skip);
    act *qkv = op_normal_acts(in, sd), *qk = normed ? op_normal_acts(in, sd) : qkv;
    act *o = op_unset_acts(out);
    real *d_o = op_normal(out, 1), *lse = op_unset(T * n.Hq), *d = op_unset(in);
    run.ops->attention_fwd(o, lse, qk, qkv, n, run.kind, run.scratch);
    op_emit_acts("o", o, out, n.T == 1 ? 0 : score + 2 * sum);
    op_emit("lse", lse, T * n.Hq, score + sum);
    run.ops->attention_bwd(d, d_o, qk, qkv, o, lse, n, run.kind, run.scratch);
    op_emit("dqkv", d, in, 2 * score + 4 * sum + 2 * (double)n.D);
    op_end();
}

static void attentions(void)
{
    static const struct {
        int64_t B, T, Hq, Hkv, D;
        double sd;
        bool normed;
    } shapes[] = {
        {1, 1, 1, 1, 2, 1, false},    {2, 37, 4, 2, 6, 1, true},    {1, 66, 2, 2, 16, 1, false},
        {3, 1, 2, 1, 16, 1, false},   {1, 130, 2, 2, 32, 1, true},  {2, 40, 2, 1, 64, 1, false},
        {1, 70, 3, 3, 128, 1, false}, {1, 33, 8, 1, 2, 1, false},   {1, 64, 2, 1, 64, 1, true},
        {2, 31, 6, 2, 10, 1, false},  {1, 97, 1, 1, 100, 1, false}, {1, 80, 2, 1, 16, 4, false},
        {1, 257, 1, 1, 16, 1, false}, {1, 129, 2, 1, 128, 1, true}, {5, 2, 2, 2, 8, 1, false},
        {1, 40, 2, 1, 256, 1, true},  {1, 37, 2, 1, 130, 1, false}, {1, 70, 2, 1, 160, 1, true},
        {1, 33, 1, 1, 256, 1, false},
    };
    EACH(i, shapes, 3)
    {
        const struct attention_sizes n = {
            shapes[i].B,   shapes[i].T, shapes[i].Hq,
            shapes[i].Hkv, shapes[i].D, (shapes[i].Hq + 2 * shapes[i].Hkv) * shapes[i].D};
        attention(n, shapes[i].sd, shapes[i].normed, (int)(i % 2));
    }
}

// ---- the loss
// ---------------------------------------------------------------------------------

// add: loss and gradient of the weights are added to others, too.
static void unembed(int64_t T, int64_t n, int64_t C, int64_t V, double sd, bool add, int skip)
{
    op_begin(skip, &(struct ops_sizes){.T = T, .R = T, .d = C, .V = V},
             "unembed %d/%dx%dx%d/%g+%d", (int)T, (int)n, (int)C, (int)V, sd, skip);
    int32_t *host = malloc((size_t)T * sizeof *host);
    for (int64_t i = 0; i < T; i++)
        host[i] = (int32_t)(i * 11 % V);
    host[T - 1] = (int32_t)V - 1;
    act *x = op_normal_acts(T * C, 1);
    real *w = op_normal(V * C, sd), *dx = op_unset(T * C), *dw = op_unset(V * C);
    double *at = op_unset_double(), loss, c = (double)C, v = (double)V;
    int32_t *target = op_ints(host, T);
    // Logits up to 5 sd sqrt(C): their errors are multiplied by as much in the exponent.
    const double z = 5 * sd * sqrt(c) + 1;
    run.ops->unembed_xent(at, NULL, NULL, x, w, target, T, n, C, V, false, run.kind,
                          run.scratch);
    run.ops->download(&loss, at, sizeof loss);
    op_emit_host("only loss", &loss, 1, z * c + v);
    run.ops->unembed_xent(at, dx, dw, x, w, target, T, n, C, V, false, run.kind, run.scratch);
    run.ops->download(&loss, at, sizeof loss);
    op_emit_host("loss", &loss, 1, z * c + v);
    op_emit("dx", dx, T * C, z * z * c + 2 * v + 8);
    op_emit("dw", dw, V * C, z * z * c + v + (double)T);
    if (add) {
        real *sum = op_normal(V * C, .1);
        run.ops->unembed_xent(at, dx, sum, x, w, target, T, n, C, V, true, run.kind,
                              run.scratch);
        run.ops->download(&loss, at, sizeof loss);
        op_emit_host("loss added", &loss, 1, z * c + v + 1);
        op_emit("dw added", sum, V * C, z * z * c + v + (double)T + 1);
    }
    free(host);
    op_end();
}

static void unembeds(void)
{
    static const struct {
        int64_t T, n, C, V;
        double sd;
    } shapes[] = {
        {1, 1, 1, 1, 1},        {17, 17, 16, 81, .5},  {9, 12, 20, 257, .3},
        {300, 300, 16, 80, .5}, {1, 1, 32, 3001, .3},  {33, 33, 48, 2, 2},
        {130, 130, 8, 1024, 1}, {66, 66, 64, 511, .2}, {64, 64, 12, 97, 8},
    };
    EACH(i, shapes, 3)
    unembed(shapes[i].T, shapes[i].n, shapes[i].C, shapes[i].V, shapes[i].sd, i % 2 == 0,
            (int)(i % 2));
}

// ---- optimizers and the small ones
// ------------------------------------------------------------

static void adamw(int64_t n, int64_t steps, bool whole, int skip)
{
    op_begin(skip, &(struct ops_sizes){.params = n}, "adamw %d/%d/%d+%d", (int)n, (int)steps,
             whole, skip);
    real *p = op_normal(n, 1), *g = whole ? op_whole(n, 50) : op_normal(n, 1e-2);
    real *m = op_normal(n, 0), *v = op_normal(n, 0), *copy = op_unset(n + 3);
    double square = run.ops->grad_square(g, n);
    op_emit_host("square", &square, 1, whole ? 0 : 3);
    run.ops->grad_scale(g, n, whole ? .5 : .3);
    op_emit("scaled", g, n, whole ? 0 : 2);
    for (int64_t i = 1; i <= steps; i++)
        run.ops->adamw_update(p, m, v, g, n, &(struct adamw){.01, .9, .95, 1e-8, .1, i});
    op_emit("p", p, n, (double)steps * 8);
    op_emit("m", m, n, (double)steps * 3 + 2);
    op_emit("v", v, n, (double)steps * 4 + 4);
    run.ops->copy(copy + 1, g, n);
    run.ops->clear(copy, 1);
    run.ops->clear(copy + n / 2, 1);
    op_emit("copy", copy, n + 3, 2);
    op_end();
}

// As in dump_ops.c: an iteration multiplies earlier errors by up to 4.25.
static void muon(int64_t count, int64_t rows, int64_t cols, bool zero, int skip)
{
    int64_t n = rows * cols, side = rows < cols ? rows : cols, scratch;
    const double once = 20. * 20. * (double)(rows + cols + 2 * side), grow = 4.25 * 4.25;
    double k = 0;
    for (int i = 0; i < 5; i++)
        k = (k + once) * grow;
    op_begin(skip, &(struct ops_sizes){.params = count * n}, "muon %dx%dx%d/%d+%d", (int)count,
             (int)rows, (int)cols, zero, skip);
    scratch = run.ops->muon_scratch(count, rows, cols);
    real *p = op_normal(count * n, 1), *g = op_normal(count * n, zero ? 0 : 1);
    real *m = op_normal(count * n, zero ? 0 : .1), *work = op_scratch(scratch);
    run.ops->muon_update(p, m, g, count, rows, cols, &(struct muon){.01, .1}, work);
    op_emit("p", p, count * n, k * 1e-4 + 3);
    op_emit("m", m, count * n, 3);
    op_end();
}

// What the optimizers leave is what the next product reads.
static void kept(int skip)
{
    enum { T = 21, I = 12, O = 20 };
    op_begin(skip, &(struct ops_sizes){.T = T, .R = T, .d = I, .F = O, .params = OP_PARAMS},
             "kept+%d", skip);
    real *w = op_params(2 * O * I, 1), *g = op_normal(2 * O * I, 1),
         *m = op_normal(2 * O * I, 0);
    real *v = op_normal(2 * O * I, 0), *work = op_scratch(run.ops->muon_scratch(1, O, I));
    real *second = w + O * I, *y = op_normal(T * O, 1);
    act *x = op_normal_acts(T * I, 1);
    run.ops->adamw_update(w, m, v, g, O * I, &(struct adamw){.5, .9, .95, 1e-8, .1, 1});
    run.ops->muon_update(second, m + O * I, g + O * I, 1, O, I, &(struct muon){.5, .1}, work);
    run.ops->linear_fwd_add(y, x, w, T, I, O, run.kind);
    op_emit("adamw y", y, T * O, I + 20);
    run.ops->linear_fwd_add(y, x, second, T, I, O, run.kind);
    op_emit("muon y", y, T * O, 1000);
    op_end();
}

static void optimizers(void)
{
    static const struct {
        int64_t n, steps;
        bool whole;
    } arenas[] = {
        {1, 2, false}, {1000, 5, false}, {777, 1, true}, {5000, 2, false}, {70001, 1, true}};
    static const struct {
        int64_t count, rows, cols;
        bool zero;
    } matrices[] = {
        {1, 1, 1, false},   {3, 12, 20, false}, {2, 20, 9, false},
        {2, 5, 6, true},    {1, 24, 40, false}, {1, 70, 10, false},
        {5, 16, 16, false}, {1, 1, 50, false},  {1, 33, 65, false},
    };
    EACH(i, arenas, 3)
    adamw(arenas[i].n, arenas[i].steps, arenas[i].whole, (int)(i % 2));
    EACH(i, matrices, 4)
    muon(matrices[i].count, matrices[i].rows, matrices[i].cols, matrices[i].zero, (int)(i % 2));
    kept(0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } groups[] = {
        {"linear", linears},       {"embed", embeds},
        {"rmsnorm", rmsnorms},     {"heads", heads_and_ropes},
        {"attention", attentions}, {"router", routers},
        {"dispatch", dispatches},  {"ffn", ffns},
        {"unembed", unembeds},     {"optimizers", optimizers},
    };
    if (!op_run_open(argc, argv))
        return 1;
    for (size_t i = 0; i < COUNT(groups); i++)
        if (argc < 4 || strcmp(argv[3], groups[i].name) == 0)
            groups[i].run();
    return fflush(stdout) != 0;
}
