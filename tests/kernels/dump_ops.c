// SPDX-License-Identifier: Apache-2.0
// Runs every operation on fixed inputs that floats hold exactly, and writes its outputs to
// stdout for test_precision.c; with an argument, those that multiply matrices in bf16 (full,
// bf16, amx), for test_bf16.c. Built twice, in float and in double.
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/embed.h"
#include "kernels/ffn.h"
#include "kernels/linear.h"
#include "kernels/muon.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/router.h"
#include "kernels/swiglu.h"
#include "kernels/unembed.h"
#include "tests/kernels/dump_ops.h"
#include "tests/kernels/gradcheck.h"

// Normal numbers rounded to float in both builds.
static real *input(int64_t n, double sd, uint64_t stream)
{
    real *x = grad_random(n, sd, stream);
    for (int64_t i = 0; i < n; i++)
        x[i] = (real)(float)x[i];
    return x;
}

static real *zeros(int64_t n)
{
    real *x = calloc((size_t)n, sizeof *x);
    if (x == NULL)
        abort();
    return x;
}

// roundings: on the longest way from the inputs to an element of x.
static void emit(const char *name, const real *x, int64_t n, double roundings)
{
    struct dump_header h = {.n = n, .roundings = roundings};
    snprintf(h.name, sizeof h.name, "%s", name);
    fwrite(&h, sizeof h, 1, stdout);
    for (int64_t i = 0; i < n; i++) {
        double v = (double)x[i];
        fwrite(&v, sizeof v, 1, stdout);
    }
}

static void dump_linear(enum gemm_kind kind, int64_t T, int64_t I, int64_t O)
{
    real *x = input(T * I, 1, 1), *w = input(O * I, 1, 2), *dy = input(T * O, 1, 3);
    real *y = grad_output(T * O), *dx = grad_output(T * I), *dw = grad_output(O * I);
    linear_fwd(y, x, w, T, I, O, kind);
    linear_bwd(dx, dw, dy, x, w, T, I, O, 0, kind);
    emit("linear y", y, T * O, (double)I);
    emit("linear dx", dx, T * I, (double)O);
    emit("linear dw", dw, O * I, (double)T);
    free(x), free(w), free(dy), free(y), free(dx), free(dw);
}

static void dump_embed(void)
{
    enum { N = 40, V = 7, C = 5 };
    int32_t token[N];
    real *w = input(V * C, 1, 4), *dy = input(N * C, 1, 5), *y = grad_output(N * C),
         *dw = zeros(V * C);
    for (int i = 0; i < N; i++)
        token[i] = (int32_t)(i * i % V);
    embed_fwd(y, w, token, N, C);
    embed_bwd(dw, dy, token, N, C);
    emit("embed y", y, N * C, 0);
    emit("embed dw", dw, V * C, N);
    free(w), free(dy), free(y), free(dw);
}

static void dump_rmsnorm(int64_t T, int64_t C)
{
    real *x = input(T * C, 2, 6), *g = input(C, 1, 7), *dy = input(T * C, 1, 8);
    real *y = grad_output(T * C), *r = grad_output(T), *dx = zeros(T * C), *dg = zeros(C);
    rmsnorm_fwd(y, r, x, g, T, C);
    rmsnorm_bwd(dx, dg, dy, x, g, r, T, C);
    emit("rmsnorm y", y, T * C, (double)C + 6);
    emit("rmsnorm dx", dx, T * C, 2 * (double)C + 12);
    emit("rmsnorm dg", dg, C, (double)(T + C) + 8);
    free(x), free(g), free(dy), free(y), free(r), free(dx), free(dg);
}

static void dump_rope(void)
{
    enum { B = 2, N = 30, H = 3, D = 10, LD = 40 };
    real *x = input(B * N * LD, 1, 9), *table = grad_output(N * D);
    rope_table(table, N, D, 100);
    rope_fwd(x, table, B, N, H, D, LD);
    emit("rope y", x, B * N * LD, 4); // the table's, two products, a sum
    rope_bwd(x, table, B, N, H, D, LD);
    emit("rope dx", x, B * N * LD, 8);
    free(x), free(table);
}

