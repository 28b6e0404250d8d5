// SPDX-License-Identifier: GPL-3.0-or-later
// Runs of other programs, from a table: where they say only where to begin, where they are
// points of a fit, and what is wrong with a table.
#include "core/json.h"
#include "core/rng.h"
#include "orchestrator/steer.h"
#include "tests/orchestrator/small_sweep.h"
#include "tests/test.h"
#include <unistd.h>

static const char config[] =
    "name = \"prior\";\n" SMALL_SWEEP "bootstrap = 200;\n"
    "prior = { %s };\n"
    "phases = ( { name = \"allocation\"; seeds = 2;\n"
    "  axes = ( { var = \"M\"; around = \"adopted\"; factor = 1.3; points = 5; } );\n"
    "  fits = ( { axis = \"M\"; form = \"logquad\"; } ); } );\n";

static char table[] = "/tmp/moesweep-test-XXXXXX";

// The optimum of the own runs and of the table's: 7e4 (C/1e10)^0.5.
static double optimum(double C)
{
    return 7e4 * sqrt(C / 1e10);
}

static double noise(uint64_t seed)
{
    struct rng r;
    rng_seed(&r, seed, 3);
    return 0.005 * rng_normal(&r);
}

// Three scales, seven sizes, two shapes: of another text, so at other losses.
static void write_table(double offset)
{
    FILE *f = fopen(table, "w");
    CHECK(f != NULL);
    fputs("# somebody's runs\nflops,active,final loss,shape,status\n", f);
    for (int c = 0; c < 3; c++)
        for (int k = -3; k <= 3; k++)
            for (int shape = 1; shape <= 2; shape++) {
                double C = 1e10 * pow(3, c), t = k * log(1.5);
                fprintf(f, "%.4g,%.9g,%.9g,%d,ok\n", C, optimum(C) * exp(t) / 6,
                        offset + 0.2 * shape + 0.2 * t * t +
                            noise((uint64_t)(97 * c + 7 * k + shape)),
                        shape);
            }
    fputs("1e10,9000,,1,diverged\n", f);
    fclose(f);
}

static enum err load(const char *keys, struct sweep *cfg)
{
    char path[] = "/tmp/moesweep-test-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    CHECK(f != NULL);
    char all[600];
    snprintf(all, sizeof all, "table = \"%s\"; %s", table, keys);
    fprintf(f, config, *keys == '!' ? keys + 1 : all); // !: without a table
    fclose(f);
    enum err e = config_load(path, cfg);
    unlink(path);
    return e;
}

static const char columns[] =
    "map = \"C=flops,M=6*active,loss=\\\"final loss\\\",group=shape\"; phase = \"allocation\";";

static json_t *law_of(const struct sweep *cfg)
{
    struct steer *s = NULL;
    json_t *law = NULL;
    CHECK(steer_create(cfg, &s) == OK && steer_advance(s) == OK);
    for (int i = 0; i < steer_n_jobs(s); i++) {
        const struct steer_job *sj = steer_job_at(s, i);
        struct job_result r = {.status = JOB_OK, .tokens = sj->job.train.tokens};
        memcpy(r.id, sj->job.id, sizeof r.id);
        double t = log((double)sj->counts.M / optimum(sj->C));
        r.loss = 2 + 0.2 * t * t + noise(rng_hash(r.id, strlen(r.id), RNG_HASH_START));
        CHECK(steer_result(s, &r) == OK);
    }
    CHECK(steer_advance(s) == OK && steer_done(s) && steer_law(s, &law) == OK);
    steer_free(s);
    return law;
}

static const json_t *fit_at(const json_t *law, size_t scale)
{
    const json_t *cell = json_array_get(json_object_get(law, "cells"), scale);
    return json_array_get(json_object_get(cell, "fits"), 0);
}

// Half the width of the optimum's interval, in ln.
static double width(const json_t *fit)
{
    const json_t *o = json_object_get(fit, "optimum");
    return 0.5 * log(jnum(o, "hi") / jnum(o, "lo"));
}

static void test_start(void)
{
    struct sweep cfg;
    char keys[400];
    write_table(3);
    CHECK(load(columns, &cfg) == OK); // start is what is not asked otherwise
    CHECK(cfg.prior.n == 42 && prior_runs(&cfg, 0, 0) == 0);
    const struct rule *M = NULL;
    for (int i = 0; i < cfg.n_start; i++)
        if (strcmp(cfg.start[i].var.name, "M") == 0)
            M = &cfg.start[i].rule;
    // sd of an optimum: noise over the curvature and the spread of ln M over 14 runs: 2 %;
    // three of them.
    for (int i = 0; M && i < cfg.n_scales; i++)
        CHECK_REL(rule_at(M, cfg.scales[i]), optimum(cfg.scales[i]), 0.06);
    CHECK(M && fabs(M->exponent - 0.5) < 0.05);
    json_t *law = law_of(&cfg), *prior = json_object_get(law, "prior");
    CHECK_STR(jstr(prior, "use"), "start");
    CHECK(jnum(prior, "runs") == 42 && jnum(prior, "used") == 0);
    CHECK(!json_object_get(fit_at(law, 0), "prior"));
    CHECK(jnum(fit_at(law, 0), "n") == 10);
    json_decref(law);

    // What is written out reads back to the same sweep; another table is another sweep.
    char *text = NULL, path[] = "/tmp/moesweep-test-XXXXXX";
    CHECK(config_resolved(&cfg, &text) == OK);
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    free(text);
    struct sweep again;
    CHECK(config_load(path, &again) == OK && again.hash == cfg.hash);
    config_free(&again);
    write_table(4);
    CHECK(config_load(path, &again) == OK && again.hash != cfg.hash);
    config_differences(&cfg, &again, keys, sizeof keys);
    CHECK(strstr(keys, "prior.table (content): was ") != NULL);
    config_free(&again);
    config_free(&cfg);
    unlink(path);
}

