// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep's journal followed while it grows, into a watch.
#ifndef ORCHESTRATOR_FOLLOW_H
#define ORCHESTRATOR_FOLLOW_H
#include "orchestrator/watch.h"

struct follow;

// ERR_INPUT: no journal there. A configuration that cannot be read here is done without.
enum err follow_open(const char *dir, struct follow **out);
// Takes what has been written since; begins anew where the file was replaced. A record that is
// being written is left for the next time. ERR_INPUT: damage before intact records.
enum err follow_more(struct follow *f);
// The same, asking before each record; its error ends it.
typedef enum err follow_before(void *ctx, const json_t *rec);
enum err follow_play(struct follow *f, follow_before *before, void *ctx);
struct watch *follow_watch(const struct follow *f);
double follow_last(const struct follow *f); // the latest time in the journal; -infinity: none
void follow_close(struct follow *f);        // accepts NULL
#endif
