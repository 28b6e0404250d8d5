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

#define BATCH_BYTES 8 // tokens and targets of four bytes

static double act_bytes(const struct job *j)
{
    return job_on_device(j) && j->train.precision == PRECISION_BF16 ? 2 : 4;
}

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

// Bytes that the trainer (worker/model.c) keeps for T tokens at a time: numbers of four
// bytes, and acts, which a device in bf16 stores in two. A layer: the residual stream before
// each half, both norms and one log-sum-exp a head; as acts the second half's normed input, q,
// k, v and attention output:
//     T (2 d + 2 + N_q),   acts T (d + 2 (N_q + N_kv) d_qkv)
// A dense block: gate and up:
//     acts T 2 d_d
// A MoE block: gate and up of K + n_shared experts as acts; router probabilities, weights and
// places of the K assignments:
//     T (N_e + 5 K + 1),   acts T 2 (K + n_shared) d_m
// Outside: four more streams and a norm, router logits, gradients of the K weights; one more
// stream of acts:
//     T (4 d + 1 + N_e + 2 K),   acts T d
// One chunk of whole sequences (256 tokens, or one sequence; on a device all) in the attention
// block: normed input, and as gradients it, q, k, v, attention output:
//     chunk (d + 2 (N_q + N_kv) d_qkv),   acts chunk d
// With QK-norm, of the same chunk besides: a factor a head, and the normed heads in rows of q,
// k, v:
//     chunk (N_q + N_kv),   acts chunk (N_q + 2 N_kv) d_qkv
// Rotary angles:
//     S d_qkv
static double activation_bytes(const struct job *j, double T)
{
    const struct arch *a = &j->arch;
    bool device = job_on_device(j);
    double d = (double)a->d, L_d = (double)a->L_d, L_m = (double)a->L_m, K = (double)a->K;
    double S = (double)a->S, q = (double)a->d_qkv, N_e = (double)a->N_e;
    double heads = (double)(a->N_q + a->N_kv), qkvo = 2 * heads * q;
    double experts = 2 * (K + (double)a->n_shared) * (double)a->d_m;
    double chunk = device ? T : fmin(T, S * fmax(1, floor(256 / S))), norm = j->model.qk_norm;
    double numbers = T * ((L_d + L_m) * (2 * d + 2 + (double)a->N_q) + L_m * (N_e + 5 * K + 1) +
                          4 * d + 1 + N_e + 2 * K) +
                     chunk * (d + qkvo + norm * heads) + S * q;
    double acts =
        T * ((L_d + L_m) * (d + qkvo) + L_d * 2 * (double)a->d_d + L_m * experts + d) +
        chunk * (d + norm * (double)(a->N_q + 2 * a->N_kv) * q);
    return 4 * numbers + act_bytes(j) * acts;
}

static double widest(const struct arch *a)
{
    return fmax(a->L_d > 0 ? (double)a->d_d : 0,
                a->L_m > 0 ? fmax(1, (double)a->n_shared) * (double)a->d_m : 0);
}

// One operation's scratch on the CPU for T rows: at most 256 of 4 feed-forward and 2 hidden
// widths, 32 queries against S keys, or at most 128 rows of logits.
static double scratch_bytes(const struct arch *a, double T)
{
    return 4 * fmax(fmin(T, 256) * (4 * widest(a) + 2 * (double)a->d),
                    fmax(32 * (2 * (double)a->S + 3 * (double)a->d_qkv),
                         fmin(T, 128) * (double)a->V));
}

// One operation's workspace on a device (the kernels' cuda_*_workspace), to a few kilobytes: dy
// of a linear map in floats; D and rounded dO of attention; of a feed-forward block two
// gathered streams of acts and one of floats for K rows a token, and hidden widths; or 1 GiB of
// logits, rows a multiple of 8 long, with their rounded gradients.
static double workspace_bytes(const struct job *j, double T)
{
    const struct arch *a = &j->arch;
    double act = act_bytes(j), d = (double)a->d, V = 8 * ceil((double)a->V / 8),
           q = (double)a->d_qkv;
    double heads = (double)a->N_q, qkv = (heads + 2 * (double)a->N_kv) * q;
    double K = a->L_m > 0 ? (double)a->K : 1;
    double hidden = fmax(widest(a), a->L_m > 0 ? K * (double)a->d_m : 0);
    double rounded = act < 4 ? act : 0, logit = 4 + rounded;
    double rows = floor(0x1p30 / fmax(1, V * logit));
    rows = rows > 64 ? floor(rows / 64) * 64 : fmax(1, rows);
    double linear = 4 * T * fmax(qkv, fmax(d, widest(a)));
    double attention = T * heads * (4 + rounded * q);
    double ffn = T * ((2 * act + 4) * K * d + (4 + 3 * act) * hidden);
    return fmax(fmax(linear, attention), fmax(ffn, 8 * T + fmin(T, rows) * V * logit));
}

