// SPDX-License-Identifier: Apache-2.0
// Models that start with a checkpoint: what they compute then, what is copied where, and what
// does not fit. In float and in double. Two ways to the same loss may differ by the roundings
// on the way, about 100 of them at these sizes (as in tests/kernels/test_properties.c).
#include "worker/upcycle.h"
#include "core/rng.h"
#include "tests/test.h"
#include "worker/model_impl.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EPS (sizeof(real) == sizeof(float) ? 0x1p-24 : 0x1p-53)
#define CLOSE (100 * EPS)

enum { TOKENS = 32, V = 11 };
static const uint8_t symbols[V] = {0, ' ', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'};

struct scene {
    char dir[64], path[96];
    struct job dense, moe;
    int32_t token[TOKENS + 1];
};

static struct job job_of(struct arch a)
{
    struct job j;
    job_init(&j);
    j.arch = a;
    j.model.rope_base = 100;
    j.train.tokens = 320;
    j.train.batch_tokens = TOKENS;
    j.train.lr = .01;
    j.data.paths = calloc(1, sizeof *j.data.paths);
    j.data.paths[0] = strdup("text");
    j.data.n_paths = 1;
    return j;
}

static struct scene scene_new(void)
{
    struct scene s = {.dir = "/tmp/moetrain-test-XXXXXX"};
    const struct arch dense = {.L_d = 2,
                               .L_m = 0,
                               .d = 8,
                               .d_qkv = 4,
                               .d_d = 12,
                               .d_m = 5,
                               .N_q = 2,
                               .N_kv = 1,
                               .S = 16,
                               .N_e = 3,
                               .K = 1,
                               .n_shared = 1,
                               .V = V};
    CHECK(mkdtemp(s.dir) != NULL);
    snprintf(s.path, sizeof s.path, "%s/checkpoint", s.dir);
    s.dense = job_of(dense);
    s.moe = job_of(dense);
    s.moe.arch.L_d = 0, s.moe.arch.L_m = 2;
    s.moe.arch.d_m = 12, s.moe.arch.n_shared = 0, s.moe.arch.N_e = 4, s.moe.arch.K = 2;
    snprintf(s.moe.init.from, sizeof s.moe.init.from, "%s", s.path);
    for (int i = 0; i <= TOKENS; i++)
        s.token[i] = (i * i + i / 3) % V;
    return s;
}

static void scene_free(struct scene *s)
{
    unlink(s->path);
    rmdir(s->dir);
    job_free(&s->dense), job_free(&s->moe);
}

static struct model *model_of(const struct job *j)
{
    struct model *m = NULL;
    if (model_create(&j->arch, &j->model, ops_cpu(), GEMM_FULL, TOKENS, 1, &m) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    model_init(m, (uint64_t)j->train.seed);
    return m;
}

static double loss(struct model *m, const struct scene *s)
{
    return model_forward(m, s->token, s->token + 1, TOKENS);
}

// The model whose checkpoint lies there after 7 steps: every weight far from where it started.
static struct model *save(const struct scene *s, const struct job *j)
{
    struct model *m = model_of(j);
    struct run_state state = {.step = 7, .init_tokens = 1000};
    int64_t n_bias;
    real *bias = model_router_bias(m, &n_bias);
    char *meta = checkpoint_meta(j, &j->arch, symbols);
    for (int64_t i = 0; i < model_n_params(m); i++)
        model_params(m)[i] *= (real)(1.5 + .01 * (double)(i % 7));
    for (int64_t i = 0; i < n_bias; i++)
        bias[i] = (real)(.001 * (double)i);
    CHECK(checkpoint_save(s->dir, j, 5, meta, &state, m) == OK);
    free(meta);
    return m;
}

static struct model *start(const struct job *j)
{
    struct checkpoint c;
    struct model *m = model_of(j);
    if (upcycle_open(j, &j->arch, symbols, &c) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    CHECK(upcycle_tokens(&c) == 1000 + 7 * TOKENS);
    CHECK(upcycle_weights(&c, j, &j->arch, m) == OK);
    checkpoint_free(&c);
    return m;
}

static const struct tensor *tensor_of(const struct model *m, enum tensor_role role, int layer)
{
    int n;
    const struct tensor *t = model_tensors(m, &n);
    for (int i = 0; i < n; i++)
        if (t[i].role == role && t[i].layer == layer)
            return &t[i];
    abort();
}

static real *values(struct model *m, enum tensor_role role, int layer)
{
    return model_params(m) + tensor_of(m, role, layer)->offset;
}

// Wherever upcycle.h says so, the new model's loss is the old one's.
static void the_function_is_the_dense_one(struct scene *s)
{
    static const struct {
        int64_t L_d, d_m, n_shared, N_e, K;
    } shapes[] = {{0, 12, 0, 4, 2}, {1, 12, 0, 4, 2}, {0, 12, 0, 4, 1},  {0, 12, 0, 5, 5},
                  {0, 6, 0, 4, 2},  {0, 4, 0, 6, 3},  {1, 4, 0, 12, 6},  {0, 6, 1, 3, 2},
                  {0, 4, 1, 4, 2},  {0, 4, 2, 5, 3},  {0, 2, 2, 16, 12}, {0, 1, 0, 24, 12}};
    struct model *dense = save(s, &s->dense);
    double want = loss(dense, s);
    for (int i = 0; i < 2 * (int)(sizeof shapes / sizeof *shapes); i++) {
        struct job j = s->moe; // shallow
        j.arch.L_d = shapes[i / 2].L_d, j.arch.L_m = 2 - j.arch.L_d;
        j.arch.d_m = shapes[i / 2].d_m, j.arch.n_shared = shapes[i / 2].n_shared;
        j.arch.N_e = shapes[i / 2].N_e, j.arch.K = shapes[i / 2].K;
        j.model.router = i % 2 ? ROUTER_SIGMOID_BIAS : ROUTER_SOFTMAX;
        struct model *m = start(&j);
        CHECK_REL(loss(m, s), want, CLOSE);
        model_gradients(m, s->token, s->token + 1, TOKENS, .01);
        CHECK(model_clip(m, 0) > 0);
        // Weights that do not sum to one make it another function.
        j.model.norm_topk = false;
        struct model *plain = start(&j);
        if (j.arch.K < j.arch.N_e)
            CHECK(!(fabs(loss(plain, s) - want) <= 1e-4));
        model_free(m), model_free(plain);
    }
    model_free(dense);
}

// With QK-norm, tied, and with other sequences.
static void options_and_lengths(struct scene *s)
{
    s->dense.model.qk_norm = s->moe.model.qk_norm = true;
    s->dense.model.tied = s->moe.model.tied = true;
    struct model *dense = save(s, &s->dense);
    double want = loss(dense, s);
    struct model *m = start(&s->moe);
    CHECK_REL(loss(m, s), want, CLOSE);
    model_free(m);
    s->moe.arch.S = 8;
    m = start(&s->moe);
    struct job other = s->dense;
    other.arch.S = 8;
    struct model *shorter = model_of(&other);
    memcpy(model_params(shorter), model_params(dense),
           (size_t)model_n_params(dense) * sizeof(real));
    CHECK_REL(loss(m, s), loss(shorter, s), CLOSE);
    s->moe.arch.S = 16;
    s->dense.model = s->moe.model =
        (struct job_model){.norm_topk = true, .rope_base = 100, .init_scale = 1};
    model_free(dense), model_free(m), model_free(shorter);
}

// Slices where they belong, exactly; K = 1 over two slices: rows of the router are independent.
static void slices_lie_where_they_belong(struct scene *s)
{
    struct model *dense = save(s, &s->dense);
    struct job j = s->moe;
    j.arch.d_m = 4, j.arch.n_shared = 1, j.arch.N_e = 4, j.arch.K = 1;
    struct model *m = start(&j), *fresh = model_of(&j);
    const real *gu = values(dense, T_GATE_UP, 1), *down = values(dense, T_DOWN, 1);
    const real *e_gu = values(m, T_EXP_GATE_UP, 1), *e_down = values(m, T_EXP_DOWN, 1);
    const real *s_gu = values(m, T_SH_GATE_UP, 1), *s_down = values(m, T_SH_DOWN, 1);
    for (int e = -1; e < 4; e++) // -1: the shared one
        for (int u = 0; u < 4; u++)
            for (int c = 0; c < 8; c++) {
                int unit = (e < 0 ? 0 : 4 * (1 + e % 2)) + u;
                const real *to_gu = e < 0 ? s_gu : e_gu + e * 8 * 8;
                const real *to_down = e < 0 ? s_down : e_down + e * 8 * 4;
                CHECK(to_gu[u * 8 + c] == gu[unit * 8 + c]);
                CHECK(to_gu[(4 + u) * 8 + c] == gu[(12 + unit) * 8 + c]);
                CHECK(to_down[c * 4 + u] == down[c * 12 + unit] * (e < 0 ? 1 : 2));
            }
    size_t router = 4 * 8 * sizeof(real);
    CHECK(memcmp(values(m, T_ROUTER, 1), values(fresh, T_ROUTER, 1), router) == 0);
    // K = 2: a row for each group of two, the first expert's.
    j.arch.K = 2;
    struct model *groups = start(&j);
    for (int e = 0; e < 4; e++)
        CHECK(memcmp(values(groups, T_ROUTER, 1) + e * 8,
                     values(fresh, T_ROUTER, 1) + e / 2 * 2 * 8, 8 * sizeof(real)) == 0);
    model_free(dense), model_free(m), model_free(fresh), model_free(groups);
}

// For such K the new layer is the dense one in the mean over routers. 400 of them: the mean of
// each output is within five of its standard errors (a chance of 1e-4 over 256 outputs, once:
// the seeds are fixed).
static void the_mean_over_routers(struct scene *s)
{
    enum { N = 400, OUT = TOKENS * 8 };
    struct job one = s->dense, j = s->moe;
    one.arch.L_d = 1, j.arch.L_m = 1;
    j.arch.d_m = 4, j.arch.N_e = 6, j.arch.K = 2; // three slices
    struct model *dense = save(s, &one);
    loss(dense, s);
    double sum[OUT] = {0}, square[OUT] = {0};
    for (int k = 0; k < N; k++) {
        j.train.seed = k;
        struct model *m = start(&j);
        loss(m, s);
        for (int i = 0; i < OUT; i++) {
            double off = (double)m->parts[0].x_out[i] - (double)dense->parts[0].x_out[i];
            sum[i] += off;
            square[i] += off * off;
        }
        model_free(m);
    }
    double most = 0;
    for (int i = 0; i < OUT; i++) {
        double error = sqrt(square[i]) / N;
        CHECK_NEAR(sum[i] / N, 0, 5 * error);
        most = fmax(most, error);
    }
    CHECK(most > 1e-3); // single routers are off
    model_free(dense);
}

static void noise_has_its_size(struct scene *s)
{
    struct model *dense = save(s, &s->dense);
    struct job j = s->moe;
    j.arch.d_m = 6;
    j.init.noise = .25;
    struct model *m = start(&j), *again = start(&j);
    j.train.seed++;
    struct model *other = start(&j);
    j.init.noise = 0;
    struct model *none = start(&j);
    static const enum tensor_role role[] = {T_EXP_GATE_UP, T_EXP_DOWN, T_GATE_UP, T_DOWN};
    for (int i = 0; i < 2; i++) {
        const struct tensor *t = tensor_of(m, role[i], 0),
                            *from = tensor_of(dense, role[i + 2], 0);
        const real *x = values(m, role[i], 0), *y = values(none, role[i], 0);
        const real *w = values(dense, role[i + 2], 0);
        double square = 0, want = 0, mean = 0;
        for (int64_t k = 0; k < t->count; k++)
            square += pow((double)x[k] - (double)y[k], 2) / (double)t->count;
        for (int64_t k = 0; k < from->count; k++)
            mean += (double)w[k] / (double)from->count;
        for (int64_t k = 0; k < from->count; k++)
            want += pow((double)w[k] - mean, 2) / (double)from->count;
        // Down projections carry the factor 2. The deviation of n numbers scatters by
        // 1/sqrt(2 n) of itself: five of that.
        want = .25 * sqrt(want) * (i + 1);
        CHECK_REL(sqrt(square), want, 5 / sqrt(2 * (double)t->count));
        size_t bytes = (size_t)t->count * sizeof *x;
        CHECK(memcmp(x, values(again, role[i], 0), bytes) == 0);
        CHECK(memcmp(x, values(other, role[i], 0), bytes) != 0);
        CHECK(memcmp(x, values(m, role[i], 1), bytes) != 0);
        CHECK(memcmp(x, x + t->count / 2, bytes / 2) != 0); // experts 0 and 2 share a slice
        CHECK(memcmp(y, y + t->count / 2, bytes / 2) == 0);
    }
    model_free(dense), model_free(m), model_free(again), model_free(other), model_free(none);
}

// A checkpoint of the very same architecture is taken over whole, routers and biases too; one
// with a dense layer more keeps its experts and turns that layer into others.
static void experts_are_kept(struct scene *s)
{
    struct job was = s->moe;
    was.model.router = ROUTER_SIGMOID_BIAS;
    was.init.from[0] = 0;
    was.arch.L_d = was.arch.L_m = 1;
    was.arch.d_m = 6, was.arch.n_shared = 1;
    struct job same = was, more = was;
    snprintf(same.init.from, sizeof same.init.from, "%s", s->path);
    snprintf(more.init.from, sizeof more.init.from, "%s", s->path);
    same.train.seed = more.train.seed = 77;
    more.arch.L_d = 0, more.arch.L_m = 2;
    struct model *old = save(s, &was), *m = start(&same), *grown = start(&more);
    int64_t n;
    CHECK(memcmp(model_params(m), model_params(old),
                 (size_t)model_n_params(old) * sizeof(real)) == 0);
    CHECK(memcmp(model_router_bias(m, &n), model_router_bias(old, &n), 4 * sizeof(real)) == 0);
    const real *bias = model_router_bias(grown, &n);
    CHECK(n == 8 && bias[0] == 0 && bias[3] == 0);
    CHECK(memcmp(bias + 4, model_router_bias(old, &n), 4 * sizeof *bias) == 0);
    CHECK(n == 4 && memcmp(values(grown, T_ROUTER, 1), values(old, T_ROUTER, 1),
                           4 * 8 * sizeof(real)) == 0);
    CHECK_REL(loss(grown, s), loss(old, s), CLOSE);
    for (int64_t i = 0; i < model_n_params(m); i++) // and the optimizer starts afresh
        CHECK(model_moment1(m)[i] == 0 && model_moment2(m)[i] == 0);
    model_free(old), model_free(m), model_free(grown);
}

static void refused(const struct job *j, const uint8_t *sym, const char *words)
{
    struct checkpoint c;
    bool ok = upcycle_open(j, &j->arch, sym, &c) == ERR_INPUT &&
              strncmp(err_message(), "init.from: ", 11) == 0 && strstr(err_message(), words);
    if (!ok)
        fprintf(stderr, "    wanted '%s', got '%s'\n", words, err_message());
    CHECK(ok);
}

static void what_does_not_fit(struct scene *s)
{
    model_free(save(s, &s->dense));
#define REFUSED(change, words)                                                                 \
    do {                                                                                       \
        struct job j = s->moe;                                                                 \
        change;                                                                                \
        refused(&j, symbols, words);                                                           \
    } while (0)
    REFUSED(j.arch.d = 10, ": d: expected 10 as in the job, found 8");
    REFUSED(j.arch.d_qkv = 6, ": d_qkv: expected 6 as in the job, found 4");
    REFUSED(j.arch.N_q = 4, ": N_q: expected 4 as in the job, found 2");
    REFUSED(j.arch.N_kv = 2, ": N_kv: expected 2 as in the job, found 1");
    REFUSED(j.arch.V = 9, ": V: expected 9 as in the job, found 11");
    REFUSED(j.arch.L_m = 3, "layers L_d + L_m: expected 3 as in the job, found 2");
    REFUSED((j.arch.L_d = 1, j.arch.L_m = 1, j.arch.d_d = 24),
            "d_d: expected 24 as in the job");
    REFUSED(j.arch.d_m = 5, "d_d: expected a multiple of the job's d_m = 5, found 12");
    REFUSED(j.arch.d_m = 24, "d_d: expected a multiple of the job's d_m = 24, found 12");
    REFUSED(j.arch.n_shared = 1, "expected more than the n_shared d_m = 12 hidden units");
    REFUSED(j.arch.d_m = 4, "12 hidden units make 3 slices for routed experts, expected a "
                            "divisor of the job's N_e = 4");
    REFUSED(j.model.tied = true, "model.tied: expected true as in the job, found false");
    REFUSED(j.model.qk_norm = true, "model.qk_norm: expected true");
    REFUSED(j.model.rope_base = 1e4,
            "model.rope_base: expected 10000 as in the job, found 100");
    REFUSED((j.arch.L_d = 2, j.arch.L_m = 0, j.init.noise = .5),
            "init.noise: expected 0, as no dense block becomes experts, found 0.5");
    REFUSED(snprintf(j.init.from, 16, "/nowhere/x"), "/nowhere/x: No such file");
    refused(&s->moe, NULL, "symbols: expected those of files of tokens");
    uint8_t moved[V];
    memcpy(moved, symbols, V);
    moved[3] = 'z';
    refused(&s->moe, moved, "symbol 3: expected byte 122 as in the job's text, found 98");
    // Experts that are there already.
    struct job was = s->moe;
    was.init.from[0] = 0;
    model_free(save(s, &was));
    REFUSED((j.arch.L_d = 1, j.arch.L_m = 1), "L_d: expected at least the job's 1");
    REFUSED(j.arch.N_e = 8, ": N_e: expected 8 as in the job, found 4");
    REFUSED(j.arch.K = 1, ": K: expected 1 as in the job, found 2");
    REFUSED(j.arch.d_m = 6, ": d_m: expected 6 as in the job, found 12");
    REFUSED(j.arch.n_shared = 1, ": n_shared: expected 1 as in the job, found 0");
    REFUSED(j.model.norm_topk = false, "model.norm_topk: expected false");
    REFUSED(j.model.router = ROUTER_SIGMOID_BIAS, "sigmoid_bias: expected true");
    CHECK(truncate(s->path, 3000) == 0);
    REFUSED((void)0, "bytes, found 3000");
}

static void the_hash_is_the_contents(struct scene *s)
{
    struct job j = s->moe, none = s->dense;
    model_free(save(s, &s->dense));
    CHECK(upcycle_identify(&none) == OK && none.init.hash[0] == 0);
    CHECK(upcycle_identify(&j) == OK && strlen(j.init.hash) == 16);
    CHECK(upcycle_identify(&j) == OK);
    s->dense.train.seed = 2;
    model_free(save(s, &s->dense));
    CHECK(upcycle_identify(&j) == ERR_INPUT &&
          strstr(err_message(), "expected the file whose"));
    j.init.hash[0] = 0;
    snprintf(j.init.from, sizeof j.init.from, "%s", s->dir);
    CHECK(upcycle_identify(&j) == ERR_INPUT && strstr(err_message(), "found a folder"));
}

int main(void)
{
    struct scene s = scene_new();
    the_function_is_the_dense_one(&s);
    options_and_lengths(&s);
    slices_lie_where_they_belong(&s);
    the_mean_over_routers(&s);
    noise_has_its_size(&s);
    experts_are_kept(&s);
    what_does_not_fit(&s);
    the_hash_is_the_contents(&s);
    scene_free(&s);
    return test_summary();
}
