// SPDX-License-Identifier: GPL-3.0-or-later
// What bench_dispatch (bench_messages.c) and bench_spawn (bench_processes.c) share.
#ifndef TESTS_BENCH_DISPATCH_H
#define TESTS_BENCH_DISPATCH_H
#include "orchestrator/link.h"
#include <mpi.h>

enum { BENCH_ROUNDS = 32, BENCH_PARTS = 8 };

struct bench {
    struct link *link;
    MPI_Comm raw;
    int rank, size, rounds, only; // only: that part alone, -1: all
    const char *config, *dir;
    double seconds;               // that each part takes
    double manager_us, worker_us; // processor time a job, of rank 0 and of all others together
    double rates[BENCH_PARTS][BENCH_ROUNDS];
    double manager[BENCH_PARTS], worker[BENCH_PARTS]; // the least
};

struct bench_part {
    const char *name;
    double (*run)(struct bench *b); // jobs a second on rank 0
};
extern const struct bench_part bench_parts[];
extern const int bench_n_parts;

void bench_check(enum err e);
double bench_processor_time(void);
// The rate of `done` jobs, and what they cost since rank 0 began (it alone needs the number).
void bench_cost(struct bench *b, double done, double began);
void bench_meet(const struct bench *b);
double bench_whole(struct bench *b);
#endif
