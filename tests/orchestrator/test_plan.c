// SPDX-License-Identifier: GPL-3.0-or-later
// The plan of a sweep against what steering opens, and its sums.
#include "orchestrator/plan.h"
#include "core/executed.h"
#include "orchestrator/steer.h"
#include "tests/test.h"

static double num(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static double deviation(const json_t *structure, const char *coord)
{
    return num(json_object_get(structure, "deviation"), coord);
}

// Phases that wait for nothing are planned exactly as they will run.
static void test_against_steer(const struct sweep *s, const json_t *plan)
{
    struct steer *steer = NULL;
    CHECK(steer_create(s, &steer) == OK && steer_advance(steer) == OK);
    CHECK((int)num(json_object_get(plan, "total"), "runs_now") == steer_n_jobs(steer));
    size_t i, k;
    json_t *cell, *st;
    int matched = 0, structures = 0;
    json_array_foreach(json_object_get(plan, "phases"), i, cell)
    {
        if (json_array_size(json_object_get(cell, "after")) > 0)
            continue;
        json_array_foreach(json_object_get(cell, "structures"), k, st)
        {
            structures++;
            for (int j = 0; j < steer_n_jobs(steer); j++) {
                const struct steer_job *sj = steer_job_at(steer, j);
                if (sj->C == num(cell, "C") && sj->job.arch.d == (int64_t)num(st, "d") &&
                    sj->counts.M == (int64_t)num(st, "M") && sj->job.train.seed == 1 &&
                    sj->job.train.tokens == (int64_t)num(st, "D")) {
                    matched++;
                    break;
                }
            }
        }
    }
    CHECK(structures > 0 && matched == structures);
    // The largest job there is now is no larger than the plan's largest, and that is what core
    // counts with the data on top.
    double most = 0;
    for (int j = 0; j < steer_n_jobs(steer); j++)
        most = fmax(most, (double)executed_of(&steer_job_at(steer, j)->job).mem_total);
    CHECK(s->corpus_bytes > 0 && most > EXECUTED_BASE);
    CHECK(num(json_object_get(plan, "total"), "memory_bytes") >=
          most + (double)s->corpus_bytes);
    CHECK(num(json_object_get(plan, "total"), "memory_bytes") <
          2 * most + (double)s->corpus_bytes);
    steer_free(steer);
}

static void test_sums(const struct sweep *s, const json_t *plan, double rate, int workers)
{
    const json_t *total = json_object_get(plan, "total");
    double runs = 0, flops = 0, executed = 0, hours = 0, expected = 0;
    size_t i, k;
    json_t *cell, *st;
    json_array_foreach(json_object_get(plan, "phases"), i, cell)
    {
        double entries = 0;
        runs += num(cell, "runs");
        flops += num(cell, "flops");
        executed += num(cell, "executed_flops");
        hours += num(cell, "worker_hours");
        expected += num(cell, "runs") * num(cell, "C");
        json_array_foreach(json_object_get(cell, "structures"), k, st)
        {
            entries += num(st, "runs");
            CHECK(fabs(deviation(st, "M")) <= s->solve.tol[COORD_M]);
            CHECK(fabs(deviation(st, "x")) <= s->solve.tol[COORD_x]);
            CHECK(fabs(deviation(st, "y")) <= s->solve.tol[COORD_y]);
            // D is C/M to the nearest token
            CHECK(fabs(num(st, "D") - num(cell, "C") / num(st, "M")) <= 0.5);
        }
        CHECK(entries == num(cell, "runs") + num(cell, "shared"));
        CHECK(num(cell, "memory_bytes") > 0);
    }
    CHECK(runs == num(total, "runs_now") + num(total, "runs_later"));
    CHECK_REL(num(total, "flops"), flops, 1e-12);
    // a run is C FLOPs but for half a token of M: M/(2C) is below 1e-5 here
    CHECK_REL(flops, expected, 1e-5);
    CHECK(executed > flops);
    CHECK_REL(hours, executed / rate / 3600, 1e-12);
    CHECK(num(total, "hours_at_best") >= hours / workers * (1 - 1e-12));
    CHECK_REL(num(total, "cost"), hours * s->price_per_hour, 1e-12);
}

static char *printed(const json_t *plan)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    plan_print(plan, f);
    fclose(f);
    return text;
}

