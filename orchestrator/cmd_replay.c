// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep once more, from its journal, at any speed: what `status --watch` would have shown.
#include "core/json.h"
#include "orchestrator/cmd.h"
#include "orchestrator/follow.h"
#include "orchestrator/screen.h"
#include "orchestrator/signals.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void pause_for(double s)
{
    struct timespec t = {(time_t)s, (long)(1e9 * (s - floor(s)))};
    nanosleep(&t, NULL);
}

struct player {
    struct follow *f;
    struct screen screen;
    double speed;       // seconds a second; infinite: no waiting
    double from, begun; // this time of the journal was shown at that time of ours
    double time;        // of the last record
    double drawn;       // when the screen was drawn last
    int json;
};

static const double FRAME = 0.1; // s between two drawings

static enum err draw_at(struct player *p, double time, bool last)
{
    json_t *doc = watch_json(follow_watch(p->f), time, NULL);
    ENSURE(doc, ERR_FAILED, "out of memory");
    p->drawn = signals_clock();
    if (p->json)
        return cmd_print_json(doc);
    watch_show(&p->screen, doc, true, last);
    json_decref(doc);
    return OK;
}

static enum err draw_sometimes(struct player *p, double time)
{
    bool due = !p->json && signals_clock() - p->drawn >= FRAME;
    return due ? draw_at(p, time, false) : OK;
}

// Before each record: waits until it is its time, the screen going on.
static enum err until(void *ctx, const json_t *rec)
{
    struct player *p = ctx;
    double time = watch_time(rec);
    if (!isfinite(time) || time < p->time)
        return draw_sometimes(p, p->time);
    // A pause between two sessions is none of the sweep's.
    if (!isfinite(p->time) || strcmp(jstr(rec, "t"), "session") == 0)
        p->from = time - (signals_clock() - p->begun) * (isfinite(p->speed) ? p->speed : 0);
    while (isfinite(p->speed)) {
        double at = p->from + (signals_clock() - p->begun) * p->speed;
        if (at >= time)
            break;
        TRY(draw_sometimes(p, at));
        pause_for(fmin(FRAME, (time - at) / p->speed));
    }
    p->time = time;
    return draw_sometimes(p, time);
}

enum err cmd_replay(int argc, char **argv)
{
    const char *dir = NULL, *speed = NULL;
    struct player p = {.speed = 60, .time = NAN, .begun = signals_clock()};
    const struct cmd_option options[] = {{"DIR", .text = &dir, .required = 1},
                                         {"--speed", .text = &speed},
                                         {"--json", .flag = &p.json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    if (speed) {
        char *end;
        p.speed = strtod(speed, &end);
        ENSURE(*speed && !*end && p.speed >= 0 && isfinite(p.speed), ERR_INPUT,
               "replay: --speed: expected seconds a second, 0 for as fast as possible, found "
               "'%s'",
               speed);
        p.speed = p.speed > 0 ? p.speed : INFINITY;
    }
    TRY(follow_open(dir, &p.f));
    screen_open(&p.screen, stdout, false);
    p.screen.spoken = signals_clock(); // nothing yet to show
    enum err e = follow_play(p.f, until, &p);
    if (e == OK)
        e = draw_at(&p, follow_last(p.f), true);
    follow_close(p.f);
    return e;
}
