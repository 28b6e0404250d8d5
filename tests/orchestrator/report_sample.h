// SPDX-License-Identifier: GPL-3.0-or-later
// A made-up sweep for the report's tests: jobs on a known loss surface with seeded noise, and
// the law, architecture and journal records that would go with them.
#ifndef TESTS_ORCHESTRATOR_REPORT_SAMPLE_H
#define TESTS_ORCHESTRATOR_REPORT_SAMPLE_H
#include "orchestrator/steer.h"
#include <jansson.h>

enum { SAMPLE_MAX = 400 };

struct sample {
    struct steer_job *jobs; // owned, SAMPLE_MAX
    const struct steer_job *list[SAMPLE_MAX];
    int n;
    json_t *law, *arch, *records; // owned
};

struct sample_options {
    int scales;      // 1..4
    bool all_failed; // every training diverged
    const char
        *evil; // put into every name, question, cause, note and rule; NULL: harmless ones
};
void sample_make(struct sample *s, const struct sample_options *opt);
void sample_free(struct sample *s);
#endif
