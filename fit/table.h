// SPDX-License-Identifier: GPL-3.0-or-later
// Tables of anyone's runs: CSV (RFC 4180 with what people really write: a BOM, CRLF, blanks,
// empty lines, comment lines that start with #, tabs or semicolons for commas) and JSON Lines
// (one flat object a line), streamed into columns. Input is untrusted: every size is bounded,
// memory is linear in rows x columns.
#ifndef FIT_TABLE_H
#define FIT_TABLE_H
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TABLE_MAX_RECORD = 1 << 20, // bytes of a row
    TABLE_MAX_COLUMNS = 1024,
    TABLE_MAX_TEXT = 1 << 30,  // bytes of all cells that are no numbers
    TABLE_MAX_CELLS = 1 << 28, // rows x columns
};

struct table_column {
    char *name;
    double *number; // a row each; NaN where the cell is no finite number
    uint32_t *text; // offset into the table's text, 0 where there is none; NULL: nowhere any
};

struct table {
    char *path;
    int64_t n; // rows
    int n_cols;
    struct table_column *col;
    int64_t *line; // of each row in the file, from 1
    char *text;    // NUL-terminated pieces; text[0] is an empty one
    size_t text_len, text_cap;
    int64_t cap;
};

enum table_cell {
    CELL_NUMBER,
    CELL_MISSING,   // empty, NA, null, None, ...
    CELL_NONFINITE, // nan, inf: what a diverged run leaves
    CELL_TEXT
};

// Reads a whole file; JSON Lines where it opens with '{', CSV with a header otherwise; "-" is
// standard input. ERR_INPUT: file, line and column of what is wrong, what was expected and what
// was found.
enum err table_read(const char *path, struct table *t);
void table_free(struct table *t);
int table_find(const struct table *t, const char *name); // -1: no such column
enum table_cell table_cell(const struct table *t, int col, int64_t row);
// The cell as it was written, where it is no number; "" for others.
const char *table_text(const struct table *t, int col, int64_t row);
// "a, b, c", shortened to what fits.
void table_names(const struct table *t, char *buf, size_t size);
// The whole text as a decimal number (nothing else: no hexadecimal, no blanks, no nan); false
// if it is none or out of range.
bool table_number(const char *text, double *out);
// Text from outside made fit for a message: at most 40 characters, control bytes as '?'.
struct table_quote {
    char s[48];
};
struct table_quote table_quote(const char *text);
#endif
