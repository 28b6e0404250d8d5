// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep's configuration. What is accepted, written out in full and read again is the same
// sweep.
#include "orchestrator/config.h"
#include "tests/orchestrator/fuzz/fuzz.h"
#include <string.h>

// libconfig 1.5 loses the last string when it finds a mistake after it.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so";
}

// What becomes JSON later can.
static void check_json(const struct sweep *s)
{
    json_t *words =
        json_pack("[s, s, s, s]", s->trainer, s->question, s->base.device, s->base.init.from);
    MUST(words);
    for (int i = 0; i < s->base.data.n_paths; i++)
        MUST(json_array_append_new(words, json_string(s->base.data.paths[i])) == 0);
    json_decref(words);
}

static void check_resolved(const struct sweep *s)
{
    char *text = NULL, *twice = NULL;
    struct sweep again;
    MUST(config_resolved(s, &text) == OK);
    MUST(config_load(fuzz_file(text, strlen(text)), &again) == OK);
    MUST(again.hash == s->hash && again.n_phases == s->n_phases);
    MUST(config_resolved(&again, &twice) == OK);
    MUST(strcmp(text, twice) == 0);
    free(text);
    free(twice);
    config_free(&again);
}

bool fuzz_one(const uint8_t *in, size_t size)
{
    static struct sweep s;
    if (config_load(fuzz_file(in, size), &s) != OK) {
        MUST(err_message()[0]);
        return false;
    }
    check_json(&s);
    check_resolved(&s);
    config_free(&s);
    return true;
}
