// SPDX-License-Identifier: Apache-2.0
// Files that a crash leaves as they were or as they should be, never in between. A path that
// the user named wrongly (missing folder, no permission, read-only) is ERR_INPUT, a full or
// broken disk ERR_FAILED.
#ifndef CORE_FILE_H
#define CORE_FILE_H
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Atomic replacement: writes path.tmp, fsyncs, renames, fsyncs the folder. A failure leaves
// what was there.
enum err file_replace(const char *path, const void *data, size_t n);

// Its parts, for files that are written piece by piece. path is for messages.
enum err file_write(int fd, const char *path, const void *data, size_t n);
// FNV-1a (core/rng.h) of a regular file's bytes: a name for its content.
enum err file_hash(const char *path, uint64_t *hash);
// Makes a rename durable: syncs the folder that holds path.
enum err file_sync_folder(const char *path);

// A folder for new files: made (*made) if only its last part is missing; one that exists must
// be empty. ERR_INPUT if not.
enum err file_fresh_folder(const char *path, bool *made);
#endif
