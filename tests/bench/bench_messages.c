// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of bench_dispatch: a job there and a result back with link.c and nothing between;
// the whole path with null_trainer.c.
#include "bench_dispatch.h"
#include "orchestrator/signals.h"
#include <string.h>

// As in a sweep of the paper's plan: job.json in one line, a result with a few points of its
// curve, each with link.c's head.
enum { JOB_BYTES = 1200, RESULT_BYTES = 420 };

static char job[JOB_BYTES], result[RESULT_BYTES];

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
    {"link.c, one job a worker", link_1},
    {"link.c, two jobs a worker", link_2},
    {"the whole path, null jobs", bench_whole},
};
const int bench_n_parts = sizeof bench_parts / sizeof *bench_parts;
