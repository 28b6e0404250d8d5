// SPDX-License-Identifier: Apache-2.0
// Text as training data: bytes of one or more files, documents separated by form feeds (0x0C)
// and by file ends; the alphabet is compacted to the byte values that occur. The same split and
// alphabet are seen by the orchestrator (vocabulary, sizes) and by the trainer.
#ifndef CORE_CORPUS_H
#define CORE_CORPUS_H
#include "core/err.h"
#include <stdint.h>

struct corpus {
    uint16_t *train, *held;  // tokens; document ends are one end-of-text symbol (code 0)
    int64_t n_train, n_held; // tokens
    int64_t held_bytes;      // bytes of text behind the held-out tokens
    int64_t n_docs, n_docs_held;
    int V;                // symbols: end-of-text + the byte values that occur anywhere
    uint8_t byte_of[257]; // symbol -> byte, for symbols >= 1
};

// Reads the files (sizes checked before allocation), splits: every document whose index hash
// falls under held_fraction is held out (at least one document each side), tokenises.
// ERR_INPUT: missing, unreadable, empty, a single document, held_fraction outside (0, .5]. The
// caller frees.
enum err corpus_load(const char *const *paths, int n_paths, double held_fraction,
                     struct corpus *out);
// As corpus_load, but counts only: train and held stay NULL.
enum err corpus_scan(const char *const *paths, int n_paths, double held_fraction,
                     struct corpus *out);
void corpus_free(struct corpus *c);
#endif
