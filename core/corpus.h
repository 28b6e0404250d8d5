// SPDX-License-Identifier: Apache-2.0
// Training data: text, or files of tokens that other programs wrote, mapped into memory and
// read where they lie. docs/data.md has the byte layouts and their sources.
//
// Documents are numbered over all files in order; empty ones do not count. A document is held
// out when a hash of its number falls under data.held (at least one document each side, else
// ERR_INPUT), so data added at the end moves no document. Each side is one stream of tokens:
// its documents one after the other, held as the list of stretches of memory where they lie.
//
//   text      bytes; a document ends at a form feed (0x0C) or a file's end and is followed by
//             one end-of-text symbol (code 0); the other codes are the byte values that occur
//             anywhere, compacted
//   nanogpt   uint16, no header; a document ends after data.eot, without it with its file
//   llmc      the same after a header of 256 int32; uint16 or uint32
//   megatron  an index of sequences and documents beside a file of uint16 or int32
//
// Nothing is inserted between the documents of token files, and no token is copied or looked at
// before it is read, but for two passes at memory speed: for the ends of documents when
// data.eot is given, and corpus_largest. Text is passed over once, for its alphabet and
// documents.
//
// A file that changes while it is mapped: tokens are checked where they are read, so other
// bytes lead to another loss or ERR_INPUT; one that becomes shorter ends the process by SIGBUS.
#ifndef CORE_CORPUS_H
#define CORE_CORPUS_H
#include "core/job.h"
#include <stdint.h>

// Tokens that lie one after the other in memory.
struct stretch {
    const uint8_t *at; // of the first, not aligned
    int64_t first;     // its place in the stream
};

struct stream {
    struct stretch *part; // n_parts, none empty
    int64_t n_parts, room;
    int64_t n, n_docs; // tokens, documents
};

struct corpus_file {
    char *path; // owned
    uint8_t *map;
    size_t size;
    const uint8_t *tokens; // in map
    int64_t n_tokens;
};

struct corpus {
    enum job_data kind;
    struct stream train, held;
    int width; // bytes of a stored token: 1 (text), 2, 4
    // Text: the number of symbols. Tokens: 0 after corpus_open; the caller sets it, and every
    // token that is read must be below.
    int64_t V;
    uint8_t code[256];    // text: byte -> symbol
    uint8_t byte_of[257]; // text: symbol -> byte, for symbols >= 1
    struct corpus_file *file;
    int64_t n_files;
};

struct corpus_spec { // a job's data; nothing owned
    enum job_data kind;
    char *const *paths;
    int n_paths;
    double held;
    int64_t eot; // -1: none
};
struct corpus_spec corpus_spec_of(const struct job *j);

// Maps the files, checks their layout, splits. ERR_INPUT, with the file, what was expected and
// what was found: missing, empty, no regular file, wrong or truncated headers and indices,
// sizes that do not fit, fewer than two documents, held outside (0, 0.5]. The caller frees.
enum err corpus_open(const struct corpus_spec *s, struct corpus *out);
void corpus_free(struct corpus *c);

// Tokens at .. at + n - 1 of a stream (the caller keeps inside it). ERR_INPUT, with its place:
// a token that is not in [0, V).
enum err corpus_read(const struct corpus *c, const struct stream *s, int64_t at, int64_t n,
                     int32_t *out);
// The largest token on both sides: reads everything. ERR_INPUT: no token that large can be (a
// negative int32, or from 2^31 - 1 on).
enum err corpus_largest(const struct corpus *c, int64_t *out);
// Bytes of all files.
int64_t corpus_bytes(const struct corpus *c);
// CRC-32C (not complemented) over size and content of all files in order: reads everything.
uint32_t corpus_crc(const struct corpus *c);
// megatron: the path without .bin or .idx, to which either is added. In place.
void corpus_megatron_prefix(char *path);
#endif
