// SPDX-License-Identifier: Apache-2.0
// The protocol's lines, held against docs/trainer-protocol.md: types, keys, order.
#include "core/job.h"
#include "tests/worker/trainer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct line_type {
    const char *name;
    const char *numbers[12]; // keys that must be numbers, or null where the name ends in ?
    const char *strings[4];
};
static const struct line_type types[] = {
    {"hello",
     {"v", "pid", "steps", "resumed_step", "V", "params", "train_tokens"},
     {"backend", "isa", "version", "id"}},
    {"progress", {"step", "tokens", "loss", "lr", "tok_s"}, {NULL}},
    {"val", {"step", "loss"}, {NULL}},
    {"checkpoint", {"step"}, {NULL}},
    {"result",
     {"loss?", "loss_per_byte?", "tokens", "seconds", "flops", "peak_bytes", "balance?",
      "steps", "epochs", "init_tokens"},
     {"status", "cause", "id"}},
};
#define N_TYPES (int)(sizeof types / sizeof *types)

static int type_of(const json_t *line)
{
    const char *t = json_string_value(json_object_get(line, "t"));
    for (int i = 0; t && i < N_TYPES; i++)
        if (strcmp(types[i].name, t) == 0)
            return i;
    return -1;
}

static int keys_are_right(const json_t *line, const struct line_type *type)
{
    int ok = 1;
    for (int i = 0; i < 12 && type->numbers[i]; i++) {
        char key[32];
        int maybe = 0;
        snprintf(key, sizeof key, "%s", type->numbers[i]);
        if (key[strlen(key) - 1] == '?')
            key[strlen(key) - 1] = 0, maybe = 1;
        json_t *v = json_object_get(line, key);
        ok &= json_is_number(v) || (maybe && json_is_null(v));
    }
    for (int i = 0; i < 4 && type->strings[i]; i++)
        ok &= json_is_string(json_object_get(line, type->strings[i]));
    return ok;
}

// What is wrong with line n of the output; NULL if nothing. *step and *done carry over the
// lines.
static const char *fault(json_t *j, int n, double *step, int *done)
{
    int type = type_of(j);
    if (!json_is_object(j) || type < 0)
        return "not an object of a known type";
    if (*done)
        return "a line after the result";
    if ((n == 0) != (type == 0))
        return "hello is not the first line, or not the only one";
    if (!keys_are_right(j, &types[type]))
        return "a key is missing or of the wrong type";
    if (type > 0 && type < 4) {
        if (!(number(j, "step") >= *step))
            return "steps go back";
        *step = number(j, "step");
    }
    *done = strcmp(types[type].name, "result") == 0;
    struct job_result r;
    if (*done && (job_result_from_json(j, "result", &r) != OK ||
                  !json_is_array(json_object_get(j, "curve"))))
        return "the result cannot be read";
    return NULL;
}

json_t *trainer_check_lines(const struct scratch *s)
{
    char *text = slurp(s->out);
    json_t *j = NULL;
    int done = 0;
    double step = 0;
    const char *wrong = NULL;
    char *line = text;
    for (int n = 0; *line && !wrong; n++) {
        char *end = strchr(line, '\n');
        json_decref(j);
        j = json_loadb(line, end ? (size_t)(end - line) : 0, JSON_REJECT_DUPLICATES, NULL);
        wrong = fault(j, n, &step, &done);
        if (wrong)
            fprintf(stderr, "line %d: %s: %.*s\n", n + 1, wrong, end ? (int)(end - line) : 80,
                    line);
        line = end ? end + 1 : line;
    }
    free(text);
    if (!wrong && done)
        return j;
    json_decref(j);
    return NULL;
}
