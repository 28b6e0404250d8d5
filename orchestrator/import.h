// SPDX-License-Identifier: GPL-3.0-or-later
// Results of another sweep taken over: the same work has the same job id in every sweep.
// docs/extend.md.
#ifndef ORCHESTRATOR_IMPORT_H
#define ORCHESTRATOR_IMPORT_H
#include "orchestrator/records.h"

struct import {
    const struct sweep *cfg;                // that the results are for
    const struct records_identity *journal; // theirs: what losses are comparable with
    bool allow_mixed;                       // results of other builds and instruction sets too
    json_t *known; // id -> record of a result or import that is there already
    json_t *fresh; // array: import records to be written
};

enum err import_begin(const struct sweep *cfg, const struct records_identity *journal,
                      const json_t *records, bool allow_mixed, struct import *out);
void import_free(struct import *im);
// Adds the results of the sweep in dir: those that ended well, diverged or were stopped early.
// ERR_INPUT: it saw other data, had another trainer, build or instruction set (unless
// allow_mixed), or gives another loss for a job than is known; fresh is then not to be used.
enum err import_sweep(struct import *im, const char *dir);
#endif
