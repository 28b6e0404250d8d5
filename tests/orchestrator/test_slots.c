// SPDX-License-Identifier: GPL-3.0-or-later
// Who gets what of a machine, from what workers say of theirs.
#include "core/executed.h"
#include "orchestrator/need.h"
#include "orchestrator/place.h"
#include "orchestrator/slots.h"
#include "tests/test.h"
#include <math.h>
#include <sched.h>

static struct slots *s;
static int n;
static char why[512];

// The next worker's word of its machine, whose reference is taken.
static void ready(const char *machine, json_t *facts)
{
    CHECK(slots_ready(s, n++, machine, facts) == OK);
    json_decref(facts);
}

static void add(const char *machine, const char *cpus, const char *gpus)
{
    ready(machine,
          json_pack("{s:s, s:s, s:s}", "machine", machine, "cpus", cpus, "gpus", gpus));
}

static void begin(int workers)
{
    n = 0;
    CHECK(slots_create(workers, &s) == OK);
}

static void share(int threads, const char *device)
{
    struct job j;
    job_init(&j);
    j.threads = threads;
    snprintf(j.device, sizeof j.device, "%s", device);
    CHECK(slots_share(s, &j, true, why, sizeof why) == OK);
    job_free(&j);
}

static void bound(int from, int to, const char *cpus, const char *gpus)
{
    int workers[16];
    for (int i = from; i < to; i++)
        workers[i - from] = i;
    json_t *body = json_object();
    CHECK(slots_bind(s, workers, to - from, body) == OK);
    const char *c = json_string_value(json_object_get(body, "cpus"));
    const char *g = json_string_value(json_object_get(body, "gpus"));
    CHECK_STR(c ? c : "as it is", cpus);
    CHECK_STR(g ? g : "as it is", gpus);
    json_decref(body);
}

static void test_equal_parts(void)
{
    begin(5);
    add("a", "0,4,1,5,2,6,3,7", "GPU-1,GPU-2");
    add("b", "0,1", "");
    add("a", "0,4,1,5,2,6,3,7", "GPU-1,GPU-2");
    add("c", "8,9,10", "GPU-9");
    add("b", "0,1", "");
    share(1, "cuda");
    CHECK_STR(why, "");
    bound(0, 1, "0,4,1,5", "GPU-1");
    bound(2, 3, "2,6,3,7", "GPU-2");
    bound(1, 2, "0", "as it is");
    bound(4, 5, "1", "as it is");
    bound(3, 4, "as it is", "as it is"); // alone there
    slots_free(s);
    begin(3); // what does not divide is not left over
    for (int i = 0; i < 3; i++)
        add("a", "0,1,2,3,4,5,6,7", "GPU-1,GPU-2,GPU-3,GPU-4");
    share(2, "cpu");
    bound(0, 1, "0,1", "GPU-1");
    bound(1, 2, "2,3,4", "GPU-2");
    bound(2, 3, "5,6,7", "GPU-3,GPU-4");
    bound(1, 3, "2,3,4,5,6,7", "GPU-2,GPU-3,GPU-4"); // both, lent to one trainer
    slots_free(s);
}

static void test_own(void)
{
    // As Slurm or mpirun --bind-to has bound them: they stay.
    begin(3);
    add("a", "0,1", "GPU-1");
    add("a", "2,3", "GPU-2");
    add("a", "4,5", "GPU-3");
    share(2, "cuda");
    CHECK_STR(why, "");
    for (int i = 0; i < 3; i++)
        bound(i, i + 1, "as it is", "as it is");
    slots_free(s);
}

static void test_too_few(void)
{
    begin(5);
    add("a", "0,1,2", "GPU-1");
    add("a", "0,1,2", "GPU-1");
    add("b", "0,1,2,3", "");
    add("b", "0,1,2,3", "");
    share(2, "cpu"); // GPUs are nobody's business then; worker 4 never came
    CHECK_STR(why, "a: 2 workers want 4 of its 3 processors");
    bound(0, 1, "as it is", "as it is");
    bound(2, 3, "0,1", "as it is");
    bound(4, 5, "as it is", "as it is");
    share(1, "cuda");
    CHECK_STR(why, "a: 2 workers want 2 of its 1 GPUs");
    slots_free(s);
    begin(6);
    add("a", "0,1", "");
    add("a", "1,2", "");
    add("b", "0", "");
    add("b", "0", "");
    add("c", "0", "");
    add("c", "1", "");
    share(1, "cpu");
    CHECK_STR(why, "a: workers may use different, overlapping processors (2 more like that)");
    for (int i = 0; i < 6; i++)
        bound(i, i + 1, "as it is", "as it is");
    slots_free(s);
}

