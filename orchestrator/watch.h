// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep as its journal tells it, for the eye: a fold over the records that forgives what it
// does not know, needs neither the configuration nor the machine that ran the sweep, and
// decides nothing. `status` and `replay` show it.
#ifndef ORCHESTRATOR_WATCH_H
#define ORCHESTRATOR_WATCH_H
#include "orchestrator/config.h"
#include <jansson.h>
#include <stdio.h>

struct watch;

// cfg: the sweep's configuration, or NULL if it cannot be read here (its data may be
// elsewhere): then jobs to come are not counted and there are no laws. Borrowed.
enum err watch_create(const struct sweep *cfg, struct watch **out);
void watch_free(struct watch *w); // accepts NULL
// The next record, borrowed.
enum err watch_take(struct watch *w, json_t *rec);
// When the record says it was written, s since 1970; NaN: it does not say.
double watch_time(const json_t *rec);
// The state as one document (docs/clusters.md lists its keys); the caller's. now: s since 1970,
// what "so long ago" is counted from. live: status.json, or NULL; where it is the younger one
// it says who does what.
json_t *watch_json(struct watch *w, double now, json_t *live);
// Draws the document as lines of at most `columns` characters, workers cut to fit `rows` lines
// (0: all); say gets each line.
typedef void watch_say(void *ctx, const char *line);
void watch_draw(const json_t *doc, int columns, int rows, watch_say *say, void *ctx);
// Draws it where screen stands: in place on a terminal if it goes on (moving); else plain
// lines, all of them at the start and the end, and one every ten seconds in between.
struct screen;
void watch_show(struct screen *s, const json_t *doc, bool moving, bool last);
#endif
