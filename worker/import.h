// SPDX-License-Identifier: Apache-2.0
// The way back: a folder as export.h describes it, or as transformers' save_pretrained writes
// it, becomes a checkpoint. Its job says what the model is; its data ("external", "imported"
// without symbols.json) and training are placeholders, for nothing continues from it: it is
// there for init.from, export and tests.
#ifndef WORKER_IMPORT_H
#define WORKER_IMPORT_H
#include "core/err.h"

// Writes CHECKPOINT_FOLDER/checkpoint; that folder is empty, or missing with only its last
// part. Says in one line on standard output what was read. ERR_INPUT: anything about the folder
// that is not as described there; nothing is then left behind.
enum err import_run(const char *folder, const char *checkpoint_folder);
#endif
