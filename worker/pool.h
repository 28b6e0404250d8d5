// SPDX-License-Identifier: Apache-2.0
// Threads that wait for work: a call runs one function on all of them and returns when all are
// done. Who runs what is fixed by number, so results cannot depend on scheduling. Threads spin
// for some microseconds between two pieces of work and then sleep; with more threads than
// processors they sleep at once. They inherit the signal mask and the floating-point mode of
// the thread that creates the pool.
#ifndef WORKER_POOL_H
#define WORKER_POOL_H
#include "core/err.h"

struct pool;

// n >= 1 counts the caller: n - 1 threads are started. ERR_FAILED: the system has none left.
enum err pool_create(int n, struct pool **out);
void pool_free(struct pool *p);
// fn(ctx, 0) .. fn(ctx, n - 1) at the same time, n at most pool_create's; 0 on the caller.
// Everything written before the call is seen by them, everything they wrote by what follows.
void pool_run(struct pool *p, int n, void (*fn)(void *ctx, int i), void *ctx);
// Processors that this process may run on.
int pool_processors(void);
#endif
