// SPDX-License-Identifier: GPL-3.0-or-later
// Lines that are drawn anew in place on a terminal.
#ifndef ORCHESTRATOR_SCREEN_H
#define ORCHESTRATOR_SCREEN_H
#include <stdbool.h>
#include <stdio.h>

struct screen {
    FILE *out;
    bool terminal;  // can be drawn on
    char asked[64]; // the terminal to ask for its size; "": out itself
    int drawn;      // lines that stand
    double spoken;  // when plain lines were last printed; 0: never
};

// launched: mpirun hands a rank pipes and copies them to its own stderr, which may well be a
// terminal; then it is that one.
void screen_open(struct screen *s, FILE *out, bool launched);
void screen_size(const struct screen *s, int *columns, int *rows); // 80 x 24 if nobody knows
// Removes what stands.
void screen_erase(struct screen *s);
// One more line of what stands, cut to the width.
void screen_line(struct screen *s, const char *text);
// Text that stays, without a line end. Control characters of foreign text become spaces, so
// that it cannot steer the terminal.
void screen_text(const struct screen *s, const char *text, int columns);
#endif
