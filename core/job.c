// SPDX-License-Identifier: Apache-2.0
#include "core/job.h"
#include "core/json.h"
#include "core/rng.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB_VERSION 1
#define PATHS_MAX 4096
#define TOKENS_MAX (INT64_C(1) << 53)
#define BATCH_MAX (INT64_C(1) << 32)
#define RAMP_MAX (INT64_C(1) << 24) // sequences: walk takes a time proportional to them

static const char *const schedule_names[] = {
    [SCHEDULE_WSD] = "wsd", [SCHEDULE_COSINE] = "cosine", [SCHEDULE_LINEAR] = "linear"};
static const char *const optimizer_names[] = {
    [OPTIMIZER_ADAMW] = "adamw", [OPTIMIZER_MUON] = "muon"};
static const char *const precision_names[] = {
    [PRECISION_F32] = "f32", [PRECISION_BF16] = "bf16"};
static const char *const router_names[] = {
    [ROUTER_SOFTMAX] = "softmax", [ROUTER_SIGMOID_BIAS] = "sigmoid_bias"};
static const char *const data_names[] = {[DATA_TEXT] = "text",
                                         [DATA_NANOGPT] = "nanogpt",
                                         [DATA_LLMC] = "llmc",
                                         [DATA_MEGATRON] = "megatron",
                                         [DATA_EXTERNAL] = "external"};
static const char *const status_names[] = {
    [JOB_OK] = "ok",           [JOB_DIVERGED] = "diverged", [JOB_OOM] = "oom",
    [JOB_STOPPED] = "stopped", [JOB_FAILED] = "failed",     [JOB_PRUNED] = "pruned"};
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

const char *job_status_name(enum job_status s)
{
    return status_names[s];
}

void job_init(struct job *j)
{
    *j = (struct job){
        .arch = arch_unset(),
        .data = {.kind = DATA_TEXT, .held = 0.05, .eot = -1},
        .train = {.schedule = SCHEDULE_WSD,
                  .warmup = 0.1,
                  .decay = 0.3,
                  .wd = 0.1,
                  .beta1 = 0.9,
                  .beta2 = 0.95,
                  .clip = 1,
                  .aux = 0.01,
                  .seed = 1},
        .model = {.router = ROUTER_SOFTMAX,
                  .norm_topk = true,
                  .rope_base = 10000,
                  .init_scale = 1},
        .threads = 1,
        .width = 1,
        .device = "cpu",
        .checkpoint = {.every_s = 60},
        .val = {.tokens = 262144},
    };
}

void job_free(struct job *j)
{
    for (int i = 0; i < j->data.n_paths; i++)
        free(j->data.paths[i]);
    free(j->data.paths);
    j->data.paths = NULL;
    j->data.n_paths = 0;
}

