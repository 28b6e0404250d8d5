// SPDX-License-Identifier: GPL-3.0-or-later
// A small sweep for targets that need one, and what its journal holds when all went well.
#ifndef TESTS_ORCHESTRATOR_FUZZ_SWEEP_H
#define TESTS_ORCHESTRATOR_FUZZ_SWEEP_H
#include "orchestrator/records.h"

// Made once.
const struct sweep *fuzz_sweep(void);
// An array of records: sweep, session, jobs, starts, a failure, results, decisions, stop.
const json_t *fuzz_records(void);
#endif
