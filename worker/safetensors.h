// SPDX-License-Identifier: Apache-2.0
// Files of named tensors in the format of Hugging Face safetensors (github.com/huggingface/
// safetensors, "Format"): 8 bytes, the length n of the header, little endian; n bytes, a JSON
// object {"NAME": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ..,
// "__metadata__": {..}}; the data, little endian, row by row, where every byte belongs to
// exactly one tensor.
//
// The reader trusts nothing: length, types, shapes, offsets, gaps and overlaps are checked
// before anything of their size is allocated. It takes F32, F16 and BF16, which all become F32
// without rounding; the writer writes F32.
#ifndef WORKER_SAFETENSORS_H
#define WORKER_SAFETENSORS_H
#include "core/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAFETENSORS_DIMS 4
#define SAFETENSORS_HEADER_MAX 100000000 // the limit of the reference implementation

enum safetensors_type { SAFETENSORS_F32, SAFETENSORS_F16, SAFETENSORS_BF16 };

struct safetensors_entry {
    const char *name; // in the header
    enum safetensors_type type;
    int ndim;
    int64_t shape[SAFETENSORS_DIMS];
    int64_t count;      // elements; 0 is allowed
    int64_t begin, end; // bytes of the data
    bool used;          // for the caller: what was asked for
};

struct safetensors {
    int fd;       // -1: none
    int64_t data; // where the data begin in the file
    json_t *header;
    struct safetensors_entry *entries; // sorted by name
    int64_t n;
};

// Reads a header of n bytes before data_bytes bytes of data; ctx names the file. ERR_INPUT:
// anything that the format does not allow. safetensors_close frees, also what a failure left.
enum err safetensors_parse(const char *ctx, const char *text, size_t n, int64_t data_bytes,
                           struct safetensors *out);
// Opens a file and reads its header.
enum err safetensors_open(const char *path, struct safetensors *out);
// NULL: there is none of that name.
struct safetensors_entry *safetensors_find(const struct safetensors *s, const char *name);
// Its elements as floats: to[count].
enum err safetensors_read(const struct safetensors *s, const struct safetensors_entry *e,
                          float *to);
// Accepts what safetensors_open or safetensors_parse made, or failed to make.
void safetensors_close(struct safetensors *s);

// Writing: create, declare every tensor, put the data of each in that order, finish; the file
// appears at path with finish, whole or not at all. Any failure, or abandon, removes it.
struct safetensors_writer {
    char *path, *tmp;
    int fd;
    json_t *header;
    int64_t declared, put; // bytes
    bool begun;            // the header is written: no more declarations
};
enum err safetensors_create(const char *path, struct safetensors_writer *out);
enum err safetensors_declare(struct safetensors_writer *w, const char *name, int ndim,
                             const int64_t *shape);
enum err safetensors_put(struct safetensors_writer *w, const float *data, int64_t count);
enum err safetensors_finish(struct safetensors_writer *w);
void safetensors_abandon(struct safetensors_writer *w);
#endif
