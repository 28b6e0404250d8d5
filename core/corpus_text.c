// SPDX-License-Identifier: Apache-2.0
// Text: documents end at form feeds and file ends. A form feed is itself the end-of-text symbol
// of the document before it, so that a text is read where it lies.
#include "core/corpus_internal.h"
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define FORM_FEED 0x0C

static enum err text_open(struct corpus *c, const char *path)
{
    TRY(corpus_map(c, path, "text"));
    // All of a text is read before training and then at random: it must fit into memory.
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), bytes = 0;
    for (int64_t i = 0; i < c->n_files; i++)
        bytes += (int64_t)c->file[i].size;
    ENSURE(bytes <= memory, ERR_INPUT,
           "%s: %" PRId64 " bytes of text in all are more than this machine's memory (%" PRId64
           " bytes)",
           path, bytes, memory);
    c->width = 1;
    struct corpus_file *f = &c->file[c->n_files - 1];
    f->tokens = f->map;
    f->n_tokens = (int64_t)f->size;
    return OK;
}

static void find_alphabet(struct corpus *c)
{
    bool seen[256] = {false};
    for (int64_t k = 0; k < c->n_files; k++)
        for (int64_t i = 0; i < c->file[k].n_tokens; i++)
            seen[c->file[k].tokens[i]] = true;
    seen[FORM_FEED] = false;
    c->V = 1; // at most 256: 255 byte values and end-of-text
    for (int b = 0; b < 256; b++) {
        if (seen[b]) {
            c->byte_of[c->V] = (uint8_t)b;
            c->code[b] = (uint8_t)c->V++;
        }
    }
}

static enum err walk_file(struct corpus *c, const struct corpus_file *f, struct split *split)
{
    static const uint8_t file_end = FORM_FEED;
    const uint8_t *p = f->tokens, *end = p + f->n_tokens;
    while (p < end) {
        const uint8_t *feed = memchr(p, FORM_FEED, (size_t)(end - p)),
                      *next = feed != NULL ? feed + 1 : end;
        if (feed != p) { // else between two form feeds, or at the file's start
            struct stream *side = split_next(split, c);
            TRY(stream_add(side, 1, p, next - p));
            if (feed == NULL)
                TRY(stream_add(side, 1, &file_end, 1));
        }
        p = next;
    }
    return OK;
}

static enum err text_walk(struct corpus *c, const struct corpus_spec *s, struct split *split)
{
    (void)s;
    if (c->V == 0)
        find_alphabet(c);
    for (int64_t i = 0; i < c->n_files; i++)
        TRY(walk_file(c, &c->file[i], split));
    return OK;
}

const struct layout corpus_text = {text_open, text_walk};