// Points of a fit: they narrow its interval; how good somebody else's losses are is not taken
// over.
static void test_fit(void)
{
    struct sweep start, fit;
    char keys[400];
    json_t *law[2];
    write_table(3);
    snprintf(keys, sizeof keys, "%s use = \"start\";", columns);
    CHECK(load(keys, &start) == OK);
    json_t *alone = law_of(&start);
    for (int i = 0; i < 2; i++) {
        write_table(i ? 0.5 : 3);
        snprintf(keys, sizeof keys, "%s use = \"fit\";", columns);
        CHECK(load(keys, &fit) == OK && prior_runs(&fit, 0, 0) == 42);
        law[i] = law_of(&fit);
        const json_t *f = fit_at(law[i], 0), *o = json_object_get(f, "optimum");
        CHECK(jnum(f, "n") == 24 && jnum(f, "prior") == 14 && jnum(f, "groups") == 3);
        CHECK(jnum(o, "lo") < optimum(1e10) && optimum(1e10) < jnum(o, "hi"));
        CHECK(width(f) < 0.8 * width(fit_at(alone, 0)));
        CHECK(fabs(jnum(f, "optimum_loss") - 2) < 0.02);
        CHECK(fabs(jnum(json_object_get(f, "raw_minimum"), "loss") - 2) < 0.02);
        int lines = 0;
        for (size_t k = 0; k < json_array_size(json_object_get(f, "points")); k++) {
            const json_t *pt = json_array_get(json_object_get(f, "points"), k);
            CHECK(!json_object_get(pt, "prior") != !json_object_get(pt, "job"));
            lines += jnum(pt, "prior") >= 3;
        }
        CHECK(lines == 14);
        CHECK(jnum(json_object_get(law[i], "prior"), "used") == 28);
        config_free(&fit);
    }
    // The best losses of the scales are the sweep's own.
    CHECK(json_equal(json_object_get(law[0], "loss"), json_object_get(law[1], "loss")));
    json_decref(law[0]);
    json_decref(law[1]);
    json_decref(alone);
    config_free(&start);
}

static void refused(const char *keys, const char *line, const char *why)
{
    struct sweep cfg;
    write_table(3);
    FILE *f = fopen(table, "a");
    fputs(line, f);
    fclose(f);
    CHECK(load(keys, &cfg) == ERR_INPUT);
    if (!strstr(err_message(), why))
        fprintf(stderr, "expected '%s', found '%s'\n", why, err_message());
    CHECK(strstr(err_message(), why) != NULL);
}

static void test_refused(void)
{
    refused(columns, "1e10,abc,3,1,ok\n",
            "line 46, column active: expected a number, found 'abc'");
    refused(columns, "1e10,-5,3,1,ok\n", "line 46, M: expected a positive number, found -30");
    refused(columns, "1e10,5\n", "line 46");
    refused("map = \"C=flops,M=active\"; phase = \"allocation\";", "",
            "expected a column loss, or prior.map = \"loss=..\"; found columns flops, active");
    refused("map = \"C=flops,M=active*\"; phase = \"allocation\";", "", "at character 18");
    refused("phase = \"width\";", "", "prior.phase: expected the name of a phase with a fit");
    refused("", "", "prior.phase");
    refused("!phase = \"allocation\";", "",
            "prior.table: expected path of a CSV file, found nothing");
    struct sweep cfg;
    unlink(table);
    CHECK(load(columns, &cfg) == ERR_INPUT);
    CHECK(strstr(err_message(), "prior.table: expected a CSV file") != NULL);
    FILE *f = fopen(table, "w"); // every scale falls to its end
    fputs("C,M,loss\n1e10,1e4,3\n1e10,2e4,2.8\n1e10,4e4,2.7\n1e10,8e4,2.65\n", f);
    fclose(f);
    CHECK(load("phase = \"allocation\";", &cfg) == ERR_INPUT);
    CHECK(strstr(err_message(), "expected a scale with an interior optimum") != NULL);
}

int main(void)
{
    int fd = mkstemp(table);
    if (fd < 0)
        SKIP("no temporary file");
    close(fd);
    test_start();
    test_fit();
    test_refused();
    unlink(table);
    return test_summary();
}
