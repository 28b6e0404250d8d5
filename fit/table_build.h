// SPDX-License-Identifier: GPL-3.0-or-later
// A table as its readers fill it. Internal to fit/.
#ifndef FIT_TABLE_BUILD_H
#define FIT_TABLE_BUILD_H
#include "fit/table.h"

// where: file and line, for messages.
enum err table_add_column(struct table *t, const char *name, const char *where);
// Opens row t->n, all cells missing; ++t->n ends it.
enum err table_open_row(struct table *t, int64_t line);
// A cell of the open row: a number, missing or text, by what it says; or text in any case.
enum err table_put(struct table *t, int col, const char *text);
enum err table_put_text(struct table *t, int col, const char *text);
#endif
