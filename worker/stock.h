// SPDX-License-Identifier: Apache-2.0
// Where each tensor of a stock class (core/stock.h) lies among ours, both ways: for export and
// import.
#ifndef WORKER_STOCK_H
#define WORKER_STOCK_H
#include "core/stock.h"

enum stock_source { STOCK_PARAM, STOCK_BIAS, STOCK_ZERO }; // parameters, routing biases, zeros
enum stock_form {
    STOCK_AS_IS,
    STOCK_DOUBLED, // theirs is twice ours: behind a gate whose zero weights give sigmoid(0) =
                   // 1/2
    STOCK_PAIRED   // rows of a head: theirs pairs channels 2j and 2j + 1 in the rotary
                   // embedding, ours j and j + d_qkv/2
};

struct stock_tensor {
    char name[96];
    int ndim;
    int64_t shape[2], count;
    enum stock_source source;
    int64_t offset; // elements, from the start of the parameters or of the biases
    enum stock_form form;
};

struct stock_map {
    struct stock_tensor *t;
    int64_t n;
    int64_t d_qkv, largest; // largest: elements of the largest tensor
};

// How many tensors a class has for a checked architecture, without making them.
int64_t stock_map_size(enum stock_class c, const struct arch *a, const struct job_model *opt);
// The map; the caller frees map->t.
enum err stock_map_make(enum stock_class c, const struct arch *a, const struct job_model *opt,
                        struct stock_map *map);
// One tensor of theirs, count elements, from ours and back. stock_put: ERR_INPUT (naming it)
// where theirs is not zero but must be, or not finite; stock_get likewise for not finite.
enum err stock_get(const struct stock_map *map, const struct stock_tensor *t,
                   const float *params, const float *bias, float *to);
enum err stock_put(const struct stock_map *map, const struct stock_tensor *t, const float *from,
                   float *params, float *bias);
#endif
