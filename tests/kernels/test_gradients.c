// SPDX-License-Identifier: Apache-2.0
// Every operation's backward, in double, against central differences of its forward.
#include "tests/kernels/gradcheck.h"
#include "kernels/attention.h"
#include "kernels/dispatch.h"
#include "kernels/embed.h"
#include "kernels/ffn.h"
#include "kernels/linear.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/router.h"
#include "kernels/swiglu.h"
#include "kernels/unembed.h"

#define CHECK_GRAD(op, f, ctx, stride, ...)                                                    \
    do {                                                                                       \
        const struct grad_input in_[] = {__VA_ARGS__};                                         \
        grad_check(op, f, ctx, in_, (int)(sizeof in_ / sizeof *in_), stride);                  \
    } while (0)

// sum: what adding dw to random numbers of a stream made; in another order of at most some
// hundred sums, each off by 1e-16 of what it reaches.
static void check_added(const char *name, const real *sum, uint64_t stream, const real *dw,
                        int64_t n)
{
    real *before = grad_random(n, 1, stream);
    double largest = 1, worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double error = fabs((double)sum[i] - ((double)before[i] + (double)dw[i]));
        largest = fmax(largest, fabs((double)dw[i]));
        worst = error <= worst ? worst : error; // NaN stays
    }
    test_checks++;
    if (!(worst <= 1e-12 * largest)) {
        test_failures++;
        fprintf(stderr, "%s: added: error %.3g of the largest %.3g\n", name, worst, largest);
    }
    free(before);
}

struct linear {
    real *y, *x, *w, *dy;
    int64_t T, I, O;
};

static double linear_loss(void *ctx)
{
    struct linear *c = ctx;
    linear_fwd(c->y, c->x, c->w, c->T, c->I, c->O, GEMM_FULL);
    return grad_dot(c->y, c->dy, c->T * c->O);
}

static void test_linear(void)
{
    struct linear c = {.T = 7, .I = 5, .O = 11};
    c.y = grad_output(c.T * c.O), c.dy = grad_random(c.T * c.O, 1, 1);
    c.x = grad_random(c.T * c.I, 1, 2), c.w = grad_random(c.O * c.I, 1, 3);
    real *dx = grad_output(c.T * c.I), *dw = grad_output(c.O * c.I);
    linear_bwd(dx, dw, c.dy, c.x, c.w, c.T, c.I, c.O, 0, GEMM_FULL);
    CHECK_GRAD("linear", linear_loss, &c, 1, {"x", c.x, dx, c.T * c.I},
               {"w", c.w, dw, c.O * c.I});
    linear_bwd(dx, dw, c.dy, c.x, c.w, c.T, c.I, c.O, LINEAR_ADD_DX | LINEAR_ADD_DW, GEMM_FULL);
    for (int64_t i = 0; i < c.T * c.I; i++)
        dx[i] /= 2;
    for (int64_t i = 0; i < c.O * c.I; i++)
        dw[i] /= 2;
    CHECK_GRAD("linear twice", linear_loss, &c, 1, {"x", c.x, dx, c.T * c.I},
               {"w", c.w, dw, c.O * c.I});
    free(c.y), free(c.dy), free(c.x), free(c.w), free(dx), free(dw);
}

struct embed {
    real *y, *w, *dy;
    int32_t token[9];
    int64_t C;
};

static double embed_loss(void *ctx)
{
    struct embed *c = ctx;
    embed_fwd(c->y, c->w, c->token, 9, c->C);
    return grad_dot(c->y, c->dy, 9 * c->C);
}

static void test_embed(void)
{
    enum { V = 6 };
    struct embed c = {.C = 5, .token = {0, 3, 3, 5, 1, 0, 3, 4, 4}};
    c.y = grad_output(9 * c.C), c.dy = grad_random(9 * c.C, 1, 4),
    c.w = grad_random(V * c.C, 1, 5);
    real *dw = calloc((size_t)(V * c.C), sizeof *dw);
    embed_bwd(dw, c.dy, c.token, 9, c.C);
    CHECK_GRAD("embed", embed_loss, &c, 1, {"w", c.w, dw, V * c.C});
    free(c.y), free(c.dy), free(c.w), free(dw);
}

