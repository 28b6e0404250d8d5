// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/progress.h"
#include "orchestrator/screen.h"
#include "orchestrator/signals.h"
#include "orchestrator/status.h"
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_WORKERS = 16 };
static const double LINE_EVERY = 10; // s

struct progress {
    struct screen screen;
    enum progress_mode mode;
    double last; // when a line was printed
};

enum err progress_open(enum progress_mode mode, FILE *out, struct progress **p)
{
    *p = calloc(1, sizeof **p);
    ENSURE(*p, ERR_FAILED, "out of memory");
    screen_open(&(*p)->screen, out, mode != PROGRESS_LINES);
    if (mode == PROGRESS_AUTO)
        mode = (*p)->screen.terminal ? PROGRESS_BLOCK : PROGRESS_LINES;
    (*p)->mode = mode;
    (*p)->last = signals_clock();
    return OK;
}

static void draw(struct progress *p, const json_t *status)
{
    char text[512];
    screen_erase(&p->screen);
    status_line(status, text, sizeof text);
    screen_line(&p->screen, text);
    const json_t *workers = json_object_get(status, "workers");
    size_t n = json_array_size(workers);
    for (size_t i = 0; i < n && i < BLOCK_WORKERS; i++) {
        status_worker_line(json_array_get(workers, i), text, sizeof text);
        screen_line(&p->screen, text);
    }
    if (n > BLOCK_WORKERS) {
        snprintf(text, sizeof text, "       and %zu more workers", n - BLOCK_WORKERS);
        screen_line(&p->screen, text);
    }
    fflush(p->screen.out);
}

void progress_say(struct progress *p, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    screen_erase(&p->screen);
    screen_text(&p->screen, text, INT_MAX);
    putc('\n', p->screen.out);
    fflush(p->screen.out);
}

void progress_show(struct progress *p, const json_t *status)
{
    if (p->mode == PROGRESS_NONE)
        return;
    if (p->mode == PROGRESS_BLOCK) {
        draw(p, status);
        return;
    }
    double now = signals_clock();
    if (now - p->last < LINE_EVERY)
        return;
    p->last = now;
    char text[512];
    status_line(status, text, sizeof text);
    progress_say(p, "%s", text);
}

void progress_close(struct progress *p)
{
    if (!p)
        return;
    fflush(p->screen.out);
    free(p);
}
