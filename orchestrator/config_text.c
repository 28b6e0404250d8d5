// SPDX-License-Identifier: GPL-3.0-or-later
// The raw text of a configuration before libconfig sees it. libconfig 1.5 stores 3000000000 as
// -1294967296 and reports success, so every integer is looked at where it is written; and its
// scanner should never meet a folder, a device or a binary file.
#include "orchestrator/config_internal.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_BYTES (4 << 20)
#define MAX_NESTING 32
#define MAX_INCLUDES 8

struct frame {
    char open;    // '{' (the root too), '(' or '['
    char key[64]; // of the value being read, in a group
    int index;    // of the element being read, in a list or array
};

struct scan {
    const char *path, *top, *at; // includes are relative to the folder of the top file
    unsigned line;
    int depth, includes;
    struct frame frames[MAX_NESTING];
};

static enum err scan_file(const char *path, const struct scan *from);

static void scan_key(const struct scan *s, char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = '\0';
    for (int i = 0; i <= s->depth && used < size; i++) {
        const struct frame *f = &s->frames[i];
        int n = f->open == '{' ? snprintf(buf + used, size - used, "%s%s", i ? "." : "", f->key)
                               : snprintf(buf + used, size - used, "[%d]", f->index);
        used += n > 0 ? (size_t)n : 0;
    }
}

// An integer as written: with L it must fit in 64 bits, without in 32.
static enum err scan_integer(const struct scan *s, const char *token, size_t len)
{
    char digits[64], *end;
    size_t n = len < sizeof digits - 1 ? len : sizeof digits - 1;
    memcpy(digits, token, n);
    digits[n] = '\0';
    bool hex = strpbrk(digits, "xX") != NULL;
    errno = 0;
    long long v = strtoll(digits, &end, hex ? 16 : 10);
    bool wide = *end == 'L';
    while (*end == 'L')
        end++;
    if (*end != '\0' && len < sizeof digits)
        return OK; // no integer; the parser judges it
    bool fits = errno == 0 && len < sizeof digits &&
                (wide || (v >= INT32_MIN && v <= (hex ? (long long)UINT32_MAX : INT32_MAX)));
    if (fits)
        return OK;
    char key[CONFIG_PATH];
    scan_key(s, key, sizeof key);
    if (wide || len > 18)
        return err_set(ERR_INPUT, "%s:%u: %s: expected an integer of at most 64 bits, found %s",
                       s->path, s->line, key, digits);
    return err_set(
        ERR_INPUT,
        "%s:%u: %s: expected an integer beyond 2147483647 to end in L (%sL) or to be "
        "written with an exponent, found %s",
        s->path, s->line, key, digits, digits);
}

static enum err scan_number(struct scan *s)
{
    const char *start = s->at;
    bool hex = start[0] == '0' && (start[1] == 'x' || start[1] == 'X');
    s->at++;
    while (isalnum((unsigned char)*s->at) || *s->at == '.' ||
           ((*s->at == '+' || *s->at == '-') && !hex && strchr("eE", s->at[-1])))
        s->at++;
    return scan_integer(s, start, (size_t)(s->at - start));
}

static void scan_string(struct scan *s)
{
    for (s->at++; *s->at && *s->at != '"'; s->at++) {
        if (*s->at == '\\' && s->at[1])
            s->at++;
        if (*s->at == '\n')
            s->line++;
    }
    if (*s->at)
        s->at++;
}

static enum err scan_include(struct scan *s)
{
    const char *open = strchr(s->at, '"');
    const char *eol = s->at + strcspn(s->at, "\n");
    const char *close = open && open < eol ? strchr(open + 1, '"') : NULL;
    s->at += strlen("@include");
    if (!close || close > eol)
        return OK; // malformed; the parser says so
    const char *slash = strrchr(s->top, '/');
    int dir = open[1] == '/' || !slash ? 0 : (int)(slash - s->top + 1);
    char name[JOB_PATH_MAX];
    int n =
        snprintf(name, sizeof name, "%.*s%.*s", dir, s->top, (int)(close - open - 1), open + 1);
    ENSURE(n > 0 && (size_t)n < sizeof name, ERR_INPUT, "%s:%u: @include: path too long",
           s->path, s->line);
    ENSURE(s->includes < MAX_INCLUDES, ERR_INPUT,
           "%s:%u: @include: expected at most %d files inside each other, found more", s->path,
           s->line, MAX_INCLUDES);
    s->at = close + 1;
    return scan_file(name, s);
}

