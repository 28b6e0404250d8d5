// SPDX-License-Identifier: Apache-2.0
#include "core/corpus.h"
#include "core/rng.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORM_FEED 0x0C
#define SPLIT_STREAM 1 // of the hash that splits; any other value would be another split

// One document: a run of bytes without form feed.
struct doc {
    int64_t start, len;
    bool held;
};

// All files' bytes, one after the other, and where documents lie in them.
struct text {
    uint8_t *bytes;
    int64_t n;
    struct doc *docs;
    int64_t n_docs, docs_room;
};

static enum err file_size(const char *path, int fd, int64_t *out)
{
    struct stat st;
    ENSURE(fstat(fd, &st) == 0, ERR_INPUT, "%s: %s", path, strerror(errno));
    ENSURE(S_ISREG(st.st_mode), ERR_INPUT, "%s: expected a text file, found %s", path,
           S_ISDIR(st.st_mode) ? "a directory (name the files in it)" : "a device or pipe");
    ENSURE(st.st_size > 0, ERR_INPUT, "%s: expected text, found an empty file", path);
    *out = st.st_size;
    return OK;
}

static enum err read_exactly(const char *path, int fd, uint8_t *to, int64_t n)
{
    while (n > 0) {
        size_t ask = n < (1 << 30) ? (size_t)n : (size_t)1 << 30;
        ssize_t k = read(fd, to, ask);
        if (k < 0 && errno == EINTR)
            continue;
        ENSURE(k >= 0, ERR_INPUT, "%s: cannot read: %s", path, strerror(errno));
        ENSURE(k > 0, ERR_INPUT, "%s: became shorter while it was read", path);
        to += k;
        n -= k;
    }
    return OK;
}

static enum err append_file(struct text *t, const char *path)
{
    int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe without writer must not hang us
    ENSURE(fd >= 0, ERR_INPUT, "%s: %s", path, strerror(errno));
    int64_t size = 0;
    enum err e = file_size(path, fd, &size);
    // A byte of text takes three of memory, itself and its token. Asked here because
    // overcommitted memory would kill us later without a word.
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    if (e == OK && size > memory / 3 - t->n)
        e = err_set(ERR_INPUT,
                    "%s: %" PRId64
                    " bytes of text in all are more than a third of this machine's "
                    "memory (%" PRId64 " bytes)",
                    path, t->n + size, memory);
    if (e == OK) {
        uint8_t *grown = realloc(t->bytes, (size_t)(t->n + size));
        if (grown == NULL)
            e = err_set(ERR_FAILED, "%s: no memory for %" PRId64 " bytes of text", path,
                        t->n + size);
        else
            t->bytes = grown;
    }
    if (e == OK)
        e = read_exactly(path, fd, t->bytes + t->n, size);
    close(fd);
    if (e == OK)
        t->n += size;
    return e;
}

static enum err add_doc(struct text *t, int64_t start, int64_t end)
{
    if (end <= start)
        return OK; // between two form feeds, or at a file's edge
    if (t->n_docs == t->docs_room) {
        int64_t room = t->docs_room > 0 ? 2 * t->docs_room : 256;
        struct doc *grown = realloc(t->docs, (size_t)room * sizeof *grown);
        ENSURE(grown != NULL, ERR_FAILED, "no memory for %" PRId64 " documents", room);
        t->docs = grown;
        t->docs_room = room;
    }
    t->docs[t->n_docs++] = (struct doc){.start = start, .len = end - start};
    return OK;
}

static enum err split_docs(struct text *t, int64_t from)
{
    int64_t start = from;
    while (start < t->n) {
        const uint8_t *p = t->bytes + start;
        const uint8_t *ff = memchr(p, FORM_FEED, (size_t)(t->n - start));
        int64_t end = ff != NULL ? start + (ff - p) : t->n;
        TRY(add_doc(t, start, end));
        start = end + 1;
    }
    return OK;
}

