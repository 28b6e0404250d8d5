// SPDX-License-Identifier: GPL-3.0-or-later
// Column maps ("N=params,D=flops/(6*params)") and row filters ("status=ok", "N/D<=20") over the
// columns of a table: + - * / ^, parentheses, numbers, column names (in double quotes where
// they hold blanks or signs), ln, log2, log10, exp, sqrt. ^ binds to the right and more tightly
// than a sign. Untrusted input: depth and length are bounded.
#ifndef FIT_EXPR_H
#define FIT_EXPR_H
#include "fit/table.h"

enum {
    EXPR_MAX_DEPTH = 64, // of parentheses, signs and powers
    EXPR_MAX_OPS = 256,
    EXPR_MAX_NAMES = 32 // of a map
};

struct expr;
// The whole text. what names the place in errors ("--map"), which give the character, from 1.
enum err expr_parse(const char *text, const char *what, const struct table *t,
                    struct expr **out);
void expr_free(struct expr *e);
// CELL_NUMBER and the value, which may be infinite or NaN (a division by zero); or what kept it
// from being a number, with the column that it came from.
enum table_cell expr_value(const struct expr *e, const struct table *t, int64_t row,
                           double *value, int *col);
// The column where the expression is nothing else, -1 otherwise.
int expr_column(const struct expr *e);

struct expr_map {
    int n;
    char *name[EXPR_MAX_NAMES];
    struct expr *e[EXPR_MAX_NAMES];
};
// "name=expression,name=expression"; a name given twice is an error.
enum err expr_map_parse(const char *text, const char *what, const struct table *t,
                        struct expr_map *out);
int expr_map_find(const struct expr_map *m, const char *name); // -1: not there
void expr_map_free(struct expr_map *m);

// "expression op value": op is = (or ==), !=, <, <=, >, >=; the value a number, or a text (in
// double quotes or bare) that a column is equal to or not. A missing cell satisfies only !=;
// "column=" asks for missing ones.
struct filter;
enum err filter_parse(const char *text, const char *what, const struct table *t,
                      struct filter **out);
void filter_free(struct filter *f);
bool filter_takes(const struct filter *f, const struct table *t, int64_t row);
#endif
