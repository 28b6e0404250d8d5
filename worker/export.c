// SPDX-License-Identifier: Apache-2.0
#include "worker/export.h"
#include "core/file.h"
#include "core/json.h"
#include "worker/checkpoint.h"
#include "worker/safetensors.h"
#include "worker/stock.h"
#include "worker/symbols.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_ROOM (JOB_PATH_MAX + 32)

struct exporting {
    struct checkpoint c;
    enum stock_class class;
    struct stock_map map;
    char weights[PATH_ROOM], config[PATH_ROOM], symbols[PATH_ROOM];
};

static enum err write_tensors(const struct exporting *x, struct safetensors_writer *w)
{
    float *piece = malloc((size_t)x->map.largest * sizeof *piece);
    ENSURE(piece != NULL, ERR_FAILED, "out of memory");
    enum err e = OK;
    for (int64_t i = 0; i < x->map.n && e == OK; i++)
        e = safetensors_declare(w, x->map.t[i].name, x->map.t[i].ndim, x->map.t[i].shape);
    for (int64_t i = 0; i < x->map.n && e == OK; i++) {
        e = stock_get(&x->map, &x->map.t[i], x->c.params, x->c.bias, piece);
        if (e == OK)
            e = safetensors_put(w, piece, x->map.t[i].count);
    }
    free(piece);
    return e;
}

static enum err write_weights(const struct exporting *x)
{
    struct safetensors_writer w;
    TRY(safetensors_create(x->weights, &w));
    enum err e = write_tensors(x, &w);
    if (e == OK)
        return safetensors_finish(&w);
    safetensors_abandon(&w);
    return e;
}

static enum err write_json(const char *path, json_t *j)
{
    ENSURE(j != NULL, ERR_FAILED, "%s: out of memory", path);
    enum err e = json_write_file(path, j);
    json_decref(j);
    return e;
}

// config.json comes last: a folder without it is no model.
static enum err write_files(struct exporting *x)
{
    const struct job *j = &x->c.job;
    bool text = x->c.symbols != NULL;
    TRY(write_weights(x));
    if (text)
        TRY(write_json(x->symbols, symbols_to_json(x->c.symbols)));
    return write_json(x->config, stock_config(x->class, &j->arch, &j->model, text));
}

static enum err export_checkpoint(struct exporting *x, const char *from, const char *folder)
{
    uint8_t bytes[SYMBOLS_MAX];
    const struct job *j = &x->c.job;
    bool made;
    enum err e = stock_choose(&j->arch, &j->model, &x->class);
    if (e == OK && x->c.symbols != NULL)
        e = symbols_check(x->c.symbols, j->arch.V, bytes);
    if (e != OK)
        return err_prefix(e, "%s", from);
    TRY(stock_map_make(x->class, &j->arch, &j->model, &x->map));
    TRY(file_fresh_folder(folder, &made));
    e = write_files(x);
    if (e != OK) {
        unlink(x->config);
        unlink(x->symbols);
        unlink(x->weights);
        if (made)
            rmdir(folder);
        return e;
    }
    printf("%s: %s, %" PRId64 " parameters in %" PRId64 " tensors\n", folder,
           stock_name(x->class), x->c.n_params, x->map.n);
    return OK;
}

enum err export_run(const char *from, const char *folder)
{
    struct exporting *x = calloc(1, sizeof *x);
    struct stat st;
    char inside[PATH_ROOM];
    ENSURE(x != NULL, ERR_FAILED, "out of memory");
    bool is_folder = stat(from, &st) == 0 && S_ISDIR(st.st_mode);
    int n = snprintf(inside, sizeof inside, "%s%s", from, is_folder ? "/checkpoint" : "");
    int m = snprintf(x->weights, sizeof x->weights, "%s/" EXPORT_WEIGHTS, folder);
    snprintf(x->config, sizeof x->config, "%s/" EXPORT_CONFIG, folder);
    snprintf(x->symbols, sizeof x->symbols, "%s/" EXPORT_SYMBOLS, folder);
    enum err e = n < PATH_ROOM && m < PATH_ROOM ? OK : err_set(ERR_INPUT, "path too long");
    if (e == OK)
        e = checkpoint_read(inside, &x->c);
    if (e == OK)
        e = export_checkpoint(x, inside, folder);
    free(x->map.t);
    checkpoint_free(&x->c);
    free(x);
    return e;
}