// Scores of standard deviation 1 to 2 (largest about 5): an error of a score is multiplied by
// it in the exponent's argument, hence the factor.
static void dump_attention(enum gemm_kind kind, int64_t B, int64_t T, int64_t Hq, int64_t Hkv,
                           int64_t D)
{
    const struct attention_sizes n = {B, T, Hq, Hkv, D, (Hq + 2 * Hkv) * D};
    const double score = 25 * (double)(D + 2), sum = (double)T + 12;
    int64_t in = B * T * n.ld, out = B * T * Hq * D;
    real *qkv = input(in, 1, 10), *d_o = input(out, 1, 11), *o = grad_output(out);
    real *lse = grad_output(B * Hq * T), *d = grad_output(in),
         *scratch = grad_output(attention_scratch(T, D));
    attention_fwd(o, lse, qkv, qkv, n, kind, scratch);
    attention_bwd(d, d_o, qkv, qkv, o, lse, n, kind, scratch);
    emit("attention o", o, out, score + 2 * sum);
    emit("attention lse", lse, B * Hq * T, score + sum);
    emit("attention dqkv", d, in, 2 * score + 4 * sum + 2 * (double)D);
    free(qkv), free(d_o), free(o), free(lse), free(d), free(scratch);
}

static void dump_swiglu(int64_t T, int64_t F)
{
    real *gu = input(T * 2 * F, 2, 12), *s = input(T, 1, 13), *dh = input(T * F, 1, 14);
    real *h = grad_output(T * F), *dgu = grad_output(T * 2 * F), *ds = grad_output(T);
    swiglu_fwd(h, gu, s, T, F);
    emit("swiglu h", h, T * F, 9); // exponential 4, 1 +, quotient, three products
    swiglu_bwd(dgu, ds, h, dh, gu, s, T, F);
    emit("swiglu dgu", dgu, T * 2 * F, 14);
    emit("swiglu ds", ds, T, (double)F + 10);
    free(gu), free(s), free(dh), free(h), free(dgu), free(ds);
}

static void dump_ffn(enum gemm_kind kind)
{
    enum { E = 3, C = 12, F = 20, R = 400 };
    static const int64_t offset[E + 1] = {0, 310, 310, R};
    real *x = input(R * C, 1, 15), *w_gu = input(E * 2 * F * C, .3, 16),
         *w_d = input(E * C * F, .3, 17);
    real *s = input(R, 1, 18), *dy = input(R * C, 1, 19), *y = zeros(R * C),
         *gu = grad_output(R * 2 * F);
    real *dx = zeros(R * C), *dw_gu = grad_output(E * 2 * F * C),
         *dw_d = grad_output(E * C * F);
    real *ds = grad_output(R), *scratch = grad_output(ffn_scratch(R, C, F));
    int32_t token[R];
    for (int i = 0; i < R; i++)
        token[i] = i * 7 % R / 2;
    const struct ffn_sizes n = {E, C, F, offset, token, NULL, 0};
    ffn_fwd(y, gu, x, s, w_gu, w_d, n, kind, scratch);
    ffn_bwd(dx, dw_gu, dw_d, ds, dy, x, gu, s, w_gu, w_d, n, false, kind, scratch);
    emit("ffn y", y, R * C, 2 * (C + F) + 12);
    emit("ffn dx", dx, R * C, 2 * (2 * C + 2 * F) + 20);
    emit("ffn dw_gu", dw_gu, E * 2 * F * C, 2 * C + 16 + R);
    emit("ffn dw_d", dw_d, E * C * F, C + 12 + R);
    emit("ffn ds", ds, R, 2 * C + F + 12);
    free(x), free(w_gu), free(w_d), free(s), free(dy), free(y), free(gu), free(dx), free(dw_gu);
    free(dw_d), free(ds), free(scratch);
}

static void dump_router(bool sigmoid, bool norm)
{
    enum { N = 50, E = 19, K = 4 };
    const struct router_kind n = {E, K, sigmoid, norm};
    real *z = input(N * E, 2, 20), *bias = input(E, .1, 21), *dw = input(N * K, 1, 22),
         *dp = input(E, 1, 23);
    real *p = grad_output(N * E), *w = grad_output(N * K), *total = grad_output(N),
         *dz = grad_output(N * E);
    int32_t choice[N * K];
    router_fwd(p, choice, w, total, z, sigmoid ? bias : NULL, N, n);
    router_bwd(dz, dw, dp, p, choice, w, total, N, n);
    emit(sigmoid ? "router sigmoid p" : "router softmax p", p, N * E, E + 8);
    emit(sigmoid ? "router sigmoid w" : "router softmax w", w, N * K, E + K + 12);
    emit(sigmoid ? "router sigmoid dz" : "router softmax dz", dz, N * E, 3 * E + 2 * K + 20);
    free(z), free(bias), free(dw), free(dp), free(p), free(w), free(total), free(dz);
}