// Runs that take more of a GPU than it has are counted and named; who has none and does not ask
// hears nothing of it.
static void test_gpu(const struct sweep *s)
{
    struct plan_options opt = {.workers = 1, .rate = 1e9, .gpu = 1e12};
    json_t *plan = NULL;
    CHECK(plan_sweep(s, &opt, &plan) == OK);
    const json_t *total = json_object_get(plan, "total");
    double most = num(total, "gpu_bytes"),
           all = num(total, "runs_now") + num(total, "runs_later");
    CHECK(most > EXECUTED_CUDA && num(total, "too_large") == 0);
    char *text = printed(plan);
    CHECK(strstr(text, "all runs fit one of 1000 GB") != NULL);
    free(text);
    json_decref(plan);
    opt.gpu = most - 1;
    CHECK(plan_sweep(s, &opt, &plan) == OK);
    double large = num(json_object_get(plan, "total"), "too_large"), sum = 0;
    size_t i;
    json_t *cell;
    json_array_foreach(json_object_get(plan, "phases"), i, cell) sum += num(cell, "too_large");
    CHECK(large >= 1 && large < all && sum == large);
    text = printed(plan);
    CHECK(strstr(text, "do not fit one of") != NULL && strstr(text, "does not fit one GPU"));
    free(text);
    json_decref(plan);
    opt.gpu = 0;
    CHECK(plan_sweep(s, &opt, &plan) == OK);
    text = printed(plan);
    CHECK(num(json_object_get(plan, "total"), "gpu_bytes") == 0 && strstr(text, "GPU") == NULL);
    free(text);
    json_decref(plan);
}

static double part(const json_t *plan, const char *key, const char *which)
{
    return num(json_object_get(json_object_get(plan, "forecast"), key), which);
}

// Intervals hold their values; what is bought in hours costs by the hour; more workers are
// faster, never than the longest chain; kept checkpoints take room.
static void test_forecast(struct sweep *s)
{
    static const char *const keys[] = {"runs",       "worker_hours", "core_hours",
                                       "makespan_s", "memory_bytes", "disk_bytes",
                                       "cost"};
    json_t *two = NULL, *many = NULL, *kept = NULL;
    s->price_per_hour = 3;
    s->base.threads = 2;
    CHECK(plan_sweep(s, &(struct plan_options){.workers = 2, .rate = 1e9}, &two) == OK);
    CHECK(plan_sweep(s, &(struct plan_options){.workers = 1000, .rate = 1e9}, &many) == OK);
    s->base.checkpoint.keep = true;
    CHECK(plan_sweep(s, &(struct plan_options){.workers = 2, .rate = 1e9}, &kept) == OK);
    s->base.checkpoint.keep = false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        CHECK(part(two, keys[i], "value") > 0 &&
              part(two, keys[i], "lo") <= part(two, keys[i], "value") &&
              part(two, keys[i], "value") <= part(two, keys[i], "hi"));
    const json_t *total = json_object_get(two, "total");
    double hours = num(total, "worker_hours"),
           jobs = num(total, "runs_now") + num(total, "runs_later");
    CHECK_REL(part(two, "worker_hours", "value"), hours, 1e-12);
    CHECK_REL(part(two, "core_hours", "value"), 2 * hours, 1e-12);
    CHECK_REL(part(two, "cost", "value"), 3 * hours, 1e-12);
    CHECK(part(two, "runs", "value") == jobs);
    CHECK(part(two, "runs", "hi") == jobs + num(total, "more_runs"));
    CHECK(part(two, "makespan_s", "lo") < 1800 * hours &&
          part(two, "makespan_s", "hi") > 1800 * hours);
    CHECK(part(many, "makespan_s", "value") < part(two, "makespan_s", "value"));
    double longest = 0;
    size_t i;
    json_t *cell;
    json_array_foreach(json_object_get(two, "phases"), i, cell) longest =
        fmax(longest, 3600 * num(cell, "longest_hours"));
    CHECK(part(many, "makespan_s", "value") >= longest);
    // Weights and two moments, at least, of every run.
    CHECK(part(kept, "disk_bytes", "lo") > part(two, "disk_bytes", "lo") + jobs * 12 * 1000);
    CHECK(json_is_null(json_object_get(json_object_get(two, "forecast"), "gpu_hours")));
    s->base.threads = 1;
    json_decref(two);
    json_decref(many);
    json_decref(kept);
}