// Bytes of Muon's scratch (kernels/muon.h): two of a matrix' shape and two squares of its
// smaller side; on a device of as many together as make 2^26 numbers, with 512 numbers each for
// norms.
static double muon_bytes(const struct tensor *table, int n, bool device)
{
    double most = 0;
    for (int i = 0; i < n; i++) {
        int64_t rows, cols, count = tensor_hidden(&table[i], &rows, &cols);
        if (count == 0)
            continue;
        double r = (double)rows, c = (double)cols, side = fmin(r, c);
        double one = 2 * r * c + 2 * side * side + (device ? 512 : 0);
        double together = device ? fmin((double)count, fmax(1, floor(0x1p26 / one))) : 1;
        most = fmax(most, together * one);
    }
    return 4 * most;
}

// Bytes of the second moments of n numbers that Muon steps, which nobody touches. Tensors that
// AdamW steps lie between them: where the system gives huge pages, each takes one of 2 MiB
// along, of small models everything. Such pages come or do not: half of what they would hold is
// counted.
static double untouched(double n, double between)
{
    return 4 * n - fmin(2 * n, 0x1p21 * between);
}

// A thread's part of a micro-batch is whole sequences, as nearly alike as can be; each part has
// gradients of its own. unused: bytes of moments.
static void count_host(const struct job *j, double muon, double unused, struct executed *e)
{
    const struct arch *a = &j->arch;
    double sequences = fmax(1, (double)(job_micro_tokens(j) / a->S));
    double parts = fmin(sequences, j->threads), rows = ceil(sequences / parts) * (double)a->S;
    e->mem_weights = 4 * e->params;
    e->mem_grads = saturate(parts * 4 * (double)e->params);
    e->mem_optimizer = saturate(8 * (double)e->params - unused + parts * muon);
    e->mem_activations = saturate(parts * (activation_bytes(j, rows) + scratch_bytes(a, rows)));
    const double all[] = {(double)e->mem_weights,
                          (double)e->mem_grads,
                          (double)e->mem_optimizer,
                          (double)e->mem_activations,
                          EXECUTED_BASE,
                          EXECUTED_THREAD * (parts - 1),
                          BATCH_BYTES * (double)j->train.batch_tokens};
    e->mem_total = saturated_sum(all, sizeof all / sizeof *all);
}

// A micro-batch is one part; in bf16 the weights are there rounded, too. The host has its copy
// of parameters and moments.
static void count_device(const struct job *j, double muon, struct executed *e)
{
    double rows = fmax(1, (double)(job_micro_tokens(j) / j->arch.S)) * (double)j->arch.S;
    double batch = BATCH_BYTES * (double)j->train.batch_tokens, N = (double)e->params;
    e->mem_weights = (act_bytes(j) < 4 ? 6 : 4) * e->params;
    e->mem_grads = 4 * e->params;
    e->mem_optimizer = saturate(8 * N + muon);
    e->mem_activations = saturate(activation_bytes(j, rows) + BATCH_BYTES * rows);
    e->mem_workspace = saturate(workspace_bytes(j, rows));
    const double all[] = {(double)e->mem_weights, (double)e->mem_grads,
                          (double)e->mem_optimizer, (double)e->mem_activations,
                          (double)e->mem_workspace};
    const double host[] = {12 * N, EXECUTED_BASE, batch};
    e->mem_device = saturated_sum(all, sizeof all / sizeof *all);
    e->mem_total = saturated_sum(host, sizeof host / sizeof *host);
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
    double unused = 0, between = 0; // numbers that Muon steps, tensors that it does not
    double matrix = 0;              // elements that one token multiplies with, forward
    for (int i = 0; i < n; i++) {
        const struct tensor *t = &table[i];
        int64_t times = occurrences(t, &one, a), used = llround((double)t->count * t->active);
        e.params += times * t->count;
        e.active_params += times * used;
        int64_t rows, cols;
        if (tensor_hidden(t, &rows, &cols) > 0)
            unused += (double)times * (double)t->count;
        else
            between += (double)times;
        if (t->ndim > 1 &&
            (t->role != T_EMBED || j->model.tied)) // an untied embedding is only looked up
            matrix += (double)times * (double)used;
    }
    bool device = job_on_device(j);
    double muon = j->train.optimizer == OPTIMIZER_MUON ? muon_bytes(table, n, device) : 0;
    free(table);
    double L = (double)(a->L_d + a->L_m), keys = ((double)a->S + 1) / 2; // mean causal context
    e.flops_per_token = 6 * matrix + 12 * keys * (double)(a->N_q * a->d_qkv) * L;
    if (device)
        count_device(j, muon, &e);
    else
        count_host(j, muon,
                   j->train.optimizer == OPTIMIZER_MUON ? untouched(unused, between) : 0, &e);
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
