// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep under another configuration: more scales, seeds, values, phases. What a run is must
// stay the same, so that a result is found again by its job's id. docs/extend.md.
#ifndef ORCHESTRATOR_EXTEND_H
#define ORCHESTRATOR_EXTEND_H
#include "orchestrator/config.h"

// The number of the configuration that holds at the end of these records: 1 and one for each
// extension.
int extend_number(const json_t *records);
// Where the directory keeps the configuration of that number once another one holds.
enum err extend_kept_path(const char *dir, int number, char *buf, size_t size);
// The configuration that a directory's journal (its records) holds now, read from beside it.
// ERR_INPUT: missing, or another one. The caller frees *was.
// The configuration that a directory's journal holds now, read from beside it: records are the
enum err extend_was(const char *dir, const json_t *records, struct sweep *was);
// ERR_INPUT, with the keys, unless `is` differs from `was` in what an extension may change.
enum err extend_check(const struct sweep *was, const struct sweep *is, const char *dir);
#endif
