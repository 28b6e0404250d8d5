// SPDX-License-Identifier: GPL-3.0-or-later
// What the parts of the configuration share: config_text.c (raw text: traps of the parser),
// config_tree.c (libconfig, places), config.c and config_sections.c (typed reading),
// config_check.c (what keys mean together), config_write.c (text, hash) and config_keys.c (the
// one table of keys that they all derive from).
#ifndef ORCHESTRATOR_CONFIG_INTERNAL_H
#define ORCHESTRATOR_CONFIG_INTERNAL_H
#include "orchestrator/config.h"
#include <stdio.h>

#define CONFIG_PATH 160 // of a key, as shown in messages: "phases[0].axes[1].values[3]"

enum key_type {
    KEY_GROUP,  // { .. }, its keys follow in the table
    KEY_LIST,   // ( { .. }, { .. } )
    KEY_INT,    // int
    KEY_I64,    // int64_t
    KEY_NUM,    // double
    KEY_BOOL,   // bool
    KEY_TEXT,   // char[size]
    KEY_CHOICE, // enum, one of the names in `shape`
    KEY_RULE,   // struct rule
    KEY_OTHER   // read and written by its own functions; `shape` says what it looks like
};

enum key_flag {
    KEY_REQUIRED = 1,
    KEY_OPEN_LO = 2, // lo itself is excluded
    KEY_OPEN_HI = 4,
    KEY_LOOSE = 8,    // may change between a run and its resumption: not in the hash
    KEY_EXTENDS = 16, // may change in an extension, with all that is below it
    KEY_WHOLE = 32    // a rule's values are integers
};

struct key {
    const char *path; // "train.lr", "phases.axes.var"; "arch.*": any dimension's name
    enum key_type type;
    unsigned flags;
    size_t offset, size; // of the field in struct sweep, phase, axis or fit_spec
    double lo, hi;       // numbers; lo > hi: no range
    const char *deflt;   // as it would be written; NULL: none
    const char *shape;
    const char *meaning;
};

extern const struct key config_keys[];
extern const int config_n_keys;

// The key at this path, a wildcard's included; NULL if there is none.
const struct key *key_find(const char *path);
// Is the key a direct member of the section ("" is the root)? Returns its name there, or NULL.
const char *key_in(const struct key *k, const char *section);
// Puts a scalar key's default into its field under base.
void key_set_default(const struct key *k, void *base);
// "a number above 0 and at most 1": what a message says was expected.
void key_expected(const struct key *k, char *buf, size_t size);
bool key_in_range(const struct key *k, double v);
// Index of a name in "a|b|c", -1 if absent.
int choice_find(const char *choices, const char *name);

// The range that a variable's values keep.
void var_range(const struct var *v, double *lo, double *hi, bool *integer);

// Where each key was written.
struct place {
    char *path, *file;
    unsigned line;
};
struct places {
    struct place *at;
    int n, cap;
    const char *top; // the configuration's path as given
};
enum err places_add(struct places *p, const char *path, const char *file, unsigned line);
bool places_has(const struct places *p, const char *path);
// ERR_INPUT "file:line: path: expected .., found .."; line of the nearest enclosing key that
// was written.
enum err places_fail(const struct places *p, const char *path, const char *expected,
                     const char *found, ...) __attribute__((format(printf, 4, 5)));

// The parsed file. A node is a setting and its path as messages show it; set is libconfig's,
// NULL for a group that is absent. key is the caller's.
struct node {
    const void *set;
    const struct key *key;
    char path[CONFIG_PATH];
};
struct tree {
    void *config;
    struct node root;
    struct places places;
};
enum err tree_parse(const char *path, struct tree *out);
void tree_free(struct tree *t);
bool node_is_group(const struct node *n);
bool node_is_list(const struct node *n); // ( .. ) or [ .. ]
int node_length(const struct node *n);   // 1 for a scalar: it counts as a list of one
// Member or element i; its place is recorded. A scalar's is itself.
enum err node_child(struct tree *t, const struct node *n, int i, struct node *out);
const char *node_name(const struct node *n);
// The file that the setting stands in.
void node_file(const struct tree *t, const struct node *n, char buf[JOB_PATH_MAX]);
// Jobs, records and messages are JSON, so what is no UTF-8 could be in none of them.
bool text_is_utf8(const char *text);
// Values; false (text: NULL) for another type, and for text that is no UTF-8. A whole number
// may be written 2e5, never 2.7.
bool node_num(const struct node *n, double *v);
bool node_i64(const struct node *n, int64_t *v);
bool node_bool(const struct node *n, bool *v);
const char *node_text(const struct node *n);
// places_fail with the node's own value as what was found.
enum err node_fail(const struct tree *t, const struct node *n, const char *expected);

struct reader {
    struct tree *tree;
    struct sweep *s;
    struct phase *phase; // being read
    struct axis *axis;
};
// Every member must be known; then the section's keys are read in the table's order.
enum err read_group(struct reader *r, const struct node *group, const char *section,
                    void *base);
// node_fail with what the key's row of the table expects.
enum err key_fail(struct reader *r, const struct node *n);
// A rule whose values at the sweep's scales lie in [lo, hi]; var (may be NULL) says what it is
// for.
enum err read_rule(struct reader *r, const struct node *n, const struct var *var, double lo,
                   double hi, bool integer, struct rule *out);
enum err read_phase(struct reader *r, const struct node *n);
enum err read_axis(struct reader *r, const struct node *n);
enum err read_fit(struct reader *r, const struct node *n);
enum err read_other(struct reader *r, const struct node *n, void *base);

// config_init.c: init.from, relative to the file that it stands in; its content's hash.
enum err read_init_from(struct reader *r, const struct node *n);
enum err check_init(struct sweep *s, const struct places *p);

// config_prior.c: prior.table, relative to the file that it stands in; its rows, and the start
// value that they give.
enum err read_prior_table(struct reader *r, const struct node *n);
enum err check_prior(struct sweep *s, const struct places *p);

// Before parsing: regular files, no NUL bytes, includes that exist, integers that fit.
enum err config_text_scan(const char *path);

// After reading: everything that needs more than one key, and the corpus.
enum err config_check(struct sweep *s, const struct places *p);
// The part of the corpus: reads all of it.
enum err config_check_corpus(struct sweep *s, const struct places *p);

// config_write.c: one line "path = value" a key, without loose keys and folders.
enum err config_flat(const struct sweep *s, char **text);
#endif