struct rmsnorm {
    real *y, *r, *x, *g, *dy;
    int64_t T, C;
};

static double rmsnorm_loss(void *ctx)
{
    struct rmsnorm *c = ctx;
    rmsnorm_fwd(c->y, c->r, c->x, c->g, c->T, c->C);
    return grad_dot(c->y, c->dy, c->T * c->C);
}

static void test_rmsnorm(int64_t T, int64_t C)
{
    struct rmsnorm c = {.T = T, .C = C};
    c.y = grad_output(T * C), c.r = grad_output(T), c.dy = grad_random(T * C, 1, 6);
    c.x = grad_random(T * C, 1, 7), c.g = grad_random(C, 1, 8);
    real *dx = grad_random(T * C, 1, 9), *before = grad_random(T * C, 1, 9),
         *dg = calloc((size_t)C, sizeof *dg);
    rmsnorm_loss(&c);
    rmsnorm_bwd(dx, dg, c.dy, c.x, c.g, c.r, T, C);
    for (int64_t i = 0; i < T * C; i++)
        dx[i] -= before[i]; // it adds to what is there
    CHECK_GRAD("rmsnorm", rmsnorm_loss, &c, 1, {"x", c.x, dx, T * C}, {"g", c.g, dg, C});
    free(c.y), free(c.r), free(c.dy), free(c.x), free(c.g), free(dx), free(before), free(dg);
}

struct rope {
    real *y, *x, *dy, *table;
    int64_t B, T, H, D, ld;
};

static double rope_loss(void *ctx)
{
    struct rope *c = ctx;
    memcpy(c->y, c->x, (size_t)(c->B * c->T * c->ld) * sizeof *c->y);
    rope_fwd(c->y, c->table, c->B, c->T, c->H, c->D, c->ld);
    return grad_dot(c->y, c->dy, c->B * c->T * c->ld);
}

static void test_rope(void)
{
    struct rope c = {.B = 2, .T = 5, .H = 3, .D = 6, .ld = 20};
    int64_t n = c.B * c.T * c.ld;
    c.y = grad_output(n), c.x = grad_random(n, 1, 10), c.dy = grad_random(n, 1, 11);
    c.table = grad_output(c.T * c.D);
    rope_table(c.table, c.T, c.D, 100);
    real *dx = grad_random(n, 1, 11);
    rope_bwd(dx, c.table, c.B, c.T, c.H, c.D, c.ld);
    CHECK_GRAD("rope", rope_loss, &c, 1, {"x", c.x, dx, n});
    free(c.y), free(c.x), free(c.dy), free(c.table), free(dx);
}

struct attention {
    real *o, *lse, *qkv, *d_o, *scratch;
    struct attention_sizes n;
};

static double attention_loss(void *ctx)
{
    struct attention *c = ctx;
    attention_fwd(c->o, c->lse, c->qkv, c->qkv, c->n, GEMM_FULL, c->scratch);
    return grad_dot(c->o, c->d_o, c->n.B * c->n.T * c->n.Hq * c->n.D);
}

static void test_attention(int64_t B, int64_t T, int64_t Hq, int64_t Hkv, int64_t D,
                           int64_t stride)
{
    struct attention c = {.n = {B, T, Hq, Hkv, D, (Hq + 2 * Hkv) * D}};
    int64_t n = B * T * c.n.ld, no = B * T * Hq * D;
    c.o = grad_output(no), c.lse = grad_output(B * Hq * T), c.d_o = grad_random(no, 1, 12);
    c.qkv = grad_random(n, 1, 13), c.scratch = grad_output(attention_scratch(T, D));
    real *d = grad_output(n);
    attention_loss(&c);
    attention_bwd(d, c.d_o, c.qkv, c.qkv, c.o, c.lse, c.n, GEMM_FULL, c.scratch);
    CHECK_GRAD("attention", attention_loss, &c, stride, {"qkv", c.qkv, d, n});
    free(c.o), free(c.lse), free(c.d_o), free(c.qkv), free(c.scratch), free(d);
}

