// SPDX-License-Identifier: Apache-2.0
// op_cases.c's part that routes: routers, dispatch, experts.
#include "tests/cuda/op_run.h"
#include "kernels/bf16.h"
#include "kernels/swiglu.h"
#include "core/rng.h"
#include <math.h>
#include <stdlib.h>
// ----------------------------------------------------------------

// Logits: normal; whole ones, many of them equal; one of each row, and all of the last, NaN;
// some minus infinity.
enum logits { PLAIN, TIES, NANS, INFS };

static real *logits(int64_t T, int64_t E, enum logits kind)
{
    if (kind == TIES)
        return op_whole(T * E, 2);
    double *x = malloc((size_t)(T * E) * sizeof *x);
    struct rng r;
    rng_seed(&r, 77, (uint64_t)(T * E));
    for (int64_t i = 0; i < T * E; i++)
        x[i] = 2 * rng_normal(&r);
    for (int64_t t = 0; t < T && kind != PLAIN; t++)
        for (int64_t e = 0; e < E; e++)
            if (kind == NANS ? t == T - 1 || e == t % E : (t + e) % 3 == 0 && E > 3)
                x[t * E + e] = kind == NANS ? (double)NAN : -(double)INFINITY;
    real *z = op_reals(x, T * E);
    free(x);
    return z;
}

static void router(int64_t T, struct router_kind n, enum logits kind, bool biased, int skip)
{
    double E = (double)n.E, K = (double)n.K, mean[512];
    real bias[512], dp[512], mean_p[512];
    op_begin(skip, &(struct ops_sizes){.T = T, .R = T * n.K, .E = n.E, .K = n.K},
             "router %dx%d/%d/%d%d%d%d+%d", (int)T, (int)n.E, (int)n.K, n.sigmoid, n.norm, kind,
             biased, skip);
    for (int64_t e = 0; e < n.E; e++) {
        bias[e] = (real)(e * 7 % 13 - 6) / 64;
        dp[e] = (real)(e * 5 % 11 - 5) / 8;
    }
    real *z = logits(T, n.E, kind), *dw = op_normal(T * n.K, 1), *p = op_unset(T * n.E);
    real *w = op_unset(T * n.K), *total = op_unset(T), *dz = op_unset(T * n.E);
    int32_t *choice = op_unset_ints(T * n.K);
    run.ops->router_fwd(p, choice, w, total, z, biased ? bias : NULL, T, n);
    op_emit_ints("choice", choice, T * n.K);
    op_emit("p", p, T * n.E, E + 8);
    op_emit("w", w, T * n.K, E + K + 12);
    op_emit("total", total, T, E + 6);
    run.ops->router_bwd(dz, dw, dp, p, choice, w, total, T, n);
    op_emit("dz", dz, T * n.E, 3 * E + 2 * K + 20);
    run.ops->router_mean(mean_p, p, T, n.E);
    for (int64_t e = 0; e < n.E; e++)
        mean[e] = (double)mean_p[e];
    op_emit_host("mean", mean, n.E, E + 9 + (double)T);
    op_end();
}

void routers(void)
{
    static const struct {
        int64_t T, E, K;
        enum logits kind;
    } shapes[] = {
        {1, 1, 1, PLAIN},    {50, 19, 4, PLAIN},  {33, 8, 8, PLAIN},    {40, 16, 3, TIES},
        {9, 7, 3, NANS},     {70, 64, 8, PLAIN},  {5, 130, 130, PLAIN}, {130, 33, 1, PLAIN},
        {9, 12, 5, INFS},    {3, 512, 10, PLAIN}, {257, 2, 1, TIES},    {300, 60, 6, PLAIN},
        {1100, 5, 2, PLAIN}, {9, 1, 1, PLAIN},
    };
    EACH(i, shapes, 5)
    for (int j = run.all ? 0 : (int)(i % 2); j < 6; j += run.all ? 1 : 2) {
        bool sigmoid = j >= 2, biased = j >= 4;
        router(shapes[i].T, (struct router_kind){shapes[i].E, shapes[i].K, sigmoid, j % 2},
               shapes[i].kind, biased, (int)(i % 2));
    }
}

