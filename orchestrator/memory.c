// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/memory.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The number behind `key` in a file of lines "key number", or alone in the file when key is "".
static int64_t file_number(const char *path, const char *key)
{
    FILE *f = fopen(path, "re");
    char line[256];
    int64_t v = -1;
    size_t n = strlen(key);
    while (f && v < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, key, n) != 0 || sscanf(line + n, "%" SCNd64, &v) != 1)
            v = -1;
    if (f)
        fclose(f);
    return v;
}

// ---- control groups

// Our group of version 2 and that of version 1's memory controller; "" where there is none.
static void own_groups(char v2[512], char v1[512])
{
    char line[512];
    *v1 = *v2 = '\0';
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        char *one = strstr(line, ":memory:");
        if (strncmp(line, "0::", 3) == 0)
            snprintf(v2, 512, "%s", line + 3);
        else if (one)
            snprintf(v1, 512, "%s", one + strlen(":memory:"));
    }
    if (f)
        fclose(f);
}

// The least limit of a group and those above it. Levels that a container hides have no files.
static double least_limit(const char *mount, char *group, const char *name, double least)
{
    char path[800];
    for (;;) {
        snprintf(path, sizeof path, "%s%s/%s", mount, strcmp(group, "/") == 0 ? "" : group,
                 name);
        int64_t max = file_number(path, "");
        if (max > 0 && (double)max < least)
            least = (double)max;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

// ---- the machine

// MB; 0: Slurm does not say.
static double slurm_number(const char *name)
{
    const char *text = getenv(name);
    double v = text ? strtod(text, NULL) : 0;
    return v > 0 ? v : 0;
}

double memory_of_host(void)
{
    char v1[512], v2[512];
    int64_t kib = file_number("/proc/meminfo", "MemTotal:");
    double least = kib > 0 ? 1024 * (double)kib : 1e18;
    own_groups(v2, v1);
    if (*v2)
        least = least_limit("/sys/fs/cgroup", v2, "memory.max", least);
    if (*v1)
        least = least_limit("/sys/fs/cgroup/memory", v1, "memory.limit_in_bytes", least);
    double slurm = 0x1p20 * slurm_number("SLURM_MEM_PER_NODE");
    if (slurm > 0 && slurm < least)
        least = slurm;
    return least < 1e18 ? least : 0;
}

int64_t memory_oom_kills(void)
{
    char v1[512], v2[512], path[600];
    own_groups(v2, v1);
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.events", v2);
    int64_t own = *v2 ? file_number(path, "oom_kill ") : -1;
    return own >= 0 ? own : file_number("/proc/vmstat", "oom_kill ");
}

// ---- processes

static double own_bytes(long pid)
{
    char path[64];
    int64_t resident = 0, shared = 0;
    snprintf(path, sizeof path, "/proc/%ld/statm", pid);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%*d %" SCNd64 " %" SCNd64, &resident, &shared) != 2)
        resident = shared = 0;
    if (f)
        fclose(f);
    return (double)(resident - shared) * (double)sysconf(_SC_PAGESIZE);
}

// Each thread has its own list of children. A depth beyond which nothing sensible goes ends a
// walk through numbers that are reused meanwhile.
static double tree_bytes(long pid, int depth)
{
    char path[64];
    double sum = own_bytes(pid);
    snprintf(path, sizeof path, "/proc/%ld/task", pid);
    DIR *d = depth > 0 ? opendir(path) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        char list[sizeof path + sizeof e->d_name + 16];
        long child;
        snprintf(list, sizeof list, "%s/%s/children", path, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(list, "re");
        while (f && fscanf(f, "%ld", &child) == 1)
            sum += tree_bytes(child, depth - 1);
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return sum;
}

double memory_of_tree(pid_t pid)
{
    return tree_bytes((long)pid, 16);
}
