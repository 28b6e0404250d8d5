// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/said.h"
#include "core/json.h"
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The numbers between status and cause: the order of job_result_to_json.
static const struct number {
    const char *key;
    size_t at;
    bool whole, maybe; // an integer; maybe: null where it is not known
} numbers[] = {
    {",\"loss\":", offsetof(struct job_result, loss), false, true},
    {",\"loss_per_byte\":", offsetof(struct job_result, loss_per_byte), false, true},
    {",\"tokens\":", offsetof(struct job_result, tokens), true, false},
    {",\"init_tokens\":", offsetof(struct job_result, init_tokens), true, false},
    {",\"seconds\":", offsetof(struct job_result, seconds), false, false},
    {",\"flops\":", offsetof(struct job_result, flops), false, false},
    {",\"peak_bytes\":", offsetof(struct job_result, peak_bytes), true, false},
    {",\"balance\":", offsetof(struct job_result, balance), false, true},
    {",\"epochs\":", offsetof(struct job_result, epochs), false, true},
};
enum {
    N_NUMBERS = sizeof numbers / sizeof *numbers,
    REAL_MAX = 28,
    NUMBER_MAX = 48
}; // bytes: a number, with its key

// ---- writing

static bool plain(char c)
{
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

static bool all_plain(const char *s)
{
    while (plain(*s))
        s++;
    return *s == '\0';
}

static size_t put_whole(char *to, int64_t v)
{
    char digits[20];
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;
    size_t n = 0, minus = v < 0;
    do
        digits[n++] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    *to = '-';
    for (size_t i = 0; i < n; i++)
        to[minus + i] = digits[n - 1 - i];
    return minus + n;
}

// As jansson writes it: a record that is read and written again stays the same.
static size_t put_real(char *to, double v)
{
    if (!isfinite(v)) {
        memcpy(to, "null", 4);
        return 4;
    }
    if (v > 0 ? v < 1e15 && v == floor(v) : !signbit(v)) { // the %.17g of these is their digits
        size_t n = put_whole(to, (int64_t)v);
        memcpy(to + n, ".0", 2);
        return n + 2;
    }
    size_t n = (size_t)snprintf(to, REAL_MAX, "%.17g", v);
    char *e = memchr(to, 'e', n);
    if (!e)
        return memchr(to, '.', n) ? n : n + (size_t)snprintf(to + n, 3, ".0");
    char *digits = e + 1 + (e[1] == '-'), *from = e + 2;
    from += strspn(from, "0");
    memmove(digits, from, strlen(from) + 1);
    return (size_t)(digits - to) + strlen(digits);
}

static size_t put_number(char *to, const struct number *number, const struct job_result *r)
{
    const void *value = (const char *)r + number->at;
    size_t n = strlen(number->key);
    memcpy(to, number->key, n);
    return n + (number->whole ? put_whole(to + n, *(const int64_t *)value)
                              : put_real(to + n, *(const double *)value));
}

// The general form.
static char *write_any(const struct job_result *r, json_t *rest, size_t *n)
{
    json_t *words = job_result_to_json(r);
    json_object_del(words, "t");
    json_object_del(words, "id");
    json_object_update(words, rest);
    char *text = json_dumps(words, JSON_COMPACT);
    json_decref(words);
    *n = text ? strlen(text) : 0;
    return text;
}

char *said_write(const struct job_result *r, json_t *rest, size_t *n)
{
    enum { FRAME = 64 }; // braces, status and cause without its text
    if (!all_plain(r->cause))
        return write_any(r, rest, n);
    char *tail = json_object_size(rest) > 0 ? json_dumps(rest, JSON_COMPACT) : strdup("{}");
    size_t size = FRAME + N_NUMBERS * NUMBER_MAX + sizeof r->cause + (tail ? strlen(tail) : 0);
    char *text = tail ? malloc(size) : NULL;
    if (text) {
        size_t at =
            (size_t)snprintf(text, size, "{\"status\":\"%s\"", job_status_name(r->status));
        for (int i = 0; i < N_NUMBERS; i++)
            at += put_number(text + at, &numbers[i], r);
        at += (size_t)snprintf(text + at, size - at, ",\"cause\":\"%s\"%s%s", r->cause,
                               tail[1] == '}' ? "" : ",", tail + 1);
        *n = at;
    }
    free(tail);
    return text;
}

// ---- the plain form. The terminator is in no word, number or string: nothing reads past it.

static bool take(const char **at, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(*at, word, n) != 0)
        return false;
    *at += n;
    return true;
}

static int take_digits(const char **at)
{
    const char *from = *at;
    while (**at >= '0' && **at <= '9')
        ++*at;
    return (int)(*at - from);
}

// No more digits than every reader of JSON takes in an integer, no exponent that overflows.
enum { DIGITS = 18, EXPONENT_DIGITS = 2 };

static bool take_whole(const char **at, int64_t *out)
{
    const char *from = *at;
    int n = take_digits(at);
    *out = n <= DIGITS ? strtoll(from, NULL, 10) : 0;
    return n > 0 && n <= DIGITS && (n == 1 || *from != '0');
}

