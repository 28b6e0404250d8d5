// SPDX-License-Identifier: GPL-3.0-or-later
// A damaged journal made whole again from what is intact in it. docs/journal.md.
#ifndef ORCHESTRATOR_REPAIR_H
#define ORCHESTRATOR_REPAIR_H
#include "core/err.h"
#include <stdbool.h>
#include <stdio.h>

// Keeps every intact record of DIR/journal that follows from those kept before it, in their
// order and bytes; writes them to a new file, syncs it, and puts it in the journal's place,
// which stays as journal.damaged-1, -2, .. A lost first record is made anew from
// config.resolved.cfg and this machine's trainer. What was dropped and what that means goes to
// out. dry: writes nothing. A journal without damage is left alone. ERR_INPUT: another process
// writes the journal; config.resolved.cfg is missing or another sweep's; records before any
// damage do not follow from each other (another build or machine).
enum err repair_journal(const char *dir, bool dry, FILE *out);
#endif
