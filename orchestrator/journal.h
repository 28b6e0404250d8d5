// SPDX-License-Identifier: GPL-3.0-or-later
// The journal: append-only text, one record a line: eight hex digits of CRC-32C over the rest, a space, one JSON
// object with "t" (its type), a newline. One writer. docs/journal.md.
#ifndef ORCHESTRATOR_JOURNAL_H
#define ORCHESTRATOR_JOURNAL_H
#include "core/err.h"
#include <jansson.h>

struct journal;

// Reads all records in order. A torn tail (a last line that is incomplete or fails its CRC with nothing after it)
// is not an error: *valid_bytes says where it starts. Corruption anywhere else is ERR_INPUT with the line
// number and byte offset. on_record borrows rec.
enum err journal_read(const char *path, enum err (*on_record)(void *ctx, json_t *rec), void *ctx,
                      int64_t *valid_bytes);
// Opens for appending (creates when missing), locks it against a second writer (ERR_INPUT names the
// holder), truncates a torn tail at valid_bytes.
enum err journal_open(const char *path, int64_t valid_bytes, struct journal **out);
// Buffers one record; nothing may depend on it before journal_sync returned OK.
enum err journal_append(struct journal *j, const json_t *rec);
// Writes and fdatasyncs what was appended. ERR_FAILED (disk full, I/O) leaves a valid prefix.
enum err journal_sync(struct journal *j);
void journal_close(struct journal *j);
#endif
