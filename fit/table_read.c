// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/table_build.h"
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    FILE *f;
    const char *path;
    int64_t line;  // of the next byte
    int64_t first; // line where the record began
    char *buf;     // the record, NUL-terminated
    size_t len, cap;
    char delim;  // ',', '\t' or ';'; 0: not known yet
    bool quotes; // a quoted field may hold ends of lines
};

// ---- records

static enum err push(struct reader *r, int c)
{
    ENSURE(r->len < TABLE_MAX_RECORD, ERR_INPUT,
           "%s: line %lld: expected a row of a table, found more than %d bytes without an end "
           "(is this a table?)",
           r->path, (long long)r->first, TABLE_MAX_RECORD);
    if (r->len + 1 >= r->cap) {
        size_t cap = r->cap * 2;
        char *grown = realloc(r->buf, cap);
        ENSURE(grown, ERR_FAILED, "out of memory");
        r->buf = grown;
        r->cap = cap;
    }
    r->buf[r->len++] = (char)c;
    r->buf[r->len] = '\0';
    return OK;
}

static bool delimits(const struct reader *r, int c)
{
    return r->delim ? c == r->delim : c == ',' || c == '\t' || c == ';';
}

// A byte of the record's end: swallows the LF of a CRLF.
static bool ends_line(struct reader *r, int c)
{
    if (c == '\r') {
        int next = getc_unlocked(r->f);
        if (next != '\n' && next != EOF)
            ungetc(next, r->f);
    }
    return c == '\n' || c == '\r';
}

// One record as it stands, quotes included, without its end. *more = false at the file's end.
static enum err read_raw(struct reader *r, bool *more)
{
    bool quoted = false, closed = false; // closed: by the byte before
    bool at_start = true;                // of a field
    r->len = 0;
    r->buf[0] = '\0';
    r->first = r->line;
    *more = false;
    for (int c; (c = getc_unlocked(r->f)) != EOF;) {
        *more = true;
        if (c == '\0')
            return err_set(ERR_INPUT,
                           "%s: line %lld, byte %zu: expected text, found a zero byte (a "
                           "binary file, or UTF-16?)",
                           r->path, (long long)r->line, r->len + 1);
        if (c == '\n' || c == '\r') {
            bool end = ends_line(r, c);
            r->line++;
            if (end && !quoted)
                return OK;
            c = '\n';
        }
        bool quote = r->quotes && c == '"', was = quoted;
        if (quote)
            quoted = !quoted && (at_start || closed); // closed: "" stands for one quote
        closed = quote && was;
        at_start = delimits(r, c) || (at_start && (c == ' ' || c == '\t'));
        TRY(push(r, c));
    }
    ENSURE(!ferror(r->f), ERR_INPUT, "%s: %s", r->path, strerror(errno));
    ENSURE(!quoted, ERR_INPUT,
           "%s: line %lld: expected every quote closed, found none to the "
           "end of the file",
           r->path, (long long)r->first);
    return OK;
}

// The next record that says something.
static enum err next_record(struct reader *r, bool *more)
{
    do {
        TRY(read_raw(r, more));
    } while (*more && (r->buf[strspn(r->buf, " \t")] == '\0' || r->buf[0] == '#'));
    return OK;
}

// ---- CSV

static char *trim(char *s)
{
    s += strspn(s, " \t");
    size_t n = strlen(s);
    while (n && (s[n - 1] == ' ' || s[n - 1] == '\t'))
        s[--n] = '\0';
    return s;
}

// Splits one field off *at in place; *last when the record ended with it.
static enum err split_field(struct reader *r, char **at, int col, char **field, bool *last)
{
    char *p = *at + strspn(*at, r->delim == '\t' ? " " : " \t");
    if (*p != '"') {
        size_t n = strcspn(*at, (char[]){r->delim, '\0'});
        *field = *at;
        *last = !(*at)[n];
        (*at)[n] = '\0';
        *at += n + 1;
        *field = trim(*field);
        return OK;
    }
    char *to = *field = ++p;
    while (*p && !(*p == '"' && p[1] != '"')) {
        p += *p == '"';
        *to++ = *p++;
    }
    bool closed = *p == '"';
    p += closed;
    p += strspn(p, r->delim == '\t' ? " " : " \t");
    ENSURE(closed && (!*p || *p == r->delim), ERR_INPUT,
           "%s: line %lld, column %d: expected the separator '%c' after the closing quote, "
           "found '%s'",
           r->path, (long long)r->first, col + 1, r->delim, table_quote(p).s);
    *last = !*p;
    *to = '\0';
    *at = p + 1;
    return OK;
}

// The separator that the header has most of, outside quotes.
static char find_delim(const char *s)
{
    int count[3] = {0};
    static const char kinds[] = ",\t;";
    for (bool quoted = false; *s; s++) {
        quoted = quoted != (*s == '"');
        const char *k = quoted ? NULL : strchr(kinds, *s);
        if (k)
            count[k - kinds]++;
    }
    return count[0] >= count[1] && count[0] >= count[2] ? ','
           : count[1] >= count[2]                       ? '\t'
                                                        : ';';
}

static enum err csv_header(struct reader *r, struct table *t)
{
    char where[512];
    snprintf(where, sizeof where, "%.400s: line %lld", r->path, (long long)r->first);
    r->delim = find_delim(r->buf);
    char *at = r->buf, *field;
    for (bool last = false; !last;) {
        TRY(split_field(r, &at, t->n_cols, &field, &last));
        char unnamed[24];
        snprintf(unnamed, sizeof unnamed, "column%d", t->n_cols + 1);
        const char *name = *field ? field : unnamed; // pandas leaves its index without a name
        ENSURE(table_find(t, name) < 0, ERR_INPUT,
               "%s: expected each column's name once, found '%s' twice", where,
               table_quote(name).s);
        TRY(table_add_column(t, name, where));
    }
    double v;
    int numbers = 0;
    for (int k = 0; k < t->n_cols; k++)
        numbers += table_number(t->col[k].name, &v);
    ENSURE(numbers < t->n_cols, ERR_INPUT,
           "%s: expected a header with the columns' names, found numbers alone", where);
    return OK;
}

