// SPDX-License-Identifier: GPL-3.0-or-later
// Steering without MPI or training: a planted loss surface answers every job. The same results
// in any order must give the same jobs, decisions and law, and the law must find what was
// planted.
#include "core/json.h"
#include "core/rng.h"
#include "fit/fit.h"
#include "orchestrator/candidate.h"
#include "orchestrator/recommend.h"
#include "orchestrator/steer.h"
#include "tests/test.h"
#include <unistd.h>

static const char config_text[] =
    "name = \"planted\";\n"
    "scales = [3e10, 1e11, 3e11, 1e12];\n"
    "data = { paths = [\"%s/data/kjv.txt\"]; };\n"
    "arch = { S = 64; K = 2; n_shared = 1; N_q = 2; N_kv = 1; L_d = 1; L_m = 1; };\n"
    "free = { d_qkv = [2, 96, 2]; N_e = [4, 96]; d_m = [1, 512]; d = [6, 160, 2]; };\n"
    "tolerance = { M = 0.015; x = 0.05; y = 0.05; };\n"
    "start = { M = { value = 8.5e4; at = 1e11; exponent = 0.4; }; x = 7.2; y = 2.5; };\n"
    "train = { batch_tokens = 256; lr = { value = 0.0055; at = 1e11; exponent = -0.25; }; };\n"
    "model = { rope_base = 100.0; };\n"
    "bootstrap = 200;\n"
    "recommend = { budget_factor = 10.0; };\n"
    "phases = (\n"
    "  { name = \"allocation\"; seeds = 2;\n"
    "    axes = ( { var = \"M\"; around = \"adopted\"; factor = 1.5; points = 5; } );\n"
    "    fits = ( { axis = \"M\"; form = \"logquad\"; grow = 3; } ); },\n"
    "  { name = \"ratios\"; seeds = 2; after = [\"allocation\"]; scales = [1e11, 3e11];\n"
    "    axes = ( { var = \"x\"; values = [6.5, 7.0, 7.6, 8.6]; }, { var = \"y\"; values = "
    "[2.0, 3.0, 4.0]; } );\n"
    "    fits = ( { axis = \"x\"; form = \"logquad\"; }, { axis = \"y\"; form = \"logquad\"; } "
    "); },\n"
    "  { name = \"width\"; seeds = 2; after = [\"ratios\"]; scales = [1e11];\n"
    "    axes = ( { var = \"M\"; around = \"adopted\"; factor = 1.4; points = 3; },\n"
    "             { var = \"d\"; fractions = [0.0, 0.25, 0.5, 0.75, 1.0]; } );\n"
    "    fits = ( { axis = \"d\"; form = \"logquad\"; } ); analysis = \"rank\"; },\n"
    "  { name = \"iterate\"; seeds = 2; after = [\"ratios\"]; rounds = 3;\n"
    "    axes = ( { var = \"M\"; around = \"adopted\"; factor = 1.5; points = 5; } );\n"
    "    fits = ( { axis = \"M\"; form = \"logquad\"; grow = 2; } ); }\n"
    ");\n";

static const double planted_M = 9e4, planted_p = 0.42, planted_x = 7.3; // at C = 1e11

// Loss of a job on the planted surface (the best d grows with M about as the median feasible
// one does, so that the width does not move the optimum of M); noise: sd of ln loss, a pure
// function of the job.
static double planted_loss(const struct steer_job *sj, double noise)
{
    double C = sj->C, best = 0.9 + 0.9 * pow(C / 1e11, -0.1);
    double m = log((double)sj->counts.M / (planted_M * pow(C / 1e11, planted_p)));
    double x = log(sj->counts.x / planted_x),
           d = log((double)sj->job.arch.d / (24 * pow((double)sj->counts.M / 9e4, 0.45)));
    struct rng r;
    rng_seed(&r, rng_hash(sj->job.id, strlen(sj->job.id), RNG_HASH_START), 7);
    return best * exp(0.10 * m * m + 2.0 * x * x + 0.05 * d * d - 0.03 * log(sj->counts.y) +
                      noise * rng_normal(&r));
}

static struct sweep load_config(void)
{
    const char *source = getenv("MOESWEEP_SOURCE");
    char path[] = "/tmp/moesweep-test-XXXXXX";
    struct sweep cfg;
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!source || !f)
        SKIP("MOESWEEP_SOURCE is not set, or no temporary file");
    // The one %s of the text is the folder of the sources.
    const char *at = strstr(config_text, "%s");
    fprintf(f, "%.*s%s%s", (int)(at - config_text), config_text, source, at + 2);
    fclose(f);
    enum err e = config_load(path, &cfg);
    unlink(path);
    if (e != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    return cfg;
}

