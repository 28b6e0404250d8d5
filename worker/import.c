// SPDX-License-Identifier: Apache-2.0
#include "worker/import.h"
#include "core/file.h"
#include "core/json.h"
#include "kernels/ffn.h"
#include "kernels/unembed.h"
#include "worker/checkpoint.h"
#include "worker/export.h"
#include "worker/machine.h"
#include "worker/safetensors.h"
#include "worker/stock.h"
#include "worker/symbols.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_ROOM (JOB_PATH_MAX + 32)

struct importing {
    struct job job;
    enum stock_class class;
    struct safetensors file;
    struct stock_map map;
    struct model *model;
    bool text;
    uint8_t bytes[SYMBOLS_MAX];
    char weights[PATH_ROOM], config[PATH_ROOM], symbols[PATH_ROOM];
};

static enum err read_config(struct importing *x)
{
    json_t *config;
    TRY(json_read_file(x->config, &config));
    enum err e = stock_from_config(config, x->config, &x->class, &x->job.arch, &x->job.model);
    json_decref(config);
    return e;
}

static enum err read_symbols(struct importing *x)
{
    json_t *document, *list;
    if (access(x->symbols, F_OK) != 0)
        return OK;
    TRY(json_read_file(x->symbols, &document));
    enum err e = symbols_from_json(document, x->symbols, &list);
    if (e == OK) {
        e = symbols_check(list, x->job.arch.V, x->bytes);
        if (e != OK)
            err_prefix(e, "%s", x->symbols);
    }
    json_decref(document);
    x->text = true;
    return e;
}

// What the configuration claims against what the file holds, before memory is taken for it.
static enum err check_claims(const struct importing *x)
{
    const struct arch *a = &x->job.arch;
    int64_t want = stock_map_size(x->class, a, &x->job.model),
            have = machine_memory_available();
    ENSURE(want == x->file.n, ERR_INPUT,
           "%s: expected the %" PRId64 " tensors of the model in config.json, found %" PRId64,
           x->weights, want, x->file.n);
    double elements = 0;
    for (int64_t i = 0; i < x->file.n; i++)
        elements += (double)x->file.entries[i].count;
    // Weights, gradients and both moments; the largest tensor once more; a model's scratch
    double scratch = (double)(unembed_scratch(1, a->V) + ffn_scratch(1, a->d, a->d_d) +
                              ffn_scratch(1, a->d, a->d_m * (a->n_shared + 1)));
    double need = sizeof(float) * (5 * elements + scratch);
    ENSURE(need <= (double)have, ERR_INPUT,
           "%s: needs %.3g GB of memory, expected at most the %.3g GB that are available",
           x->weights, 1e-9 * need, 1e-9 * (double)have);
    return OK;
}

static void shape_text(char *buf, size_t size, int ndim, const int64_t *shape)
{
    buf[0] = 0;
    for (int i = 0; i < ndim; i++) {
        size_t used = strlen(buf);
        snprintf(buf + used, size - used, "%s%" PRId64, i > 0 ? ", " : "", shape[i]);
    }
}

// Every tensor of the map is there, with its shape: then their number says that no other is.
static enum err check_tensors(struct importing *x)
{
    for (int64_t i = 0; i < x->map.n; i++) {
        const struct stock_tensor *t = &x->map.t[i];
        const struct safetensors_entry *e = safetensors_find(&x->file, t->name);
        ENSURE(e != NULL, ERR_INPUT, "%s: expected a tensor %s, found none", x->weights,
               t->name);
        char want[64], found[128];
        shape_text(want, sizeof want, t->ndim, t->shape);
        shape_text(found, sizeof found, e->ndim, e->shape);
        ENSURE(strcmp(want, found) == 0, ERR_INPUT,
               "%s: %s: expected the shape [%s], found [%s]", x->weights, t->name, want, found);
    }
    return OK;
}

