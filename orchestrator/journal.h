// SPDX-License-Identifier: GPL-3.0-or-later
// The journal: append-only text, one record a line: eight hex digits of CRC-32C over the JSON
// text, a space, one JSON object with "t" (its type), a newline. One writer. docs/journal.md.
#ifndef ORCHESTRATOR_JOURNAL_H
#define ORCHESTRATOR_JOURNAL_H
#include "core/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct journal;

// Called for every record in order; borrows rec. An error ends the reading and is passed on.
typedef enum err journal_on_record(void *ctx, json_t *rec);

// Reads all records in order. A torn tail (a last line that is incomplete or fails its CRC with
// nothing after it) is not an error: *valid_bytes says where it starts. Corruption anywhere
// else is ERR_INPUT with the line number and byte offset. A file that does not exist is
// ERR_INPUT.
enum err journal_read(const char *path, journal_on_record *on_record, void *ctx,
                      int64_t *valid_bytes);
// Opens for writing (creates when missing), locks it against a second writer (ERR_INPUT names
// the holder), then reads as journal_read does and cuts a torn tail off; *torn_bytes (may be
// NULL) is its length. A file that holds no record and does not look like the beginning of one
// is ERR_INPUT.
enum err journal_open(const char *path, journal_on_record *on_record, void *ctx,
                      int64_t *torn_bytes, struct journal **out);
// Whether the file system granted a lock (some cluster file systems know none).
bool journal_locked(const struct journal *j);
// The process that holds the lock of the journal at path; 0: none, -1: one on a machine that
// does not tell. Not for the process that writes it: closing a file gives its locks up.
long journal_writer(const char *path);
// Buffers one record; nothing may depend on it before journal_sync returned OK.
enum err journal_append(struct journal *j, const json_t *rec);
// The same of a record that is text already: one JSON object with "t", no newline in it.
enum err journal_append_text(struct journal *j, const char *text, size_t n);
// Writes and fdatasyncs what was appended. ERR_FAILED (disk full, I/O) leaves a valid prefix,
// says so, and refuses everything later.
enum err journal_sync(struct journal *j);
// Locks a journal as journal_open does without changing or understanding it, and reads all of
// it: *text is the caller's. For repair. ERR_INPUT also when there is none.
enum err journal_hold(const char *path, struct journal **out, char **text, size_t *size);
// A stretch of a journal: an intact record (rec, borrowed), or bytes that are none (rec NULL).
struct journal_piece {
    const char *text; // size bytes, a record's without its newline
    size_t size;
    int64_t line, offset; // where it begins: lines count from 1
    json_t *rec;
};
typedef enum err journal_on_piece(void *ctx, const struct journal_piece *p);
// All pieces in order, whatever lies between intact records; empty lines are none.
// brief: results may come without their learning curves, in half the time. journal_salvage.c.
enum err journal_pieces(const char *text, size_t size, bool brief, journal_on_piece *on_piece,
                        void *ctx);
// Reads what is on disk once more, through the descriptor that holds the lock.
enum err journal_again(struct journal *j, journal_on_record *on_record, void *ctx);
// Unsynced records are dropped. Accepts NULL.
void journal_close(struct journal *j);

// CRC-32C (Castagnoli) as RFC 3720 defines it: "123456789" has e3069283.
uint32_t journal_crc32c(const void *data, size_t size);
// The number that eight lower-case hexadecimal digits at p stand for; false: they are none.
bool journal_hex8(const char *p, uint32_t *out);
#endif