// One sequence at a time takes less than the whole batch of these small runs.
static void test_micro(const struct sweep *s)
{
    static struct sweep one;
    const struct plan_options opt = {.workers = 1, .rate = 1e9, .gpu = 1e12};
    json_t *whole = NULL, *less = NULL;
    one = *s; // shallow
    one.base.train.micro_tokens = 1;
    CHECK(plan_sweep(s, &opt, &whole) == OK && plan_sweep(&one, &opt, &less) == OK);
    const json_t *a = json_object_get(whole, "total"), *b = json_object_get(less, "total");
    CHECK(num(b, "gpu_bytes") < num(a, "gpu_bytes"));
    CHECK(num(b, "memory_bytes") < num(a, "memory_bytes"));
    json_decref(whole), json_decref(less);
}

// What docs/gpu.md and README.md say of the runs of configs/two-phase.cfg and a GPU of 80 GB.
static void test_two_phase(const char *source)
{
    static const struct {
        double C;
        int runs, too_large;
    } said[] = {{1e18, 202, 0}, {3e18, 70, 0},  {1e19, 70, 3},
                {3e19, 71, 44}, {1e20, 71, 66}, {3e20, 71, 71}};
    static struct sweep s;
    char path[1024];
    snprintf(path, sizeof path, "%s/configs/two-phase.cfg", source);
    CHECK(config_load(path, &s) == OK);
    json_t *plan = NULL, *cell;
    CHECK(plan_sweep(&s, &(struct plan_options){.workers = 1, .gpu = 80e9}, &plan) == OK);
    for (size_t k = 0; k < sizeof said / sizeof *said; k++) {
        size_t i;
        double runs = 0, too_large = 0;
        json_array_foreach(json_object_get(plan, "phases"), i, cell)
        {
            bool here = num(cell, "C") == said[k].C;
            runs += here ? num(cell, "runs") : 0;
            too_large += here ? num(cell, "too_large") : 0;
        }
        if (runs != said[k].runs || too_large != said[k].too_large)
            fprintf(stderr, "C = %g: %g runs, %g too large\n", said[k].C, runs, too_large);
        CHECK(runs == said[k].runs && too_large == said[k].too_large);
    }
    json_decref(plan);
    config_free(&s);
}

int main(void)
{
    const char *source = getenv("MOESWEEP_SOURCE");
    if (!source)
        SKIP("MOESWEEP_SOURCE names no source tree");
    static struct sweep s;
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/data/tiny.cfg", source);
    if (config_load(path, &s) != OK) {
        fprintf(stderr, "%s\n", err_message());
        return 1;
    }
    json_t *plan = NULL;
    s.price_per_hour = 3;
    CHECK(plan_sweep(&s, &(struct plan_options){.workers = 2, .rate = 1e9}, &plan) == OK);
    if (plan) {
        test_against_steer(&s, plan);
        test_sums(&s, plan, 1e9, 2);
        CHECK(json_is_false(json_object_get(plan, "rate_guessed")));
        char *text = printed(plan);
        CHECK(strstr(text, "allocation at C = 8e+09") != NULL);
        CHECK(strstr(text, "planned around the start values") != NULL);
        CHECK(strstr(text, "cost: ") != NULL);
        free(text);
    }
    json_decref(plan);
    test_gpu(&s);
    test_forecast(&s);
    test_micro(&s);
    test_two_phase(source);

    // A point without structure is named with the reason, and does not count.
    s.solve.tol[COORD_M] = 1e-9;
    s.price_per_hour = 0;
    CHECK(plan_sweep(&s, &(struct plan_options){.workers = 1}, &plan) == OK);
    const json_t *cell = json_array_get(json_object_get(plan, "phases"), 0);
    const json_t *why =
        json_object_get(json_array_get(json_object_get(cell, "infeasible"), 0), "why");
    CHECK(why && strstr(json_string_value(why), "infeasible") != NULL);
    CHECK(num(cell, "runs") == 0);
    CHECK(json_is_null(json_object_get(cell, "cost")));
    CHECK(json_is_true(json_object_get(plan, "rate_guessed")));
    json_decref(plan);
    config_free(&s);
    return test_summary();
}
