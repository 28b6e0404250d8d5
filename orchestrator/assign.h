// SPDX-License-Identifier: GPL-3.0-or-later
// "N=7e9,D=1.4e11": a value for each of a law's variables.
#ifndef ORCHESTRATOR_ASSIGN_H
#define ORCHESTRATOR_ASSIGN_H
#include "core/err.h"
#include <jansson.h>
#include <stdio.h>

// out[i] receives names[i]'s value. ERR_INPUT: a name that is missing, unknown or given twice,
// or no number. A NaN in out on entry asks for the value; any other number is its default.
enum err assign_parse(const char *cmd, const char *option, const char *text,
                      const char *const *names, int n, double *out);
// An object of numbers in the same spelling.
void assign_print(json_t *values, FILE *f);
#endif