static bool take_number(const char **at, double *out)
{
    const char *from = *at;
    int64_t whole;
    take(at, "-");
    bool good = take_whole(at, &whole);
    if (take(at, "."))
        good = good && take_digits(at) > 0;
    if (take(at, "e")) {
        take(at, "-");
        int n = take_digits(at);
        good = good && n > 0 && n <= EXPONENT_DIGITS;
    }
    if (good)
        *out = strtod(from, NULL);
    return good;
}

// NaN for null.
static bool take_maybe(const char **at, double *out)
{
    *out = NAN;
    return take(at, "null") || take_number(at, out);
}

// Into buf, terminated; NULL: nowhere.
static bool take_string(const char **at, char *buf, size_t size)
{
    if (!take(at, "\""))
        return false;
    const char *from = *at;
    while (plain(**at))
        ++*at;
    size_t n = (size_t)(*at - from);
    if (buf && n < size) {
        memcpy(buf, from, n);
        buf[n] = '\0';
    }
    return take(at, "\"") && (!buf || n < size);
}

static bool take_status(const char **at, enum job_status *out)
{
    char name[16];
    if (!take_string(at, name, sizeof name))
        return false;
    for (int s = JOB_OK; s <= JOB_PRUNED; s++)
        if (strcmp(name, job_status_name((enum job_status)s)) == 0) {
            *out = (enum job_status)s;
            return true;
        }
    return false;
}

// [[step, loss], ..], as core/job.c reads it.
static bool take_curve(const char **at, struct job_result *r)
{
    if (take(at, "[]"))
        return true;
    if (!take(at, "["))
        return false;
    do {
        struct job_point *p = &r->curve[r->n_curve];
        if (r->n_curve == JOB_CURVE_MAX || !take(at, "[") || !take_whole(at, &p->step) ||
            !take(at, ",") || !take_maybe(at, &p->loss) || !take(at, "]"))
            return false;
        r->n_curve++;
    } while (take(at, ","));
    return take(at, "]");
}

// After its key.
static bool take_value(const char **at, const struct number *number, struct job_result *r)
{
    void *out = (char *)r + number->at;
    return number->whole   ? take_whole(at, out)
           : number->maybe ? take_maybe(at, out)
                           : take_number(at, out);
}

static bool take_numbers(const char **at, struct job_result *r)
{
    for (int i = 0; i < N_NUMBERS; i++)
        if (!take(at, numbers[i].key) || !take_value(at, &numbers[i], r))
            return false;
    return true;
}

static bool valid(const struct job_result *r)
{
    return r->seconds >= 0 && r->flops >= 0 && (r->status != JOB_OK || r->loss > 0);
}

bool said_read_plain(const char *said, size_t n, struct job_result *r)
{
    const char *at = said;
    *r = (struct job_result){.loss = NAN, .loss_per_byte = NAN, .balance = NAN, .epochs = NAN};
    if (!take(&at, "{\"status\":") || !take_status(&at, &r->status) || !take_numbers(&at, r) ||
        !take(&at, ",\"cause\":") || !take_string(&at, r->cause, sizeof r->cause) ||
        (take(&at, ",\"backend\":") && !take_string(&at, NULL, 0)) ||
        (take(&at, ",\"curve\":") && !take_curve(&at, r)) ||
        (take(&at, ",\"stderr\":") && !take_string(&at, NULL, 0)))
        return false;
    return take(&at, "}") && at == said + n && valid(r);
}

bool said_read_line(const char *line, size_t n, struct job_result *r)
{
    enum { STATUS = N_NUMBERS };
    unsigned seen = 0;
    const char *at = line;
    *r = (struct job_result){.loss = NAN, .loss_per_byte = NAN, .balance = NAN, .epochs = NAN};
    if (!take(&at, "{\"t\":\"result\""))
        return false;
    while (!take(&at, "}")) {
        int i = 0;
        while (i < N_NUMBERS && !take(&at, numbers[i].key))
            i++;
        bool good = i < N_NUMBERS ? take_value(&at, &numbers[i], r)
                                  : take(&at, ",\"status\":") && take_status(&at, &r->status);
        if (!good || (seen >> i & 1))
            return false;
        seen |= 1u << i;
    }
    return at == line + n && (seen >> STATUS & 1) && valid(r);
}

// ---- any form

// Whether the text can be a part of a record, which has keys of its own.
static bool fits(const char *said, size_t n, const json_t *object)
{
    static const char *const own[] = {"t",  "id",    "attempt", "worker", "t0",
                                      "t1", "build", "isa",     "source"};
    bool good = json_object_size(object) > 0 && *said == '{' && said[n - 1] == '}' &&
                !memchr(said, '\n', n);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        good = good && !json_object_get(object, own[i]);
    return good;
}

enum err said_read(const char *said, size_t n, struct job_result *out)
{
    if (said_read_plain(said, n, out))
        return OK;
    json_t *object = json_loadb(said, n, JSON_REJECT_DUPLICATES, NULL);
    ENSURE(object, ERR_FAILED, "an unreadable result");
    enum err e = job_result_from_json(object, "RESULT", out);
    if (e == OK && !fits(said, n, object))
        e = err_set(ERR_FAILED, "a result that cannot be recorded");
    json_decref(object);
    return e;
}
