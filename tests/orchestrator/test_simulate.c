// SPDX-License-Identifier: GPL-3.0-or-later
// Simulated sweeps: the same seed is the same sweep; no schedule beats its bound; failures cost
// attempts, never jobs; the known surface is what its formula says; a crowded manager shows.
#include "fit/fit.h"
#include "orchestrator/simulate.h"
#include "orchestrator/truth_score.h"
#include "tests/test.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sweep cfg;
static struct truth truth;

static void read_inputs(const char *config, const char *surface)
{
    char path[4200];
    const char *source = getenv("MOESWEEP_SOURCE");
    snprintf(path, sizeof path, "%s/configs/%s", source ? source : ".", config);
    CHECK(config_load(path, &cfg) == OK);
    snprintf(path, sizeof path, "%s/tests/data/%s", source ? source : ".", surface);
    CHECK(truth_read(path, &truth) == OK);
}

static void check_jobs(void)
{
    struct simulate_options o = {.workers = 40, .spread = .15, .repair = 20, .seed = 3};
    struct simulate_result calm, again, rough, slow;
    CHECK(simulate_jobs(&cfg, 4000, &o, &calm) == OK);
    CHECK(simulate_jobs(&cfg, 4000, &o, &again) == OK);
    CHECK(memcmp(&calm, &again, sizeof calm) == 0);
    CHECK(calm.jobs == 4000 && calm.assigned == 4000 && calm.lost == 0);
    // Longest first: at most a few percent over the bound (the manager takes no time here).
    CHECK(calm.makespan >= calm.bound && calm.makespan <= 1.03 * calm.bound);
    CHECK_REL(calm.busy, calm.bound * 40, 1e-9); // total work: the longest job is short
    o.mtbf = 5;
    CHECK(simulate_jobs(&cfg, 4000, &o, &rough) == OK);
    CHECK(rough.jobs == 4000 && rough.deaths > 10 && rough.lost > 10 && rough.wasted > 0);
    CHECK(rough.assigned == 4000 + rough.lost && rough.makespan > calm.makespan);
    CHECK_REL(rough.busy, calm.busy, 1e-9); // the same jobs
    // Two messages a job: a manager that needs a tenth of what 40 workers leave it is the
    // limit.
    o.mtbf = 0, o.service = .1;
    CHECK(simulate_jobs(&cfg, 4000, &o, &slow) == OK);
    CHECK(slow.makespan >= 800 && slow.manager * slow.makespan >= 799.9);
}

// Workers of four speeds: knowing them, the scheduler stays near the bound; not knowing them,
// the last long jobs end on slow workers.
static void check_speeds(void)
{
    struct simulate_options o = {
        .workers = 40, .repair = 20, .seed = 3, .speeds = {1, 2, 4, .5}, .n_speeds = 4};
    struct simulate_result knowing, blind, rough;
    CHECK(simulate_jobs(&cfg, 400, &o, &knowing) == OK);
    o.blind = true;
    CHECK(simulate_jobs(&cfg, 400, &o, &blind) == OK);
    CHECK(knowing.jobs == 400 && blind.jobs == 400);
    CHECK_REL(knowing.bound, blind.bound, 1e-12);
    // 10 jobs a worker: half a percent of the sum in the tail is what greedy assignment leaves.
    printf("speeds: %.2f %% over the bound, %.2f %% not knowing them\n",
           100 * (knowing.makespan / knowing.bound - 1),
           100 * (blind.makespan / blind.bound - 1));
    CHECK(knowing.makespan >= knowing.bound && knowing.makespan <= 1.05 * knowing.bound);
    CHECK(blind.makespan > 1.2 * knowing.makespan);
    o.blind = false, o.mtbf = 5, o.spread = .15;
    CHECK(simulate_jobs(&cfg, 4000, &o, &rough) == OK && rough.jobs == 4000);
}

static void check_sweep(void)
{
    struct simulate_options o = {
        .workers = 8, .spread = .15, .mtbf = 9, .repair = 5, .seed = 1};
    struct simulate_result r, one;
    json_t *law, *alone;
    CHECK(simulate_sweep(&cfg, &truth, &o, &r, &law) == OK);
    CHECK(r.jobs > 60 && r.deaths > 0);
    // What is trained and decided depends on no worker.
    o.workers = 1, o.mtbf = 0;
    CHECK(simulate_sweep(&cfg, &truth, &o, &one, &alone) == OK);
    CHECK(json_equal(law, alone) && one.jobs == r.jobs);
    json_decref(law);
    json_decref(alone);
}

