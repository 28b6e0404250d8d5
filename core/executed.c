// SPDX-License-Identifier: Apache-2.0
#include "core/executed.h"
#include "core/json.h"
#include "core/tensor.h"
#include <math.h>
#include <stdlib.h>

// How often a tensor of the one-layer-of-each-kind table occurs in the whole model.
static int64_t occurrences(const struct tensor *t, const struct arch *one, const struct arch *a)
{
    if (t->layer < 0)
        return 1;
    return t->layer < one->L_d ? a->L_d : a->L_m;
}

#define PAGES_AROUND                                                                           \
    65536 // Linux maps cached pages of a file in such blocks (fault_around_bytes)

static int64_t saturate(double bytes)
{
    return bytes < 0x1p62 ? (int64_t)bytes : INT64_C(1) << 62;
}

static int64_t saturated_sum(const double *bytes, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += bytes[i];
    return sum < 0x1.fp62 ? (int64_t)sum : INT64_MAX;
}

// Four-byte numbers that the trainer (worker/model.c) keeps for one batch of T tokens.
// A layer: the residual stream before each half, the second half's normed input, both norms, q,
// k, v, attention output and one log-sum-exp a head:
//     T (3 d + 2 + 2 (N_q + N_kv) d_qkv + N_q)
// A dense block: gate and up:
//     T 2 d_d
// A MoE block: gate and up of K + n_shared experts, router probabilities, weights and places of
// the K assignments:
//     T (2 (K + n_shared) d_m + N_e + 5 K + 1)
// Outside: five more streams and a norm, router logits, gradients of the K weights:
//     T (5 d + 1 + N_e + 2 K)
// One chunk of whole sequences (256 tokens, or one sequence) in the attention block: normed
// input, q, k, v, attention output, as gradients:
//     chunk (2 d + 2 (N_q + N_kv) d_qkv)
// With QK-norm, of the same chunk besides: the normed heads in rows of q, k, v, and a factor a
// head:
//     chunk ((N_q + 2 N_kv) d_qkv + N_q + N_kv)
// Rotary angles:
//     S d_qkv
// One operation's scratch: 256 rows of 4 feed-forward and 2 hidden widths, 32 queries against S
// keys, or 128 rows of logits.
static double activation_numbers(const struct arch *a, bool qk_norm, double T)
{
    double d = (double)a->d, L_d = (double)a->L_d, L_m = (double)a->L_m, K = (double)a->K;
    double S = (double)a->S, q = (double)a->d_qkv, F = (double)a->d_m,
           n_sh = (double)a->n_shared;
    double qkvo = 2 * (double)(a->N_q + a->N_kv) * q, N_e = (double)a->N_e;
    double attn = 3 * d + 2 + qkvo + (double)a->N_q, dense = 2 * (double)a->d_d;
    double moe = 2 * (K + n_sh) * F + N_e + 5 * K + 1;
    double outside = 5 * d + 1 + N_e + 2 * K;
    double chunk = fmin(T, S * fmax(1, floor(256 / S)));
    double normed =
        qk_norm ? (double)(a->N_q + 2 * a->N_kv) * q + (double)(a->N_q + a->N_kv) : 0;
    double width = fmax(L_d > 0 ? (double)a->d_d : 0, L_m > 0 ? fmax(1, n_sh) * F : 0);
    double scratch =
        fmax(256 * (4 * width + 2 * d), fmax(32 * (2 * S + 3 * q), 128 * (double)a->V));
    return T * ((L_d + L_m) * attn + L_d * dense + L_m * moe + outside) +
           chunk * (2 * d + qkvo + normed) + S * q + scratch;
}

// Four-byte numbers of Muon's scratch (kernels/muon.h) for the largest matrix: two of its shape
// and two squares of its smaller side.
static double muon_numbers(const struct tensor *table, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++) {
        int64_t rows, cols;
        if (tensor_hidden(&table[i], &rows, &cols) == 0)
            continue;
        double r = (double)rows, c = (double)cols, side = fmin(r, c);
        most = fmax(most, 2 * r * c + 2 * side * side);
    }
    return most;
}

