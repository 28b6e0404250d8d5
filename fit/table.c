// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/table_build.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// ---- small help

bool table_number(const char *text, double *out)
{
    if (!*text || strspn(text, "0123456789+-.eE") != strlen(text))
        return false;
    char *end;
    double v = strtod(text, &end);
    if (*end || !isfinite(v))
        return false;
    *out = v;
    return true;
}

struct table_quote table_quote(const char *text)
{
    enum { SHOWN = 40 };
    struct table_quote q;
    size_t n = 0;
    for (; text[n] && n < SHOWN; n++)
        q.s[n] = iscntrl((unsigned char)text[n]) ? '?' : text[n];
    while (n == SHOWN && n > 0 && ((unsigned char)q.s[n - 1] & 0xc0) == 0x80)
        n--; // no half of a UTF-8 character
    if (n > 0 && n < SHOWN && ((unsigned char)q.s[n - 1] & 0xc0) == 0xc0)
        n--;
    snprintf(q.s + n, sizeof q.s - n, "%s", text[n] ? ".." : "");
    return q;
}

static bool among(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcasecmp(text, *words) == 0)
            return true;
    return false;
}

static bool means_missing(const char *text)
{
    static const char *const words[] = {"", "NA", "N/A", "null", "None", "-", "?", NULL};
    return among(text, words);
}

static bool means_nonfinite(const char *text)
{
    static const char *const words[] = {"nan",  "-nan",     "+nan",      "inf", "-inf",
                                        "+inf", "infinity", "-infinity", NULL};
    return among(text, words);
}

// ---- the table in memory

enum err table_add_column(struct table *t, const char *name, const char *where)
{
    ENSURE(t->n_cols < TABLE_MAX_COLUMNS, ERR_INPUT, "%s: expected at most %d columns", where,
           TABLE_MAX_COLUMNS);
    struct table_column *grown = realloc(t->col, ((size_t)t->n_cols + 1) * sizeof *grown);
    ENSURE(grown, ERR_FAILED, "out of memory");
    t->col = grown;
    struct table_column *c = &grown[t->n_cols];
    *c = (struct table_column){.name = strdup(name)};
    if (t->cap)
        c->number = malloc((size_t)t->cap * sizeof *c->number);
    if (!c->name || (t->cap && !c->number)) {
        free(c->name);
        free(c->number);
        return err_set(ERR_FAILED, "out of memory");
    }
    for (int64_t i = 0; i <= t->n && i < t->cap; i++)
        c->number[i] = (double)NAN;
    t->n_cols++;
    return OK;
}

static enum err grow(struct table *t)
{
    int64_t cap = t->cap ? t->cap * 2 : 256;
    int64_t *line = realloc(t->line, (size_t)cap * sizeof *line);
    ENSURE(line, ERR_FAILED, "out of memory");
    t->line = line;
    for (int k = 0; k < t->n_cols; k++) {
        struct table_column *c = &t->col[k];
        double *number = realloc(c->number, (size_t)cap * sizeof *number);
        ENSURE(number, ERR_FAILED, "out of memory");
        c->number = number;
        if (!c->text)
            continue;
        uint32_t *text = realloc(c->text, (size_t)cap * sizeof *text);
        ENSURE(text, ERR_FAILED, "out of memory");
        c->text = text;
        memset(text + t->cap, 0, (size_t)(cap - t->cap) * sizeof *text);
    }
    t->cap = cap;
    return OK;
}

enum err table_open_row(struct table *t, int64_t line)
{
    ENSURE((t->n + 1) * (t->n_cols ? t->n_cols : 1) <= TABLE_MAX_CELLS, ERR_INPUT,
           "%s: line %lld: expected at most %d cells (rows times columns)", t->path,
           (long long)line, TABLE_MAX_CELLS);
    if (t->n == t->cap)
        TRY(grow(t));
    t->line[t->n] = line;
    for (int k = 0; k < t->n_cols; k++)
        t->col[k].number[t->n] = (double)NAN;
    return OK;
}

enum err table_put_text(struct table *t, int col, const char *text)
{
    size_t n = strlen(text) + 1;
    ENSURE(t->text_len + n <= TABLE_MAX_TEXT, ERR_INPUT,
           "%s: line %lld: expected at most %d bytes of text in all cells together", t->path,
           (long long)t->line[t->n], TABLE_MAX_TEXT);
    if (t->text_len + n > t->text_cap) {
        size_t cap = t->text_cap * 2 > t->text_len + n ? t->text_cap * 2 : t->text_len + n;
        char *grown = realloc(t->text, cap);
        ENSURE(grown, ERR_FAILED, "out of memory");
        t->text = grown;
        t->text_cap = cap;
    }
    struct table_column *c = &t->col[col];
    if (!c->text)
        c->text = calloc((size_t)t->cap, sizeof *c->text);
    ENSURE(c->text, ERR_FAILED, "out of memory");
    memcpy(t->text + t->text_len, text, n);
    c->text[t->n] = (uint32_t)t->text_len;
    t->text_len += n;
    return OK;
}

enum err table_put(struct table *t, int col, const char *text)
{
    if (table_number(text, &t->col[col].number[t->n]) || means_missing(text))
        return OK;
    return table_put_text(t, col, text);
}

int table_find(const struct table *t, const char *name)
{
    for (int k = 0; k < t->n_cols; k++)
        if (strcmp(t->col[k].name, name) == 0)
            return k;
    return -1;
}

const char *table_text(const struct table *t, int col, int64_t row)
{
    const struct table_column *c = &t->col[col];
    return t->text + (c->text ? c->text[row] : 0);
}

enum table_cell table_cell(const struct table *t, int col, int64_t row)
{
    if (!isnan(t->col[col].number[row]))
        return CELL_NUMBER;
    const char *text = table_text(t, col, row);
    return !*text ? CELL_MISSING : means_nonfinite(text) ? CELL_NONFINITE : CELL_TEXT;
}

void table_names(const struct table *t, char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = '\0';
    for (int k = 0; k < t->n_cols; k++) {
        struct table_quote q = table_quote(t->col[k].name);
        size_t need = strlen(q.s) + 8;
        if (used + need >= size) {
            snprintf(buf + used, size - used, ", ..");
            return;
        }
        used += (size_t)snprintf(buf + used, size - used, "%s%s", k ? ", " : "", q.s);
    }
}

void table_free(struct table *t)
{
    for (int k = 0; k < t->n_cols; k++) {
        free(t->col[k].name);
        free(t->col[k].number);
        free(t->col[k].text);
    }
    free(t->col);
    free(t->line);
    free(t->text);
    free(t->path);
    memset(t, 0, sizeof *t);
}