// Runs a sweep to its end, finishing open jobs in an order drawn from seed; lost: how many of
// the first jobs by id diverge. Caller frees both results.
static struct steer *run(const struct sweep *cfg, uint64_t seed, double noise, int fail_every)
{
    struct steer *s;
    struct rng r;
    rng_seed(&r, seed, 1);
    CHECK(steer_create(cfg, &s) == OK);
    CHECK(steer_advance(s) == OK);
    while (!steer_done(s)) {
        int open[4096], n = 0;
        for (int i = 0; i < steer_n_jobs(s) && n < 4096; i++)
            if (!steer_job_at(s, i)->final)
                open[n++] = i;
        if (n == 0) {
            CHECK(!"a sweep that is not done has open jobs");
            break;
        }
        // A few at a time, so that several results can arrive between two advances.
        for (uint64_t k = 1 + rng_below(&r, 3); k > 0; k--) {
            const struct steer_job *sj = steer_job_at(s, open[rng_below(&r, (uint64_t)n)]);
            struct job_result res = {.status = JOB_OK, .tokens = sj->job.train.tokens};
            snprintf(res.id, sizeof res.id, "%s", sj->job.id);
            res.loss = res.loss_per_byte = planted_loss(sj, noise);
            uint64_t h = rng_hash(sj->job.id, strlen(sj->job.id), RNG_HASH_START);
            if (fail_every && h % (uint64_t)fail_every == 0) {
                res.status = JOB_DIVERGED;
                res.loss = res.loss_per_byte = NAN;
            }
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

static char *law_text(const struct steer *s)
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

static int has_decision(const struct steer *s, const json_t *d)
{
    for (int i = 0; i < steer_n_decisions(s); i++)
        if (json_equal(steer_decision_at(s, i), d))
            return 1;
    return 0;
}

static void check_same(const struct steer *a, const struct steer *b)
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

static double number(const json_t *j, const char *a, const char *b, const char *c)
{
    j = json_object_get(json_object_get(j, a), b);
    return json_number_value(c ? json_object_get(j, c) : j);
}

static void test_order(const struct sweep *cfg)
{
    struct steer *first = run(cfg, 1, 0.005, 0);
    for (uint64_t seed = 2; seed < 7; seed++) {
        struct steer *other = run(cfg, seed, 0.005, 0);
        check_same(first, other);
        steer_free(other);
    }
    steer_free(first);
}

static void test_finds_what_was_planted(const struct sweep *cfg)
{
    struct steer *s = run(cfg, 3, 0.002, 0);
    json_t *law, *arch;
    CHECK(steer_law(s, &law) == OK);
    // The optimum of the noisy surface: the interval must hold the truth, and be of use.
    if (getenv("MOESWEEP_SHOW_LAW"))
        json_dumpf(law, stdout, JSON_INDENT(1));
    double lo = number(law, "laws", "M", "p_lo"), hi = number(law, "laws", "M", "p_hi");
    CHECK(lo <= planted_p && planted_p <= hi && hi - lo < 0.3);
    json_t *cell = json_array_get(json_object_get(law, "cells"), 0);
    CHECK_STR(json_string_value(json_object_get(cell, "phase")), "allocation");
    CHECK(json_array_size(json_object_get(cell, "inputs")) >= 10);
    if (recommend_build(law, "law", 0, 0, &arch) != OK) {
        CHECK(!"recommendation");
        fprintf(stderr, "%s\n", err_message());
    } else {
        double M = number(arch, "counts", "M", NULL), want = planted_M * pow(100, planted_p);
        CHECK(fabs(log(M / want)) < 0.35); // two decades on: p is known to about 0.1
        CHECK_REL(number(arch, "train", "tokens", NULL) * M, 1e13, 1e-5);
        CHECK_REL(json_number_value(json_object_get(arch, "extrapolation")), 10, 1e-12);
        json_decref(arch);
    }
    CHECK(json_is_object(json_object_get(law, "rank_preservation")));
    CHECK(json_is_object(json_object_get(law, "holdout")));
    json_decref(law);
    steer_free(s);
}

static void test_diverging(const struct sweep *cfg)
{
    struct steer *s = run(cfg, 4, 0.005, 9), *other = run(cfg, 5, 0.005, 9);
    check_same(s, other);
    json_t *law, *c, *e;
    size_t i, k, excluded = 0;
    CHECK(steer_law(s, &law) == OK);
    CHECK(json_integer_value(json_object_get(json_object_get(law, "runs"), "diverged")) > 0);
    json_array_foreach(json_object_get(law, "cells"), i, c)
        json_array_foreach(json_object_get(c, "excluded"), k, e) excluded +=
        strcmp(json_string_value(json_object_get(e, "why")), "diverged") == 0;
    CHECK(excluded > 0); // listed, not dropped in silence
    json_decref(law);
    steer_free(s);
    steer_free(other);
    s = run(cfg, 4, 0.005, 1); // everything diverges: an end, and no law for M
    CHECK(steer_law(s, &law) == OK);
    CHECK(json_object_size(json_object_get(law, "laws")) == 0);
    json_t *arch;
    CHECK(recommend_build(law, "law", 0, 0, &arch) == ERR_INPUT);
    json_decref(law);
    steer_free(s);
}

static void test_refuses_strangers(const struct sweep *cfg)
{
    struct steer *s;
    struct job_result r = {.id = "nobody", .status = JOB_OK, .loss = 1};
    CHECK(steer_create(cfg, &s) == OK);
    CHECK(steer_advance(s) == OK);
    CHECK(steer_result(s, &r) == ERR_INPUT);
    CHECK(steer_expected_jobs(s) > steer_n_jobs(s));
    steer_free(s);
}

static void test_wishes(void)
{
    struct wish w, upper;
    wish_init(&w);
    wish_init(&upper);
    struct var y = {VAR_COORD, COORD_y, "y"}, N_e = {VAR_DIM, DIM_N_e, "N_e"},
               M = {VAR_COORD, COORD_M, "M"};
    wish_set(&w, &y, 3);
    wish_set(&w, &M, 1e5);
    wish_set(&upper, &N_e, 32.2);
    wish_layer(&w, &upper);
    CHECK(isnan(w.coord[COORD_y])); // the number of experts replaces the wish for y
    CHECK_NEAR(w.dim[DIM_N_e], 32, 0);
    CHECK_NEAR(w.coord[COORD_M], 1e5, 0);
}

int main(void)
{
    fit_init();
    test_wishes();
    struct sweep cfg = load_config();
    test_refuses_strangers(&cfg);
    test_order(&cfg);
    test_finds_what_was_planted(&cfg);
    test_diverging(&cfg);
    config_free(&cfg);
    return test_summary();
}