static void dump_unembed(enum gemm_kind kind)
{
    enum { N = 300, C = 16, V = 80 };
    int32_t target[N];
    real *x = input(N * C, 1, 24), *w = input(V * C, .5, 25), *dx = grad_output(N * C);
    real *dw = grad_output(V * C), *scratch = grad_output(unembed_scratch(N, V));
    for (int i = 0; i < N; i++)
        target[i] = (int32_t)(i * 11 % V);
    double mean;
    unembed_xent(&mean, dx, dw, x, w, target, N, N, C, V, false, kind, scratch);
    real loss = (real)mean;
    // Logits up to 8: their errors are multiplied by as much in the exponent's argument.
    emit("unembed loss", &loss, 1, 8 * C + V);
    emit("unembed dx", dx, N * C, 64 * C + 2 * V + 8);
    emit("unembed dw", dw, V * C, 64 * C + V + N);
    free(x), free(w), free(dx), free(dw), free(scratch);
}

static void dump_adamw(void)
{
    enum { N = 1000 };
    real *p = input(N, 1, 26), *g = input(N, 1e-3, 27), *m = zeros(N), *v = zeros(N);
    for (int64_t i = 1; i <= 5; i++)
        adamw_update(p, m, v, g, N, &(struct adamw){.01, .9, .95, 1e-8, .1, i});
    emit("adamw p", p, N, 5 * 8);
    emit("adamw m", m, N, 5 * 3);
    emit("adamw v", v, N, 5 * 4);
    free(p), free(g), free(m), free(v);
}

// An iteration multiplies earlier errors by at most 4.25 and rounds sums of A, B and twice the
// smaller side with factors that add up to 20 (test_muon.c); errors of five add in squares.
static void dump_muon(int64_t rows, int64_t cols)
{
    int64_t n = rows * cols, side = rows < cols ? rows : cols;
    const double once = 20. * 20. * (double)(rows + cols + 2 * side), grow = 4.25 * 4.25;
    double k = 0;
    for (int i = 0; i < 5; i++)
        k = (k + once) * grow;
    real *p = input(n, 1, 28), *g = input(n, 1, 29), *m = input(n, .1, 30);
    real *scratch = grad_output(muon_scratch(1, rows, cols));
    muon_update(p, m, g, 1, rows, cols, &(struct muon){.01, .1}, scratch);
    emit("muon p", p, n, k * 1e-4 + 3); // of the orthogonalised matrix, times lr 0.01
    emit("muon m", m, n, 3);
    muon_orthogonalize(g, rows, cols, scratch);
    emit("muon o", g, n, k);
    free(p), free(g), free(m), free(scratch);
}

// The operations that multiply matrices.
static void dump_products(enum gemm_kind kind)
{
    dump_linear(kind, 13, 10, 30);
    dump_linear(kind, 257, 48, 18);
    dump_linear(kind, 64, 500, 3);
    dump_attention(kind, 2, 40, 2, 1, 6);
    dump_attention(kind, 1, 130, 2, 2, 32);
    dump_ffn(kind);
    dump_unembed(kind);
}

int main(int argc, char **argv)
{
    if (argc == 2) { // those alone, in the kind that is named
        enum gemm_kind kind;
        if (!dump_kind(argv[1], &kind))
            return 77;
        dump_products(kind);
        return fflush(stdout) != 0;
    }
    dump_products(GEMM_FULL);
    dump_embed();
    dump_rmsnorm(20, 10);
    dump_rmsnorm(9, 200);
    dump_rope();
    dump_swiglu(20, 27);
    for (int i = 0; i < 4; i++)
        dump_router(i & 1, i & 2);
    dump_adamw();
    dump_muon(24, 40);
    dump_muon(70, 10);
    return fflush(stdout) != 0;
}
