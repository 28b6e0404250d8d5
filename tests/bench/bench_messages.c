// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of bench_dispatch: a job there and a result back, without anything between.
#include "bench_dispatch.h"
#include "orchestrator/signals.h"
#include <string.h>

// As in a sweep of the paper's plan: job.json in one line, a result with a few points of its
// curve, each with link.c's head.
enum { JOB_BYTES = 1200, RESULT_BYTES = 420, JOB, RESULT, OVER };

static char job[JOB_BYTES], result[RESULT_BYTES];

// ---- MPI alone

static double raw_manager(const struct bench *b, int window)
{
    char buf[RESULT_BYTES];
    int out = 0;
    long done = 0;
    double began = signals_clock(), now = began;
    for (int w = 1; w < b->size; w++)
        for (int i = 0; i < window; i++, out++)
            MPI_Send(job, JOB_BYTES, MPI_BYTE, w, JOB, b->raw);
    for (; out > 0; out--) {
        MPI_Status s;
        MPI_Recv(buf, sizeof buf, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, b->raw, &s);
        if (++done % 64 == 0)
            now = signals_clock();
        if (now - began < b->seconds) {
            MPI_Send(job, JOB_BYTES, MPI_BYTE, s.MPI_SOURCE, JOB, b->raw);
            out++;
        }
    }
    for (int w = 1; w < b->size; w++)
        MPI_Send(job, 0, MPI_BYTE, w, OVER, b->raw);
    return (double)done / (signals_clock() - began);
}

static double raw(struct bench *b, int window)
{
    char buf[JOB_BYTES];
    if (b->rank == 0)
        return raw_manager(b, window);
    for (;;) {
        MPI_Status s;
        MPI_Recv(buf, sizeof buf, MPI_BYTE, 0, MPI_ANY_TAG, b->raw, &s);
        if (s.MPI_TAG == OVER)
            return 0;
        MPI_Send(result, RESULT_BYTES, MPI_BYTE, 0, RESULT, b->raw);
    }
}

static double raw_1(struct bench *b)
{
    return raw(b, 1);
}

static double raw_2(struct bench *b)
{
    return raw(b, 2);
}

// ---- link.c

static void send_job(const struct bench *b, int peer)
{
    struct link_msg m = {.peer = peer,
                         .kind = LINK_JOB,
                         .job = 1,
                         .attempt = 1,
                         .id = "0123456789ab",
                         .text = job,
                         .n_text = JOB_BYTES - 64};
    bench_check(link_send(b->link, &m));
}

static double link_manager(struct bench *b, int window)
{
    double spent = bench_processor_time();
    int out = 0;
    long done = 0;
    double began = signals_clock(), now = began;
    for (int w = 1; w < b->size; w++)
        for (int i = 0; i < window; i++, out++)
            send_job(b, w);
    while (out > 0) {
        struct link_msg m;
        bool got;
        bench_check(link_poll(b->link, &m, &got));
        if (!got) {
            link_nap(b->link);
            continue;
        }
        if (m.kind != LINK_RESULT) { // the last sign of life of the part before
            json_decref(m.body);
            continue;
        }
        out--;
        if (++done % 64 == 0)
            now = signals_clock();
        if (now - began < b->seconds) {
            send_job(b, m.peer);
            out++;
        }
    }
    for (int w = 1; w < b->size; w++)
        bench_check(link_send(b->link, &(struct link_msg){.peer = w, .kind = LINK_QUIT}));
    double took = signals_clock() - began;
    b->manager_us = 1e6 * (bench_processor_time() - spent) / (double)done;
    bench_cost(b, (double)done, 0);
    return (double)done / took;
}

static double link_alone(struct bench *b, int window)
{
    if (b->rank == 0)
        return link_manager(b, window);
    for (double spent = bench_processor_time();;) {
        struct link_msg m;
        bool got;
        bench_check(link_poll(b->link, &m, &got));
        if (!got) {
            link_nap(b->link);
            continue;
        }
        if (m.kind == LINK_QUIT) {
            bench_cost(b, 1, spent);
            return 0;
        }
        m = (struct link_msg){.kind = LINK_RESULT,
                              .job = m.job,
                              .attempt = m.attempt,
                              .text = result,
                              .n_text = RESULT_BYTES - 64};
        bench_check(link_send(b->link, &m));
    }
}

static double link_1(struct bench *b)
{
    return link_alone(b, 1);
}

static double link_2(struct bench *b)
{
    return link_alone(b, 2);
}

const struct bench_part bench_parts[] = {
    {"MPI alone, one job a worker", raw_1},     {"link.c, one job a worker", link_1},
    {"MPI alone, two jobs a worker", raw_2},    {"link.c, two jobs a worker", link_2},
    {"the whole path, null jobs", bench_whole},
};
const int bench_n_parts = sizeof bench_parts / sizeof *bench_parts;
