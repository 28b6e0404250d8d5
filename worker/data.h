// SPDX-License-Identifier: Apache-2.0
// Windows of text or of files of tokens (core/corpus.h), which may reach over the ends of
// documents. Training: pass e over the text cuts it, from an offset in [0, S) that
// depends on (seed, e), into W windows of S tokens that touch but do not overlap, and visits
// them in an order that depends on (seed, e): a Feistel permutation of [0, W), so position is
// computed, never stored. Window g, counted from 0 over the whole run, belongs to pass g / W.
// Hence a resumed run needs no state, and two jobs of one seed read the same text in the same
// order whatever their batches are. Held out: windows of S from the start of the
// held-out text, one after the other.
#ifndef WORKER_DATA_H
#define WORKER_DATA_H
#include "core/corpus.h"

struct data {
    const struct corpus *corpus; // borrowed
    int64_t S;                   // tokens per window
    int64_t windows;             // of one pass over the training text
    int64_t val_windows;         // of one evaluation
    uint64_t seed;
};

// ERR_INPUT: training text shorter than S + 2 tokens, fewer than S validation tokens asked for,
// held-out text shorter than what an evaluation of val_tokens (rounded down to whole windows)
// reads.
enum err data_init(struct data *d, const struct corpus *c, int64_t S, int64_t val_tokens,
                   uint64_t seed);
// First token of training window g.
int64_t data_position(const struct data *d, int64_t g);
// Training windows first .. first + n - 1: n x S tokens, and for each the token that follows
// it. ERR_INPUT: a token from V on.
enum err data_batch(const struct data *d, int64_t first, int64_t n, int32_t *tokens,
                    int32_t *targets);
// Held-out windows first .. first + n - 1 in the same layout.
enum err data_held(const struct data *d, int64_t first, int64_t n, int32_t *tokens,
                   int32_t *targets);
// Tokens that one evaluation predicts, and the bytes of text they stand for: one each, none for
// the end-of-text symbol; NaN where nobody knows (files of tokens).
int64_t data_val_tokens(const struct data *d);
double data_val_bytes(const struct data *d);
// A fingerprint of the files' content: a checkpoint is of one text. Reads everything.
uint32_t data_fingerprint(const struct data *d);
#endif
