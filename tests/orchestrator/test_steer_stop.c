// SPDX-License-Identifier: GPL-3.0-or-later
// Runs that end early because their learning curves are worse than the best before them: which
// do, what stands in for them, and what is concluded, on a planted loss surface.
#include "fit/fit.h"
#include "tests/orchestrator/planted_sweep.h"

static const double noise = 0.001;

// With learning curves.
static struct steer *run(const struct sweep *cfg, uint64_t seed)
{
    struct planted how = {.seed = seed, .noise = noise, .curves = true};
    return planted_run(cfg, &how);
}

static int count_status(const struct steer *s, int phase, enum job_status status)
{
    int n = 0;
    for (int i = 0; i < steer_n_jobs(s); i++)
        n += steer_job_at(s, i)->phase == phase && steer_job_at(s, i)->result.status == status;
    return n;
}

static const struct steer_job *job_named(const struct steer *s, const char *id)
{
    for (int i = 0; i < steer_n_jobs(s); i++)
        if (strcmp(steer_job_at(s, i)->job.id, id) == 0)
            return steer_job_at(s, i);
    return NULL;
}

// The best run of phase 0 at C = 1e11, found the plain way.
static const struct steer_job *best_of_first(const struct steer *s)
{
    const struct steer_job *best = NULL;
    for (int i = 0; i < steer_n_jobs(s); i++) {
        const struct steer_job *sj = steer_job_at(s, i);
        if (sj->phase == 0 && (!best || sj->result.loss < best->result.loss))
            best = sj;
    }
    return best;
}

#define PHASE_X(name, more)                                                                    \
    "{ name = \"" name "\"; seeds = 2; axes = ( { var = \"x\"; values = [6.5, 7.0, 7.6, 8.6, " \
    "10.0]; } ); fits = ( { axis = \"x\"; form = \"logquad\"; grow = 2; } ); " more "}"
#define STOPS "early_stop = { at = [0.3, 0.6]; margin = 0.03; }; "

// What the runs of a phase are compared with: the best run before it, at the same shares of
// each run's own steps.
static void check_stops(const struct steer *s)
{
    const json_t *d = decision(s, "x@1e+11.0");
    const struct steer_job *best = best_of_first(s);
    CHECK_STR(json_string_value(json_object_get(d, "stopped_against")), best->job.id);
    CHECK(!json_object_get(decision(s, "a@1e+11.0"), "stopped_against"));
    int64_t steps = job_steps(&best->job);
    for (int i = 0; i < steer_n_jobs(s); i++) {
        const struct steer_job *sj = steer_job_at(s, i);
        CHECK(sj->job.n_stop == (sj->phase == 1 ? 2 : 0));
        for (int k = 0; k < sj->job.n_stop; k++) {
            const double share = .3 * (k + 1);
            int64_t own = job_steps(&sj->job), at = 0, to = 0;
            while (job_curve_step(steps, at + 1) <= (int64_t)(share * (double)steps))
                at++;
            while (job_curve_step(own, to + 1) <= (int64_t)(share * (double)own))
                to++;
            CHECK(sj->job.stop[k].step == job_curve_step(own, to));
            CHECK_REL(sj->job.stop[k].loss, 1.03 * best->result.curve[at - 1].loss, 1e-15);
        }
        if (sj->phase != 1)
            continue;
        // Curves here are the final loss times what the share says, so a share's rounding apart
        // (half a point of 48) a run ends early if it would end 3 % above the best.
        double ratio = planted_loss(sj, noise) / best->result.loss;
        CHECK(sj->result.status == (ratio > 1.035 ? JOB_PRUNED : JOB_OK) ||
              fabs(ratio - 1.03) < .005 + .5 / 48);
    }
}

