// SPDX-License-Identifier: GPL-3.0-or-later
// The rows of a table that laws are fitted to: variables and loss through a column map, rows
// through filters, and what was left out, with reasons.
#ifndef FIT_DATASET_H
#define FIT_DATASET_H
#include "fit/expr.h"
#include "fit/law.h"
#include <jansson.h>

enum { DATASET_MAX_VARS = 24, DATASET_MAX_SKIPS = 16 };

struct dataset {
    int64_t n;                    // rows used
    int n_vars;                   // all variables of the laws, each once
    char *name[DATASET_MAX_VARS]; // owned
    double *x[DATASET_MAX_VARS];  // n each, owned
    double *y, *C;                // n each, owned; C NULL where it is not known
    int64_t *line;                // in the file
    const char *y_name;           // "loss", or what the laws give
    char y_column[48];            // where it is one column; "" otherwise
    const char *C_rule;           // where C comes from: "C", "6 N D"
    int64_t n_table, n_filtered;  // rows read; left out by filters
    struct {
        char why[96];
        int64_t n, line; // rows, line of the first one
    } skip[DATASET_MAX_SKIPS];
    int n_skips;
};

// "loss" for laws of a loss; else the law's left side (EL, r, D).
const char *law_output(const struct law *l);
// law_find, with powersum's number of terms from the names of a map (X1, X2, ..). ERR_INPUT: no
// such law; the message lists them.
enum err law_of(const char *name, const char *map, const struct law **l);

// path as table_read takes it; map and where as on the command line (map NULL: columns have
// the variables' names). All laws must give the same thing. Cells that are missing or not
// finite leave their row out, with a count; text where a number belongs, and values that no law
// of this kind takes (a loss or a size of zero or less), are ERR_INPUT with file and line.
enum err dataset_read(const char *path, const char *map, const char *const *where, int n_where,
                      const struct law *const *laws, int n_laws, struct dataset *out);
void dataset_free(struct dataset *d);
// Column of a variable, -1: none.
int dataset_find(const struct dataset *d, const char *name);
// A law's x of law_data: n rows of law_vars numbers, in fresh memory; NULL: memory is short.
double *dataset_x(const struct dataset *d, const struct law *l);
// The rows that keep[i] says, in a dataset of their own.
enum err dataset_subset(const struct dataset *d, const bool *keep, struct dataset *out);
// Scales: groups of rows whose C lie closer than 25 % to a neighbour; group[n] gets 0.. in the
// order of C. The number of groups; 0 where C is not known or is spread so evenly that there
// are no scales.
int dataset_scales(const struct dataset *d, int *group);
// "all 199 rows", "58 of 100 rows: 42 left out by --where, ..": what became of the table.
void dataset_counts(const struct dataset *d, char *buf, size_t size);
// Appends sentences on what looks wrong with the numbers (units, duplicates, variables that
// hardly vary or only together) to notes.
enum err dataset_doubts(const struct dataset *d, const struct law *l, json_t *notes);
// out[p]: parameter p acts through one of two variables of which one follows from the other in
// all rows (D = 20 N, say): locally the fit may look sharp, but the other variable's parameters
// could do its work.
enum err dataset_confounded(const struct dataset *d, const struct law *l, const double *params,
                            bool *out);
#endif
