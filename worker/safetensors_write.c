// SPDX-License-Identifier: Apache-2.0
#include "worker/safetensors.h"
#include "core/file.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void safetensors_abandon(struct safetensors_writer *w)
{
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->tmp);
    }
    free(w->path);
    free(w->tmp);
    json_decref(w->header);
    *w = (struct safetensors_writer){.fd = -1};
}

enum err safetensors_create(const char *path, struct safetensors_writer *w)
{
    size_t room = strlen(path) + sizeof ".tmp";
    *w = (struct safetensors_writer){.fd = -1, .path = strdup(path), .tmp = malloc(room)};
    // transformers asks which framework wrote a file; "pt" is what it reads
    w->header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    if (w->path == NULL || w->tmp == NULL || w->header == NULL) {
        safetensors_abandon(w);
        return err_set(ERR_FAILED, "%s: out of memory", path);
    }
    snprintf(w->tmp, room, "%s.tmp", path);
    w->fd = open(w->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        enum err e = err_set(ERR_FAILED, "%s: %s", w->tmp, strerror(errno));
        safetensors_abandon(w);
        return e;
    }
    return OK;
}

enum err safetensors_declare(struct safetensors_writer *w, const char *name, int ndim,
                             const int64_t *shape)
{
    int64_t begin = w->declared, count = 1;
    json_t *dims = json_array();
    for (int i = 0; i < ndim; i++) {
        count *= shape[i];
        json_array_append_new(dims, json_integer(shape[i]));
    }
    w->declared += count * (int64_t)sizeof(float);
    json_t *e = json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", dims, "data_offsets",
                          (json_int_t)begin, (json_int_t)w->declared);
    ENSURE(e != NULL && json_object_set_new(w->header, name, e) == 0, ERR_FAILED,
           "%s: out of memory", w->path);
    return OK;
}

// Padded with spaces to a multiple of 8, so that the data are aligned in a mapped file.
static enum err write_header(struct safetensors_writer *w)
{
    char *text = json_dumps(w->header, JSON_COMPACT);
    ENSURE(text != NULL, ERR_FAILED, "%s: out of memory", w->path);
    size_t n = strlen(text), pad = (8 - n % 8) % 8;
    unsigned char length[8];
    for (size_t i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)(n + pad) >> (8 * i));
    enum err e = n + pad <= SAFETENSORS_HEADER_MAX
                     ? OK
                     : err_set(ERR_INPUT, "%s: too many tensors for one file", w->path);
    if (e == OK)
        e = file_write(w->fd, w->path, length, sizeof length);
    if (e == OK)
        e = file_write(w->fd, w->path, text, n);
    if (e == OK)
        e = file_write(w->fd, w->path, "        ", pad);
    free(text);
    return e;
}

enum err safetensors_put(struct safetensors_writer *w, const float *data, int64_t count)
{
    if (!w->begun)
        TRY(write_header(w));
    w->begun = true;
    w->put += count * (int64_t)sizeof *data;
    return file_write(w->fd, w->path, data, (size_t)count * sizeof *data);
}

static enum err finish(struct safetensors_writer *w)
{
    ASSERT(w->begun && w->put == w->declared);
    ENSURE(fsync(w->fd) == 0, ERR_FAILED, "%s: fsync: %s", w->path, strerror(errno));
    ENSURE(rename(w->tmp, w->path) == 0, ERR_FAILED, "%s: %s", w->path, strerror(errno));
    return file_sync_folder(w->path);
}

enum err safetensors_finish(struct safetensors_writer *w)
{
    enum err e = finish(w);
    if (e == OK) { // renamed: abandon has nothing to remove
        close(w->fd);
        w->fd = -1;
    }
    safetensors_abandon(w);
    return e;
}