static void test_early_stop(void)
{
    struct sweep cfg = load_config(
        SMALL("scales = [1e11]; bootstrap = 100;",
              PHASE_M("a", "") "," PHASE_X(
                  "x", "after = [\"a\"]; " STOPS) ","
                                                  "{ name = \"d\"; after = [\"x\"]; seeds = 2; "
                                                  "axes = ( { var = "
                                                  "\"d\"; fractions = [0.0, 0.5, 1.0]; } ); "
                                                  "fits = ( { axis = "
                                                  "\"d\"; form = \"logquad\"; } ); }"));
    struct steer *first = run(&cfg, 1);
    check_stops(first);
    int pruned = count_status(first, 1, JOB_PRUNED);
    CHECK(pruned >= 2 && pruned <= 6); // 10.0 in any case, the middle in none
    for (uint64_t seed = 2; seed < 6; seed++) {
        struct steer *other = run(&cfg, seed);
        check_same(first, other);
        steer_free(other);
    }
    // Listed apart, not dropped; the optimum is bracketed by what was stopped.
    json_t *law, *e, *fit;
    size_t i;
    int excluded = 0;
    CHECK(steer_law(first, &law) == OK);
    CHECK(number(law, "runs", "pruned", NULL) == pruned);
    CHECK(number(law, "runs", "failed", NULL) == 0 &&
          number(law, "runs", "diverged", NULL) == 0);
    const json_t *d = decision(first, "x@1e+11.0");
    json_array_foreach(json_object_get(d, "excluded"), i, e) excluded +=
        strcmp(json_string_value(json_object_get(e, "why")), "pruned") == 0;
    CHECK(excluded == pruned);
    fit = json_array_get(json_object_get(d, "fits"), 0);
    CHECK_STR(json_string_value(json_object_get(fit, "verdict")), "interior");
    CHECK(json_number_value(json_array_get(json_object_get(fit, "range"), 1)) > 9.5);
    CHECK(fabs(log(number(d, "adopted", "x", NULL) / planted_x)) < .03);
    json_decref(law);
    // Without curves, or with others than the steps call for, there is nothing to compare with.
    for (int k = 0; k < 2; k++) {
        struct planted how = {.seed = 1, .noise = noise, .curves = k == 1, .sampled = k == 1};
        struct steer *none = planted_run(&cfg, &how);
        CHECK(count_status(none, 1, JOB_PRUNED) == 0);
        for (int job = 0; job < steer_n_jobs(none); job++)
            CHECK(steer_job_at(none, job)->job.n_stop == 0);
        steer_free(none);
    }
    steer_free(first);
    config_free(&cfg);
}

#define SIBLINGS                                                                               \
    "," PHASE_X("stops", "after = [\"a\"]; " STOPS) "," PHASE_X("plain", "after = [\"a\"]; ")
#define AT "set = { M = 9e4; }; "
#define FOLLOWERS                                                                              \
    "," PHASE_X("both", "after = [\"stops\", \"plain\"]; " AT STOPS) "," PHASE_X(              \
        "again", "after = [\"both\"]; " AT STOPS) "," PHASE_X("whole",                         \
                                                              "after = [\"both\"]; " AT)

// Trainings that ended well, and structures of them; what ran with several stops counts once.
static void count_distinct(const struct steer *s, int *works, int *structures)
{
    *works = *structures = 0;
    for (int i = 0; i < steer_n_jobs(s); i++) {
        const struct steer_job *a = steer_job_at(s, i);
        bool work = steer_job_ok(a), structure = work;
        for (int k = 0; k < i; k++) {
            const struct steer_job *b = steer_job_at(s, k);
            bool same = steer_job_ok(b) &&
                        memcmp(&a->job.arch, &b->job.arch, sizeof a->job.arch) == 0 &&
                        a->job.train.tokens == b->job.train.tokens;
            structure = structure && !same;
            work = work && !(same && a->job.train.seed == b->job.train.seed);
        }
        *works += work;
        *structures += structure;
    }
}

// The same work is trained once: a run of a phase before stands in, one that ended for one that
// was stopped; a phase that stops nothing takes none that was.
static void test_stand_ins(void)
{
    static const char text[] =
        SMALL("scales = [1e11]; bootstrap = 40;", PHASE_M("a", "") SIBLINGS FOLLOWERS);
    struct sweep cfg = load_config(text);
    struct steer *first = run(&cfg, 1);
    for (uint64_t seed = 2; seed < 8; seed++) {
        struct steer *other = run(&cfg, seed);
        check_same(first, other);
        steer_free(other);
    }
    int stopped = count_status(first, 3, JOB_PRUNED);
    CHECK(stopped > 0 && count_phase(first, 3) > stopped);
    CHECK(count_phase(first, 1) == 10 && count_phase(first, 2) == 10); // siblings: both train
    CHECK(count_phase(first, 4) == 0);                                 // all of both's
    CHECK(count_phase(first, 5) == stopped);                           // what both stopped
    CHECK(count_status(first, 5, JOB_OK) == stopped);
    const json_t *d = decision(first, "whole@1e+11.0");
    CHECK(json_array_size(json_object_get(d, "inputs")) == 10);
    CHECK(json_array_size(json_object_get(d, "excluded")) == 0);
    // Seed noise is over seeds: the same training twice tells nothing of it.
    int works, structures, ended = 0;
    json_t *law;
    count_distinct(first, &works, &structures);
    for (int phase = 0; phase < 6; phase++)
        ended += count_status(first, phase, JOB_OK);
    CHECK(works < ended);
    CHECK(steer_law(first, &law) == OK);
    const json_t *told = json_array_get(json_object_get(law, "noise"), 0);
    CHECK(json_integer_value(json_object_get(told, "n")) == works - structures);
    json_decref(law);
    steer_free(first);
    config_free(&cfg);
}

