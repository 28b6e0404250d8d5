// SPDX-License-Identifier: GPL-3.0-or-later
// What the orchestrator's message path reaches (bench_mpi: what MPI alone does).
//
//     mpirun -np WORKERS+1 bench_dispatch SWEEP.cfg DIR ROUNDS SECONDS [PART]
//
// Linked with null_trainer.c: link.c alone, the whole manager and supervisor with the journal.
// As bench_spawn, with the real trainer: posix_spawn alone, the whole path with processes. Each
// round measures everything once, so that what else the machine does meets all alike; rank 0
// prints "what rate-of-each-round.." in jobs per second.
#include "bench_dispatch.h"
#include "orchestrator/journal.h"
#include "orchestrator/manage.h"
#include "orchestrator/run.h"
#include "orchestrator/signals.h"
#include "orchestrator/supervise.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void bench_check(enum err e)
{
    if (e == OK || e == ERR_STOPPED)
        return;
    fprintf(stderr, "bench_dispatch: %s\n", err_message());
    MPI_Abort(MPI_COMM_WORLD, (int)e);
}

// All ranks come together; those who wait leave the processor to the others.
void bench_meet(const struct bench *b)
{
    MPI_Request r;
    int done = 0;
    MPI_Ibarrier(b->raw, &r);
    while (MPI_Test(&r, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && !done)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

double bench_processor_time(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

void bench_cost(struct bench *b, double done, double began)
{
    double took = b->rank > 0 ? bench_processor_time() - began : 0, all = 0;
    bench_meet(b);
    MPI_Reduce(&took, &all, 1, MPI_DOUBLE, MPI_SUM, 0, b->raw);
    b->worker_us = 1e6 * all / done;
}

// ---- the whole path

// A sweep that is stopped writes what it knows; of tens of thousands of jobs that takes seconds
// that are none of dispatch. (The linker puts this in place of steer_law.)
static double loop_ended;
enum err __wrap_steer_law(const struct steer *s, json_t **out);
enum err __wrap_steer_law(const struct steer *s, json_t **out)
{
    (void)s;
    loop_ended = bench_processor_time();
    *out = json_object();
    return OK;
}

struct span {
    int results;
    double first, last;
};

static enum err take_record(void *ctx, json_t *rec)
{
    struct span *s = ctx;
    const char *t = json_string_value(json_object_get(rec, "t"));
    if (strcmp(t, "start") == 0)
        s->first = fmin(s->first, json_number_value(json_object_get(rec, "t0")));
    if (strcmp(t, "result") == 0) {
        s->results++;
        s->last = fmax(s->last, json_number_value(json_object_get(rec, "t1")));
    }
    return OK;
}

static void stop_after(double seconds, timer_t *timer)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)seconds}};
    at.it_value.tv_nsec = (long)(1e9 * (seconds - (double)at.it_value.tv_sec));
    timer_create(CLOCK_MONOTONIC, &ev, timer);
    timer_settime(*timer, 0, &at, NULL);
}

// Signs of life that came after the end of the part before.
static void forget_messages(struct link *l)
{
    struct link_msg m;
    bool got = false;
    for (double until = signals_clock() + .02; signals_clock() < until;) {
        bench_check(link_poll(l, &m, &got));
        if (got)
            json_decref(m.body);
    }
}

// Jobs whose results are in the journal, per second between the first start and the last end.
double bench_whole(struct bench *b)
{
    if (b->rank > 0) {
        bool clean;
        bench_meet(b); // when the jobs are made
        double since = bench_processor_time();
        bench_check(supervise_run(b->link, RUN_SILENCE, &clean));
        bench_cost(b, 1, since);
        return 0;
    }
    char dir[4096], journal[4200];
    static int turn;
    struct run_options opt = {.progress = PROGRESS_NONE, .silence = RUN_SILENCE};
    struct manager *m;
    struct span s = {0, INFINITY, 0};
    timer_t timer;
    bool clean;
    snprintf(dir, sizeof dir, "%s/%d-%d", b->dir, b->size, turn++);
    snprintf(journal, sizeof journal, "%s/journal", dir);
    forget_messages(b->link);
    bench_check(manage_open(b->config, dir, &opt, b->link, &m));
    bench_meet(b);
    stop_after(b->seconds, &timer);
    double began = bench_processor_time();
    bench_check(manage_run(m, &clean));
    timer_delete(timer);
    (void)signals_pending(); // if the sweep was faster than the timer
    manage_free(m);
    bench_check(journal_read(journal, take_record, &s, NULL));
    b->manager_us = 1e6 * (loop_ended - began) / s.results;
    bench_cost(b, s.results, 0);
    return s.results / (s.last - s.first);
}

// ---- all of it

static void measure(struct bench *b)
{
    for (int round = 0; round < b->rounds; round++)
        for (int i = 0; i < bench_n_parts; i++) {
            if (b->only >= 0 && i != b->only)
                continue;
            bench_meet(b);
            b->rates[i][round] = bench_parts[i].run(b);
            b->manager[i] = fmin(b->manager_us, round ? b->manager[i] : INFINITY);
            b->worker[i] = fmin(b->worker_us, round ? b->worker[i] : INFINITY);
            b->manager_us = b->worker_us = INFINITY;
        }
    bench_meet(b);
}

static void print(const struct bench *b)
{
    for (int i = 0; i < bench_n_parts; i++) {
        if (b->only >= 0 && i != b->only)
            continue;
        printf("%d\t%s", b->size - 1, bench_parts[i].name);
        for (int r = 0; r < b->rounds; r++)
            printf("\t%.0f", b->rates[i][r]);
        if (isfinite(b->worker[i]))
            printf("\tus a job: manager %.1f, workers %.1f", b->manager[i], b->worker[i]);
        putchar('\n');
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct bench b = {.manager_us = INFINITY, .worker_us = INFINITY};
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: bench_dispatch SWEEP.cfg DIR ROUNDS SECONDS [PART]\n");
        return 2;
    }
    b.config = argv[1];
    b.dir = argv[2];
    b.rounds = atoi(argv[3]) < BENCH_ROUNDS ? atoi(argv[3]) : BENCH_ROUNDS;
    b.seconds = strtod(argv[4], NULL);
    b.only = argc == 6 ? atoi(argv[5]) : -1;
    signals_block();
    if (link_open(&b.link) != OK) {
        fprintf(stderr, "bench_dispatch: %s\n", err_message());
        return 1;
    }
    MPI_Comm_dup(MPI_COMM_WORLD, &b.raw);
    bench_check(link_agree(b.link, OK));
    b.rank = link_rank(b.link);
    b.size = link_size(b.link);
    measure(&b);
    if (b.rank == 0)
        print(&b);
    MPI_Comm_free(&b.raw);
    link_close(b.link, true);
    return 0;
}
