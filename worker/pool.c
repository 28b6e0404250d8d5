// SPDX-License-Identifier: Apache-2.0
#include "worker/pool.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// Looks at a number before sleeping on it: 1000 pauses are 10 to 50 microseconds, as long as
// two wake-ups by the system.
#define SPINS 1000

struct thread {
    struct pool *pool;
    pthread_t id;
    int number;
};

struct pool {
    int n, started; // threads, the caller counted; those that run besides it
    int spins;
    struct thread *threads; // [n - 1]
    // One piece of work, written before `round` moves, read after.
    void (*fn)(void *ctx, int i);
    void *ctx;
    int n_now;            // 0: the threads end
    atomic_uint round;    // pieces of work so far
    atomic_int left;      // threads that have not finished this one
    pthread_mutex_t lock; // round and left move under it, so that no wake-up is lost
    pthread_cond_t begin, done;
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void await_round(struct pool *p, unsigned seen)
{
    for (int i = 0; i < p->spins; i++) {
        if (atomic_load_explicit(&p->round, memory_order_acquire) != seen)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->round) == seen)
        pthread_cond_wait(&p->begin, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static void await_done(struct pool *p)
{
    for (int i = 0; i < p->spins; i++) {
        if (atomic_load_explicit(&p->left, memory_order_acquire) == 0)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->left) != 0)
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static void finish(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    if (atomic_fetch_sub(&p->left, 1) == 1)
        pthread_cond_signal(&p->done);
    pthread_mutex_unlock(&p->lock);
}

static void *serve(void *arg)
{
    const struct thread *t = arg;
    struct pool *p = t->pool;
    for (unsigned seen = 0;; seen++) {
        await_round(p, seen);
        int n = p->n_now; // after finish the next piece may overwrite it
        if (t->number < n)
            p->fn(p->ctx, t->number);
        finish(p);
        if (n == 0)
            return NULL;
    }
}

// n_now, fn and ctx are set.
static void start_round(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->left, p->started);
    atomic_fetch_add(&p->round, 1);
    pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->lock);
}

void pool_run(struct pool *p, int n, void (*fn)(void *ctx, int i), void *ctx)
{
    ASSERT(n >= 1 && n <= p->n);
    if (n > 1) {
        p->n_now = n;
        p->fn = fn;
        p->ctx = ctx;
        start_round(p);
    }
    fn(ctx, 0);
    if (n > 1)
        await_done(p);
}

int pool_processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

enum err pool_create(int n, struct pool **out)
{
    *out = NULL;
    ASSERT(n >= 1);
    struct pool *p = calloc(1, sizeof *p);
    struct thread *threads = calloc((size_t)n, sizeof *threads);
    if (p == NULL || threads == NULL) {
        free(p);
        free(threads);
        return err_set(ERR_FAILED, "out of memory for %d threads", n);
    }
    p->n = n;
    p->spins = n <= pool_processors() ? SPINS : 0;
    p->threads = threads;
    pthread_mutex_init(&p->lock, NULL); // never fail on Linux with default attributes
    pthread_cond_init(&p->begin, NULL);
    pthread_cond_init(&p->done, NULL);
    for (int i = 1; i < n; i++) {
        struct thread *t = &threads[i - 1];
        *t = (struct thread){.pool = p, .number = i};
        int rc = pthread_create(&t->id, NULL, serve, t);
        if (rc != 0) {
            pool_free(p);
            return err_set(ERR_FAILED, "thread %d of %d: %s", i + 1, n, strerror(rc));
        }
        p->started++;
    }
    *out = p;
    return OK;
}

void pool_free(struct pool *p)
{
    if (p == NULL)
        return;
    p->n_now = 0;
    start_round(p);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->threads[i].id, NULL);
    pthread_cond_destroy(&p->begin);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
}
