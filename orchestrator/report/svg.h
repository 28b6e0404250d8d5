// SPDX-License-Identifier: GPL-3.0-or-later
// gnuplot's SVG made fit for a page that holds many: own ids, links, colours in one spelling.
#ifndef ORCHESTRATOR_REPORT_SVG_H
#define ORCHESTRATOR_REPORT_SVG_H
#include <stdio.h>

// svg is one document as gnuplot 5 writes it, NUL-terminated and modified in place. Returns 0
// when it holds no <svg> (nothing is written then).
int svg_inline(char *svg, int chart, const char *alt, FILE *out);
#endif