struct swiglu {
    real *h, *gu, *s, *dh;
    int64_t T, F;
};

static double swiglu_loss(void *ctx)
{
    struct swiglu *c = ctx;
    swiglu_fwd(c->h, c->gu, c->s, c->T, c->F);
    return grad_dot(c->h, c->dh, c->T * c->F);
}

static void test_swiglu(bool weighted)
{
    struct swiglu c = {.T = 5, .F = 7};
    c.h = grad_output(c.T * c.F), c.dh = grad_random(c.T * c.F, 1, 14);
    c.gu = grad_random(c.T * 2 * c.F, 1.5, 15), c.s = weighted ? grad_random(c.T, 1, 16) : NULL;
    real *dgu = grad_output(c.T * 2 * c.F), *ds = grad_output(c.T), *h = grad_output(c.T * c.F);
    swiglu_bwd(dgu, weighted ? ds : NULL, h, c.dh, c.gu, c.s, c.T, c.F);
    CHECK_GRAD("swiglu", swiglu_loss, &c, 1, {"gu", c.gu, dgu, c.T * 2 * c.F});
    if (weighted)
        CHECK_GRAD("swiglu", swiglu_loss, &c, 1, {"s", c.s, ds, c.T});
    swiglu_loss(&c);
    for (int64_t i = 0; i < c.T * c.F; i++)
        CHECK_NEAR(h[i], c.h[i], 1e-14 * 30); // the recomputed h; entries are below 30
    free(c.h), free(c.dh), free(c.gu), free(c.s), free(dgu), free(ds), free(h);
}

struct ffn {
    real *y, *gu, *x, *s, *w_gu, *w_d, *dy, *scratch;
    struct ffn_sizes n;
    int64_t R;
};

static double ffn_loss(void *ctx)
{
    struct ffn *c = ctx;
    memset(c->y, 0, (size_t)(c->R * c->n.C) * sizeof *c->y);
    ffn_fwd(c->y, c->gu, c->x, c->s, c->w_gu, c->w_d, c->n, GEMM_FULL, c->scratch);
    return grad_dot(c->y, c->dy, c->R * c->n.C);
}

// With tokens: every token twice, in two slots.
static void test_ffn(int64_t E, const int64_t *offset, bool tokens, int64_t stride)
{
    struct ffn c = {.n = {E, 3, 4, offset, NULL, NULL, 0}, .R = offset[E]};
    int64_t C = c.n.C, F = c.n.F, R = c.R;
    int32_t *token = calloc((size_t)R, sizeof *token);
    for (int64_t i = 0; i < R; i++)
        token[i] = (int32_t)(i * 7 % R / 2);
    c.n.token = tokens ? token : NULL;
    c.y = grad_output(R * C), c.gu = grad_output(R * 2 * F), c.x = grad_random(R * C, 1, 17);
    c.s = grad_random(R, 1, 18), c.w_gu = grad_random(E * 2 * F * C, 1, 19);
    c.w_d = grad_random(E * C * F, 1, 20), c.dy = grad_random(R * C, 1, 21);
    c.scratch = grad_output(ffn_scratch(R, C, F));
    real *dx = calloc((size_t)(R * C), sizeof *dx), *ds = grad_output(R);
    real *dw_gu = grad_output(E * 2 * F * C), *dw_d = grad_output(E * C * F);
    ffn_loss(&c);
    ffn_bwd(dx, dw_gu, dw_d, ds, c.dy, c.x, c.gu, c.s, c.w_gu, c.w_d, c.n, false, GEMM_FULL,
            c.scratch);
    CHECK_GRAD("ffn", ffn_loss, &c, stride, {"x", c.x, dx, R * C}, {"s", c.s, ds, R});
    CHECK_GRAD("ffn", ffn_loss, &c, 1, {"w_gu", c.w_gu, dw_gu, E * 2 * F * C},
               {"w_d", c.w_d, dw_d, E * C * F});
    real *sum_gu = grad_random(E * 2 * F * C, 1, 31), *sum_d = grad_random(E * C * F, 1, 32);
    ffn_bwd(dx, sum_gu, sum_d, ds, c.dy, c.x, c.gu, c.s, c.w_gu, c.w_d, c.n, true, GEMM_FULL,
            c.scratch);
    check_added("ffn w_gu", sum_gu, 31, dw_gu, E * 2 * F * C);
    check_added("ffn w_d", sum_d, 32, dw_d, E * C * F);
    free(sum_gu), free(sum_d);
    free(c.y), free(c.gu), free(c.x), free(c.s), free(c.w_gu), free(c.w_d), free(c.dy);
    free(c.scratch), free(dx), free(ds), free(dw_gu), free(dw_d), free(token);
}

