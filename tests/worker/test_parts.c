// SPDX-License-Identifier: Apache-2.0
// A batch in parts, one a thread, and in micro-batches, one after the other, against the same
// batch in one: gradients, loss, balance and the optimizer's step. Built in double (the parts'
// sums equal the whole's to rounding) and in float; in both the same number of parts gives the
// same bits, run after run.
#include "core/rng.h"
#include "tests/test.h"
#include "worker/model_impl.h"

enum { S = 6, MOST = 7 }; // tokens of a sequence, sequences of a batch

// Sums over at most 42 tokens and some hundred channels in another order differ by about 50
// rounding units of 1.1e-16 relative to the largest of a tensor's entries, and the backward
// pass carries that through a handful of operations: below 1e-12, 9000 units. In float the same
// holds with units of 6e-8; a factor of 1000 units leaves room for what a small sum of large
// terms loses, and is far below the 1/parts that a part left out or taken twice makes.
#ifdef MOESWEEP_F64
#define CLOSE 1e-12
#else
#define CLOSE 6e-5
#endif

static const struct arch base = {.L_d = 1,
                                 .L_m = 2,
                                 .d = 8,
                                 .d_qkv = 4,
                                 .d_d = 10,
                                 .d_m = 6,
                                 .N_q = 2,
                                 .N_kv = 1,
                                 .S = S,
                                 .N_e = 4,
                                 .K = 2,
                                 .n_shared = 1,
                                 .V = 9};

static const struct job_model plain = {.rope_base = 100, .init_scale = 1};
static const struct job_train adamw = {.beta1 = .9, .beta2 = .95, .wd = .1};
static const struct job_train muon = {
    .optimizer = OPTIMIZER_MUON, .beta1 = .9, .beta2 = .95, .wd = .1};

