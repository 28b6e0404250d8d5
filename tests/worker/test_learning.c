// SPDX-License-Identifier: Apache-2.0
// Training is real: 1e12 FLOPs (the paper's count, M x tokens) of a small mixture of experts
// predict held-out text better than a context model of order 2 counted on the same training
// text.
//
// The context model: probabilities of a symbol after none, one and two symbols, interpolated by
// Witten and Bell's rule (1991, method C): P_k(w | c) = (n(c w) + t(c) P_(k-1)(w)) / (n(c) +
// t(c)), where t(c) counts the different symbols seen after c; below order 0 it is uniform.
// Add-one smoothing does worse.
#include "tests/test.h"
#include "core/corpus.h"
#include "core/job.h"
#include "tests/worker/trainer.h"

#define HELD .05
#define VAL_TOKENS 131072
#define FLOPS 1e12
#define ORDER 2

struct context_model {
    int64_t V;
    uint32_t *count[ORDER + 1]; // [V^(k+1)]: contexts of k symbols and the one that follows
    uint32_t *total[ORDER + 1]; // [V^k]
    uint32_t *types[ORDER + 1]; // [V^k]
};

// The last k symbols before text[i] as one index.
static int64_t context(const struct context_model *m, const int32_t *text, int64_t i, int k)
{
    int64_t c = 0;
    for (int64_t p = i - k; p < i; p++)
        c = c * m->V + (p < 0 ? 0 : text[p]);
    return c;
}

static void count_text(struct context_model *m, const int32_t *text, int64_t n, int64_t V)
{
    int64_t size = 1;
    m->V = V;
    for (int k = 0; k <= ORDER; k++, size *= V) {
        m->count[k] = calloc((size_t)(size * V), sizeof **m->count);
        m->total[k] = calloc((size_t)size, sizeof **m->total);
        m->types[k] = calloc((size_t)size, sizeof **m->types);
    }
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k <= ORDER; k++) {
            int64_t c = context(m, text, i, k);
            m->types[k][c] += m->count[k][c * V + text[i]]++ == 0;
            m->total[k][c]++;
        }
}

static double probability(const struct context_model *m, const int32_t *text, int64_t i, int w,
                          int order)
{
    double p = 1. / (double)m->V;
    for (int k = 0; k <= order; k++) {
        int64_t c = context(m, text, i, k);
        double n = m->total[k][c], t = m->types[k][c];
        if (n > 0)
            p = (m->count[k][c * m->V + w] + t * p) / (n + t);
    }
    return p;
}

// Nats per byte over held[1 .. n], as moetrain counts: the end-of-text symbol stands for no
// byte.
static double nats_per_byte(const struct context_model *m, const int32_t *held, int64_t n,
                            int order)
{
    double nats = 0, bytes = 0;
    for (int64_t i = 1; i <= n; i++) {
        nats -= log(probability(m, held, i, held[i], order));
        bytes += held[i] != 0;
    }
    return nats / bytes;
}

static void check_is_distribution(const struct context_model *m, const int32_t *held)
{
    for (int64_t i = 1; i < 2000; i += 100) {
        double sum = 0;
        for (int w = 0; w < (int)m->V; w++)
            sum += probability(m, held, i, w, ORDER);
        CHECK_NEAR(sum, 1, 1e-12); // V additions of rounded terms: V x 1.1e-16
    }
}

static int32_t *read_stream(const struct corpus *c, const struct stream *s)
{
    int32_t *tokens = malloc((size_t)s->n * sizeof *tokens);
    CHECK(corpus_read(c, s, 0, s->n, tokens) == OK);
    return tokens;
}

static double context_model_loss(char *path, int order)
{
    struct corpus c;
    struct context_model m;
    if (corpus_open(&(struct corpus_spec){DATA_TEXT, &path, 1, HELD, -1}, &c) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    CHECK(c.held.n > VAL_TOKENS);
    int32_t *train = read_stream(&c, &c.train), *held = read_stream(&c, &c.held);
    count_text(&m, train, c.train.n, c.V);
    check_is_distribution(&m, held);
    double loss = nats_per_byte(&m, held, VAL_TOKENS, order);
    free(train);
    free(held);
    for (int k = 0; k <= ORDER; k++) {
        free(m.count[k]);
        free(m.total[k]);
        free(m.types[k]);
    }
    corpus_free(&c);
    return loss;
}

// The job of the pilot's settings at 1e12: M about 2.2e5, batch 512, lr .0055 (C / 1e11)^-.25.
static json_t *big_job(const struct scratch *s, const char *path)
{
    struct arch a = arch_unset();
    a.L_d = a.L_m = 1, a.d = 36, a.d_qkv = 16, a.d_m = 42, a.N_q = 2, a.N_kv = 1, a.S = 64;
    a.N_e = 16, a.K = 2, a.V = 0;
    arch_fill_defaults(&a);
    struct counts n = arch_counts(&a);
    printf("M = %lld, N_a = %lld, N = %lld, x = %.2f, y = %.2f, D = %.0f\n", (long long)n.M,
           (long long)n.N_a, (long long)n.N, n.x, n.y, FLOPS / (double)n.M);
    CHECK(n.M > 198000 && n.M < 242000); // 2.2e5 within a tenth
    char number[64], list[4200];
    json_t *job = job_base(s);
    json_object_set_new(job, "arch", arch_to_json(&a));
    snprintf(list, sizeof list, "[\"%s\"]", path);
    job_set(job, "data.paths", list);
    job_set(job, "data.held", "0.05");
    snprintf(number, sizeof number, "%.0f", FLOPS / (double)n.M);
    job_set(job, "train.tokens", number);
    job_set(job, "train.batch_tokens", "512");
    snprintf(number, sizeof number, "%.6g", .0055 * pow(FLOPS / 1e11, -.25));
    job_set(job, "train.lr", number);
    snprintf(number, sizeof number, "%d", VAL_TOKENS);
    job_set(job, "val.tokens", number);
    return job;
}

int main(void)
{
    const char *source = getenv("MOESWEEP_SOURCE");
    char path[4100];
    snprintf(path, sizeof path, "%s/data/kjv.txt", source ? source : ".");
    double order[ORDER + 1];
    for (int k = 0; k <= ORDER; k++)
        order[k] = context_model_loss(path, k);
    CHECK(order[2] < order[1] && order[1] < order[0]); // else the opponent is broken
    struct scratch s;
    scratch_make(&s, 1000, 2);
    json_t *job = big_job(&s, path);
    CHECK(trainer_run(&s, job) == 0);
    json_t *result = trainer_check_lines(&s);
    double loss = number(result, "loss_per_byte");
    printf("nats per byte, held out: context models of order 0 %.4f, 1 %.4f, 2 %.4f; moetrain "
           "%.4f "
           "(%.1f s of training)\n",
           order[0], order[1], order[2], loss, number(result, "seconds"));
    CHECK(loss < order[2]);
    json_decref(result);
    json_decref(job);
    scratch_free(&s);
    return test_summary();
}
