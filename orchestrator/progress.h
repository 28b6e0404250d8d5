// SPDX-License-Identifier: GPL-3.0-or-later
// What the user sees while a sweep runs, on stderr: one block redrawn in place on a terminal,
// plain lines elsewhere. It shows a status document (status.h), so that a file can be watched
// as well.
#ifndef ORCHESTRATOR_PROGRESS_H
#define ORCHESTRATOR_PROGRESS_H
#include "core/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum progress_mode {
    PROGRESS_AUTO, // a block if stderr is a terminal (seen through mpirun), lines otherwise
    PROGRESS_BLOCK,
    PROGRESS_LINES,
    PROGRESS_NONE // only progress_say's lines
};

struct progress;

enum err progress_open(enum progress_mode mode, FILE *out, struct progress **p);
// One line worth reading, printed at once and kept.
void progress_say(struct progress *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
// The state of things: redraws the block, or prints one line if the last is 10 s old.
void progress_show(struct progress *p, const json_t *status);
// Leaves the last block standing. Accepts NULL.
void progress_close(struct progress *p);
#endif
