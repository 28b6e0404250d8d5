// SPDX-License-Identifier: GPL-3.0-or-later
// Text for the report's page: escaping, numbers as people read them, tables, links to
// trainings.
#ifndef ORCHESTRATOR_REPORT_HTML_H
#define ORCHESTRATOR_REPORT_HTML_H
#include "core/json.h"
#include <stdio.h>

// Writes s as text or inside a quoted attribute: markup is escaped, control bytes become
// spaces, bytes that are not UTF-8 become U+FFFD. NULL writes nothing.
void html_text(FILE *f, const char *s);
// The same, but line ends stay.
void html_lines(FILE *f, const char *s);

// For qsort: doubles, ascending.
int num_compare(const void *a, const void *b);

// A short text by value, so that it can stand in a call: fprintf(f, "%s", num_sig(v, 3).s).
struct num {
    char s[96];
};
// All give an en dash for NaN and infinities. UTF-8, safe in HTML and in a chart.
struct num num_sig(double v, int digits); // 0.00123, 12.3, 4567, 1.23 × 10⁷
struct num num_round(double v);           // a scale: 10¹¹, 3 × 10¹⁰, no trailing zeros
struct num num_int(double v);             // 12 345
struct num num_fixed(double v, int decimals);
struct num num_percent(double v, int digits); // v = .012: 1.2 %
struct num num_time(double seconds);          // 3.1 s, 4 min 12 s, 2 h 05 min
struct num num_range(double lo, double hi,
                     int digits); // "1.2 to 3.4"; "" when either is missing
struct num num_value(const char *quantity,
                     double v); // integer or 3 digits, as the quantity asks

// <table> with a caption (NULL: none) and header cells; all strings are markup of ours. A head
// that starts with '#' is a column of numbers, set flush right.
void table_begin(FILE *f, const char *caption, const char *const *heads, int n);
void table_end(FILE *f);
void cell_text(FILE *f, const char *s); // escaped
void cell_num(FILE *f, struct num v);
// A training's id, linked to its row in the table of all trainings.
void html_job(FILE *f, const char *id);
// "summary: n trainings" that opens to the linked ids of a JSON array of strings.
void html_jobs(FILE *f, const char *summary, const json_t *ids);
// Text from the user made harmless everywhere, inside gnuplot's quotes too: printable ASCII
// without quotes, backslash, backquote and markup; anything else becomes '?'. At most 95 bytes.
struct num plain_text(const char *s);
// What a quantity is called, harmless likewise: "M, FLOPs per token"; the bare name if unknown.
struct num quantity_label(const char *name);
#endif
