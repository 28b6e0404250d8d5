// SPDX-License-Identifier: GPL-3.0-or-later
// Steering without MPI or training: a planted loss surface answers every job. The same results
// in any order must give the same jobs, decisions and law, and the law must find what was
// planted.
#include "fit/fit.h"
#include "orchestrator/candidate.h"
#include "orchestrator/recommend.h"
#include "tests/orchestrator/planted_sweep.h"

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

static struct steer *run(const struct sweep *cfg, uint64_t seed, double noise, int fail_every)
{
    struct planted how = {.seed = seed, .noise = noise, .fail_every = fail_every};
    return planted_run(cfg, &how);
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

// A sweep with fewer scales, seeds, values and phases, extended: the same jobs, decisions and
// law as the larger one from scratch, and only what is new is trained.
static void test_extension(const struct sweep *cfg)
{
    struct sweep less = *cfg; // shares what it does not change
    less.n_scales = 3;
    less.n_phases = 3;
    for (int p = 0; p < less.n_phases; p++) {
        less.phases[p].seeds = 1;
        if (less.phases[p].n_scales == cfg->n_scales)
            less.phases[p].n_scales = 3;
    }
    less.phases[1].axes[0].n = 3;
    for (int fail_every = 0; fail_every < 30; fail_every += 25) {
        struct planted how = {.seed = 1, .noise = 0.005, .fail_every = fail_every};
        struct steer *was = planted_run(&less, &how), *fresh = planted_run(cfg, &how);
        CHECK(how.trained == steer_n_jobs(fresh));
        for (how.past = was, how.seed = 2; how.seed < 4; how.seed++) {
            struct steer *is = planted_run(cfg, &how);
            check_same(fresh, is);
            int again = 0;
            for (int i = 0; i < steer_n_jobs(is); i++)
                for (int k = 0; k < steer_n_jobs(was); k++)
                    again +=
                        strcmp(steer_job_at(is, i)->job.id, steer_job_at(was, k)->job.id) == 0;
            // The smallest grid: three scales of five values.
            CHECK(again >= 15 && how.trained == steer_n_jobs(is) - again);
            steer_free(is);
        }
        steer_free(was);
        steer_free(fresh);
    }
}

static enum err recommended_at(json_t *law, double C, double max_total, json_t **arch)
{
    const struct ask ask = {.C = C, .max_total_params = max_total};
    return recommend_sweep(law, "law", &ask, arch);
}

// 1 + the costs of what a document builds.
static double built(const json_t *doc)
{
    size_t i;
    json_t *b;
    double sum = 1;
    json_array_foreach(json_object_get(doc, "bands"), i, b)
    {
        double cost = json_number_value(json_object_get(b, "cost")); // 0 where it is not known
        sum += cost;
    }
    return sum;
}

// Constraints beside a limit are kept exactly, and the loss rises by what the bands say.
static void check_constrained(json_t *law)
{
    const struct ask ask = {.experts = "pow2", .multiple = "d=12,d_m=6"};
    json_t *plain, *arch;
    CHECK(recommended_at(law, 0, 0, &plain) == OK);
    CHECK(recommend_sweep(law, "law", &ask, &arch) == OK);
    int64_t N_e = (int64_t)number(arch, "arch", "N_e", NULL);
    CHECK(N_e > 0 && (N_e & (N_e - 1)) == 0);
    CHECK(fmod(number(arch, "arch", "d", NULL), 12) == 0);
    CHECK(fmod(number(arch, "arch", "d_m", NULL), 6) == 0);
    CHECK_REL(number(arch, "loss", "predicted", NULL) /
                  number(plain, "loss", "predicted", NULL),
              built(arch) / built(plain), 1e-9);
    CHECK(json_array_size(json_object_get(arch, "constraints")) == 4); // and all of these
    json_decref(plain);
    json_decref(arch);
    CHECK(recommend_sweep(law, "law", &(struct ask){.experts = "divisor:1"}, &arch) ==
          ERR_INPUT);
    CHECK(strstr(err_message(), "--experts divisor:1") != NULL);
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
    if (recommended_at(law, 0, 0, &arch) != OK) {
        CHECK(false); // no recommendation
        fprintf(stderr, "%s\n", err_message());
    } else {
        double M = number(arch, "counts", "M", NULL), want = planted_M * pow(100, planted_p);
        CHECK(fabs(log(M / want)) < 0.35); // two decades on: p is known to about 0.1
        CHECK_REL(number(arch, "train", "tokens", NULL) * M, 1e13, 1e-5);
        CHECK_REL(json_number_value(json_object_get(arch, "extrapolation")), 10, 1e-12);
        json_decref(arch);
    }
    check_constrained(law);
    CHECK(json_array_size(json_object_get(law, "rank_preservation")) == 1);
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
    CHECK(recommended_at(law, 0, 0, &arch) == ERR_INPUT);
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

// c follows b, which does not run at 3e11; b follows a, which does.
static void test_waits_for_every_ancestor(void)
{
    struct sweep cfg = load_config(SMALL(
        "scales = [1e11, 3e11]; bootstrap = 40;",
        PHASE_M("a", "") "," PHASE_M("b", "after = [\"a\"]; scales = [1e11]; ") "," PHASE_M(
            "c", "after = [\"b\"]; scales = [3e11]; ")));
    struct steer *s, *other;
    CHECK(steer_create(&cfg, &s) == OK);
    CHECK(steer_advance(s) == OK);
    CHECK(count_phase(s, 0) == 20 && count_phase(s, 1) == 0 && count_phase(s, 2) == 0);
    steer_free(s);
    s = run(&cfg, 1, 0.005, 0);
    other = run(&cfg, 2, 0.005, 0);
    check_same(s, other);
    CHECK(count_phase(s, 2) > 0); // centred on what a adopted, so not a's own grid again
    steer_free(s);
    steer_free(other);
    config_free(&cfg);
}

// Two phases that iterate apart, whose rounds open in an order that depends on arrivals, and a
// third that iterates after both: its rounds move from its own last value, not from theirs.
static void test_two_iterations(void)
{
    struct sweep cfg = load_config(SMALL(
        "scales = [1e11]; bootstrap = 40;",
        PHASE_M("a", "rounds = 3; ") ","
                                     "{ name = \"b\"; seeds = 2; rounds = 3; analysis = "
                                     "\"rank\"; axes = ( { var = "
                                     "\"M\"; around = \"adopted\"; factor = 1.3; points = 3; "
                                     "}, { var = \"d\"; "
                                     "fractions = [0.0, 0.5, 1.0]; } ); fits = ( { axis = "
                                     "\"M\"; form = \"logquad\"; "
                                     "}, { axis = \"d\"; form = \"logquad\"; } ); }," PHASE_M(
                                         "c", "after = [\"a\", \"b\"]; rounds = 4; ")));
    struct steer *first = run(&cfg, 1, 0.005, 0);
    for (uint64_t seed = 2; seed < 8; seed++) {
        struct steer *other = run(&cfg, seed, 0.005, 0);
        check_same(first, other);
        steer_free(other);
    }
    // Without noise the parabola's optimum settles: the limit of rounds is not what ends it.
    struct steer *exact = run(&cfg, 1, 0, 0);
    char id[32];
    const json_t *d = NULL, *last = NULL;
    for (int round = 0; round < 4; round++) {
        snprintf(id, sizeof id, "c.round%d", round);
        d = decision(exact, id);
        last = d ? d : last;
    }
    CHECK_STR(json_string_value(json_object_get(last, "verdict")),
              "moved less than its uncertainty");
    steer_free(first);
    steer_free(exact);
    config_free(&cfg);
}

// One scale: nothing grows with C, and every interval holds its value, D's too.
static void test_one_scale(void)
{
    struct sweep cfg =
        load_config(SMALL("scales = [1e11]; bootstrap = 100;", PHASE_M("a", "")));
    struct steer *s = run(&cfg, 1, 0.005, 0);
    json_t *law, *arch;
    CHECK(steer_law(s, &law) == OK);
    CHECK(json_is_false(
        json_object_get(json_object_get(json_object_get(law, "laws"), "M"), "fitted")));
    CHECK(recommended_at(law, 2e11, 0, &arch) == OK);
    const char *names[] = {"M", "D"};
    for (int i = 0; i < 2; i++) {
        double v = number(arch, "asked", names[i], "value");
        double lo = number(arch, "asked", names[i], "lo"),
               hi = number(arch, "asked", names[i], "hi");
        CHECK(lo < v && v < hi && hi / lo < 4);
    }
    CHECK_REL(number(arch, "asked", "M", "value") * number(arch, "asked", "D", "value"), 2e11,
              1e-9);
    json_decref(arch);
    json_decref(law);
    steer_free(s);
    config_free(&cfg);
}

// Without resamples nothing is known of the noise: no interval, rather than one of width zero.
static void test_no_bootstrap(void)
{
    struct sweep cfg = load_config(
        SMALL("scales = [1e11, 3e11]; bootstrap = 0;",
              PHASE_M("a", "") ", { name = \"x\"; after = [\"a\"]; axes = ( { var = \"x\"; "
                               "values = [6.5, 7.0, 7.6, 8.6]; } ); fits = ( { axis = \"x\"; "
                               "form = \"logquad\"; } ); }"));
    struct steer *s = run(&cfg, 1, 0.005, 0);
    json_t *law, *arch, *note;
    size_t i;
    CHECK(steer_law(s, &law) == OK);
    json_array_foreach(json_object_get(law, "notes"), i, note)
        CHECK(!strstr(json_string_value(note), "0.000 to 0.000"));
    CHECK(recommended_at(law, 0, 0, &arch) == OK);
    const json_t *asked = json_object_get(arch, "asked");
    CHECK(json_is_number(json_object_get(json_object_get(asked, "x"), "value")));
    CHECK(json_is_null(json_object_get(json_object_get(asked, "x"), "lo")));
    CHECK(json_is_null(json_object_get(json_object_get(asked, "M"), "lo")));
    json_decref(arch);
    json_decref(law);
    steer_free(s);
    config_free(&cfg);
}

// The optimum far below the grid: growth to its limit, then the edge is adopted and said to be
// one; at y the loss falls for ever, until no structure has more experts.
static void test_edges(void)
{
    struct sweep cfg = load_config(SMALL(
        "scales = [1e11]; bootstrap = 100;",
        "{ name = \"m\"; seeds = 2; axes = ( { var = \"M\"; values = [3e5, 3.6e5, 4.3e5, "
        "5.2e5]; } ); fits = ( { axis = \"M\"; form = \"logquad\"; grow = 2; } ); },"
        "{ name = \"y\"; seeds = 2; axes = ( { var = \"y\"; values = [4.0, 8.0, 16.0]; } ); "
        "fits = ( { axis = \"y\"; form = \"logquad\"; grow = 9; } ); }"));
    struct steer *s = run(&cfg, 1, 0.001, 0), *other = run(&cfg, 9, 0.001, 0);
    check_same(s, other);
    const json_t *d = decision(s, "m@1e+11.2");
    json_t *fit = json_array_get(json_object_get(d, "fits"), 0);
    CHECK_STR(json_string_value(json_object_get(d, "verdict")), "decided");
    CHECK_STR(json_string_value(json_object_get(fit, "verdict")), "edge_low");
    CHECK(json_integer_value(json_object_get(fit, "grew")) == 2);
    CHECK(strstr(json_string_value(json_object_get(fit, "rule")), "limit of growth") != NULL);
    CHECK_REL(number(d, "adopted", "M", NULL), 3e5 / 1.2 / 1.2, 0.016); // M's tolerance
    CHECK(!strstr(
        json_string_value(json_object_get(
            json_array_get(json_object_get(decision(s, "m@1e+11.0"), "fits"), 0), "rule")),
        "could not")); // it grew
    d = decision(s, "y@1e+11.0");
    const char *rule = json_string_value(
        json_object_get(json_array_get(json_object_get(d, "fits"), 0), "rule"));
    CHECK(strstr(rule, "could not be built") && strstr(rule, "largest affordable"));
    CHECK(json_array_size(json_object_get(d, "infeasible")) == 1); // y = 32, and why
    steer_free(s);
    steer_free(other);
    config_free(&cfg);
}

static void test_nothing_feasible(void)
{
    struct sweep cfg = load_config(SMALL(
        "scales = [1e11]; bootstrap = 40;",
        "{ name = \"y\"; rounds = 3; axes = ( { var = \"y\"; values = [90.0, 95.0]; } ); "
        "fits = ( { axis = \"y\"; form = \"logquad\"; grow = 2; } ); },"
        "{ name = \"after\"; after = [\"y\"]; axes = ( { var = \"y\"; values = [3.0]; } ); "
        "fits = ( { axis = \"y\"; form = \"logquad\"; } ); }"));
    struct steer *s = run(&cfg, 1, 0, 0); // one point, one seed in the second phase: no fit
    json_t *law, *arch;
    CHECK(steer_n_jobs(s) == 1);
    CHECK(steer_law(s, &law) == OK);
    CHECK(json_object_size(json_object_get(law, "laws")) == 0);
    CHECK(recommended_at(law, 0, 0, &arch) == ERR_INPUT);
    json_decref(law);
    steer_free(s);
    config_free(&cfg);
}

static enum err recommended(const json_t *good, const char *name, const char *key,
                            json_t *value, double C)
{
    json_t *law = json_deep_copy(good), *arch = NULL;
    json_object_set_new(json_object_get(json_object_get(law, "laws"), name), key, value);
    enum err e = recommended_at(law, C, 0, &arch);
    json_decref(arch);
    json_decref(law);
    return e;
}

// What a law.json from elsewhere may hold.
static void test_hostile_laws(void)
{
    struct sweep cfg = load_config(SMALL(
        "scales = [1e11]; bootstrap = 40;",
        PHASE_M("a", "") ", { name = \"d\"; seeds = 2; axes = ( { var = \"d\"; fractions = "
                         "[0.0, 0.5, 1.0]; } ); fits = ( { axis = \"d\"; form = "
                         "\"logquad\"; } ); }"));
    struct steer *s = run(&cfg, 1, 0.005, 0);
    json_t *law;
    CHECK(steer_law(s, &law) == OK);
    CHECK(recommended(law, "d", "rule", json_null(), 0) == OK);
    CHECK(recommended(law, "d", "fraction", json_real(1e9), 0) == ERR_INPUT);
    CHECK(recommended(law, "d", "fraction_hi", json_real(-1e9), 0) == OK); // taken as 0
    CHECK(recommended(law, "M", "k", json_string("many"), 0) == ERR_INPUT);
    CHECK(recommended(law, "M", "p", json_null(), 0) == ERR_INPUT);
    CHECK(recommended(law, "M", "k", json_real(1e300), 0) == ERR_INPUT);
    CHECK(recommended(law, "M", "rule", json_null(), 1e6) == ERR_INPUT); // not one batch
    // A limit on all parameters is kept; even below what would be active; one that no model
    // keeps is refused by name.
    json_t *arch;
    CHECK(recommended_at(law, 0, 0, &arch) == OK);
    double N = number(arch, "counts", "N", NULL), N_a = number(arch, "counts", "N_a", NULL);
    json_decref(arch);
    const double limits[] = {sqrt(N * N_a), 0.9 * N_a};
    for (int i = 0; i < 2; i++) {
        CHECK(recommended_at(law, 0, limits[i], &arch) == OK);
        CHECK(number(arch, "counts", "N", NULL) <= limits[i]);
        CHECK(number(json_array_get(json_object_get(arch, "constraints"), 0), "cost", "value",
                     NULL) > 0);
        json_decref(arch);
    }
    CHECK(recommended_at(law, 0, 10, &arch) == ERR_INPUT);
    CHECK(strstr(err_message(), "--max-total-params 10") != NULL);
    json_decref(law);
    steer_free(s);
    config_free(&cfg);
}

int main(void)
{
    fit_init();
    test_wishes();
    struct sweep cfg = load_config(config_text);
    test_refuses_strangers(&cfg);
    test_order(&cfg);
    test_extension(&cfg);
    test_finds_what_was_planted(&cfg);
    test_diverging(&cfg);
    config_free(&cfg);
    test_waits_for_every_ancestor();
    test_two_iterations();
    test_one_scale();
    test_no_bootstrap();
    test_edges();
    test_nothing_feasible();
    test_hostile_laws();
    return test_summary();
}
