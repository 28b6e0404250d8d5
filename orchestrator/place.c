// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/place.h"
#include "orchestrator/gpus.h"
#include "orchestrator/memory.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double ANSWER = 20; // s for a probe; a worker is lost after more than that

struct place_before {
    cpu_set_t set[PLACE_CPUS / CPU_SETSIZE]; // one set of PLACE_CPUS bits
};

// ---- processors

struct cpu {
    int package, core, number;
};

static int topology(int cpu, const char *what)
{
    char path[96];
    int v = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, what);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%d", &v) != 1)
        v = 0;
    if (f)
        fclose(f);
    return v;
}

static int by_core(const void *a, const void *b)
{
    const struct cpu *x = a, *y = b;
    if (x->package != y->package)
        return x->package < y->package ? -1 : 1;
    if (x->core != y->core)
        return x->core < y->core ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static json_t *cpus_text(const struct cpu *cpus, int n)
{
    size_t size = 6 * (size_t)n + 1, used = 0;
    char *text = malloc(size);
    if (!text)
        return NULL;
    text[0] = '\0';
    for (int i = 0; i < n; i++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s%d", i ? "," : "", cpus[i].number);
    json_t *j = json_string(text);
    free(text);
    return j;
}

static json_t *own_cpus(void)
{
    struct place_before now;
    struct cpu *cpus = malloc(PLACE_CPUS * sizeof *cpus);
    int n = 0;
    if (!cpus)
        return NULL;
    if (sched_getaffinity(0, sizeof now.set, now.set) == 0)
        for (int c = 0; c < PLACE_CPUS; c++)
            if (CPU_ISSET_S((size_t)c, sizeof now.set, now.set))
                cpus[n++] =
                    (struct cpu){topology(c, "physical_package_id"), topology(c, "core_id"), c};
    qsort(cpus, (size_t)n, sizeof *cpus, by_core);
    json_t *j = cpus_text(cpus, n);
    free(cpus);
    return j;
}

int place_parse_cpus(const char *list, int *cpus)
{
    int n = 0;
    while (*list) {
        char *end;
        long c = strtol(list, &end, 10);
        if (end == list || c < 0 || c >= PLACE_CPUS || n == PLACE_CPUS ||
            (*end && *end != ',') || strspn(list, "0123456789,") != strlen(list))
            return -1;
        cpus[n++] = (int)c;
        list = *end ? end + 1 : end;
    }
    return n;
}

bool place_bind(const char *cpus, struct place_before **before)
{
    struct place_before *b = malloc(sizeof *b), set;
    int *list = malloc(PLACE_CPUS * sizeof *list);
    int n = b && list ? place_parse_cpus(cpus, list) : -1;
    bool bound = n > 0 && sched_getaffinity(0, sizeof b->set, b->set) == 0;
    CPU_ZERO_S(sizeof set.set, set.set);
    for (int i = 0; i < n; i++)
        CPU_SET_S((size_t)list[i], sizeof set.set, set.set);
    bound = bound && sched_setaffinity(0, sizeof set.set, set.set) == 0;
    free(list);
    if (!bound) {
        free(b);
        return false;
    }
    *before = b;
    return true;
}

void place_unbind(struct place_before *before)
{
    sched_setaffinity(0, sizeof before->set, before->set);
    free(before);
}

// ---- facts

// Containers of one machine share its processors and this number; names of hosts may differ.
static void machine_name(char *buf, size_t size)
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!f || !fgets(buf, (int)size, f))
        gethostname(buf, size - 1);
    buf[size - 1] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    if (f)
        fclose(f);
}

// As CUDA_VISIBLE_DEVICES takes it. CUDA does not tell the name of a part of a GPU, but such
// parts are seen only where the variable names them.
static void append_name(char *text, size_t size, const char *uuid, size_t i)
{
    size_t n = strlen(text);
    const char *comma = n > 0 ? "," : "", *list = getenv("CUDA_VISIBLE_DEVICES");
    for (; list && i > 0; i--) {
        list = strchr(list, ',');
        list += list != NULL;
    }
    if (list && strncmp(list, "MIG-", 4) == 0)
        snprintf(text + n, size - n, "%s%.*s", comma, (int)strcspn(list, ","), list);
    else
        snprintf(text + n, size - n, "%s%s%s", comma,
                 strncmp(uuid, "GPU-", 4) == 0 ? "" : "GPU-", uuid);
}

// Asking costs a second where there are GPUs, and nothing where there are none.
static double own_gpus(char *text, size_t size)
{
    text[0] = '\0';
    if (access("/dev/nvidiactl", F_OK) != 0 && !getenv("CUDA_VISIBLE_DEVICES"))
        return 0;
    json_t *probed = gpus_probe(ANSWER), *uuids = gpus_uuids(probed, ANSWER), *u;
    double bytes = gpus_memory(probed);
    size_t i;
    json_array_foreach(uuids, i, u) append_name(text, size, json_string_value(u), i);
    json_decref(probed);
    json_decref(uuids);
    return bytes;
}

json_t *place_facts(void)
{
    char machine[64] = "", gpus[4096];
    machine_name(machine, sizeof machine);
    double gpu = own_gpus(gpus, sizeof gpus);
    return json_pack("{s:s, s:o, s:f, s:s, s:f}", "machine", machine, "cpus", own_cpus(),
                     "memory", memory_of_host(), "gpus", gpus, "gpu_memory", gpu);
}
