// SPDX-License-Identifier: GPL-3.0-or-later
// What the user sees while a sweep runs, on stderr: one block redrawn in place on a terminal,
// plain lines elsewhere.
#ifndef ORCHESTRATOR_PROGRESS_H
#define ORCHESTRATOR_PROGRESS_H
#include <stdbool.h>

enum progress_mode {
    PROGRESS_AUTO, // a terminal if stderr is one (seen through mpirun), lines otherwise
    PROGRESS_BLOCK,
    PROGRESS_LINES,
    PROGRESS_NONE
};

#endif
