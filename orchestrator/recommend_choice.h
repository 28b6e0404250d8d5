// SPDX-License-Identifier: GPL-3.0-or-later
// A choice among architectures as part of a document: the structure, what every constraint
// costs, the near-optimal bands. Layout: docs/recommend.md.
#ifndef ORCHESTRATOR_RECOMMEND_CHOICE_H
#define ORCHESTRATOR_RECOMMEND_CHOICE_H
#include "orchestrator/recommend_ask.h"

// Makes the choice and adds arch, counts, model, memory, constraints and bands to doc. plain: a
// structure with its quantities that keeps every constraint and is taken as it is; NULL:
// choose. ERR_INPUT: constraints that cannot be kept, named.
enum err recommend_choose(const struct choosing *c, const struct ask *ask,
                          const struct choice *plain, struct choice *chosen, json_t *doc,
                          json_t *notes);
#endif
