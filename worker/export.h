// SPDX-License-Identifier: Apache-2.0
// A checkpoint as a folder that Hugging Face transformers loads with a stock class:
// model.safetensors (float32), config.json, and for byte text symbols.json, {"v": 1,
// "end_of_text": 0, "bytes": [the byte of symbol 1, of symbol 2, ..]}.
#ifndef WORKER_EXPORT_H
#define WORKER_EXPORT_H
#include "core/err.h"

#define EXPORT_SYMBOLS "symbols.json"
#define EXPORT_WEIGHTS "model.safetensors"
#define EXPORT_CONFIG "config.json"

// from: a checkpoint, or the folder that holds one. folder: empty, or missing with only its
// last part. On success says in one line on standard output what was written. ERR_INPUT: no
// checkpoint, a folder with something in it, or a model that no stock class expresses, with the
// reason; nothing is then left behind.
enum err export_run(const char *from, const char *folder);
#endif
