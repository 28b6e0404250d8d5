// SPDX-License-Identifier: GPL-3.0-or-later
// How a sweep stands. The journal says what is done and decided; status.json, while a run is
// alive, who is doing what.
#include "core/json.h"
#include "orchestrator/cmd.h"
#include "orchestrator/follow.h"
#include "orchestrator/screen.h"
#include "orchestrator/status.h"
#include "orchestrator/watch.h"
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool ended(const json_t *doc)
{
    const char *state = json_string_value(json_object_get(doc, "state"));
    return !state || (strcmp(state, "running") != 0 && strcmp(state, "draining") != 0);
}

static enum err one_look(struct follow *f, const char *dir, struct screen *s, bool watch,
                         int json, bool *last)
{
    json_t *live = NULL;
    TRY(follow_more(f));
    if (status_read(dir, &live) != OK)
        live = NULL; // a sweep that never wrote one, or a torn disk: the journal is enough
    json_t *doc = watch_json(follow_watch(f), now(), live);
    json_decref(live);
    ENSURE(doc, ERR_FAILED, "out of memory");
    *last = *last || ended(doc);
    if (json)
        return cmd_print_json(doc);
    watch_show(s, doc, watch, *last);
    json_decref(doc);
    return OK;
}

enum err cmd_status(int argc, char **argv)
{
    const char *dir = NULL;
    int watch = 0, json = 0;
    const struct cmd_option options[] = {{"DIR", .text = &dir, .required = 1},
                                         {"--watch", .flag = &watch},
                                         {"--json", .flag = &json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    struct follow *f = NULL;
    struct screen s;
    TRY(follow_open(dir, &f));
    screen_open(&s, stdout, false);
    enum err e = OK;
    for (bool last = !watch; e == OK; sleep(1)) {
        e = one_look(f, dir, &s, watch, json, &last);
        if (last)
            break;
    }
    follow_close(f);
    return e;
}