static void add_memory(const char *machine, double memory, double gpu)
{
    ready(machine, json_pack("{s:s, s:s, s:s, s:f, s:f}", "machine", machine, "cpus", "0",
                             "gpus", "GPU-1,GPU-2", "memory", memory, "gpu_memory", gpu));
}

static void test_memory(void)
{
    begin(5);
    add_memory("a", 100, 0);
    add_memory("b", 300, 50);
    add_memory("a", 80, 40);
    add_memory("a", 90, 40);
    add("c", "0", "");
    share(1, "cuda");
    const int hosts[] = {0, 1, 0, 0, 2};
    const double memory[] = {76, 285, 76, 76, INFINITY};
    const double gpu[] = {INFINITY, 50, 20, 20, INFINITY}; // three on two: two on one of them
    for (int i = 0; i < 5; i++) {
        struct sched_place p = slots_place(s, i);
        CHECK(p.host == hosts[i]);
        CHECK(isinf(memory[i]) ? isinf(p.memory) : fabs(p.memory - memory[i]) < 1e-9);
        CHECK(isinf(gpu[i]) ? isinf(p.gpu) : fabs(p.gpu - gpu[i]) < 1e-9);
    }
    slots_free(s);
}

static void test_need(void)
{
    struct job j;
    struct sched_job a = {0}, b = {0};
    struct sweep cfg = {.memory_limit = 0};
    char text[160];
    job_init(&j);
    j.arch =
        (struct arch){.L_d = 1, .d = 64, .d_qkv = 16, .N_q = 4, .N_kv = 2, .S = 64, .V = 64};
    j.arch.d_d = 192;
    j.train.batch_tokens = 1024;
    double bytes = (double)executed_of(&j).mem_total;
    need_of(&j, &a);
    CHECK(a.memory >= 1.1 * bytes && a.memory <= 1.1 * bytes * exp2(.125) + 1);
    CHECK(!(a.gpu > 0) && a.memory - floor(a.memory) < 1e-9);
    CHECK_REL(need_limit(&cfg, true, &j), 2 * bytes + 1e9, 1e-12);
    CHECK(!(need_limit(&cfg, false, &j) > 0));
    cfg.memory_limit = 3;
    CHECK_REL(need_limit(&cfg, false, &j), 3e9, 1e-12);
    snprintf(j.device, sizeof j.device, "cuda");
    snprintf(j.id, sizeof j.id, "abc");
    need_of(&j, &b);
    CHECK(b.gpu > EXECUTED_CUDA && b.memory > 0);
    b.width = 2;
    need_misfit(&j, &b, text, sizeof text);
    CHECK(strstr(text, "job abc needs 2 workers of one machine, ") && strstr(text, "of a GPU"));
    cfg.memory_limit = 0;
    CHECK(!(need_limit(&cfg, true, &j) > 0));
    job_free(&j);
}

static void test_input(void)
{
    begin(1);
    json_t *bad = json_pack("{s:s, s:i}", "machine", "a", "cpus", 1);
    CHECK(slots_ready(s, 0, "a", bad) == ERR_INPUT);
    CHECK(slots_ready(s, 0, "a", json_object_get(bad, "none")) == ERR_INPUT);
    json_decref(bad);
    share(1, "cpu");
    slots_free(s);
}

static void test_facts(void)
{
    cpu_set_t ours;
    static int cpus[PLACE_CPUS];
    json_t *facts = place_facts();
    begin(1);
    CHECK(slots_ready(s, 0, "here", facts) == OK);
    slots_free(s);
    const char *list = json_string_value(json_object_get(facts, "cpus"));
    int count = place_parse_cpus(list, cpus);
    CHECK(sched_getaffinity(0, sizeof ours, &ours) == 0 && count == CPU_COUNT(&ours));
    for (int i = 0; i < count; i++)
        CHECK(CPU_ISSET((size_t)cpus[i], &ours));
    CHECK(json_number_value(json_object_get(facts, "memory")) > 1e6);
    json_decref(facts);
    static const char *const bad[] = {"0,", ",1", "1-3", "x", "99999", " 1", "-1", "0,,1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(place_parse_cpus(bad[i], cpus) <= (i == 0));
    CHECK(place_parse_cpus("", cpus) == 0);
}

int main(void)
{
    test_equal_parts();
    test_own();
    test_too_few();
    test_memory();
    test_need();
    test_input();
    test_facts();
    return test_summary();
}
