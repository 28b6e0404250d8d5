// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep's output directory: found or made, never taken from anybody else.
#ifndef ORCHESTRATOR_SWEEPDIR_H
#define ORCHESTRATOR_SWEEPDIR_H
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>

// Makes dir (and what is missing above it) or accepts one that is empty or holds a journal;
// makes dir/jobs; abs gets its absolute path. ERR_INPUT: a file in the way, no permission,
// read-only, or a directory that holds something else.
enum err sweepdir_open(const char *dir, char *abs, size_t size);
// dir/name into buf; ERR_INPUT if it does not fit.
enum err sweepdir_path(const char *dir, const char *name, char *buf, size_t size);
// The folder itself, or the nearest one above that exists; false: it is no folder.
bool sweepdir_existing(const char *dir, char *path, size_t size);
#endif