struct executed executed_of(const struct job *j)
{
    const struct arch *a = &j->arch;
    // One layer of each kind has every tensor that the model has: multiply instead of listing
    // all.
    struct arch one = *a;
    one.L_d = a->L_d > 0;
    one.L_m = a->L_m > 0;
    struct tensor *table;
    int n;
    ASSERT(tensor_table(&one, &j->model, &table, &n) >=
           0); // at most 29 entries: memory cannot be so short
    struct executed e = {0};
    double matrix = 0; // elements that one token multiplies with, forward
    for (int i = 0; i < n; i++) {
        const struct tensor *t = &table[i];
        int64_t times = occurrences(t, &one, a), used = llround((double)t->count * t->active);
        e.params += times * t->count;
        e.active_params += times * used;
        if (t->ndim > 1 &&
            (t->role != T_EMBED || j->model.tied)) // an untied embedding is only looked up
            matrix += (double)times * (double)used;
    }
    double scratch = j->train.optimizer == OPTIMIZER_MUON ? muon_numbers(table, n) : 0;
    free(table);
    double L = (double)(a->L_d + a->L_m), keys = ((double)a->S + 1) / 2; // mean causal context
    e.flops_per_token = 6 * matrix + 12 * keys * (double)(a->N_q * a->d_qkv) * L;
    // A thread's part of the batch is whole sequences, as nearly alike as can be; each part has
    // gradients of its own.
    double sequences = fmax(1, (double)(j->train.batch_tokens / a->S));
    double parts = fmin(sequences, j->threads), rows = ceil(sequences / parts) * (double)a->S;
    e.mem_weights = 4 * e.params;
    e.mem_grads = saturate(parts * 4 * (double)e.params);
    e.mem_optimizer = saturate(8 * (double)e.params + parts * 4 * scratch);
    e.mem_activations = saturate(parts * 4 * activation_numbers(a, j->model.qk_norm, rows));
    const double all[] = {
        (double)e.mem_weights,
        (double)e.mem_grads,
        (double)e.mem_optimizer,
        (double)e.mem_activations,
        EXECUTED_BASE,
        EXECUTED_THREAD * (parts - 1),
        8 * (double)j->train.batch_tokens}; // tokens and targets of four bytes
    e.mem_total = saturated_sum(all, sizeof all / sizeof *all);
    return e;
}

int64_t executed_data_bytes(const struct job *j, int64_t bytes, int width)
{
    if (j->data.kind == DATA_TEXT || j->data.eot >= 0 || j->arch.V < 1 ||
        j->checkpoint.dir[0] != 0)
        return bytes;
    // n windows dropped at random on the file's blocks leave a share of exp(-n w / bytes)
    // untouched.
    double S = (double)j->arch.S, n = ((double)j->train.tokens + (double)j->val.tokens) / S;
    double w = PAGES_AROUND + (S + 1) * width, all = (double)bytes;
    return (int64_t)(all * -expm1(-n * w / all));
}

struct job executed_job(const struct arch *a, bool tied, int64_t batch_tokens)
{
    struct job j;
    job_init(&j);
    j.arch = *a;
    j.model.tied = tied;
    j.train.batch_tokens = batch_tokens;
    return j;
}

json_t *executed_report_json(const struct job *job)
{
    struct counts c = arch_counts(&job->arch);
    struct executed e = executed_of(job);
    json_t *j = arch_to_json(&job->arch), *executed = json_object(), *memory = json_object();
    json_object_set_new(j, "N_a", json_integer(c.N_a));
    json_object_set_new(j, "N", json_integer(c.N));
    json_object_set_new(j, "M", json_integer(c.M));
    const struct {
        const char *key;
        double value;
    } ratios[] = {{"x", c.x}, {"y", c.y}, {"r", c.r},     {"G", c.G},     {"s", c.s},
                  {"z", c.z}, {"g", c.g}, {"r_a", c.r_a}, {"r_d", c.r_d}, {"r_m", c.r_m}};
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++)
        json_object_set_new(j, ratios[i].key, json_num(ratios[i].value));
    json_object_set_new(executed, "params", json_integer(e.params));
    json_object_set_new(executed, "active_params", json_integer(e.active_params));
    json_object_set_new(executed, "flops_per_token", json_num(e.flops_per_token));
    json_object_set_new(executed, "batch_tokens", json_integer(job->train.batch_tokens));
    json_object_set_new(memory, "weights", json_integer(e.mem_weights));
    json_object_set_new(memory, "grads", json_integer(e.mem_grads));
    json_object_set_new(memory, "optimizer", json_integer(e.mem_optimizer));
    json_object_set_new(memory, "activations", json_integer(e.mem_activations));
    json_object_set_new(memory, "program", json_integer(EXECUTED_BASE));
    json_object_set_new(memory, "total", json_integer(e.mem_total));
    json_object_set_new(executed, "memory_bytes", memory);
    json_object_set_new(j, "executed", executed);
    return j;
}