// K different experts for each of T tokens: random ones; from the first `used` only.
static int32_t *choices(int64_t T, int64_t E, int64_t K, int64_t used)
{
    int32_t *choice = malloc((size_t)(T * K) * sizeof *choice);
    struct rng r;
    rng_seed(&r, 78, (uint64_t)(T * E + K));
    for (int64_t t = 0; t < T; t++)
        for (int64_t k = 0; k < K; k++) {
            int32_t e;
            bool taken;
            do {
                e = (int32_t)(E - 1 - (int64_t)rng_below(&r, (uint64_t)used));
                taken = false;
                for (int64_t j = 0; j < k; j++)
                    taken |= choice[t * K + j] == e;
            } while (taken);
            choice[t * K + k] = e;
        }
    return choice;
}

struct plan {
    int64_t offset[257];
    int32_t *token, *slot; // the backend's
};

static struct plan plan(int64_t T, int64_t E, int64_t K, int64_t used)
{
    struct plan p = {.token = op_unset_ints(T * K), .slot = op_unset_ints(T * K)};
    int32_t *host = choices(T, E, K, used), *choice = op_ints(host, T * K);
    double offset[257];
    run.ops->dispatch_plan(p.offset, p.token, p.slot, choice, T, E, K);
    for (int64_t e = 0; e <= E; e++)
        offset[e] = (double)p.offset[e];
    op_emit_host("offset", offset, E + 1, 0);
    op_emit_ints("token", p.token, T * K);
    op_emit_ints("slot", p.slot, T * K);
    free(host);
    return p;
}

static void dispatch(int64_t T, int64_t E, int64_t K, int64_t used, int skip)
{
    op_begin(skip, &(struct ops_sizes){.T = T, .R = T * K, .E = E, .K = K},
             "dispatch %dx%d/%d/%d+%d", (int)T, (int)E, (int)K, (int)used, skip);
    struct plan p = plan(T, E, K, used);
    real *by_token = op_normal(T * K, 1), *by_slot = op_unset(T * K), *back = op_unset(T * K);
    run.ops->dispatch_weights(by_slot, by_token, p.slot, T * K);
    op_emit("weights", by_slot, T * K, 0);
    run.ops->dispatch_weights_bwd(back, by_slot, p.slot, T * K);
    op_emit("weights back", back, T * K, 0);
    op_end();
}

void dispatches(void)
{
    static const struct {
        int64_t T, E, K, used;
    } shapes[] = {
        {1, 1, 1, 1},     {50, 8, 2, 8},       {40, 5, 1, 1},  {9, 4, 4, 4},
        {300, 16, 3, 12}, {1000, 256, 8, 256}, {3, 64, 2, 64}, {2048, 2, 1, 2},
    };
    EACH(i, shapes, 4)
    dispatch(shapes[i].T, shapes[i].E, shapes[i].K, shapes[i].used, (int)(i % 2));
}

// The naive bf16's y (on the CPU): a device stores the gates rounded, and reads them again.
static void add_from_stored_gates(real *y, const real *gu, const real *s, const real *w_d,
                                  struct ffn_sizes n)
{
    real *row = malloc((size_t)(3 * n.F) * sizeof *row), *h = row + 2 * n.F;
    for (int64_t e = 0; e < n.E; e++)
        for (int64_t i = n.offset[e]; i < n.offset[e + 1]; i++) {
            for (int64_t f = 0; f < 2 * n.F; f++)
                row[f] = bf16_round(gu[i * 2 * n.F + f]);
            swiglu_fwd(h, row, s != NULL ? s + i : NULL, 1, n.F);
            gemm_as(run.kind, false, true, 1, n.C, n.F, h, n.F, w_d + e * n.C * n.F, n.F, true,
                    y + (n.token != NULL ? n.token[i] : i) * n.C, n.C);
        }
    free(row);
}

