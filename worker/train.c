// SPDX-License-Identifier: Apache-2.0
#include "worker/train.h"
#include "core/corpus.h"
#include "core/executed.h"
#include "core/json.h"
#include "kernels/gemm.h"
#include "worker/checkpoint.h"
#include "worker/data.h"
#include "worker/machine.h"
#include "worker/model.h"
#include "worker/pool.h"
#include "worker/protocol.h"
#include "worker/schedule.h"
#include "worker/upcycle.h"
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BIAS_RATE 1e-3 // DeepSeek-V3 (arXiv 2412.19437), section 4.2
#define SMOOTH_WEIGHT (1. / 8)
#define LINE_EVERY_S 0.25 // progress lines for the eye

struct run {
    const struct job *job;
    FILE *out;
    struct arch arch; // the job's, with the text's vocabulary
    struct corpus corpus;
    struct data data;
    const struct ops *ops; // the backend
    enum gemm_kind gemm;   // what its products run on
    struct model *model;
    struct executed executed;
    int64_t memory;            // bytes it should need at most
    int32_t *tokens, *targets; // one batch
    int64_t steps, n_windows;  // of the whole run; of a full batch
    uint32_t text;             // fingerprint
    char *meta;                // what a checkpoint says of its job
    struct checkpoint init;    // job.init.from, until the weights are made
    struct run_state state;
    double t_line, t_checkpoint; // when the last ones were written
    char cause[128];             // of divergence, or of a stop
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static sigset_t stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

void train_block_signals(void)
{
    sigset_t set = stop_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static bool stop_asked(void)
{
    sigset_t set = stop_signals();
    return sigtimedwait(&set, NULL, &(struct timespec){0}) > 0;
}

// --- Before the first step ------------------------------------------------------------------

// Of the machine the data are left out: their pages are dropped where memory is short.
static enum err check_memory(const struct run *r)
{
    const struct executed *e = &r->executed;
    bool device = r->ops->device;
    int64_t need = device ? e->mem_device : e->mem_total, host = machine_memory_available();
    int64_t have = device ? r->ops->available() : host;
    char workspace[64] = "";
    if (device)
        snprintf(workspace, sizeof workspace, ", workspace %.3g",
                 1e-9 * (double)e->mem_workspace);
    ENSURE(need <= have, ERR_INPUT,
           "arch: needs %.3g GB of %smemory (weights %.3g, gradients %.3g, moments %.3g, "
           "activations of %" PRId64 " tokens at a time (train.micro_tokens) %.3g%s), "
           "expected at most the %.3g GB that are available%s",
           1e-9 * (double)need, device ? "the device's " : "", 1e-9 * (double)e->mem_weights,
           1e-9 * (double)e->mem_grads, 1e-9 * (double)e->mem_optimizer,
           job_micro_tokens(r->job), 1e-9 * (double)e->mem_activations, workspace,
           1e-9 * (double)have, device ? "; moetrain trains a job on one device" : "");
    ENSURE(!device || e->mem_total <= host, ERR_INPUT,
           "arch: the host's copy of weights and moments needs %.3g GB of memory, expected at "
           "most the %.3g GB that are available",
           1e-9 * (double)e->mem_total, 1e-9 * (double)host);
    return OK;
}

// Largest resident size of this run, as it stands to be.
static int64_t predicted_bytes(const struct run *r)
{
    // What the weights start from is gone before gradients, moments and activations are
    // touched.
    const struct executed *e = &r->executed;
    int64_t init = (r->init.n_params + r->init.n_bias) * (int64_t)sizeof(real);
    int64_t later = e->mem_grads + e->mem_optimizer + e->mem_activations;
    return e->mem_total + (init > later ? init - later : 0) +
           executed_data_bytes(r->job, corpus_bytes(&r->corpus), r->corpus.width);
}

// The vocabulary: a text's symbols; of tokens what the job says, or all up to the largest.
static enum err find_V(struct run *r)
{
    struct corpus *c = &r->corpus;
    int64_t asked = r->job->arch.V;
    if (r->job->data.kind == DATA_TEXT) {
        ENSURE(asked <= 0 || asked == c->V, ERR_INPUT,
               "arch.V: expected %" PRId64 ", the symbols of the text, found %" PRId64, c->V,
               asked);
    } else if (asked > 0) {
        c->V = asked;
    } else {
        TRY(corpus_largest(c, &c->V));
        c->V++;
    }
    r->arch.V = c->V;
    return OK;
}

static enum err open_text(struct run *r)
{
    const struct job *j = r->job;
    struct corpus_spec spec = corpus_spec_of(j);
    TRY(corpus_open(&spec, &r->corpus));
    r->arch = j->arch;
    TRY(find_V(r));
    return data_init(&r->data, &r->corpus, r->arch.S, j->val.tokens, (uint64_t)j->train.seed);
}

static enum err choose_backend(struct run *r)
{
    const char *device = r->job->device;
    bool bf16 = r->job->train.precision == PRECISION_BF16;
    if (strcmp(device, "cpu") == 0) {
        r->ops = ops_cpu();
        r->gemm = bf16 ? gemm_kind_bf16() : GEMM_FULL;
        return OK;
    }
    ENSURE(strcmp(device, "cuda") == 0, ERR_INPUT, "device: expected cpu or cuda, found %s",
           device);
    r->gemm = bf16 ? GEMM_BF16 : GEMM_FULL;
    enum err e = ops_cuda(bf16, &r->ops);
    return e == OK ? OK : err_prefix(e, "device: cuda");
}

// Everything that can refuse the job; nothing has been said on out before it passed.
static enum err prepare(struct run *r)
{
    const struct job *j = r->job;
    int64_t batch = j->train.batch_tokens;
    ENSURE(j->width == 1, ERR_INPUT,
           "width: expected 1, found %d: moetrain uses one GPU, or threads", j->width);
    ENSURE(j->data.kind != DATA_EXTERNAL, ERR_INPUT,
           "data.kind: external data are for another trainer, not moetrain");
    TRY(choose_backend(r));
    ENSURE(batch >= j->arch.S && batch % j->arch.S == 0, ERR_INPUT,
           "train.batch_tokens: expected a multiple of S = %" PRId64 ", found %" PRId64,
           j->arch.S, batch);
    r->steps = job_steps(j);
    r->n_windows = batch / j->arch.S;
    ENSURE(r->steps >= 1, ERR_INPUT,
           "train.tokens: expected at least half a batch of %" PRId64 ", found %" PRId64, batch,
           j->train.tokens);
    TRY(open_text(r));
    TRY(arch_check(&r->arch));
    const uint8_t *symbols = j->data.kind == DATA_TEXT ? r->corpus.byte_of : NULL;
    if (j->init.from[0])
        TRY(upcycle_open(j, &r->arch, symbols, &r->init));
    struct job known = *j; // shallow: its V is known now
    known.arch = r->arch;
    r->executed = executed_of(&known);
    TRY(check_memory(r));
    r->memory = predicted_bytes(r);
    if (j->checkpoint.dir[0]) {
        TRY(checkpoint_check_dir(j->checkpoint.dir));
        ENSURE(!checkpoint_is_in(j->init.from, j->checkpoint.dir), ERR_INPUT,
               "init.from: %s: expected a file that this job's own checkpoints do not replace, "
               "found the one in checkpoint.dir",
               j->init.from);
        r->text = data_fingerprint(&r->data);
        r->meta = checkpoint_meta(j, &r->arch, symbols);
        ENSURE(r->meta != NULL, ERR_FAILED, "out of memory");
    }
    if (j->threads > pool_processors())
        fprintf(stderr, "moetrain: warning: %d threads on %d processor%s\n", j->threads,
                pool_processors(), pool_processors() > 1 ? "s" : "");
    double epochs = (double)job_tokens_after(j, r->steps) / (double)r->corpus.train.n;
    if (epochs > 1)
        fprintf(stderr,
                "moetrain: warning: %.2f passes over %" PRId64 " tokens of training text\n",
                epochs, r->corpus.train.n);
    return OK;
}

static enum err start_fresh(struct run *r)
{
    memset(&r->state, 0, sizeof r->state);
    model_init(r->model, (uint64_t)r->job->train.seed);
    if (r->job->init.from[0] == 0)
        return OK;
    r->state.init_tokens = upcycle_tokens(&r->init);
    return upcycle_weights(&r->init, r->job, &r->arch, r->model);
}

// From the checkpoint, or from the start: a checkpoint that cannot be used is set aside and
// said so.
static enum err start_or_resume(struct run *r)
{
    const char *dir = r->job->checkpoint.dir;
    bool found = false;
    if (dir[0]) {
        enum err e = checkpoint_load(dir, r->job, r->text, &found, &r->state, r->model);
        if (found && e == OK)
            return OK;
        if (e != OK) {
            fprintf(stderr, "moetrain: checkpoint refused: %s; starting from step 0\n",
                    err_message());
            TRY(checkpoint_set_aside(dir));
            model_clear(r->model);
        }
    }
    return start_fresh(r);
}

static enum err say_hello(const struct run *r)
{
    char isa[128], backend[64];
    machine_isa(isa, sizeof isa);
    if (r->ops->device)
        snprintf(backend, sizeof backend, "%s", r->ops->name);
    else
        snprintf(backend, sizeof backend, "cpu/%s%s", gemm_backend(),
                 gemm_kind_suffix(r->gemm));
    return protocol_line(
        r->out,
        json_pack("{s:s, s:i, s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "t",
                  "hello", "v", 1, "pid", (json_int_t)getpid(), "backend", backend, "isa", isa,
                  "version", MOESWEEP_VERSION, "id", r->job->id, "steps", (json_int_t)r->steps,
                  "resumed_step", (json_int_t)r->state.step, "V", (json_int_t)r->arch.V,
                  "params", (json_int_t)r->executed.params, "train_tokens",
                  (json_int_t)r->corpus.train.n, "memory_bytes", (json_int_t)r->memory));
}

// --- One step -------------------------------------------------------------------------------

// False when the run has diverged; NaN counts.
static bool loss_is_sane(struct run *r, double loss)
{
    struct run_state *s = &r->state;
    bool first = s->step == 0;
    s->smooth = first ? loss : s->smooth + SMOOTH_WEIGHT * (loss - s->smooth);
    if (first || s->smooth < s->lowest)
        s->lowest = s->smooth;
    double limit = s->lowest + log((double)r->arch.V);
    if (fabs(loss) <= DBL_MAX && s->smooth <= limit)
        return true;
    snprintf(r->cause, sizeof r->cause,
             "loss %.4g at step %" PRId64 ", smoothed %.4g, limit %.4g", loss, s->step + 1,
             s->smooth, limit);
    return false;
}

// Reads the next step's batch; n: its tokens.
static enum err read_batch(struct run *r, int64_t *n)
{
    int64_t seen = job_tokens_after(r->job, r->state.step);
    *n = job_tokens_after(r->job, r->state.step + 1) - seen;
    return data_batch(&r->data, seen / r->arch.S, *n / r->arch.S, r->tokens, r->targets);
}

// Trains on the n tokens that have been read.
static bool train_step(struct run *r, int64_t n)
{
    const struct job_train *t = &r->job->train;
    struct run_state *s = &r->state;
    int64_t step = s->step + 1;
    model_gradients(r->model, r->tokens, r->targets, n, t->aux);
    double norm = model_clip(r->model, t->clip), loss = model_loss(r->model);
    if (!loss_is_sane(r, loss))
        return false;
    if (step > r->steps - (r->steps + 9) / 10)
        s->balance_sum += model_balance(r->model);
    if (!(norm <= DBL_MAX)) {
        snprintf(r->cause, sizeof r->cause, "gradient norm %g at step %" PRId64, norm, step);
        return false;
    }
    model_step(r->model, t, schedule_lr(t, r->steps, step), step);
    if (r->job->model.router == ROUTER_SIGMOID_BIAS)
        model_balance_bias(r->model, BIAS_RATE);
    s->curve_sum += loss;
    s->step = step;
    return true;
}

// Mean loss in nats per token over the validation windows.
static enum err validate(struct run *r, double *loss)
{
    double nats = 0;
    for (int64_t first = 0, n; first < r->data.val_windows; first += n) {
        n = r->data.val_windows - first;
        n = n < r->n_windows ? n : r->n_windows;
        TRY(data_held(&r->data, first, n, r->tokens, r->targets));
        nats += (double)n * model_forward(r->model, r->tokens, r->targets, n * r->arch.S);
    }
    *loss = nats / (double)r->data.val_windows;
    return OK;
}

// --- Lines ----------------------------------------------------------------------------------

static enum err say_progress(struct run *r, double loss, bool curve)
{
    const struct run_state *s = &r->state;
    double tokens = (double)job_tokens_after(r->job, s->step);
    json_t *line =
        json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "t", "progress", "step",
                  (json_int_t)s->step, "tokens", (json_int_t)tokens, "loss", json_num(loss),
                  "lr", json_num(schedule_lr(&r->job->train, r->steps, s->step)), "tok_s",
                  json_num(tokens / s->seconds));
    if (line && curve)
        json_object_set_new(line, "curve", json_true());
    r->t_line = now_s();
    return protocol_line(r->out, line);
}

// The step's curve point if it has one; else, now and then, a line for the eye. *hopeless: the
// run ends at the point.
static enum err tell_step(struct run *r, bool *hopeless)
{
    struct run_state *s = &r->state;
    int64_t before = job_curve_passed(r->steps, s->step - 1);
    *hopeless = false;
    if (job_curve_passed(r->steps, s->step) > before) {
        double loss = s->curve_sum / (double)(s->step - job_curve_step(r->steps, before));
        s->curve[before] = loss;
        s->curve_sum = 0;
        *hopeless =
            job_stops_at(r->job, (struct job_point){s->step, loss}, r->cause, sizeof r->cause);
        return say_progress(r, loss, true);
    }
    return now_s() - r->t_line >= LINE_EVERY_S ? say_progress(r, s->smooth, false) : OK;
}

static enum err write_checkpoint(struct run *r)
{
    const struct job *j = r->job;
    TRY(checkpoint_save(j->checkpoint.dir, j, r->text, r->meta, &r->state, r->model));
    r->t_checkpoint = now_s();
    return protocol_line(
        r->out, json_pack("{s:s, s:I}", "t", "checkpoint", "step", (json_int_t)r->state.step));
}

// A checkpoint that cannot be written is no reason to lose the run: said once per attempt.
static enum err maybe_checkpoint(struct run *r)
{
    const struct job *j = r->job;
    double every = j->checkpoint.every_s; // 0: only when the run is stopped
    if (!j->checkpoint.dir[0] || every <= 0 || now_s() - r->t_checkpoint < every)
        return OK;
    if (write_checkpoint(r) != OK) {
        ENSURE(!ferror(r->out), ERR_FAILED, "standard output cannot be written");
        fprintf(stderr, "moetrain: warning: no checkpoint at step %" PRId64 ": %s\n",
                r->state.step, err_message());
        r->t_checkpoint = now_s();
    }
    return OK;
}

static enum err maybe_validate(struct run *r)
{
    int64_t every = r->job->val.every, step = r->state.step;
    double loss = NAN;
    if (every < 1 || step % every != 0 || step == r->steps)
        return OK;
    TRY(validate(r, &loss));
    return protocol_line(r->out, json_pack("{s:s, s:I, s:o}", "t", "val", "step",
                                           (json_int_t)step, "loss", json_num(loss)));
}

static enum err say_result(const struct run *r, enum job_status status, double loss)
{
    const struct run_state *s = &r->state;
    int64_t tokens = job_tokens_after(r->job, s->step), last = (r->steps + 9) / 10;
    struct job_result res = {.status = status,
                             .loss = loss,
                             .loss_per_byte = loss * (double)data_val_tokens(&r->data) /
                                              data_val_bytes(&r->data),
                             .tokens = tokens,
                             .init_tokens = s->init_tokens,
                             .seconds = s->seconds,
                             .flops = (double)tokens * r->executed.flops_per_token,
                             .peak_bytes = machine_peak_bytes(),
                             .balance = status == JOB_OK ? s->balance_sum / (double)last : NAN,
                             .epochs = (double)tokens / (double)r->corpus.train.n};
    snprintf(res.id, sizeof res.id, "%s", r->job->id);
    snprintf(res.cause, sizeof res.cause, "%s", r->cause);
    json_t *line = job_result_to_json(&res), *curve = json_array();
    ENSURE(line && curve, ERR_FAILED, "out of memory for the result");
    int64_t points = job_curve_passed(r->steps, s->step);
    for (int64_t i = 0; i < points; i++)
        json_array_append_new(curve,
                              json_pack("[I, o]", (json_int_t)job_curve_step(r->steps, i + 1),
                                        json_num(s->curve[i])));
    json_object_set_new(line, "curve", curve);
    json_object_set_new(line, "steps", json_integer(s->step));
    return protocol_line(r->out, line);
}

// --- The run --------------------------------------------------------------------------------

static enum err stop(struct run *r)
{
    enum err saved = r->job->checkpoint.dir[0] ? write_checkpoint(r) : OK;
    fprintf(stderr, "moetrain: stopped after step %" PRId64 " of %" PRId64 "%s%s\n",
            r->state.step, r->steps,
            saved == OK ? "" : ", no checkpoint: ", saved == OK ? "" : err_message());
    TRY(say_result(r, JOB_STOPPED, NAN));
    return ERR_STOPPED;
}

static enum err train_loop(struct run *r)
{
    r->t_line = r->t_checkpoint = now_s();
    while (r->state.step < r->steps) {
        if (stop_asked())
            return stop(r);
        double t = now_s();
        int64_t n = 0;
        TRY(read_batch(r, &n));
        bool sane = train_step(r, n);
        r->state.seconds += now_s() - t;
        if (!sane)
            return say_result(r, JOB_DIVERGED, NAN);
        bool hopeless = false;
        TRY(tell_step(r, &hopeless));
        if (hopeless)
            return say_result(r, JOB_PRUNED, NAN);
        TRY(maybe_validate(r));
        TRY(maybe_checkpoint(r));
    }
    if (r->job->checkpoint.dir[0] && r->job->checkpoint.keep)
        TRY(write_checkpoint(r)); // not to be had is a failure here: somebody wants it
    double loss = NAN;
    TRY(validate(r, &loss));
    if (!(fabs(loss) <= DBL_MAX)) {
        snprintf(r->cause, sizeof r->cause, "validation loss is not finite");
        return say_result(r, JOB_DIVERGED, NAN);
    }
    return say_result(r, JOB_OK, loss);
}

static enum err run_with_memory(struct run *r)
{
    const struct job *j = r->job;
    size_t batch = (size_t)j->train.batch_tokens * sizeof *r->tokens;
    r->tokens = malloc(batch);
    r->targets = malloc(batch);
    ENSURE(r->tokens && r->targets, ERR_FAILED, "out of memory: two batches of %zu bytes",
           batch);
    TRY(start_or_resume(r));
    checkpoint_free(&r->init);
    TRY(say_hello(r));
    TRY(train_loop(r));
    if (j->checkpoint.dir[0] && !j->checkpoint.keep)
        checkpoint_remove(j->checkpoint.dir); // the result replaces it
    return OK;
}

enum err train_run(const struct job *j, FILE *out)
{
    struct run r = {.job = j, .out = out};
    enum err e = prepare(&r);
    if (e == OK) {
        e = model_create(&r.arch, &j->model, r.ops, r.gemm, job_micro_tokens(j), j->threads,
                         &r.model);
        if (e == OK)
            e = model_reserve(r.model, j->train.optimizer);
        if (e == OK) {
            e = run_with_memory(&r);
        } else if (e == ERR_FAILED) { // memory: a result of this machine, not an error
            snprintf(r.cause, sizeof r.cause, "%s", err_message());
            e = say_hello(&r);
            e = e == OK ? say_result(&r, JOB_OOM, NAN) : e;
        }
    }
    model_free(r.model);
    checkpoint_free(&r.init);
    corpus_free(&r.corpus);
    free(r.tokens);
    free(r.targets);
    free(r.meta);
    return e;
}
