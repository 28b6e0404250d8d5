// SPDX-License-Identifier: GPL-3.0-or-later
// For tests of steering without MPI or training: sweeps whose every job a planted loss surface
// answers, and what such tests ask of a sweep that has ended. In a header, so that its checks
// count in the program that runs them.
#ifndef TESTS_ORCHESTRATOR_PLANTED_SWEEP_H
#define TESTS_ORCHESTRATOR_PLANTED_SWEEP_H
#include "core/rng.h"
#include "orchestrator/steer.h"
#include "tests/test.h"
#include <unistd.h>

// A sweep of few jobs: head (scales, bootstrap, ..), then the phases; and a phase.
#define SMALL(head, phases)                                                                    \
    "name = \"small\";\n"                                                                      \
    "data = { paths = [\"%s/data/kjv.txt\"]; max_epochs = 16.0; };\n"                          \
    "arch = { S = 64; K = 2; n_shared = 1; N_q = 2; N_kv = 1; L_d = 1; L_m = 1; };\n"          \
    "free = { d_qkv = [2, 96, 2]; N_e = [4, 96]; d_m = [1, 512]; d = [6, 160, 2]; };\n"        \
    "tolerance = { M = 0.015; x = 0.05; y = 0.05; };\n"                                        \
    "start = { M = { value = 8.5e4; at = 1e11; exponent = 0.4; }; x = 7.2; y = 2.5; };\n"      \
    "train = { batch_tokens = 256; lr = 0.005; };\n" head "phases = (" phases ");\n"
#define PHASE_M(name, more)                                                                    \
    "{ name = \"" name "\"; seeds = 2; axes = ( { var = \"M\"; around = \"adopted\"; "         \
    "factor = 1.5; points = 5; } ); fits = ( { axis = \"M\"; form = \"logquad\"; } ); " more   \
    "}"

static const double planted_M = 9e4, planted_p = 0.42, planted_x = 7.3; // at C = 1e11

// Loss of a job on the planted surface (the best d grows with M about as the median feasible
// one does, so that the width does not move the optimum of M); noise: sd of ln loss, a pure
// function of the work.
static inline double planted_loss(const struct steer_job *sj, double noise)
{
    double C = sj->C, best = 0.9 + 0.9 * pow(C / 1e11, -0.1);
    double m = log((double)sj->counts.M / (planted_M * pow(C / 1e11, planted_p)));
    double x = log(sj->counts.x / planted_x),
           d = log((double)sj->job.arch.d / (24 * pow((double)sj->counts.M / 9e4, 0.45)));
    struct rng r;
    rng_seed(&r, rng_hash(sj->work, strlen(sj->work), RNG_HASH_START), 7);
    return best * exp(0.10 * m * m + 2.0 * x * x + 0.05 * d * d - 0.03 * log(sj->counts.y) +
                      noise * rng_normal(&r));
}

// The one %s of the text is the folder of the sources. Freed by the caller.
static inline struct sweep load_config(const char *text)
{
    const char *source = getenv("MOESWEEP_SOURCE");
    char path[] = "/tmp/moesweep-test-XXXXXX";
    struct sweep cfg;
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!source || !f)
        SKIP("MOESWEEP_SOURCE is not set, or no temporary file");
    const char *at = strstr(text, "%s");
    fprintf(f, "%.*s%s%s", (int)(at - text), text, source, at + 2);
    fclose(f);
    enum err e = config_load(path, &cfg);
    unlink(path);
    if (e != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    return cfg;
}

// How a sweep runs, for planted_run.
struct planted {
    const struct steer *past; // whose results are known; NULL: none are
    uint64_t seed;            // of the order in which open jobs end
    double noise;             // sd of ln loss
    int fail_every;           // about one job in so many diverges, by its id; 0: none
    // Learning curves besides, and trainers that look at the job's stops.
    bool curves;
    bool sampled;        // a point is elsewhere, as of a trainer that tells them by the clock
    double misleading_y; // runs of more look bad on the way, however they end; 0: none do
    int trained;         // out: the results that the run had to give
};

