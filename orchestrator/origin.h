// SPDX-License-Identifier: GPL-3.0-or-later
// Where a result comes from if it is not what this sweep's own trainer gave on the sweep's own
// instruction set: an object with those of "build", "isa" (where they differ from the
// journal's first record) and "source" (the sweep that it was imported from: name and hash of
// its configuration) that apply.
#ifndef ORCHESTRATOR_ORIGIN_H
#define ORCHESTRATOR_ORIGIN_H
#include "orchestrator/records.h"

// That of a result or import record; NULL: the sweep's own. The caller owns it.
json_t *origin_of(const json_t *rec);
// Puts build and isa into a record (or an origin) where they differ from the journal's.
void origin_mark(json_t *rec, const struct records_identity *journal, const char *build,
                 const char *isa);
// "imported from demo 0123456789abcdef, by moetrain 89abcdef"; "" for NULL.
void origin_words(const json_t *origin, char *buf, size_t size);
// [{"build","isa","source","runs"}], one entry an origin other than the sweep's own, in an
// order of their own; NULL if there is none. The caller owns it.
json_t *origins_of(const struct steer *s);
// {"table","hash","phase","use","runs","used"}: the configuration's prior runs, and how many of
// them are points of fits; NULL if there are none. The caller owns it.
json_t *origins_prior(const struct sweep *cfg);
// A sentence about origins_prior's; the caller owns it.
json_t *origins_prior_note(const json_t *prior);
// A sentence about origins_of's for people; runs: law.json's. The caller owns it.
json_t *origins_note(const json_t *origins, const json_t *runs);
#endif
