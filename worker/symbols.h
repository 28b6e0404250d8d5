// SPDX-License-Identifier: Apache-2.0
// The vocabulary of byte text outside a checkpoint: symbols.json, {"v": 1, "end_of_text": 0,
// "bytes": [..]}, bytes[i - 1] the byte of symbol i, in rising order.
#ifndef WORKER_SYMBOLS_H
#define WORKER_SYMBOLS_H
#include "core/err.h"
#include <jansson.h>
#include <stdint.h>

#define SYMBOLS_MAX 257 // the end of a text, and every byte

// An array of V - 1 rising bytes, into bytes[1 .. V - 1]; bytes[0] = 0. ERR_INPUT if it is not.
enum err symbols_check(const json_t *list, int64_t V, uint8_t bytes[SYMBOLS_MAX]);
// The document; the caller owns it.
json_t *symbols_to_json(json_t *list);
// The array of a document, borrowed from it.
enum err symbols_from_json(json_t *document, const char *ctx, json_t **list);
#endif
