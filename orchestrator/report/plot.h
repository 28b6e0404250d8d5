// SPDX-License-Identifier: GPL-3.0-or-later
// One chart drawn by gnuplot into the page as inline SVG. gnuplot is started without a shell,
// reads a script from a temporary file, and has a time limit. Points whose third column is text
// become links to a training's row, with the text shown on hovering.
#ifndef ORCHESTRATOR_REPORT_PLOT_H
#define ORCHESTRATOR_REPORT_PLOT_H
#include "core/err.h"
#include "orchestrator/report/html.h"
#include <stddef.h>

struct plot {
    FILE *set, *draw; // settings with data; the elements of the plot command
    char *set_text, *draw_text;
    size_t set_len, draw_len;
    int n_data, n_drawn, width, height;
};

// First line of `gnuplot --version` into version[size]; false when gnuplot cannot be started.
bool plot_available(char *version, size_t size);

// ERR_FAILED when memory is short; then there is nothing to close.
enum err plot_open(struct plot *p, int width, int height);
// axis is 'x' or 'y'; label is text of ours or from plain_text. Log axes need lo > 0.
void plot_axis(struct plot *p, char axis, const char *label, double lo, double hi, bool log);
// Opens a table of numbers: rows are then printed to p->set until plot_data_end. Returns its
// number: plot_draw(p, "$d%d using 1:2 with lines", number).
int plot_data(struct plot *p);
void plot_data_end(struct plot *p);
void plot_draw(struct plot *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// A word in the chart, gnuplot's placing ("first 3, graph .9 left"), colour.
void plot_word(struct plot *p, const char *text, const char *colour, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
// Draws and writes the <svg> with ids that are unique for chart number `chart`; alt describes
// it. A chart that gnuplot refuses becomes a sentence that says so. Frees p in any case.
enum err plot_close(struct plot *p, int chart, const char *alt, FILE *out);

// Widens [*lo, *hi] to hold v; NaN is ignored. Start with lo = INFINITY, hi = -INFINITY.
void plot_hold(double *lo, double *hi, double v);
// Adds a margin (fraction of the range, of its logarithm on a log axis); an empty range gets
// one.
void plot_margin(double *lo, double *hi, double fraction, bool log);
#endif
