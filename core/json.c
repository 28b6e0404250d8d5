// SPDX-License-Identifier: Apache-2.0
#include "core/json.h"
#include "core/file.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// What a value is, in a few words: for "found ..." in messages.
static const char *describe(const json_t *v, char *buf, size_t size)
{
    switch (v == NULL ? JSON_NULL : json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        snprintf(buf, size, "the string \"%.40s\"", json_string_value(v));
        return buf;
    case JSON_INTEGER:
        snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return buf;
    case JSON_REAL:
        snprintf(buf, size, "%.17g", json_real_value(v));
        return buf;
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        break;
    }
    return v == NULL ? "nothing" : "null";
}

// Where there is a value that is not what was expected, or none at all.
static enum err refuse(const json_t *obj, const char *ctx, const char *key,
                       const char *expected)
{
    char buf[80];
    ENSURE(json_is_object(obj), ERR_INPUT, "%s: expected an object, found %s", ctx,
           describe(obj, buf, sizeof buf));
    return err_set(ERR_INPUT, "%s: %s: expected %s, found %s", ctx, key, expected,
                   describe(json_object_get(obj, key), buf, sizeof buf));
}

// Whether a key is missing that may be.
static bool left_out(const json_t *obj, const json_t *value, bool required)
{
    return !required && value == NULL && json_is_object(obj);
}

enum err json_get_i64(json_t *obj, const char *ctx, const char *key, bool required, int64_t lo,
                      int64_t hi, int64_t *out)
{
    char expected[96];
    const json_t *v = json_object_get(obj, key);
    if (json_is_integer(v) && json_integer_value(v) >= lo && json_integer_value(v) <= hi) {
        *out = json_integer_value(v); // words only where they are needed: results are many
        return OK;
    }
    if (left_out(obj, v, required))
        return OK;
    if (hi == INT64_MAX)
        snprintf(expected, sizeof expected, "an integer, at least %" PRId64, lo);
    else
        snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRId64, lo, hi);
    return refuse(obj, ctx, key, expected);
}

enum err json_get_num(json_t *obj, const char *ctx, const char *key, bool required, double lo,
                      double hi, double *out)
{
    char expected[96];
    const json_t *v = json_object_get(obj, key);
    double x = json_number_value(v);
    if (json_is_number(v) && isfinite(x) && x >= lo && x <= hi) {
        *out = x;
        return OK;
    }
    if (left_out(obj, v, required))
        return OK;
    snprintf(expected, sizeof expected, "a number from %g to %g", lo, hi);
    return refuse(obj, ctx, key, expected);
}

enum err json_get_bool(json_t *obj, const char *ctx, const char *key, bool required, bool *out)
{
    const json_t *v = json_object_get(obj, key);
    if (left_out(obj, v, required))
        return OK;
    if (!json_is_boolean(v))
        return refuse(obj, ctx, key, "true or false");
    *out = json_is_true(v);
    return OK;
}

enum err json_get_str(json_t *obj, const char *ctx, const char *key, bool required, char *buf,
                      size_t size)
{
    const json_t *v = json_object_get(obj, key);
    if (left_out(obj, v, required))
        return OK;
    if (!json_is_string(v))
        return refuse(obj, ctx, key, "a string");
    size_t n = json_string_length(v);
    const char *s = json_string_value(v);
    ENSURE(n < size, ERR_INPUT, "%s: %s: expected at most %zu bytes, found %zu", ctx, key,
           size - 1, n);
    ENSURE(memchr(s, 0, n) == NULL, ERR_INPUT, "%s: %s: expected text, found a zero byte in it",
           ctx, key);
    memcpy(buf, s, n + 1);
    return OK;
}

enum err json_get_obj(json_t *obj, const char *ctx, const char *key, bool required,
                      json_t **out)
{
    json_t *v = json_object_get(obj, key);
    if (left_out(obj, v, required))
        return OK;
    if (!json_is_object(v))
        return refuse(obj, ctx, key, "an object");
    *out = v;
    return OK;
}

enum err json_known_keys(json_t *obj, const char *ctx, const char *const *keys)
{
    char buf[80];
    ENSURE(json_is_object(obj), ERR_INPUT, "%s: expected an object, found %s", ctx,
           describe(obj, buf, sizeof buf));
    const char *key;
    json_t *v;
    json_object_foreach(obj, key, v)
    {
        int known = 0;
        for (int i = 0; keys[i] != NULL; i++)
            known |= strcmp(keys[i], key) == 0;
        ENSURE(known, ERR_INPUT, "%s: unknown key \"%.60s\"", ctx, key);
    }
    return OK;
}

json_t *json_num(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

json_t *json_pair(double a, double b)
{
    return json_pack("[o, o]", json_num(a), json_num(b));
}

json_t *json_interval(double value, double lo, double hi)
{
    return json_pack("{s:o, s:o, s:o}", "value", json_num(value), "lo", json_num(lo), "hi",
                     json_num(hi));
}

static double jnum_of(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : NAN;
}

double jnum(const json_t *o, const char *key)
{
    return jnum_of(json_object_get(o, key));
}

double jnum_at(const json_t *array, size_t i)
{
    return jnum_of(json_array_get(array, i));
}

const char *jstr(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

bool jtrue(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

enum err json_read_file(const char *path, json_t **out)
{
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, ERR_INPUT, "%s: %s", path, strerror(errno));
    struct stat st;
    json_error_t e;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return err_set(ERR_INPUT, "%s: expected a JSON file, found a directory", path);
    }
    *out = json_loadfd(fd, JSON_REJECT_DUPLICATES, &e);
    close(fd);
    ENSURE(*out != NULL, ERR_INPUT, "%s:%d:%d: %s", path, e.line, e.column, e.text);
    return OK;
}

enum err json_write_file(const char *path, const json_t *j)
{
    char *text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    ENSURE(text != NULL, ERR_FAILED, "%s: out of memory", path);
    size_t n = strlen(text);
    text[n] = '\n'; // in the terminator's place
    enum err e = file_replace(path, text, n + 1);
    free(text);
    return e;
}
