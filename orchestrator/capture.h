// SPDX-License-Identifier: GPL-3.0-or-later
// A short program run for what it prints: mpirun --version, squeue, moetrain --probe. No shell.
#ifndef ORCHESTRATOR_CAPTURE_H
#define ORCHESTRATOR_CAPTURE_H
#include "core/err.h"
#include <stddef.h>

// Runs argv (argv[0] by $PATH unless it has a slash) without standard input, for at most
// seconds. out gets the beginning of its standard output, terminated; its standard error is
// dropped (quiet) or ours. *code is its exit code, 128 + n if signal n ended it. ERR_FAILED: it
// cannot be started, or had to be killed for taking too long.
enum err capture(const char *const *argv, double seconds, int quiet, char *out, size_t size,
                 int *code);
#endif