static enum err csv_row(struct reader *r, struct table *t)
{
    TRY(table_open_row(t, r->first));
    char *at = r->buf, *field;
    int k = 0;
    for (bool last = false; !last; k++) {
        TRY(split_field(r, &at, k, &field, &last));
        if (k < t->n_cols)
            TRY(table_put(t, k, field));
    }
    ENSURE(k == t->n_cols, ERR_INPUT,
           "%s: line %lld: expected %d column%s as in the header, found %d%s", r->path,
           (long long)r->first, t->n_cols, t->n_cols == 1 ? "" : "s", k,
           t->n == 0 ? " (is this a table?)" : "");
    t->n++;
    return OK;
}

static enum err read_csv(struct reader *r, struct table *t)
{
    bool more;
    r->quotes = true;
    TRY(next_record(r, &more));
    ENSURE(more, ERR_INPUT, "%s: expected a table, found nothing", r->path);
    TRY(csv_header(r, t));
    for (;;) {
        TRY(next_record(r, &more));
        if (!more)
            return OK;
        TRY(csv_row(r, t));
    }
}

// ---- JSON Lines

static enum err json_cell(struct table *t, int col, const json_t *v)
{
    if (json_is_number(v)) {
        t->col[col].number[t->n] = json_number_value(v);
        return OK;
    }
    if (json_is_string(v))
        return table_put(t, col, json_string_value(v));
    if (json_is_boolean(v))
        return table_put_text(t, col, json_is_true(v) ? "true" : "false");
    // Never a number, so only a column map that asks for it meets it.
    return json_is_null(v) ? OK : table_put_text(t, col, json_is_array(v) ? "[..]" : "{..}");
}

static enum err json_row(struct reader *r, struct table *t)
{
    json_error_t at;
    json_t *row =
        json_loadb(r->buf, r->len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &at);
    if (!row || !json_is_object(row)) {
        json_decref(row);
        return err_set(ERR_INPUT,
                       "%s: line %lld, column %d: expected one JSON object a line%s%s", r->path,
                       (long long)r->first, row ? 1 : at.column, row ? "" : ", found ",
                       row ? "" : table_quote(at.text).s);
    }
    enum err e = table_open_row(t, r->first);
    const char *key;
    json_t *v;
    json_object_foreach(row, key, v)
    {
        char where[512];
        int col = e == OK ? table_find(t, key) : 0;
        if (e == OK && col < 0) {
            snprintf(where, sizeof where, "%.400s: line %lld", r->path, (long long)r->first);
            e = table_add_column(t, key, where);
            col = t->n_cols - 1;
        }
        if (e == OK)
            e = json_cell(t, col, v);
    }
    json_decref(row);
    t->n += e == OK;
    return e;
}

static enum err read_json(struct reader *r, struct table *t)
{
    for (bool more;;) {
        TRY(next_record(r, &more));
        if (!more)
            return OK;
        TRY(json_row(r, t));
    }
}

// ---- both

// Skips a BOM and blanks; *c is the first byte that says something, put back.
static enum err open_bytes(struct reader *r, int *c)
{
    static const int bom[] = {0xef, 0xbb, 0xbf};
    *c = getc_unlocked(r->f);
    ENSURE(*c != 0xfe && *c != 0xff, ERR_INPUT,
           "%s: expected UTF-8 or ASCII text, found UTF-16 (save it as UTF-8)", r->path);
    for (int i = 0; i < 3 && *c == bom[i]; i++)
        *c = getc_unlocked(r->f);
    for (; *c == ' ' || *c == '\t' || *c == '\n' || *c == '\r'; *c = getc_unlocked(r->f))
        r->line += *c == '\n';
    ENSURE(!ferror(r->f), ERR_INPUT, "%s: %s", r->path, strerror(errno));
    if (*c != EOF)
        ungetc(*c, r->f);
    return OK;
}

static enum err read_all(struct reader *r, struct table *t)
{
    int c;
    r->buf = malloc(r->cap);
    t->text_cap = 64;
    t->text = calloc(t->text_cap, 1);
    t->text_len = 1;
    t->path = strdup(r->path);
    ENSURE(r->buf && t->text && t->path, ERR_FAILED, "out of memory");
    TRY(open_bytes(r, &c));
    ENSURE(c != '[', ERR_INPUT,
           "%s: line %lld: expected CSV or JSON Lines (one object a line), found a JSON array",
           r->path, (long long)r->line);
    TRY(c == '{' ? read_json(r, t) : read_csv(r, t));
    ENSURE(t->n > 0, ERR_INPUT, "%s: expected rows below the header, found none", r->path);
    return OK;
}

enum err table_read(const char *path, struct table *t)
{
    memset(t, 0, sizeof *t);
    bool standard = strcmp(path, "-") == 0;
    struct reader r = {.path = standard ? "standard input" : path, .line = 1, .cap = 4096};
    r.f = standard ? stdin : fopen(path, "rb");
    ENSURE(r.f, ERR_INPUT, "%s: %s", path, strerror(errno));
    enum err e = read_all(&r, t);
    if (!standard)
        fclose(r.f);
    free(r.buf);
    if (e != OK)
        table_free(t);
    return e;
}
