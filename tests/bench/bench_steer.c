// SPDX-License-Identifier: GPL-3.0-or-later
// What decisions cost rank 0: bench_steer SWEEP.cfg.. runs the steering of each sweep to its
// end, a planted loss (noise .5 %) answering every job at once, one result between two
// advances. Processor time of steer_advance (fits with their bootstraps, the solver for the
// jobs that follow) in all and for the longest one, and of law.json at the end.
#include "core/rng.h"
#include "fit/fit.h"
#include "orchestrator/steer.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct cost {
    double all, longest, law;
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(enum err e)
{
    if (e == OK)
        return;
    fprintf(stderr, "%s\n", err_message());
    exit((int)e);
}

// The best M goes as C^.42 from what the sweep starts with; M/N_a = 7.3 is best.
static double planted_loss(const struct steer_job *sj, const struct steer_job *first)
{
    struct rng r;
    rng_seed(&r, rng_hash(sj->job.id, strlen(sj->job.id), RNG_HASH_START), 7);
    double best = (double)first->counts.M * 1.2 * pow(sj->C / first->C, .42);
    double m = log((double)sj->counts.M / best), x = log(sj->counts.x / 7.3);
    return 2 * pow(sj->C / first->C, -.05) *
           exp(.1 * m * m + 2 * x * x - .03 * log(sj->counts.y) + .005 * rng_normal(&r));
}

static void advance(struct steer *s, struct cost *c)
{
    double start = seconds();
    check(steer_advance(s));
    double took = seconds() - start;
    c->all += took;
    c->longest = fmax(c->longest, took);
}

static void answer(struct steer *s, int i)
{
    const struct steer_job *sj = steer_job_at(s, i);
    struct job_result res = {.status = JOB_OK, .tokens = sj->job.train.tokens};
    snprintf(res.id, sizeof res.id, "%s", sj->job.id);
    res.loss = res.loss_per_byte = planted_loss(sj, steer_job_at(s, 0));
    check(steer_result(s, &res));
}

static void run(const char *path)
{
    struct sweep cfg;
    struct steer *s;
    struct cost c = {0};
    json_t *law;
    check(config_load(path, &cfg));
    check(steer_create(&cfg, &s));
    advance(s, &c);
    for (int i = 0; i < steer_n_jobs(s); i++) {
        answer(s, i);
        advance(s, &c);
    }
    double start = seconds();
    check(steer_law(s, &law));
    c.law = seconds() - start;
    json_decref(law);
    printf("%-32s %6d %6d %8.3f %8.4f %8.3f%s\n", path, steer_n_jobs(s), steer_n_decisions(s),
           c.all, c.longest, c.law, steer_done(s) ? "" : " (not decided)");
    steer_free(s);
    config_free(&cfg);
}

int main(int argc, char **argv)
{
    fit_init();
    printf("%-32s %6s %6s %8s %8s %8s\n", "sweep", "jobs", "decis.", "all, s", "longest",
           "law");
    for (int i = 1; i < argc; i++)
        run(argv[i]);
    return 0;
}
