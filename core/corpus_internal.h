// SPDX-License-Identifier: Apache-2.0
// What the kinds of data (corpus_text.c, corpus_tokens.c, corpus_megatron.c) share with
// corpus.c.
#ifndef CORE_CORPUS_INTERNAL_H
#define CORE_CORPUS_INTERNAL_H
#include "core/corpus.h"

// The split as it goes along.
struct split {
    double held;                  // share
    int64_t n, smallest, largest; // documents so far; those with the extreme hashes
    double hash_smallest, hash_largest;
    int64_t moved; // a document that goes to the side that its hash denies it; -1: none
};

struct layout {
    // Maps a path's files with corpus_map and checks their headers.
    enum err (*open)(struct corpus *c, const char *path);
    // Gives every document to split_next and its tokens to stream_add, in order. May be called
    // twice.
    enum err (*walk)(struct corpus *c, const struct corpus_spec *s, struct split *split);
};
extern const struct layout corpus_text, corpus_nanogpt, corpus_llmc, corpus_megatron;

// Maps a regular, non-empty file and appends it to c->file. what: "text", "tokens" ..
enum err corpus_map(struct corpus *c, const char *path, const char *what);
// All token files of a job store tokens alike.
enum err corpus_set_width(struct corpus *c, const char *path, int width);
// The side of the next document.
struct stream *split_next(struct split *p, struct corpus *c);
enum err stream_add(struct stream *s, int width, const uint8_t *at, int64_t n_tokens);
#endif
