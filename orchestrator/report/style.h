// SPDX-License-Identifier: GPL-3.0-or-later
// The look of the page: colours that readers with any colour vision tell apart, and the style
// sheet. Charts are drawn in the light colours; the style sheet maps each to its dark twin.
#ifndef ORCHESTRATOR_REPORT_STYLE_H
#define ORCHESTRATOR_REPORT_STYLE_H
#include <stdio.h>

struct colour {
    char s[8]; // "#rrggbb"
};
// Scales are ordered, so their colours run from dark to light: indigo, magenta, orange.
struct colour colour_scale(int i, int n);
// Phases are names, so theirs are distinct (Okabe and Ito's set); repeats after eight.
struct colour colour_phase(int i);

#define COLOUR_INK "#1b1f24"
#define COLOUR_DIM "#59636e"
#define COLOUR_GRID "#dde2e8"
#define COLOUR_MARK "#d55e01" // the optimum

// The <style> element's text for a page with n_scales scales.
void style_write(FILE *f, int n_scales);
#endif
