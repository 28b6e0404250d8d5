// SPDX-License-Identifier: GPL-3.0-or-later
// What losses depend on besides the job: bit-identical results are promised for one build of
// the trainer on one instruction set.
#ifndef ORCHESTRATOR_IDENTITY_H
#define ORCHESTRATOR_IDENTITY_H
#include "core/err.h"
#include <stddef.h>

// This machine's instruction set as far as numerical libraries choose code by it: "x86_64 avx2
// fma".
void identity_isa(char *buf, size_t size);
// The trainer of this command: "moetrain 0123abcd", its file name and the CRC-32C of its
// content. ERR_INPUT when the command's program cannot be executed.
enum err identity_trainer(const char *command, char *buf, size_t size);
#endif