#define STOPPED_Y(fit)                                                                         \
    SMALL(                                                                                     \
        "scales = [1e11]; bootstrap = 100;",                                                   \
        PHASE_M("a", "") ", { name = \"y\"; seeds = 2; after = [\"a\"]; " STOPS                \
                         "axes = ( { var = \"y\"; values = [2.0, 3.0, 4.5, 7.0, 10.0]; } ); "  \
                         "fits = ( { axis = \"y\"; " fit " } ); }")

// A grid does not grow beyond what was stopped, and no value is adopted from there.
static void test_no_growth_beyond_stopped(void)
{
    struct sweep cfg = load_config(STOPPED_Y("form = \"logquad\"; grow = 1;"));
    struct steer *s = run(&cfg, 1); // the loss falls with y
    CHECK(decision(s, "y@1e+11.1") != NULL);
    steer_free(s);
    struct planted how = {.seed = 1, .noise = noise, .curves = true, .misleading_y = 8.5};
    s = planted_run(&cfg, &how);
    const json_t *d = decision(s, "y@1e+11.0");
    json_t *fit = json_array_get(json_object_get(d, "fits"), 0);
    CHECK(count_status(s, 1, JOB_PRUNED) == 2 && !decision(s, "y@1e+11.1"));
    CHECK_STR(json_string_value(json_object_get(d, "verdict")), "decided");
    CHECK_STR(json_string_value(json_object_get(fit, "verdict")), "edge_high");
    CHECK(strstr(json_string_value(json_object_get(fit, "rule")), "stopped early") != NULL);
    CHECK(number(d, "adopted", "y", NULL) < 7.4); // y's tolerance is 5 %
    steer_free(s);
    config_free(&cfg);
}

// The pole of the form "expansion" lies beyond all runs, stopped ones included: these belong to
// the range tried.
static void test_pole_beyond_stopped(void)
{
    struct sweep cfg = load_config(STOPPED_Y("form = \"expansion\";"));
    struct planted how = {.seed = 1, .noise = noise, .curves = true, .misleading_y = 4};
    struct steer *s = planted_run(&cfg, &how);
    json_t *fit = json_array_get(json_object_get(decision(s, "y@1e+11.0"), "fits"), 0);
    CHECK(count_status(s, 1, JOB_PRUNED) == 6);
    CHECK(json_number_value(json_array_get(json_object_get(fit, "range"), 1)) > 9.5);
    steer_free(s);
    config_free(&cfg);
}

// Stops are put into a sweep that was there without: what is known of the whole runs says what
// would have become of the stopped ones, so none is trained again and the law is that from
// scratch.
static void test_known_without_stops(void)
{
    static const char text[] =
        SMALL("scales = [1e11]; bootstrap = 100;",
              PHASE_M("a", "") "," PHASE_X("x", "after = [\"a\"]; " STOPS));
    struct sweep cfg = load_config(text), plain = cfg; // shares what it does not change
    plain.phases[1].stop.n = 0;
    struct planted how = {.seed = 1, .noise = noise, .curves = true};
    struct steer *was = planted_run(&plain, &how), *fresh = planted_run(&cfg, &how);
    CHECK(how.trained == steer_n_jobs(fresh) && count_status(fresh, 1, JOB_PRUNED) > 0);
    how.past = was;
    how.seed = 2;
    struct steer *is = planted_run(&cfg, &how);
    CHECK(how.trained == 0);
    check_same(fresh, is);
    for (int i = 0; i < steer_n_jobs(is); i++) {
        const struct steer_job *a = steer_job_at(is, i), *b = job_named(fresh, a->job.id);
        CHECK(b && a->result.status == b->result.status &&
              a->result.n_curve == b->result.n_curve);
        CHECK_STR(a->result.cause, b->result.cause);
    }
    steer_free(is);
    // A curve with a point elsewhere is compared with nothing: its run stays whole.
    CHECK(steer_create(&cfg, &is) == OK);
    for (int i = 0; i < steer_n_jobs(was); i++) {
        struct job_result r = steer_job_at(was, i)->result;
        r.curve[1].step -= steer_job_at(was, i)->phase == 1;
        CHECK(steer_know(is, &r, NULL) == OK);
    }
    CHECK(steer_advance(is) == OK && steer_done(is) && steer_job_at(is, 10)->job.n_stop == 2);
    CHECK(count_status(is, 1, JOB_PRUNED) == 0);
    steer_free(was);
    steer_free(fresh);
    steer_free(is);
    config_free(&cfg);
}

int main(void)
{
    fit_init();
    test_early_stop();
    test_stand_ins();
    test_no_growth_beyond_stopped();
    test_pole_beyond_stopped();
    test_known_without_stops();
    return test_summary();
}