// micro: sequences of a micro-batch.
static struct model *create_micro(const struct arch *a, const struct job_model *opt,
                                  int threads, int64_t micro)
{
    struct model *m;
    int64_t n_bias;
    if (model_create(a, opt, ops_cpu(), GEMM_FULL, micro * S, threads, &m) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    model_init(m, 3);
    real *bias = model_router_bias(m, &n_bias);
    for (int64_t i = 0; i < n_bias; i++)
        bias[i] = (real)(.02 * (double)(i % 3));
    return m;
}

static struct model *create(const struct arch *a, const struct job_model *opt, int threads)
{
    return create_micro(a, opt, threads, MOST);
}

static double pass(struct model *m, int64_t sequences, double aux)
{
    int32_t tokens[MOST * S + 1];
    for (int i = 0; i <= MOST * S; i++)
        tokens[i] = i * i % 9;
    model_gradients(m, tokens, tokens + 1, sequences * S, aux);
    return model_loss(m);
}

static void check_gradients(const char *name, const struct model *one, const struct model *many)
{
    for (int i = 0; i < one->n_tensors; i++) {
        const struct tensor *t = &one->tensors[i];
        const real *a = one->grads + t->offset, *b = many->grads + t->offset;
        double largest = 0, error = 0;
        for (int64_t j = 0; j < t->count; j++) {
            double e = fabs((double)a[j] - (double)b[j]);
            largest = fmax(largest, fabs((double)a[j]));
            error = e <= error ? error : e; // NaN stays
        }
        CHECK(largest > 0 || t->role == T_ROUTER);
        test_checks++;
        if (!(error <= CLOSE * largest)) {
            test_failures++;
            fprintf(stderr, "%s: %s: error %.3g of the largest %.3g\n", name, t->name, error,
                    largest);
        }
    }
}

static void check_parts(const char *name, const struct arch *a, const struct job_model *opt,
                        double aux)
{
    static const int threads[] = {2, 3, 5, 64};
    struct model *one = create(a, opt, 1);
    for (int k = 0; k < 4; k++)
        for (int64_t sequences = 1; sequences <= MOST; sequences += 2) {
            struct model *many = create(a, opt, threads[k]);
            double loss = pass(one, sequences, aux);
            CHECK(many->n_parts == (threads[k] < MOST ? threads[k] : MOST));
            CHECK_REL(pass(many, sequences, aux), loss, CLOSE);
            CHECK(many->n_active == (sequences < many->n_parts ? sequences : many->n_parts));
            check_gradients(name, one, many);
            CHECK_REL(model_aux_loss(many), model_aux_loss(one), CLOSE);
            CHECK(model_balance(many) == model_balance(one)); // of integers
            model_balance_bias(one, .1);
            model_balance_bias(many, .1);
            int64_t n_bias;
            const real *b1 = model_router_bias(one, &n_bias),
                       *b2 = model_router_bias(many, &n_bias);
            for (int64_t i = 0; i < n_bias; i++)
                CHECK(b1[i] == b2[i]);
            model_free(many);
            model_free(one);
            one = create(a, opt, 1);
        }
    model_free(one);
}

// Micro-batches of 1 to 6 of 7 sequences, the last ones smaller, by one and several threads.
static void check_micro(const char *name, const struct arch *a, const struct job_model *opt,
                        double aux)
{
    int32_t tokens[MOST * S + 1];
    struct model *one = create(a, opt, 1);
    double loss = pass(one, MOST, aux);
    for (int i = 0; i <= MOST * S; i++)
        tokens[i] = i * i % 9;
    for (int threads = 1; threads <= 3; threads++)
        for (int64_t micro = 1; micro < MOST; micro++) {
            struct model *m = create_micro(a, opt, threads, micro);
            CHECK(m->n_parts == (threads < micro ? threads : micro));
            for (int again = 0; again < 2; again++) { // nothing of the batch before is left
                CHECK_REL(pass(m, MOST, aux), loss, CLOSE);
                check_gradients(name, one, m);
                CHECK(model_balance(m) == model_balance(one));
            }
            CHECK_REL(model_forward(m, tokens, tokens + 1, MOST * S), loss, CLOSE);
            CHECK(model_balance(m) == model_balance(one));
            model_free(m);
        }
    model_free(one);
}

// With the same gradients the shares of a step are the whole step, bit for bit: AdamW is
// elementwise, Muon goes matrix by matrix.
static void shares_make_the_step(const struct job_train *train)
{
    struct model *one = create(&base, &plain, 1), *many = create(&base, &plain, 3);
    size_t arena = (size_t)one->N * sizeof *one->grads;
    CHECK(model_reserve(one, train->optimizer) == OK);
    CHECK(model_reserve(many, train->optimizer) == OK);
    pass(one, MOST, .1);
    memcpy(many->grads, one->grads, arena);
    for (int step = 1; step <= 3; step++) {
        model_step(one, train, .01, step);
        model_step(many, train, .01, step);
    }
    CHECK(memcmp(one->params, many->params, arena) == 0);
    CHECK(memcmp(one->m1, many->m1, arena) == 0);
    CHECK(memcmp(one->m2, many->m2, arena) == 0);
    model_free(one), model_free(many);
}

// The norm is a sum of squares in double in another order.
static void slices_make_the_norm(void)
{
    struct model *one = create(&base, &plain, 1), *many = create(&base, &plain, 3);
    pass(one, MOST, .1);
    memcpy(many->grads, one->grads, (size_t)one->N * sizeof *one->grads);
    double norm = model_clip(one, 0);
    CHECK_REL(model_clip(many, 0), norm, 1e-14);
    CHECK_REL(model_clip(many, norm / 2), norm, 1e-14);
    CHECK_REL(model_clip(many, 0), norm / 2, 1e-6); // every slice is scaled
    model_free(one), model_free(many);
}

// Ten steps, twice: other schedulings, the same bits.
static void bits_repeat(const struct job_model *opt, const struct job_train *train, int threads,
                        int64_t micro)
{
    struct model *m[2];
    for (int k = 0; k < 2; k++) {
        m[k] = create_micro(&base, opt, threads, micro);
        CHECK(model_reserve(m[k], train->optimizer) == OK);
        for (int step = 1; step <= 10; step++) {
            pass(m[k], 1 + step % MOST, .1);
            model_clip(m[k], 1);
            model_step(m[k], train, .01, step);
            model_balance_bias(m[k], .01);
        }
    }
    CHECK(memcmp(m[0]->params, m[1]->params, (size_t)m[0]->N * sizeof *m[0]->params) == 0);
    model_free(m[0]), model_free(m[1]);
}

int main(void)
{
    struct job_model o = plain;
    struct arch a = base;
    check_parts("plain", &a, &o, 0);
    check_parts("aux", &a, &o, .5);
    check_micro("plain", &a, &o, 0);
    check_micro("aux", &a, &o, .5);
    bits_repeat(&o, &adamw, 3, MOST);
    bits_repeat(&o, &adamw, 2, 2);
    o.qk_norm = true;
    o.norm_topk = true;
    o.tied = true;
    o.router = ROUTER_SIGMOID_BIAS;
    check_parts("sigmoid, tied, QK-norm, aux", &a, &o, .5);
    check_micro("sigmoid, tied, QK-norm, aux", &a, &o, .5);
    bits_repeat(&o, &muon, 2, MOST);
    bits_repeat(&o, &muon, 3, 3);
    a.L_d = 0, a.n_shared = 0, a.K = 1;
    o.norm_topk = false;
    check_parts("K = 1, none shared", &a, &o, .1);
    check_micro("K = 1, none shared", &a, &o, .1);
    a.L_d = 2, a.L_m = 0;
    check_parts("dense", &a, &o, .1);
    check_micro("dense", &a, &o, .1);
    shares_make_the_step(&adamw);
    shares_make_the_step(&muon);
    slices_make_the_norm();
    return test_summary();
}