static inline void planted_curve(const struct planted *how, const struct steer_job *sj,
                                 struct job_result *r)
{
    int64_t steps = job_steps(&sj->job), n = job_curve_passed(steps, steps);
    double end = r->loss * (how->misleading_y > 0 && sj->counts.y > how->misleading_y ? 2 : 1);
    for (int i = 0; i < n; i++) {
        r->curve[i] = (struct job_point){job_curve_step(steps, i + 1),
                                         end * (1.5 - .5 * (double)(i + 1) / (double)n)};
        r->curve[i].step -= how->sampled && i == n / 2;
        r->n_curve = i + 1;
        if (!job_stops_at(&sj->job, r->curve[i], r->cause, sizeof r->cause))
            continue;
        r->status = JOB_PRUNED;
        r->loss = r->loss_per_byte = NAN;
        return;
    }
}

// Runs a sweep to its end. The caller's.
static inline struct steer *planted_run(const struct sweep *cfg, struct planted *how)
{
    struct steer *s;
    struct rng r;
    rng_seed(&r, how->seed, 1);
    CHECK(steer_create(cfg, &s) == OK);
    for (int i = 0; how->past && i < steer_n_jobs(how->past); i++)
        CHECK(steer_know(s, &steer_job_at(how->past, i)->result, NULL) == OK);
    how->trained = 0;
    CHECK(steer_advance(s) == OK);
    while (!steer_done(s)) {
        int open[4096], n = 0;
        for (int i = 0; i < steer_n_jobs(s) && n < 4096; i++)
            if (!steer_job_at(s, i)->final)
                open[n++] = i;
        if (n == 0) {
            CHECK(n > 0); // a sweep that is not done has open jobs
            break;
        }
        // A few at a time, so that several results can arrive between two advances.
        for (uint64_t k = 1 + rng_below(&r, 3); k > 0; k--) {
            const struct steer_job *sj = steer_job_at(s, open[rng_below(&r, (uint64_t)n)]);
            how->trained += !sj->final;
            struct job_result res = {.status = JOB_OK, .tokens = sj->job.train.tokens};
            snprintf(res.id, sizeof res.id, "%s", sj->job.id);
            res.loss = res.loss_per_byte = planted_loss(sj, how->noise);
            uint64_t h = rng_hash(sj->job.id, strlen(sj->job.id), RNG_HASH_START);
            if (how->fail_every && h % (uint64_t)how->fail_every == 0) {
                res.status = JOB_DIVERGED;
                res.loss = res.loss_per_byte = NAN;
            }
            if (how->curves && res.status == JOB_OK)
                planted_curve(how, sj, &res);
            CHECK(steer_result(s, &res) == OK);
            CHECK(steer_result(s, &res) == OK); // a repeat is ignored
        }
        if (steer_advance(s) != OK) {
            fprintf(stderr, "%s\n", err_message());
            exit(1);
        }
    }
    return s;
}

static inline char *law_text(const struct steer *s)
{
    json_t *law;
    if (steer_law(s, &law) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    char *text = json_dumps(law, JSON_INDENT(1));
    json_decref(law);
    return text;
}

static inline int has_decision(const struct steer *s, const json_t *d)
{
    for (int i = 0; i < steer_n_decisions(s); i++)
        if (json_equal(steer_decision_at(s, i), d))
            return 1;
    return 0;
}

// The same law, jobs and decisions, in any order.
static inline void check_same(const struct steer *a, const struct steer *b)
{
    char *ta = law_text(a), *tb = law_text(b);
    CHECK(strcmp(ta, tb) == 0);
    CHECK(steer_n_jobs(a) == steer_n_jobs(b));
    CHECK(steer_n_decisions(a) == steer_n_decisions(b));
    for (int i = 0; i < steer_n_decisions(a); i++)
        CHECK(has_decision(b, steer_decision_at(a, i)));
    free(ta);
    free(tb);
}

// The number at a, b and c (NULL: there is none) of a document.
static inline double number(const json_t *j, const char *a, const char *b, const char *c)
{
    j = json_object_get(json_object_get(j, a), b);
    return json_number_value(c ? json_object_get(j, c) : j);
}

// By its id; NULL: there is none.
static inline const json_t *decision(const struct steer *s, const char *id)
{
    for (int i = 0; i < steer_n_decisions(s); i++) {
        const json_t *d = steer_decision_at(s, i);
        if (strcmp(json_string_value(json_object_get(d, "id")), id) == 0)
            return d;
    }
    return NULL;
}

static inline int count_phase(const struct steer *s, int phase)
{
    int n = 0;
    for (int i = 0; i < steer_n_jobs(s); i++)
        n += steer_job_at(s, i)->phase == phase;
    return n;
}
#endif
