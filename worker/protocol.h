// SPDX-License-Identifier: Apache-2.0
// The lines that moetrain prints: one compact JSON object each, docs/trainer-protocol.md.
#ifndef WORKER_PROTOCOL_H
#define WORKER_PROTOCOL_H
#include "core/err.h"
#include <jansson.h>
#include <stdio.h>

// Writes one line and flushes it; takes the reference. ERR_FAILED: memory, or nobody can read
// it.
enum err protocol_line(FILE *out, json_t *line);
#endif
