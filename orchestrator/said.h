// SPDX-License-Identifier: GPL-3.0-or-later
// What a worker says of an attempt that ended: one line of JSON, the trainer's result without
// its id, then backend, curve and, where it failed, stderr. It goes into the journal as it
// came, so the manager must be sure that it can be read there.
#ifndef ORCHESTRATOR_SAID_H
#define ORCHESTRATOR_SAID_H
#include "core/job.h"
#include <stdbool.h>

// rest: an object, what comes after the result; NULL: nothing. NULL: no memory, else the
// caller's, of *n bytes and terminated.
char *said_write(const struct job_result *r, json_t *rest, size_t *n);
// n bytes, terminated. *out has no id. ERR_FAILED, ERR_INPUT: it is no result, or cannot become
// a part of a record as it is (records_end).
enum err said_read(const char *said, size_t n, struct job_result *out);
// The same for the very form in which workers write it, at a tenth of the cost: keys in their
// order, no space, no escapes, numbers of usual size. False: another form, which may be as
// good.
bool said_read_plain(const char *said, size_t n, struct job_result *out);
// A trainer's line "result", likewise, of nothing but a status and numbers, in any order.
bool said_read_line(const char *line, size_t n, struct job_result *out);
#endif
