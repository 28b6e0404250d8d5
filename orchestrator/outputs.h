// SPDX-License-Identifier: GPL-3.0-or-later
// What a sweep leaves behind besides its journal: law.json, architecture.json, report.html.
#ifndef ORCHESTRATOR_OUTPUTS_H
#define ORCHESTRATOR_OUTPUTS_H
#include "orchestrator/steer.h"

// Writes the three into dir, each atomically. records: the journal's, for the report's timeline
// and learning curves. A law without a size (no phase adopted M or N_a) leaves
// architecture.json out; the reason is then *why (static or err_message text, "" otherwise; may
// be NULL).
enum err outputs_write(const char *dir, const struct steer *s, const json_t *records,
                       const char **why);
#endif
