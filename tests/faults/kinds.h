// SPDX-License-Identifier: GPL-3.0-or-later
// What goes wrong. Each function starts the sweep, disturbs it, and runs the same command again
// as long as the contract says that this helps; the campaign then verifies the end.
#ifndef TESTS_FAULTS_KINDS_H
#define TESTS_FAULTS_KINDS_H
#include "tests/faults/sweep.h"

struct kind {
    const char *name;
    void (*run)(struct run *r);
    bool real;                    // some of its runs train with moetrain
    const char *(*why_not)(void); // NULL or: NULL if it can be done here, else why not
};

extern const struct kind kinds[];
extern const int n_kinds;

// disk.c
void kind_disk_full(struct run *r);
void kind_sync_fails(struct run *r);
void kind_write_fails(struct run *r);
void kind_short_writes(struct run *r);
void kind_journal_cut(struct run *r);
const char *no_mount(void);

// hosts.c
void kind_link_cut(struct run *r);
void kind_host_killed(struct run *r);
const char *no_namespaces(void);
#endif
