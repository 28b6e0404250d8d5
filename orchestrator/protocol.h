// SPDX-License-Identifier: GPL-3.0-or-later
// What a trainer says on its standard output (docs/trainer-protocol.md): bytes in, state out.
// No processes here, and nothing that it may say is an error of ours.
#ifndef ORCHESTRATOR_PROTOCOL_H
#define ORCHESTRATOR_PROTOCOL_H
#include "core/job.h"
#include <stdbool.h>

// What the lines have told so far.
struct trainer_state {
    int64_t step, tokens;
    double loss, tok_s; // NaN before the first
    int64_t lines;
};

struct protocol {
    struct trainer_state state;
    bool hello, has_result;
    char fault[256]; // first breach; nothing is taken in after it
    char backend[64];
    struct job_result result; // when has_result
    // The learning curve, every stride-th progress line; the result line's own instead.
    struct job_point curve[JOB_CURVE_MAX];
    int n_curve;
    int64_t stride, n_progress;
    json_t *own_curve;
    char *line; // the part of a line that has come
    size_t n_line;
};

// ERR_FAILED: no memory.
enum err protocol_init(struct protocol *p);
void protocol_take(struct protocol *p, const char *data, size_t n);
// Nothing more comes: a line that has no end is a breach.
void protocol_end(struct protocol *p);
// [[step, loss], ..], at most JOB_CURVE_MAX points. New reference.
json_t *protocol_curve(const struct protocol *p);
void protocol_free(struct protocol *p); // accepts a zeroed one
#endif