struct dispatch {
    real *slots, *y, *x, *by_slot, *w, *dy;
    int64_t offset[5];
    int32_t choice[12], token[12], slot[12];
};

// Gather, scale by the weights, combine: the whole way to identity experts and back.
static double dispatch_loss(void *ctx)
{
    struct dispatch *c = ctx;
    dispatch_gather(c->slots, c->x, c->token, 12, 3);
    dispatch_weights(c->by_slot, c->w, c->slot, 12);
    for (int i = 0; i < 12 * 3; i++)
        c->slots[i] *= c->by_slot[i / 3];
    memset(c->y, 0, 6 * 3 * sizeof *c->y);
    dispatch_scatter(c->y, c->slots, c->token, 12, 3);
    return grad_dot(c->y, c->dy, 6 * 3);
}

static void test_dispatch(void)
{
    struct dispatch c = {.choice = {3, 0, 1, 3, 0, 3, 3, 1, 0, 1, 3, 0}}; // expert 2 idle
    dispatch_plan(c.offset, c.token, c.slot, c.choice, 6, 4, 2);
    c.slots = grad_output(36), c.y = grad_output(18), c.by_slot = grad_output(12);
    c.x = grad_random(18, 1, 22), c.w = grad_random(12, 1, 23), c.dy = grad_random(18, 1, 24);
    real *d_slots = grad_output(36), *dx = calloc(18, sizeof *dx), *dw = grad_output(12),
         ds[12];
    dispatch_loss(&c);
    dispatch_gather(d_slots, c.dy, c.token, 12, 3);
    for (int s = 0; s < 12; s++) {
        ds[s] = (real)grad_dot(d_slots + s * 3, c.x + c.token[s] * 3, 3);
        for (int i = 0; i < 3; i++)
            d_slots[s * 3 + i] *= c.by_slot[s];
    }
    dispatch_scatter(dx, d_slots, c.token, 12, 3);
    dispatch_weights_bwd(dw, ds, c.slot, 12);
    CHECK_GRAD("dispatch", dispatch_loss, &c, 1, {"x", c.x, dx, 18}, {"w", c.w, dw, 12});
    free(c.slots), free(c.y), free(c.by_slot), free(c.x), free(c.w), free(c.dy);
    free(d_slots), free(dx), free(dw);
}

struct router {
    real *p, *w, *total, *z, *bias, *dw, *dp;
    int32_t *choice, *first;
    int64_t T;
    struct router_kind n;
};

static double router_loss(void *ctx)
{
    struct router *c = ctx;
    router_fwd(c->p, c->choice, c->w, c->total, c->z, c->bias, c->T, c->n);
    double loss = grad_dot(c->w, c->dw, c->T * c->n.K);
    for (int64_t t = 0; t < c->T; t++)
        loss += grad_dot(c->p + t * c->n.E, c->dp, c->n.E);
    // The differences must stay on one side of every tie.
    CHECK(memcmp(c->choice, c->first, (size_t)(c->T * c->n.K) * sizeof *c->choice) == 0);
    return loss;
}