static void scan_comment(struct scan *s)
{
    if (s->at[0] == '/' && s->at[1] == '*') {
        for (s->at += 2; *s->at && !(s->at[0] == '*' && s->at[1] == '/'); s->at++)
            s->line += *s->at == '\n';
        s->at += *s->at ? 2 : 0;
    } else {
        s->at += strcspn(s->at, "\n");
    }
}

static enum err scan_punctuation(struct scan *s)
{
    struct frame *f = &s->frames[s->depth];
    char c = *s->at++;
    if (strchr("{([", c)) {
        ENSURE(s->depth + 1 < MAX_NESTING, ERR_INPUT,
               "%s:%u: expected at most %d groups and lists inside each other, found more",
               s->path, s->line, MAX_NESTING - 1);
        s->frames[++s->depth] = (struct frame){.open = c};
    } else if (strchr("})]", c)) {
        s->depth -= s->depth > 0;
    } else if (c == ',' && f->open != '{') {
        f->index++;
    }
    return OK;
}

static void scan_name(struct scan *s)
{
    const char *start = s->at;
    while (isalnum((unsigned char)*s->at) || strchr("-_*", *s->at)) {
        if (!*s->at)
            break;
        s->at++;
    }
    struct frame *f = &s->frames[s->depth];
    if (f->open == '{')
        snprintf(f->key, sizeof f->key, "%.*s", (int)(s->at - start), start);
}

static enum err scan_text(struct scan *s)
{
    while (*s->at) {
        char c = *s->at;
        if (c == '\n') {
            s->line++;
            s->at++;
        } else if (c == '#' || (c == '/' && (s->at[1] == '/' || s->at[1] == '*'))) {
            scan_comment(s);
        } else if (c == '"') {
            scan_string(s);
        } else if (strncmp(s->at, "@include", strlen("@include")) == 0) {
            TRY(scan_include(s));
        } else if (isalpha((unsigned char)c) || c == '*') {
            scan_name(s);
        } else if (isdigit((unsigned char)c) || strchr("+-.", c)) {
            TRY(scan_number(s));
        } else {
            TRY(scan_punctuation(s));
        }
    }
    return OK;
}

static enum err slurp(const char *path, const char *who, char **text)
{
    struct stat st;
    ENSURE(stat(path, &st) == 0, ERR_INPUT, "%s%s: expected a readable file, found: %s", who,
           path, strerror(errno));
    ENSURE(S_ISREG(st.st_mode), ERR_INPUT, "%s%s: expected a regular file, found a %s", who,
           path, S_ISDIR(st.st_mode) ? "folder" : "special file");
    ENSURE(st.st_size <= MAX_BYTES, ERR_INPUT, "%s%s: expected at most %d bytes, found %lld",
           who, path, MAX_BYTES, (long long)st.st_size);
    FILE *f = fopen(path, "r");
    ENSURE(f, ERR_INPUT, "%s%s: expected a readable file, found: %s", who, path,
           strerror(errno));
    size_t size = (size_t)st.st_size;
    char *buf = malloc(size + 1);
    size_t got = buf ? fread(buf, 1, size, f) : 0;
    bool bad = buf && (ferror(f) || got != size);
    fclose(f);
    if (!buf || bad) {
        free(buf);
        return err_set(ERR_FAILED, "%s%s: %s", who, path,
                       buf ? "could not be read" : "out of memory");
    }
    buf[size] = '\0';
    if (strlen(buf) != size) {
        size_t at = strlen(buf);
        free(buf);
        return err_set(ERR_INPUT, "%s%s: expected text, found a zero byte at offset %zu", who,
                       path, at);
    }
    *text = buf;
    return OK;
}

static enum err scan_file(const char *path, const struct scan *from)
{
    char who[JOB_PATH_MAX + 32] = "", *text = NULL;
    if (from)
        snprintf(who, sizeof who, "%s:%u: @include: ", from->path, from->line);
    TRY(slurp(path, who, &text));
    struct scan s = {.path = path,
                     .top = from ? from->top : path,
                     .at = text,
                     .line = 1,
                     .includes = from ? from->includes + 1 : 0};
    s.frames[0].open = '{';
    enum err e = scan_text(&s);
    free(text);
    return e;
}

enum err config_text_scan(const char *path)
{
    return scan_file(path, NULL);
}