static enum err read_weights(struct importing *x)
{
    int64_t n_bias;
    float *params = model_params(x->model), *bias = model_router_bias(x->model, &n_bias);
    float *piece = malloc((size_t)x->map.largest * sizeof *piece);
    ENSURE(piece != NULL, ERR_FAILED, "out of memory");
    enum err e = OK;
    for (int64_t i = 0; i < x->map.n && e == OK; i++) {
        const struct stock_tensor *t = &x->map.t[i];
        e = safetensors_read(&x->file, safetensors_find(&x->file, t->name), piece);
        if (e == OK)
            e = stock_put(&x->map, t, piece, params, bias);
    }
    free(piece);
    return e == OK ? OK : err_prefix(e, "%s", x->weights);
}

// Checked completely before anything is made. The model is only its weights here: its
// activations are those of one token.
static enum err read_folder(struct importing *x)
{
    struct stat st;
    TRY(read_config(x));
    TRY(read_symbols(x));
    char index[PATH_ROOM + 16];
    snprintf(index, sizeof index, "%s.index.json", x->weights);
    ENSURE(stat(index, &st) != 0, ERR_INPUT,
           "%s: the weights lie in several files; save them as one, "
           "save_pretrained(.., max_shard_size=\"1TB\")",
           index);
    TRY(safetensors_open(x->weights, &x->file));
    TRY(check_claims(x));
    TRY(stock_map_make(x->class, &x->job.arch, &x->job.model, &x->map));
    TRY(check_tensors(x));
    struct arch one = x->job.arch;
    one.S = 1;
    TRY(model_create(&one, &x->job.model, ops_cpu(), GEMM_FULL, 1, 1, &x->model));
    return read_weights(x);
}

// The placeholders of a job that was never run.
static enum err fill_job(struct importing *x)
{
    struct job *j = &x->job;
    j->data.kind = x->text ? DATA_TEXT : DATA_EXTERNAL;
    j->data.paths = calloc(1, sizeof *j->data.paths);
    ENSURE(j->data.paths != NULL, ERR_FAILED, "out of memory");
    j->data.paths[0] = strdup("imported");
    ENSURE(j->data.paths[0] != NULL, ERR_FAILED, "out of memory");
    j->data.n_paths = 1;
    j->train.tokens = j->train.batch_tokens = j->arch.S;
    j->train.lr = 1e-3;
    job_set_id(j);
    return OK;
}

static enum err write_checkpoint(struct importing *x, const char *folder)
{
    const struct run_state none = {0};
    bool made;
    TRY(fill_job(x));
    char *meta = checkpoint_meta(&x->job, &x->job.arch, x->text ? x->bytes : NULL);
    ENSURE(meta != NULL, ERR_FAILED, "out of memory");
    enum err e = file_fresh_folder(folder, &made);
    if (e == OK) {
        e = checkpoint_save(folder, &x->job, 0, meta, &none, x->model);
        if (e != OK && made)
            rmdir(folder);
    }
    free(meta);
    return e;
}

static enum err import_folder(struct importing *x, const char *folder, const char *to)
{
    int n = snprintf(x->weights, sizeof x->weights, "%s/" EXPORT_WEIGHTS, folder);
    snprintf(x->config, sizeof x->config, "%s/" EXPORT_CONFIG, folder);
    snprintf(x->symbols, sizeof x->symbols, "%s/" EXPORT_SYMBOLS, folder);
    ENSURE(n < PATH_ROOM && strlen(to) < JOB_PATH_MAX, ERR_INPUT, "path too long");
    TRY(read_folder(x));
    TRY(write_checkpoint(x, to));
    printf("%s/checkpoint: %" PRId64 " parameters of a %s\n", to, model_n_params(x->model),
           stock_name(x->class));
    return OK;
}

enum err import_run(const char *folder, const char *checkpoint_folder)
{
    struct importing *x = calloc(1, sizeof *x);
    ENSURE(x != NULL, ERR_FAILED, "out of memory");
    job_init(&x->job);
    x->file.fd = -1;
    enum err e = import_folder(x, folder, checkpoint_folder);
    model_free(x->model);
    free(x->map.t);
    safetensors_close(&x->file);
    job_free(&x->job);
    free(x);
    return e;
}
