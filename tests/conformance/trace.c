// SPDX-License-Identifier: Apache-2.0
// The first steps of a job as moetrain takes them, written out for train.py:
//
//     trace JOB.json FOLDER
//
// FOLDER/params: the initial weights, FOLDER/grads: the gradients of step 1 before clipping,
// both float in the order of the tensor table; FOLDER/batches: the tokens and then the targets
// of each step, int32; FOLDER/trace.json: the job with all defaults, the tensors, and of every
// step tokens, cross-entropy and balancing loss.
#include "core/json.h"
#include "worker/data.h"
#include "worker/machine.h"
#include "worker/model.h"
#include "worker/schedule.h"
#include <stdio.h>
#include <stdlib.h>

#define BIAS_RATE                                                                              \
    1e-3 // worker/train.c; train.py compares these losses with moetrain's, bit for bit

struct trace {
    struct job job;
    struct corpus corpus;
    struct data data;
    struct model *model;
    FILE *batches;
    const char *folder;
    json_t *doc;
};

static FILE *open_in(const struct trace *t, const char *name)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", t->folder, name);
    return fopen(path, "wb");
}

static enum err put(FILE *f, const void *p, size_t size, int64_t n)
{
    ENSURE(f != NULL && fwrite(p, size, (size_t)n, f) == (size_t)n, ERR_FAILED,
           "the folder cannot be written");
    return OK;
}

static enum err put_reals(const struct trace *t, const char *name, const real *x)
{
    FILE *f = open_in(t, name);
    enum err e = put(f, x, sizeof *x, model_n_params(t->model));
    if (f != NULL && fclose(f) != 0 && e == OK)
        e = err_set(ERR_FAILED, "%s: cannot be written", name);
    return e;
}

static enum err load(struct trace *t, const char *path)
{
    struct job *j = &t->job;
    json_error_t error;
    json_t *o = json_load_file(path, 0, &error);
    ENSURE(o != NULL, ERR_INPUT, "%s: %s", path, error.text);
    enum err e = job_from_json(o, path, j);
    json_decref(o);
    TRY(e);
    struct corpus_spec spec = corpus_spec_of(j);
    TRY(corpus_open(&spec, &t->corpus));
    j->arch.V = t->corpus.V;
    TRY(data_init(&t->data, &t->corpus, j->arch.S, j->val.tokens, (uint64_t)j->train.seed));
    TRY(model_create(&j->arch, &j->model, ops_cpu(), GEMM_FULL, j->train.batch_tokens, 1,
                     &t->model));
    TRY(model_reserve(t->model, j->train.optimizer));
    model_init(t->model, (uint64_t)j->train.seed);
    return OK;
}

static json_t *tensors_json(const struct model *m)
{
    int n;
    const struct tensor *t = model_tensors(m, &n);
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_t *shape = json_array();
        for (int k = 0; k < t[i].ndim; k++)
            json_array_append_new(shape, json_integer(t[i].shape[k]));
        json_array_append_new(list, json_pack("{s:s, s:o, s:I}", "name", t[i].name, "shape",
                                              shape, "offset", (json_int_t)t[i].offset));
    }
    return list;
}

static enum err one_step(struct trace *t, int64_t step, int32_t *tokens, int32_t *targets,
                         json_t *steps)
{
    const struct job_train *o = &t->job.train;
    int64_t S = t->job.arch.S, seen = job_tokens_after(&t->job, step - 1),
            n = job_tokens_after(&t->job, step) - seen;
    TRY(data_batch(&t->data, seen / S, n / S, tokens, targets));
    TRY(put(t->batches, tokens, sizeof *tokens, n));
    TRY(put(t->batches, targets, sizeof *targets, n));
    model_gradients(t->model, tokens, targets, n, o->aux);
    double loss = model_loss(t->model), aux = model_aux_loss(t->model);
    if (step == 1)
        TRY(put_reals(t, "grads", model_grads(t->model)));
    model_clip(t->model, o->clip);
    model_step(t->model, o, schedule_lr(o, job_steps(&t->job), step), step);
    if (t->job.model.router == ROUTER_SIGMOID_BIAS)
        model_balance_bias(t->model, BIAS_RATE);
    json_array_append_new(steps, json_pack("{s:I, s:o, s:o}", "tokens", (json_int_t)n, "loss",
                                           json_num(loss), "aux", json_num(aux)));
    return OK;
}

static enum err run(struct trace *t, const char *path)
{
    TRY(load(t, path));
    size_t bytes = (size_t)t->job.train.batch_tokens * sizeof(int32_t);
    int32_t *tokens = malloc(bytes), *targets = malloc(bytes);
    json_t *steps = json_array();
    enum err e = put_reals(t, "params", model_params(t->model));
    t->doc = json_pack("{s:o, s:o, s:o}", "job", job_to_json(&t->job), "tensors",
                       tensors_json(t->model), "steps", steps);
    t->batches = open_in(t, "batches");
    ENSURE(tokens != NULL && targets != NULL && t->doc != NULL, ERR_FAILED, "out of memory");
    for (int64_t step = 1; step <= job_steps(&t->job) && e == OK; step++)
        e = one_step(t, step, tokens, targets, steps);
    free(tokens);
    free(targets);
    TRY(e);
    FILE *f = open_in(t, "trace.json");
    int failed = f == NULL || json_dumpf(t->doc, f, JSON_REAL_PRECISION(17)) != 0;
    failed |= f != NULL && fclose(f) != 0;
    ENSURE(!failed, ERR_FAILED, "trace.json cannot be written");
    return OK;
}

int main(int argc, char **argv)
{
    struct trace t = {.folder = argc == 3 ? argv[2] : ""};
    if (argc != 3) {
        fputs("usage: trace JOB.json FOLDER\n", stderr);
        return 2;
    }
    machine_flush_subnormals();
    enum err e = run(&t, argv[1]);
    if (e != OK)
        fprintf(stderr, "trace: %s\n", err_message());
    if (t.batches != NULL && fclose(t.batches) != 0)
        e = ERR_FAILED;
    model_free(t.model);
    corpus_free(&t.corpus);
    job_free(&t.job);
    json_decref(t.doc);
    return e == OK ? 0 : e == ERR_INPUT ? 2 : 1;
}
