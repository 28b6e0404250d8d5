// SPDX-License-Identifier: GPL-3.0-or-later
// Charts one below the other in one SVG file.
#ifndef ORCHESTRATOR_PLOT_STACK_H
#define ORCHESTRATOR_PLOT_STACK_H
#include "orchestrator/report/plot.h"

enum { STACK_WIDTH = 760 };
struct stack {
    FILE *out;
    char *body;
    size_t len;
    int charts, height;
    bool refused; // by gnuplot
};
// *why: NULL, or why nothing can be drawn (static text); then there is nothing to close.
enum err stack_open(struct stack *s, const char **why);
// Draws c (plot_close) below the others.
enum err stack_chart(struct stack *s, struct plot *c, int height, const char *alt);
// Writes path unless e, which is handed through, is an error, or gnuplot refused a chart
// (*why).
enum err stack_close(struct stack *s, enum err e, const char *path, const char **why);
#endif