// K = 0: rows are their own tokens, not weighted: a dense block. whole: gates of at least 32,
// so that silu is exact. add: gradients of weights are added to others, too.
static void ffn(int64_t T, int64_t E, int64_t K, int64_t used, int64_t C, int64_t F, bool whole,
                bool add, int skip)
{
    int64_t R = K > 0 ? T * K : T;
    op_begin(skip,
             &(struct ops_sizes){
                 .T = T, .R = R, .d = C, .F = F, .RF = R * F, .E = E, .K = K > 0 ? K : 1},
             "ffn %dx%d/%d/%d/%dx%d/%d+%d", (int)T, (int)E, (int)K, (int)used, (int)C, (int)F,
             whole, skip);
    struct plan p = {.offset = {0, T}};
    if (K > 0)
        p = plan(T, E, K, used);
    const struct ffn_sizes n = {E, C, F, p.offset, p.token, p.slot, K};
    const double c = (double)C, f = (double)F, exact = whole ? 0 : 1;
    act *x = op_normal_acts(T * C, 1), *gu = op_unset_acts(R * 2 * F);
    real *w_gu = op_normal(E * 2 * F * C, 1 / sqrt(c)),
         *w_d = op_normal(E * C * F, 1 / sqrt(f));
    real *s = K > 0 ? op_normal(R, 1) : NULL, *ds = K > 0 ? op_unset(R) : NULL;
    real *y = op_normal(T * C, 1), *dy = op_normal(T * C, 1), *dx = op_normal(T * C, 1);
    real *dw_gu = op_unset(E * 2 * F * C), *dw_d = op_unset(E * C * F);
    real *sum_gu = whole ? op_whole(E * 2 * F * C, 4) : op_normal(E * 2 * F * C, 1),
         *sum_d = whole ? op_whole(E * C * F, 4) : op_normal(E * C * F, 1);
    if (whole) {
        double *ones = malloc((size_t)(E * 2 * F * C + T * C) * sizeof *ones);
        for (int64_t i = 0; i < E * 2 * F * C; i++)
            ones[i] = i / C % (2 * F) < F ? (i % C == 0 ? 32 : 1) : (double)(i % 3 - 1);
        w_gu = op_reals(ones, E * 2 * F * C);
        for (int64_t i = 0; i < T * C; i++)
            ones[i] = (double)(i % 2 + 1);
        x = op_acts(ones, T * C);
        free(ones);
        w_d = op_whole(E * C * F, 1), y = op_whole(T * C, 4), dy = op_whole(T * C, 1);
        dx = op_whole(T * C, 4), s = K > 0 ? op_whole(R, 2) : NULL;
    }
    if (run.bf16 && !run.ops->device) { // gu comes from the operation, y from rounded gu
        real *first = op_unset(T * C);
        run.ops->copy(first, y, T * C);
        run.ops->ffn_fwd(first, gu, x, s, w_gu, w_d, n, run.kind, run.scratch);
        add_from_stored_gates(y, gu, s, w_d, n);
    } else
        run.ops->ffn_fwd(y, gu, x, s, w_gu, w_d, n, run.kind, run.scratch);
    op_emit("y", y, T * C, exact * (2 * (c + f) + 12 + (double)K));
    op_emit_acts("gu", gu, R * 2 * F, exact * c);
    run.ops->ffn_bwd(dx, dw_gu, dw_d, ds, dy, x, gu, s, w_gu, w_d, n, false, run.kind,
                     run.scratch);
    op_emit("dx", dx, T * C, exact * (2 * (2 * c + 2 * f) + 20 + (double)K));
    op_emit("dw_gu", dw_gu, E * 2 * F * C, exact * (2 * c + 16 + (double)T));
    op_emit("dw_d", dw_d, E * C * F, exact * (c + 12 + (double)T));
    if (ds != NULL)
        op_emit("ds", ds, R, exact * (2 * c + f + 12));
    if (add) {
        run.ops->ffn_bwd(dx, sum_gu, sum_d, ds, dy, x, gu, s, w_gu, w_d, n, true, run.kind,
                         run.scratch);
        op_emit("dw_gu added", sum_gu, E * 2 * F * C, exact * (2 * c + 17 + (double)T));
        op_emit("dw_d added", sum_d, E * C * F, exact * (c + 13 + (double)T));
    }
    op_end();
}

void ffns(void)
{
    static const struct {
        int64_t T, E, K, used, C, F;
        bool whole;
    } shapes[] = {
        // the first one on aligned addresses: one grouped product for all experts
        {30, 5, 2, 4, 12, 20, false},   {1, 1, 0, 1, 1, 1, false},
        {20, 4, 1, 1, 9, 7, true},      {40, 1, 0, 1, 20, 33, false},
        {9, 3, 3, 3, 16, 8, false},     {300, 3, 1, 1, 36, 20, false},
        {70, 16, 4, 16, 40, 24, false}, {1, 8, 2, 8, 32, 16, false},
        {65, 1, 0, 1, 32, 96, true},    {33, 6, 2, 3, 24, 10, true},
        {300, 1, 0, 1, 7, 130, false},  {128, 4, 2, 4, 64, 64, false},
        {5, 64, 1, 64, 8, 8, false},    {20, 1, 1, 1, 8, 8, false},
    };
    EACH(i, shapes, 5)
    ffn(shapes[i].T, shapes[i].E, shapes[i].K, shapes[i].used, shapes[i].C, shapes[i].F,
        shapes[i].whole, i % 2 == 0, (int)(i % 2));
}
