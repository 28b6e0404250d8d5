// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/protocol.h"
#include "core/json.h"
#include "orchestrator/said.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 64 << 10 };

enum err protocol_init(struct protocol *p)
{
    *p = (struct protocol){.stride = 1, .state = {.loss = NAN, .tok_s = NAN}};
    p->line = malloc(LINE_MAX_BYTES + 1); // and a terminator
    ENSURE(p->line, ERR_FAILED, "out of memory");
    return OK;
}

static void __attribute__((format(printf, 2, 3)))
fault(struct protocol *p, const char *fmt, ...)
{
    if (p->fault[0])
        return;
    int n = snprintf(p->fault, sizeof p->fault,
                     "line %" PRId64 " of the trainer: ", p->state.lines);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->fault + n, sizeof p->fault - (size_t)n, fmt, ap);
    va_end(ap);
}

static void take_hello(struct protocol *p, json_t *line)
{
    int64_t v = 0;
    if (json_get_i64(line, "hello", "v", true, 1, 1, &v) != OK)
        fault(p, "%s", err_message());
    const char *backend = json_string_value(json_object_get(line, "backend"));
    snprintf(p->backend, sizeof p->backend, "%s", backend ? backend : "");
    p->hello = true;
}

// Every stride-th point; when there is no room, every other one goes and the stride doubles.
static void curve_add(struct protocol *p, int64_t step, double loss)
{
    if (!isfinite(loss) || p->n_progress++ % p->stride != 0)
        return;
    if (p->n_curve == JOB_CURVE_MAX) {
        for (int i = 0; i < JOB_CURVE_MAX / 2; i++)
            p->curve[i] = p->curve[2 * i];
        p->n_curve = JOB_CURVE_MAX / 2;
        p->stride *= 2;
    }
    p->curve[p->n_curve++] = (struct job_point){step, loss};
}

static double number_or_nan(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static void take_progress(struct protocol *p, json_t *line)
{
    int64_t tokens = p->state.tokens;
    if (json_get_i64(line, "progress", "step", true, 0, INT64_MAX, &p->state.step) != OK ||
        json_get_i64(line, "progress", "tokens", false, 0, INT64_MAX, &tokens) != OK) {
        fault(p, "%s", err_message());
        return;
    }
    p->state.tokens = tokens;
    p->state.loss = number_or_nan(line, "loss");
    p->state.tok_s = number_or_nan(line, "tok_s");
    curve_add(p, p->state.step, p->state.loss);
}

// Its own learning curve: [[step, loss or null], ..].
static bool curve_valid(const json_t *curve)
{
    if (!json_is_array(curve) || json_array_size(curve) > JOB_CURVE_MAX)
        return false;
    size_t i;
    json_t *point;
    json_array_foreach(curve, i, point)
    {
        const json_t *loss = json_array_get(point, 1);
        if (json_array_size(point) != 2 || !json_is_integer(json_array_get(point, 0)) ||
            !(json_is_number(loss) || json_is_null(loss)))
            return false;
    }
    return true;
}

// Words of any length are no reason to lose a result: cut, between two characters.
static void cut_cause(json_t *line)
{
    const char *cause = json_string_value(json_object_get(line, "cause"));
    size_t n = sizeof((struct job_result *)0)->cause - 1;
    if (!cause || strlen(cause) <= n)
        return;
    while (n > 0 && (cause[n] & 0xc0) == 0x80)
        n--;
    json_object_set_new(line, "cause", json_stringn(cause, n));
}

static void keep_result(struct protocol *p, const struct job_result *r)
{
    p->result = *r;
    p->has_result = true;
    if (r->status != JOB_OK) // of a part of the run
        p->result.loss = p->result.loss_per_byte = NAN;
}

static void take_result(struct protocol *p, json_t *line)
{
    struct job_result r;
    cut_cause(line);
    if (job_result_from_json(line, "result", &r) != OK) {
        fault(p, "%s", err_message());
        return;
    }
    keep_result(p, &r);
    json_t *curve = json_object_get(line, "curve");
    if (curve_valid(curve))
        p->own_curve = json_incref(curve);
}

// n bytes, terminated.
static void take_line(struct protocol *p, const char *text, size_t n)
{
    struct job_result r;
    p->state.lines++;
    if (p->hello && !p->has_result && said_read_line(text, n, &r)) {
        keep_result(p, &r);
        return;
    }
    json_error_t je;
    json_t *line = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);
    const char *type = json_string_value(json_object_get(line, "t"));
    if (!type)
        fault(p, "expected a JSON object with \"t\", found \"%.*s\"", n < 80 ? (int)n : 80,
              text);
    else if (p->has_result)
        fault(p, "expected nothing after the result, found \"%s\"", type);
    else if (strcmp(type, "hello") == 0)
        take_hello(p, line);
    else if (!p->hello)
        fault(p, "expected hello first, found \"%s\"", type);
    else if (strcmp(type, "progress") == 0)
        take_progress(p, line);
    else if (strcmp(type, "result") == 0)
        take_result(p, line);
    else if (strcmp(type, "checkpoint") != 0 && strcmp(type, "val") != 0)
        fault(p, "unknown type \"%.80s\"", type);
    json_decref(line);
}

void protocol_take(struct protocol *p, const char *data, size_t n)
{
    while (n > 0 && !p->fault[0]) {
        const char *nl = memchr(data, '\n', n);
        size_t part = nl ? (size_t)(nl - data) : n;
        if (p->n_line + part > LINE_MAX_BYTES) {
            p->state.lines++;
            fault(p, "longer than %d bytes", LINE_MAX_BYTES);
            return;
        }
        memcpy(p->line + p->n_line, data, part);
        p->n_line += part;
        if (nl) {
            p->line[p->n_line] = '\0';
            take_line(p, p->line, p->n_line);
            p->n_line = 0;
        }
        data += part + (nl != NULL);
        n -= part + (nl != NULL);
    }
}

void protocol_end(struct protocol *p)
{
    if (p->n_line == 0 || p->fault[0])
        return;
    p->state.lines++;
    fault(p, "the last line does not end");
}

json_t *protocol_curve(const struct protocol *p)
{
    if (p->own_curve)
        return json_incref(p->own_curve);
    json_t *curve = json_array();
    for (int i = 0; i < p->n_curve; i++)
        json_array_append_new(
            curve, json_pack("[I, f]", (json_int_t)p->curve[i].step, p->curve[i].loss));
    return curve;
}

void protocol_free(struct protocol *p)
{
    json_decref(p->own_curve);
    free(p->line);
}