enum err job_copy(struct job *dst, const struct job *src)
{
    *dst = *src;
    dst->data.n_paths = 0;
    dst->data.paths = calloc((size_t)src->data.n_paths + 1, sizeof *dst->data.paths);
    ENSURE(dst->data.paths != NULL, ERR_FAILED, "out of memory copying a job");
    for (int i = 0; i < src->data.n_paths; i++) {
        dst->data.paths[i] = strdup(src->data.paths[i]);
        dst->data.n_paths = i + 1;
        if (dst->data.paths[i] == NULL) {
            job_free(dst);
            return err_set(ERR_FAILED, "out of memory copying a job");
        }
    }
    return OK;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

struct walk {
    int64_t steps, tokens;
};

// The run up to `most` steps. Steps of one size are taken together: those of b sequences start
// before `end` tokens, where b + 1 are due.
static struct walk walk(const struct job *j, int64_t most)
{
    const struct job_train *t = &j->train;
    bool ramp = t->batch_ramp > 0 && j->arch.S > 0;
    int64_t unit = ramp ? j->arch.S : t->batch_tokens, full = t->batch_tokens / unit;
    int64_t first = ramp && full > 4 ? (full + 4) / 8 : 1;
    struct walk w = {0, 0};
    for (int64_t b = first; b <= full; b++) {
        int64_t size = b * unit, n = (t->tokens - w.tokens + size / 2) / size;
        if (b < full) {
            double share = (double)(b + 1 - first) / (double)(full - first);
            double end = t->batch_ramp * (double)t->tokens * share;
            n = min64(n, (int64_t)ceil((end - (double)w.tokens) / (double)size));
        }
        n = min64(n, most - w.steps);
        if (n > 0) {
            w.steps += n;
            w.tokens += n * size;
        }
    }
    return w;
}

bool job_on_device(const struct job *j)
{
    return strcmp(j->device, "cpu") != 0;
}

int64_t job_micro_tokens(const struct job *j)
{
    int64_t batch = j->train.batch_tokens, S = j->arch.S, most = j->train.micro_tokens;
    if (most == 0)
        most = job_on_device(j) ? JOB_DEVICE_MICRO : batch;
    most = most > S ? most / S * S : S;
    return min64(most, batch);
}

int64_t job_steps(const struct job *j)
{
    return j->train.batch_tokens > 0 ? walk(j, INT64_MAX).steps : 0;
}

int64_t job_tokens_after(const struct job *j, int64_t step)
{
    return j->train.batch_tokens > 0 ? walk(j, step).tokens : 0;
}

int64_t job_curve_step(int64_t steps, int64_t point)
{
    return point * steps / min64(steps, JOB_CURVE_POINTS);
}

// The largest i with floor(i steps / n) <= step.
int64_t job_curve_passed(int64_t steps, int64_t step)
{
    return ((step + 1) * min64(steps, JOB_CURVE_POINTS) - 1) / steps;
}

bool job_stops_at(const struct job *j, struct job_point at, char *why, size_t size)
{
    for (int i = 0; i < j->n_stop; i++) {
        if (j->stop[i].step != at.step || at.loss <= j->stop[i].loss)
            continue; // NaN is above
        snprintf(why, size, "training loss %.5g at step %" PRId64 " above %.5g", at.loss,
                 at.step, j->stop[i].loss);
        return true;
    }
    return false;
}

static void set_int(json_t *obj, const char *key, int64_t v)
{
    json_object_set_new(obj, key, json_integer(v));
}

static void set_num(json_t *obj, const char *key, double v)
{
    json_object_set_new(obj, key, json_num(v));
}

static void set_str(json_t *obj, const char *key, const char *v)
{
    json_object_set_new(obj, key, json_string(v));
}

// Text from outside may hold bytes that are no UTF-8, which JSON cannot write: '?' instead.
static void set_text(json_t *obj, const char *key, const char *v)
{
    char clean[256];
    json_t *s = json_string(v);
    if (s == NULL) {
        snprintf(clean, sizeof clean, "%s", v);
        for (char *p = clean; *p != 0; p++)
            if ((unsigned char)*p >= 0x80)
                *p = '?';
        s = json_string(clean);
    }
    json_object_set_new(obj, key, s);
}

static json_t *add_obj(json_t *obj, const char *key)
{
    json_t *child = json_object();
    json_object_set_new(obj, key, child);
    return child;
}

static void train_to_json(const struct job_train *t, json_t *o)
{
    set_int(o, "tokens", t->tokens);
    set_int(o, "batch_tokens", t->batch_tokens);
    set_num(o, "lr", t->lr);
    set_str(o, "schedule", schedule_names[t->schedule]);
    set_num(o, "warmup", t->warmup);
    set_num(o, "decay", t->decay);
    set_num(o, "wd", t->wd);
    json_t *betas = json_array();
    json_array_append_new(betas, json_num(t->beta1));
    json_array_append_new(betas, json_num(t->beta2));
    json_object_set_new(o, "betas", betas);
    set_num(o, "clip", t->clip);
    set_num(o, "aux", t->aux);
    set_str(o, "optimizer", optimizer_names[t->optimizer]);
    set_num(o, "batch_ramp", t->batch_ramp);
    if (t->micro_tokens > 0) // jobs without keep the ids that they have always had
        set_int(o, "micro_tokens", t->micro_tokens);
    set_str(o, "precision", precision_names[t->precision]);
    set_int(o, "seed", t->seed);
}

static void model_to_json(const struct job_model *m, json_t *o)
{
    set_str(o, "router", router_names[m->router]);
    json_object_set_new(o, "norm_topk", json_boolean(m->norm_topk));
    json_object_set_new(o, "tied", json_boolean(m->tied));
    json_object_set_new(o, "qk_norm", json_boolean(m->qk_norm));
    set_num(o, "rope_base", m->rope_base);
    set_num(o, "init_scale", m->init_scale);
}

json_t *job_to_json(const struct job *j)
{
    json_t *o = json_object(), *paths = json_array();
    set_int(o, "v", JOB_VERSION);
    if (j->id[0] != 0)
        set_str(o, "id", j->id);
    json_object_set_new(o, "arch", arch_to_json(&j->arch));
    json_t *data = add_obj(o, "data");
    set_str(data, "kind", data_names[j->data.kind]);
    for (int i = 0; i < j->data.n_paths; i++) {
        json_t *path =
            json_string(j->data.paths[i]); // NULL: no UTF-8; null is refused on reading
        json_array_append_new(paths, path != NULL ? path : json_null());
    }
    json_object_set_new(data, "paths", paths);
    set_num(data, "held", j->data.held);
    if (j->data.eot >= 0)
        set_int(data, "eot", j->data.eot);
    train_to_json(&j->train, add_obj(o, "train"));
    model_to_json(&j->model, add_obj(o, "model"));
    if (j->init.from[0] != 0) {
        json_t *init = add_obj(o, "init");
        set_str(init, "from", j->init.from);
        if (j->init.hash[0] != 0)
            set_str(init, "hash", j->init.hash);
        set_num(init, "noise", j->init.noise);
    }
    set_int(o, "threads", j->threads);
    if (j->width > 1) // other jobs are what they were before there was a width
        set_int(o, "width", j->width);
    set_str(o, "device", j->device);
    json_t *checkpoint = add_obj(o, "checkpoint"), *val = add_obj(o, "val");
    set_str(checkpoint, "dir", j->checkpoint.dir);
    set_num(checkpoint, "every_s", j->checkpoint.every_s);
    json_object_set_new(checkpoint, "keep", json_boolean(j->checkpoint.keep));
    set_int(val, "tokens", j->val.tokens);
    set_int(val, "every", j->val.every);
    json_t *stops = j->n_stop > 0 ? json_array() : NULL;
    for (int i = 0; i < j->n_stop; i++)
        json_array_append_new(
            stops, json_pack("[I, f]", (json_int_t)j->stop[i].step, j->stop[i].loss));
    if (stops != NULL) // other jobs are what they were before there were stops
        json_object_set_new(o, "stop_above", stops);
    return o;
}

// Index of the named choice; *out is left alone when the key is missing.
static enum err get_choice(json_t *obj, const char *ctx, const char *key,
                           const char *const *names, int n, bool required, int *out)
{
    char buf[32] = "", list[96] = "";
    TRY(json_get_str(obj, ctx, key, required, buf, sizeof buf));
    if (json_object_get(obj, key) == NULL)
        return OK;
    for (int i = 0; i < n; i++) {
        if (strcmp(names[i], buf) == 0) {
            *out = i;
            return OK;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    return err_set(ERR_INPUT, "%s: %s: expected one of %s, found \"%s\"", ctx, key, list, buf);
}

// A number above zero.
static enum err get_positive(json_t *obj, const char *ctx, const char *key, bool required,
                             double hi, double *out)
{
    TRY(json_get_num(obj, ctx, key, required, 0, hi, out));
    ENSURE(json_object_get(obj, key) == NULL || *out > 0, ERR_INPUT,
           "%s: %s: expected a number above 0, found 0", ctx, key);
    return OK;
}

static enum err paths_from_json(json_t *list, const char *ctx, struct job *j)
{
    size_t n = json_array_size(list);
    ENSURE(json_is_array(list) && n > 0 && n <= PATHS_MAX, ERR_INPUT,
           "%s: paths: expected an array of 1 to %d file names", ctx, PATHS_MAX);
    j->data.paths = calloc(n, sizeof *j->data.paths);
    ENSURE(j->data.paths != NULL, ERR_FAILED, "%s: out of memory", ctx);
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_array_get(list, i);
        size_t len = json_string_length(v);
        ENSURE(json_is_string(v) && len > 0 && len < JOB_PATH_MAX &&
                   memchr(json_string_value(v), 0, len) == NULL,
               ERR_INPUT, "%s: paths: entry %zu: expected a file name of 1 to %d bytes", ctx,
               i + 1, JOB_PATH_MAX - 1);
        j->data.paths[i] = strdup(json_string_value(v));
        ENSURE(j->data.paths[i] != NULL, ERR_FAILED, "%s: out of memory", ctx);
        j->data.n_paths = (int)i + 1;
    }
    return OK;
}

static enum err data_from_json(json_t *o, const char *ctx, struct job *j)
{
    static const char *const keys[] = {"kind", "paths", "held", "eot", NULL};
    int kind = (int)j->data.kind;
    TRY(json_known_keys(o, ctx, keys));
    TRY(get_choice(o, ctx, "kind", data_names, COUNT(data_names), false, &kind));
    j->data.kind = (enum job_data)kind;
    TRY(get_positive(o, ctx, "held", false, 0.5, &j->data.held));
    TRY(json_get_i64(o, ctx, "eot", false, 0, INT32_MAX, &j->data.eot));
    bool marked = j->data.kind == DATA_NANOGPT || j->data.kind == DATA_LLMC;
    ENSURE(marked || j->data.eot < 0, ERR_INPUT,
           "%s: eot: expected with kind nanogpt or llmc only, found %" PRId64, ctx,
           j->data.eot);
    return paths_from_json(json_object_get(o, "paths"), ctx, j);
}

static enum err betas_from_json(json_t *v, const char *ctx, struct job_train *t)
{
    if (v == NULL)
        return OK;
    double b1 = json_number_value(json_array_get(v, 0)),
           b2 = json_number_value(json_array_get(v, 1));
    ENSURE(json_array_size(v) == 2 && json_is_number(json_array_get(v, 0)) &&
               json_is_number(json_array_get(v, 1)) && b1 >= 0 && b1 < 1 && b2 >= 0 && b2 < 1,
           ERR_INPUT,
           "%s: betas: expected an array of two numbers, each at least 0 and below 1", ctx);
    t->beta1 = b1;
    t->beta2 = b2;
    return OK;
}

static enum err train_from_json(json_t *o, const char *ctx, struct job_train *t)
{
    static const char *const keys[] = {
        "tokens",    "batch_tokens", "batch_ramp", "micro_tokens",
        "lr",        "schedule",     "warmup",     "decay",
        "wd",        "betas",        "clip",       "aux",
        "optimizer", "precision",    "seed",       NULL};
    int schedule = (int)t->schedule, optimizer = (int)t->optimizer,
        precision = (int)t->precision;
    TRY(json_known_keys(o, ctx, keys));
    TRY(json_get_i64(o, ctx, "tokens", true, 1, TOKENS_MAX, &t->tokens));
    TRY(json_get_i64(o, ctx, "batch_tokens", true, 1, BATCH_MAX, &t->batch_tokens));
    TRY(get_positive(o, ctx, "lr", true, 1e3, &t->lr));
    TRY(get_choice(o, ctx, "schedule", schedule_names, COUNT(schedule_names), false,
                   &schedule));
    t->schedule = (enum job_schedule)schedule;
    TRY(json_get_num(o, ctx, "warmup", false, 0, 1, &t->warmup));
    TRY(json_get_num(o, ctx, "decay", false, 0, 1, &t->decay));
    ENSURE(t->schedule != SCHEDULE_WSD || t->warmup + t->decay <= 1, ERR_INPUT,
           "%s: warmup + decay: expected at most 1, found %g", ctx, t->warmup + t->decay);
    TRY(json_get_num(o, ctx, "wd", false, 0, 1e3, &t->wd));
    TRY(betas_from_json(json_object_get(o, "betas"), ctx, t));
    TRY(json_get_num(o, ctx, "clip", false, 0, 1e9, &t->clip));
    TRY(json_get_num(o, ctx, "aux", false, 0, 1e3, &t->aux));
    TRY(get_choice(o, ctx, "optimizer", optimizer_names, COUNT(optimizer_names), false,
                   &optimizer));
    t->optimizer = (enum job_optimizer)optimizer;
    TRY(json_get_num(o, ctx, "batch_ramp", false, 0, 1, &t->batch_ramp));
    TRY(json_get_i64(o, ctx, "micro_tokens", false, 0, BATCH_MAX, &t->micro_tokens));
    TRY(get_choice(o, ctx, "precision", precision_names, COUNT(precision_names), false,
                   &precision));
    t->precision = (enum job_precision)precision;
    return json_get_i64(o, ctx, "seed", false, 0, INT64_MAX, &t->seed);
}

static enum err model_from_json(json_t *o, const char *ctx, struct job_model *m)
{
    static const char *const keys[] = {"router",    "norm_topk",  "tied", "qk_norm",
                                       "rope_base", "init_scale", NULL};
    int router = (int)m->router;
    TRY(json_known_keys(o, ctx, keys));
    TRY(get_choice(o, ctx, "router", router_names, COUNT(router_names), false, &router));
    m->router = (enum job_router)router;
    TRY(json_get_bool(o, ctx, "norm_topk", false, &m->norm_topk));
    TRY(json_get_bool(o, ctx, "tied", false, &m->tied));
    TRY(json_get_bool(o, ctx, "qk_norm", false, &m->qk_norm));
    TRY(json_get_num(o, ctx, "rope_base", false, 1, 1e12, &m->rope_base));
    return get_positive(o, ctx, "init_scale", false, 1e3, &m->init_scale);
}

static enum err init_from_json(json_t *o, const char *ctx, struct job *j)
{
    static const char *const keys[] = {"from", "hash", "noise", NULL};
    TRY(json_known_keys(o, ctx, keys));
    if (!json_is_null(json_object_get(o, "from")))
        TRY(json_get_str(o, ctx, "from", false, j->init.from, sizeof j->init.from));
    TRY(json_get_str(o, ctx, "hash", false, j->init.hash, sizeof j->init.hash));
    ENSURE(json_object_get(o, "hash") == NULL ||
               (j->init.from[0] != 0 && strspn(j->init.hash, "0123456789abcdef") == 16),
           ERR_INPUT,
           "%s: hash: expected 16 lower-case hexadecimal digits beside from, found \"%s\"", ctx,
           j->init.hash);
    TRY(json_get_num(o, ctx, "noise", false, 0, 10, &j->init.noise));
    ENSURE(j->init.from[0] != 0 || j->init.noise <= 0, ERR_INPUT,
           "%s: noise: expected 0 without from, found %g", ctx, j->init.noise);
    return OK;
}

static enum err checkpoint_from_json(json_t *o, const char *ctx, struct job *j)
{
    static const char *const keys[] = {"dir", "every_s", "keep", NULL};
    TRY(json_known_keys(o, ctx, keys));
    TRY(json_get_str(o, ctx, "dir", false, j->checkpoint.dir, sizeof j->checkpoint.dir));
    TRY(json_get_bool(o, ctx, "keep", false, &j->checkpoint.keep));
    return json_get_num(o, ctx, "every_s", false, 0, 1e9, &j->checkpoint.every_s);
}

static enum err val_from_json(json_t *o, const char *ctx, struct job *j)
{
    static const char *const keys[] = {"tokens", "every", NULL};
    TRY(json_known_keys(o, ctx, keys));
    TRY(json_get_i64(o, ctx, "tokens", false, 1, TOKENS_MAX, &j->val.tokens));
    return json_get_i64(o, ctx, "every", false, 0, TOKENS_MAX, &j->val.every);
}

static enum err stops_from_json(json_t *list, const char *ctx, struct job *j)
{
    size_t n = json_array_size(list);
    ENSURE(json_is_array(list) && n > 0 && n <= JOB_MAX_STOPS, ERR_INPUT,
           "%s: stop_above: expected an array of 1 to %d pairs [step, loss]", ctx,
           JOB_MAX_STOPS);
    j->n_stop = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(list, i), *step = json_array_get(pair, 0);
        j->stop[i] = (struct job_point){json_integer_value(step),
                                        json_number_value(json_array_get(pair, 1))};
        ENSURE(json_array_size(pair) == 2 && json_is_integer(step) && j->stop[i].loss > 0,
               ERR_INPUT, "%s: stop_above: expected [step, loss above 0] as element %zu", ctx,
               i);
    }
    return OK;
}

// Each at a step of the learning curve before the last.
static enum err check_stops(const struct job *j, const char *ctx)
{
    int64_t steps = job_steps(j), before = 0;
    for (int i = 0; i < j->n_stop; i++) {
        int64_t step = j->stop[i].step;
        bool on = step > before && step < steps &&
                  job_curve_step(steps, job_curve_passed(steps, step)) == step;
        ENSURE(
            on, ERR_INPUT,
            "%s: stop_above: expected ascending steps of the learning curve, below its last, "
            "%" PRId64 ", found %" PRId64,
            ctx, steps, step);
        before = step;
    }
    return OK;
}

static enum err get_id(json_t *o, const char *ctx, char *id)
{
    TRY(json_get_str(o, ctx, "id", false, id, JOB_ID_LEN));
    ENSURE(json_object_get(o, "id") == NULL ||
               (id[0] != 0 && strspn(id, "0123456789abcdef") == strlen(id)),
           ERR_INPUT, "%s: id: expected 1 to 16 lower-case hexadecimal digits, found \"%s\"",
           ctx, id);
    return OK;
}

// What only makes sense of several values together.
static enum err check_whole(const struct job *j, const char *ctx)
{
    ENSURE(j->train.batch_tokens % j->arch.S == 0, ERR_INPUT,
           "%s: train: batch_tokens: expected a multiple of S = %" PRId64 ", found %" PRId64,
           ctx, j->arch.S, j->train.batch_tokens);
    ENSURE(j->train.batch_ramp <= 0 || j->train.batch_tokens / j->arch.S <= RAMP_MAX, ERR_INPUT,
           "%s: train: batch_ramp: expected 0 or at most %" PRId64 " sequences of S = %" PRId64
           " in a batch, found %" PRId64,
           ctx, RAMP_MAX, j->arch.S, j->train.batch_tokens / j->arch.S);
    ENSURE(job_steps(j) >= 1, ERR_INPUT,
           "%s: train: tokens: expected at least one batch of %" PRId64 ", found %" PRId64, ctx,
           j->train.batch_tokens, j->train.tokens);
    return check_stops(j, ctx);
}

// A child object's reader with its own place in messages: "ctx: key".
#define READ_CHILD(key, required, call)                                                        \
    do {                                                                                       \
        json_t *child = NULL;                                                                  \
        char place[256];                                                                       \
        snprintf(place, sizeof place, "%s: %s", ctx, key);                                     \
        TRY(json_get_obj(obj, ctx, key, required, &child));                                    \
        if (child != NULL)                                                                     \
            TRY(call);                                                                         \
    } while (0)

static enum err read_job(json_t *obj, const char *ctx, struct job *j)
{
    static const char *const keys[] = {"v",     "id",    "arch",       "data",   "train",
                                       "model", "init",  "threads",    "device", "checkpoint",
                                       "val",   "width", "stop_above", NULL};
    int64_t version, threads = j->threads, width = j->width;
    TRY(json_known_keys(obj, ctx, keys));
    TRY(json_get_i64(obj, ctx, "v", true, JOB_VERSION, JOB_VERSION, &version));
    TRY(get_id(obj, ctx, j->id));
    READ_CHILD("arch", true, arch_from_json(child, place, &j->arch));
    READ_CHILD("data", true, data_from_json(child, place, j));
    READ_CHILD("train", true, train_from_json(child, place, &j->train));
    j->model.norm_topk = j->arch.K > 1; // one weight divided by itself would be always 1
    READ_CHILD("model", false, model_from_json(child, place, &j->model));
    READ_CHILD("init", false, init_from_json(child, place, j));
    READ_CHILD("checkpoint", false, checkpoint_from_json(child, place, j));
    READ_CHILD("val", false, val_from_json(child, place, j));
    TRY(json_get_i64(obj, ctx, "threads", false, 1, 4096, &threads));
    j->threads = (int)threads;
    TRY(json_get_i64(obj, ctx, "width", false, 1, 4096, &width));
    j->width = (int)width;
    TRY(json_get_str(obj, ctx, "device", false, j->device, sizeof j->device));
    if (json_object_get(obj, "stop_above") != NULL)
        TRY(stops_from_json(json_object_get(obj, "stop_above"), ctx, j));
    return check_whole(j, ctx);
}

enum err job_from_json(json_t *obj, const char *ctx, struct job *out)
{
    job_init(out);
    enum err e = read_job(obj, ctx, out);
    if (e != OK)
        job_free(out);
    return e;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

void job_set_id(struct job *j)
{
    json_t *o = job_to_json(j), *names = json_array();
    json_object_del(o, "id");
    if (j->threads == 1) // more give other bits; one keeps the ids that jobs have always had
        json_object_del(o, "threads");
    json_object_del(o, "checkpoint");
    json_object_del(json_object_get(o, "val"), "every");
    if (j->init.hash[0] != 0)
        json_object_del(json_object_get(o, "init"), "from");
    for (int i = 0; i < j->data.n_paths; i++)
        json_array_append_new(names, json_string(base_name(j->data.paths[i])));
    json_object_set_new(json_object_get(o, "data"), "paths", names);
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    ASSERT(text != NULL);
    uint64_t h = rng_hash(text, strlen(text), RNG_HASH_START);
    snprintf(j->id, sizeof j->id, "%012" PRIx64, (h ^ (h >> 48)) & UINT64_C(0xffffffffffff));
    free(text);
    json_decref(o);
}

json_t *job_result_to_json(const struct job_result *r)
{
    json_t *o = json_object();
    set_str(o, "t", "result");
    if (r->id[0] != 0)
        set_str(o, "id", r->id);
    set_str(o, "status", status_names[r->status]);
    set_num(o, "loss", r->loss);
    set_num(o, "loss_per_byte", r->loss_per_byte);
    set_int(o, "tokens", r->tokens);
    set_int(o, "init_tokens", r->init_tokens);
    set_num(o, "seconds", r->seconds);
    set_num(o, "flops", r->flops);
    set_int(o, "peak_bytes", r->peak_bytes);
    set_num(o, "balance", r->balance);
    set_num(o, "epochs", r->epochs);
    set_text(o, "cause", r->cause);
    return o;
}

// A number that may be null or missing: *out is left alone then.
static enum err get_maybe(json_t *obj, const char *ctx, const char *key, double *out)
{
    if (json_is_null(json_object_get(obj, key)))
        return OK;
    return json_get_num(obj, ctx, key, false, -1e300, 1e300, out);
}

// Other trainers may put anything there: a curve that cannot be read is none.
static void curve_from_json(const json_t *list, struct job_result *r)
{
    size_t n = json_array_size(list);
    if (n > JOB_CURVE_MAX)
        return;
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(list, i), *step = json_array_get(pair, 0);
        const json_t *loss = json_array_get(pair, 1);
        if (!json_is_integer(step))
            return;
        r->curve[i] = (struct job_point){json_integer_value(step),
                                         json_is_number(loss) ? json_number_value(loss) : NAN};
    }
    r->n_curve = (int)n;
}

enum err job_result_from_json(json_t *obj, const char *ctx, struct job_result *out)
{
    int status = 0;
    *out =
        (struct job_result){.loss = NAN, .loss_per_byte = NAN, .balance = NAN, .epochs = NAN};
    TRY(get_id(obj, ctx, out->id));
    TRY(get_choice(obj, ctx, "status", status_names, COUNT(status_names), true, &status));
    out->status = (enum job_status)status;
    TRY(get_maybe(obj, ctx, "loss", &out->loss));
    // Of a cross-entropy; every law takes its logarithm.
    ENSURE(status != JOB_OK || out->loss > 0, ERR_INPUT,
           "%s: loss: expected a number above 0 with status ok, found %g", ctx, out->loss);
    TRY(get_maybe(obj, ctx, "loss_per_byte", &out->loss_per_byte));
    TRY(json_get_i64(obj, ctx, "tokens", false, 0, INT64_MAX, &out->tokens));
    TRY(json_get_i64(obj, ctx, "init_tokens", false, 0, INT64_MAX, &out->init_tokens));
    TRY(json_get_num(obj, ctx, "seconds", false, 0, 1e300, &out->seconds));
    TRY(json_get_num(obj, ctx, "flops", false, 0, 1e300, &out->flops));
    TRY(json_get_i64(obj, ctx, "peak_bytes", false, 0, INT64_MAX, &out->peak_bytes));
    TRY(get_maybe(obj, ctx, "balance", &out->balance));
    TRY(get_maybe(obj, ctx, "epochs", &out->epochs));
    curve_from_json(json_object_get(obj, "curve"), out);
    return json_get_str(obj, ctx, "cause", false, out->cause, sizeof out->cause);
}