static void check_truth(void)
{
    struct steer *s;
    struct truth t = truth;
    t.sd = 0;
    CHECK(steer_create(&cfg, &s) == OK && steer_advance(s) == OK && steer_n_jobs(s) > 0);
    const struct steer_job *sj = steer_job_at(s, 0);
    double c = log(sj->C / 1e11), M = log((double)sj->counts.M / (9e4 * exp(.42 * c)));
    double x = log(sj->counts.x / 7.4), y = log(sj->counts.y / 2.5), u = sj->counts.x - 6;
    double d = log((double)sj->job.arch.d / (20 * exp(.16 * c))) - .38 * M + 1.75 * x + .24 * y;
    double want =
        (.9 + .9 * exp(-.1 * c)) *
        exp(.10 * M * M + .06 * (1.96 / u + u - 2.8) / 1.4 + .02 * y * y + .05 * d * d);
    CHECK_REL(truth_loss(&t, sj, 1), want, 1e-12);
    CHECK(truth_loss(&truth, sj, 1) != truth_loss(&truth, sj, 2));
    CHECK(truth_loss(&truth, sj, 1) == truth_loss(&truth, sj, 1));
    steer_free(s);
}

static void print_score(const struct truth_score *s, const char *name)
{
    printf("%s: held by %d, unresolved %d, missed by %d: honest in %.1f %%, of the whole "
           "surface's %.1f %%\n",
           name, s->inside, s->unresolved, s->missed, 100 * truth_score_honest(s, false),
           100 * truth_score_honest(s, true));
    for (int k = 0; k < s->n_scales; k++)
        printf("   at %g: missed in %d of %d, %+.2f %% off\n", s->scale[k].C,
               s->scale[k].missed, s->scale[k].points,
               100 * s->scale[k].off / s->scale[k].n_off);
}

static void play_sweeps(int sweeps, struct truth_score *scores)
{
    struct simulate_options o = {.workers = 8, .seed = 1};
    for (int k = 0; k < sweeps; k++, o.seed++) {
        struct simulate_result r;
        json_t *law;
        CHECK(simulate_sweep(&cfg, &truth, &o, &r, &law) == OK);
        CHECK(truth_score_add(&truth, &cfg, law, scores) == OK);
        json_decref(law);
    }
    for (int i = 0; i < truth.n; i++)
        print_score(&scores[i], truth.optima[i].var.name);
}

// Of 40 sweeps, a law that is honest in 90 % of them misses in 12 or more with probability 4e-4
// (binomial).
static void check_science(void)
{
    struct truth_score scores[TRUTH_MAX] = {0};
    play_sweeps(40, scores);
    for (int i = 0; i < truth.n; i++) {
        CHECK(scores[i].n_scales > 0 && scores[i].missed <= 11 * scores[i].n_scales);
        CHECK(scores[i].missed_whole <= 11 * scores[i].n_scales);
    }
    truth_scores_free(scores);
}

// What docs/simulate.md says: at least 90 % of what is said of each optimum where the runs were
// is honest.
static void check_all(int sweeps)
{
    struct truth_score scores[TRUTH_MAX] = {0};
    play_sweeps(sweeps, scores);
    for (int i = 0; i < truth.n; i++) {
        const struct truth_score *s = &scores[i];
        int points = s->inside + s->missed + s->unresolved;
        CHECK(points > 0 && 10 * s->missed <= points);
    }
    truth_scores_free(scores);
}

static void refused(const char *text, const char *words)
{
    char path[] = "/tmp/moesweep-test-XXXXXX";
    struct truth t;
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    CHECK(truth_read(path, &t) == ERR_INPUT && strstr(err_message(), words));
    unlink(path);
}

static void check_refusals(void)
{
    refused("[]", "expected an object");
    refused("{\"E\": 1}", "A");
    refused("{\"E\":1,\"A\":1,\"C0\":1,\"alpha\":0,\"sd\":0,\"optima\":{\"lr\":{}}}",
            "optima.lr");
    refused("{\"E\":1,\"A\":1,\"C0\":1,\"alpha\":0,\"sd\":0,\"optima\":{\"x\":{\"k\":5,"
            "\"curvature\":1,\"form\":\"density\"}}}",
            "more than 6");
    refused("{\"E\":1,\"A\":1,\"C0\":1,\"alpha\":0,\"sd\":0,\"optima\":{\"x\":{\"k\":5,"
            "\"curvature\":1,\"along\":{\"x\":1}}}}",
            "another of the optima");
}

// With three arguments (a file in configs, one in tests/data, a number of sweeps) the law alone
// is held against the surface.
int main(int argc, char **argv)
{
    bool all = argc == 4;
    fit_init();
    read_inputs(all ? argv[1] : "demo.cfg", all ? argv[2] : "truth_demo.json");
    if (all) {
        check_all(atoi(argv[3]));
    } else {
        check_truth();
        check_jobs();
        check_speeds();
        check_sweep();
        check_science();
        check_refusals();
    }
    config_free(&cfg);
    return test_summary();
}