static void test_router(struct router_kind n, bool bias)
{
    struct router c = {.T = 3, .n = n};
    int64_t E = n.E, K = n.K, T = c.T;
    c.p = grad_output(T * E), c.w = grad_output(T * K), c.total = grad_output(T);
    c.z = grad_random(T * E, 1, 25), c.dw = grad_random(T * K, 1, 26),
    c.dp = grad_random(E, 1, 27);
    c.bias = bias ? grad_random(E, .3, 28) : NULL;
    c.choice = calloc((size_t)(T * K), sizeof *c.choice);
    c.first = calloc((size_t)(T * K), sizeof *c.first);
    router_fwd(c.p, c.first, c.w, c.total, c.z, c.bias, T, n);
    real *dz = grad_output(T * E);
    router_loss(&c);
    router_bwd(dz, c.dw, c.dp, c.p, c.choice, c.w, c.total, T, n);
    CHECK_GRAD(n.sigmoid ? "router sigmoid" : "router softmax", router_loss, &c, 1,
               {"z", c.z, dz, T * E});
    free(c.p), free(c.w), free(c.total), free(c.z), free(c.dw), free(c.dp), free(c.bias);
    free(c.choice), free(c.first), free(dz);
}

struct unembed {
    real *x, *w, *scratch;
    int32_t *target;
    int64_t T, n, C, V;
};

static double unembed_loss(void *ctx)
{
    struct unembed *c = ctx;
    double loss;
    unembed_xent(&loss, NULL, NULL, c->x, c->w, c->target, c->T, c->n, c->C, c->V, false,
                 GEMM_FULL, c->scratch);
    return loss;
}

static void test_unembed(int64_t T, int64_t stride)
{
    struct unembed c = {.T = T, .n = T + 3, .C = 4, .V = 7}; // of a batch of T + 3 tokens
    c.x = grad_random(T * c.C, 1, 29), c.w = grad_random(c.V * c.C, 1, 30);
    c.scratch = grad_output(unembed_scratch(T, c.V));
    c.target = calloc((size_t)T, sizeof *c.target);
    for (int64_t t = 0; t < T; t++)
        c.target[t] = (int32_t)(t * 5 % c.V);
    real *dx = grad_output(T * c.C), *dw = grad_output(c.V * c.C);
    double loss;
    unembed_xent(&loss, dx, dw, c.x, c.w, c.target, T, c.n, c.C, c.V, false, GEMM_FULL,
                 c.scratch);
    CHECK(loss == unembed_loss(&c));
    CHECK_GRAD("unembed", unembed_loss, &c, stride, {"x", c.x, dx, T * c.C});
    CHECK_GRAD("unembed", unembed_loss, &c, 1, {"w", c.w, dw, c.V * c.C});
    real *sum = grad_random(c.V * c.C, 1, 33);
    double twice = loss;
    unembed_xent(&twice, dx, sum, c.x, c.w, c.target, T, c.n, c.C, c.V, true, GEMM_FULL,
                 c.scratch);
    CHECK(twice == 2 * loss);
    check_added("unembed w", sum, 33, dw, c.V * c.C);
    free(c.x), free(c.w), free(c.scratch), free(c.target), free(dx), free(dw);
    free(sum);
}

int main(void)
{
    test_linear();
    test_embed();
    test_rmsnorm(4, 9);
    test_rmsnorm(1, 2);
    test_rope();
    test_attention(2, 9, 2, 1, 4, 1);
    test_attention(1, 70, 4, 2, 2, 7); // several blocks of queries, the last one partial
    test_attention(1, 33, 1, 1, 6, 1);
    test_attention(1, 1, 1, 1, 2, 1);
    test_swiglu(true);
    test_swiglu(false);
    for (int i = 0; i < 2; i++) {
        test_ffn(3, (const int64_t[]){0, 5, 5, 9}, i, 1);   // an idle expert
        test_ffn(2, (const int64_t[]){0, 300, 303}, i, 41); // several chunks of rows
    }
    test_dispatch();
    for (int i = 0; i < 4; i++) {
        test_router((struct router_kind){7, 3, i & 1, i & 2}, false);
        test_router((struct router_kind){5, 1, i & 1, i & 2}, false);
        test_router((struct router_kind){4, 4, i & 1, i & 2}, false);
    }
    test_router((struct router_kind){7, 3, true, true}, true);
    test_router((struct router_kind){7, 3, true, false}, true);
    test_unembed(9, 1);
    test_unembed(300, 83);
    return test_summary();
}
