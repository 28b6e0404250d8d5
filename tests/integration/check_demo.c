// SPDX-License-Identifier: GPL-3.0-or-later
// What must be true of the demo's own results: check_demo DIR. Needs the training time of the
// whole demo, so it belongs to the tests labelled full.
#include "core/json.h"
#include "fit/fit.h"
#include "orchestrator/run.h"
#include "tests/test.h"

static double num(const json_t *j, const char *a, const char *b)
{
    const json_t *v = json_object_get(json_object_get(j, a), b);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

// The pilot's demo was trained twice on another English text: mean optima of the two repeats,
// and the range of the exponent that they and 103 further trainings left open. 30 % covers the
// difference of corpora.
static void check_allocation(const json_t *law)
{
    static const double C[] = {3e10, 1e11, 3e11}, M[] = {4.7e4, 7.7e4, 1.2e5};
    const json_t *M_law = json_object_get(json_object_get(law, "laws"), "M");
    const json_t *points = json_object_get(M_law, "points");
    double p = json_number_value(json_object_get(M_law, "p"));
    printf("exponent of M: %.3f\n", p);
    CHECK(p >= 0.3 && p <= 0.5);
    CHECK(json_array_size(points) == 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *pt = json_array_get(points, i);
        double value = json_number_value(json_object_get(pt, "value"));
        printf("M*(%.0e) = %.4g, pilot %.4g: %+.0f %%\n", C[i], value, M[i],
               100 * (value / M[i] - 1));
        CHECK_NEAR(json_number_value(json_object_get(pt, "C")), C[i], 0);
        CHECK(value >= 0.7 * M[i] && value <= 1.3 * M[i]);
    }
}

static void check_structures(const struct steer *s, const struct sweep *cfg)
{
    int ok = 0, scales = 0;
    for (int i = 0; i < steer_n_jobs(s); i++) {
        const struct steer_job *sj = steer_job_at(s, i);
        ok += sj->final && sj->result.status == JOB_OK;
        CHECK_REL((double)sj->counts.M * (double)sj->job.train.tokens, sj->C, 1e-4);
    }
    for (int k = 0; k < cfg->n_scales; k++)
        for (int i = 0; i < steer_n_jobs(s); i++)
            if (steer_job_at(s, i)->C == cfg->scales[k]) {
                scales++;
                break;
            }
    CHECK(ok >= 50);
    CHECK(scales == 3);
    // Every structure is built within these of what was asked; the solver refuses others.
    CHECK(cfg->solve.tol[COORD_M] <= 0.015);
    CHECK(cfg->solve.tol[COORD_x] <= 0.05 && cfg->solve.tol[COORD_y] <= 0.05);
    printf("%d trainings, %d scales\n", ok, scales);
}

// The report's figure: time from dispatch to result over (workers x span).
static void check_utilisation(const json_t *records)
{
    double busy = 0, first = INFINITY, last = -INFINITY;
    int workers = 0;
    size_t i;
    json_t *r;
    json_array_foreach(records, i, r)
    {
        const char *type = json_string_value(json_object_get(r, "t"));
        if (!type || strcmp(type, "result") != 0)
            continue;
        double t0 = json_number_value(json_object_get(r, "t0"));
        double t1 = json_number_value(json_object_get(r, "t1"));
        int worker = (int)json_integer_value(json_object_get(r, "worker"));
        busy += t1 - t0;
        first = fmin(first, t0);
        last = fmax(last, t1);
        workers = worker > workers ? worker : workers;
    }
    double share = busy / (workers * (last - first));
    printf("%d workers train %.1f %% of %.0f s\n", workers, 100 * share, last - first);
    CHECK(share >= 0.9);
}

static void check_recommendation(const json_t *arch)
{
    CHECK_REL(json_number_value(json_object_get(arch, "extrapolation")), 10, 1e-9);
    CHECK(json_is_false(json_object_get(arch, "in_range")));
    const json_t *asked = json_object_get(arch, "asked");
    static const char *const names[] = {"M", "D", "x", "y"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        double lo = num(asked, names[i], "lo"), v = num(asked, names[i], "value");
        double hi = num(asked, names[i], "hi");
        CHECK(lo > 0 && lo <= v && v <= hi);
    }
}

static json_t *read_json(const char *dir, const char *name)
{
    char path[4096];
    json_t *j = NULL;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (json_read_file(path, &j) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    return j;
}

int main(int argc, char **argv)
{
    struct sweep cfg;
    struct steer *steer;
    json_t *records;
    if (argc != 2)
        return 2;
    fit_init();
    if (run_load(argv[1], &cfg, &steer, &records) != OK) {
        fprintf(stderr, "%s\n", err_message());
        return 1;
    }
    json_t *law = read_json(argv[1], "law.json"),
           *arch = read_json(argv[1], "architecture.json");
    CHECK(steer_done(steer));
    check_structures(steer, &cfg);
    check_allocation(law);
    check_utilisation(records);
    check_recommendation(arch);
    json_decref(law);
    json_decref(arch);
    json_decref(records);
    steer_free(steer);
    config_free(&cfg);
    return test_summary();
}