static enum err load_text(const char *const *paths, int n_paths, struct text *t)
{
    for (int i = 0; i < n_paths; i++) {
        int64_t from = t->n;
        TRY(append_file(t, paths[i]));
        TRY(split_docs(t, from));
    }
    ENSURE(t->n_docs >= 2, ERR_INPUT,
           "%s%s: expected at least two documents (separated by form feeds or file ends) so "
           "that one "
           "can be held out, found %" PRId64,
           paths[0], n_paths > 1 ? " and others" : "", t->n_docs);
    return OK;
}

// A number in [0, 1) from the document's index alone: adding text at the end moves no document.
static double doc_hash(int64_t index)
{
    struct rng r;
    rng_seed(&r, (uint64_t)index, SPLIT_STREAM);
    return rng_uniform(&r);
}

static void hold_out(struct text *t, double fraction)
{
    int64_t held = 0, smallest = 0, largest = 0;
    for (int64_t i = 0; i < t->n_docs; i++) {
        t->docs[i].held = doc_hash(i) < fraction;
        held += t->docs[i].held;
        if (doc_hash(i) < doc_hash(smallest))
            smallest = i;
        if (doc_hash(i) > doc_hash(largest))
            largest = i;
    }
    if (held == 0)
        t->docs[smallest].held = true;
    if (held == t->n_docs)
        t->docs[largest].held = false;
}

// Sizes and alphabet; code[] maps bytes to symbols.
static void count(const struct text *t, struct corpus *c, uint16_t code[256])
{
    bool seen[256] = {false};
    for (int64_t i = 0; i < t->n; i++)
        seen[t->bytes[i]] = true;
    seen[FORM_FEED] = false;
    c->V = 1;
    for (int b = 0; b < 256; b++) {
        if (seen[b]) {
            c->byte_of[c->V] = (uint8_t)b;
            code[b] = (uint16_t)c->V++;
        }
    }
    c->n_docs = t->n_docs;
    for (int64_t i = 0; i < t->n_docs; i++) {
        int64_t len = t->docs[i].len;
        *(t->docs[i].held ? &c->n_held : &c->n_train) += len + 1;
        c->held_bytes += t->docs[i].held ? len : 0;
        c->n_docs_held += t->docs[i].held;
    }
}

static enum err tokenise(const struct text *t, const uint16_t code[256], struct corpus *c)
{
    c->train = malloc((size_t)c->n_train * sizeof *c->train);
    c->held = malloc((size_t)c->n_held * sizeof *c->held);
    ENSURE(c->train != NULL && c->held != NULL, ERR_FAILED, "no memory for %" PRId64 " tokens",
           c->n_train + c->n_held);
    uint16_t *train = c->train, *held = c->held;
    for (int64_t i = 0; i < t->n_docs; i++) {
        uint16_t **to = t->docs[i].held ? &held : &train;
        const uint8_t *from = t->bytes + t->docs[i].start;
        for (int64_t k = 0; k < t->docs[i].len; k++)
            *(*to)++ = code[from[k]];
        *(*to)++ = 0;
    }
    return OK;
}

static enum err load(const char *const *paths, int n_paths, double held_fraction, bool tokens,
                     struct corpus *c)
{
    memset(c, 0, sizeof *c);
    ENSURE(n_paths > 0, ERR_INPUT, "corpus: expected at least one file, found none");
    ENSURE(held_fraction > 0 && held_fraction <= 0.5, ERR_INPUT,
           "corpus: held: expected a fraction above 0 and at most 0.5, found %g",
           held_fraction);
    struct text t = {0};
    enum err e = load_text(paths, n_paths, &t);
    if (e == OK) {
        uint16_t code[256] = {0};
        hold_out(&t, held_fraction);
        count(&t, c, code);
        e = tokens ? tokenise(&t, code, c) : OK;
    }
    free(t.bytes);
    free(t.docs);
    if (e != OK)
        corpus_free(c);
    return e;
}

enum err corpus_load(const char *const *paths, int n_paths, double held_fraction,
                     struct corpus *out)
{
    return load(paths, n_paths, held_fraction, true, out);
}

enum err corpus_scan(const char *const *paths, int n_paths, double held_fraction,
                     struct corpus *out)
{
    return load(paths, n_paths, held_fraction, false, out);
}

void corpus_free(struct corpus *c)
{
    free(c->train);
    free(c->held);
    memset(c, 0, sizeof *c);
}
