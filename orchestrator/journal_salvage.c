// SPDX-License-Identifier: GPL-3.0-or-later
// What is intact in a damaged journal. A record ends at its newline, but where newlines are
// overwritten or stretches are zero it is found by its own shape: eight digits, a space, a JSON
// object over which the digits are the sum.
#include "orchestrator/journal.h"
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 9 };

// The record that begins at text, if one does: NULL if not. *used: its bytes.
static json_t *record_at(const char *text, size_t n, size_t *used)
{
    uint32_t crc;
    json_error_t je;
    if (n < PREFIX + 2 || text[PREFIX - 1] != ' ' || text[PREFIX] != '{' ||
        !journal_hex8(text, &crc))
        return NULL;
    json_t *rec = json_loadb(text + PREFIX, n - PREFIX,
                             JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &je);
    if (rec && json_is_string(json_object_get(rec, "t")) && je.position > 0 &&
        journal_crc32c(text + PREFIX, (size_t)je.position) == crc) {
        *used = PREFIX + (size_t)je.position;
        return rec;
    }
    json_decref(rec);
    return NULL;
}

// A whole line's record, the usual case: without the learning curve, which is most of its text
// and which eyes on a running sweep do not need.
static json_t *brief_record(const char *line, size_t n)
{
    static const char key[] = ",\"curve\":[";
    uint32_t crc;
    const char *from = memmem(line, n, key, sizeof key - 1), *to = from;
    if (!from || n < PREFIX || !journal_hex8(line, &crc) ||
        journal_crc32c(line + PREFIX, n - PREFIX) != crc)
        return NULL;
    int depth = 0;
    for (to += sizeof key - 2; to < line + n; to++) {
        depth += (*to == '[') - (*to == ']');
        if (depth == 0)
            break;
    }
    char *text = to < line + n ? malloc(n) : NULL;
    if (!text)
        return NULL;
    size_t head = (size_t)(from - line) - PREFIX, tail = (size_t)(line + n - to) - 1;
    memcpy(text, line + PREFIX, head);
    memcpy(text + head, to + 1, tail);
    json_t *rec = json_loadb(text, head + tail, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (rec && json_is_string(json_object_get(rec, "t")))
        return rec;
    json_decref(rec);
    return NULL;
}

struct piece_reader {
    const char *text;
    bool brief;
    journal_on_piece *on_piece;
    void *ctx;
};

static enum err give(const struct piece_reader *r, size_t from, size_t to, int64_t line,
                     json_t *rec)
{
    if (from == to)
        return OK;
    struct journal_piece p = {r->text + from, to - from, line, (int64_t)from, rec};
    return r->on_piece(r->ctx, &p);
}

// One line, from .. to without its newline.
static enum err line_pieces(const struct piece_reader *r, size_t from, size_t to, int64_t line)
{
    size_t lost = from; // where bytes that are no record begin
    for (size_t at = from; at < to;) {
        size_t used = to - at;
        json_t *rec = r->brief && at == from ? brief_record(r->text + at, used) : NULL;
        if (!rec)
            rec = record_at(r->text + at, to - at, &used);
        if (!rec) {
            at++;
            continue;
        }
        enum err e = give(r, lost, at, line, NULL);
        if (e == OK)
            e = give(r, at, at + used, line, rec);
        json_decref(rec);
        TRY(e);
        at = lost = at + used;
    }
    return give(r, lost, to, line, NULL);
}

enum err journal_pieces(const char *text, size_t size, bool brief, journal_on_piece *on_piece,
                        void *ctx)
{
    const struct piece_reader r = {text, brief, on_piece, ctx};
    int64_t line = 1;
    for (size_t at = 0; at < size; line++) {
        const char *nl = memchr(text + at, '\n', size - at);
        size_t end = nl ? (size_t)(nl - text) : size;
        TRY(line_pieces(&r, at, end, line));
        at = end + 1;
    }
    return OK;
}
