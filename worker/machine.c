// SPDX-License-Identifier: Apache-2.0
#include "worker/machine.h"
#include "worker/pool.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

// The number after the line's start `key` in a file of lines, or alone in the file when key is
// "".
static int64_t file_number(const char *path, const char *key)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return -1;
    char line[256];
    int64_t v = -1;
    size_t n = strlen(key);
    while (v < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, key, n) != 0 || sscanf(line + n, "%" SCNd64, &v) != 1)
            v = -1;
    fclose(f);
    return v;
}

// The rest of the first line after "key...: ".
static void file_text(const char *path, const char *key, char *buf, size_t size)
{
    FILE *f = fopen(path, "r");
    char line[512];
    snprintf(buf, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (colon && strncmp(line, key, strlen(key)) == 0) {
            line[strcspn(line, "\n")] = 0;
            snprintf(buf, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
            break;
        }
    }
    if (f)
        fclose(f);
}

// The least that a control group and those above it leave; reclaimable file cache counts as
// free. Levels that a container hides have no files and are passed over.
static int64_t group_available(const char *mount, char *group, const char *max_name,
                               const char *now_name, const char *cache_key)
{
    char path[800];
    int64_t least = INT64_MAX;
    for (;;) {
        const char *below = strcmp(group, "/") == 0 ? "" : group;
        snprintf(path, sizeof path, "%s%s/%s", mount, below, max_name);
        int64_t max = file_number(path, "");
        snprintf(path, sizeof path, "%s%s/%s", mount, below, now_name);
        int64_t now = file_number(path, "");
        snprintf(path, sizeof path, "%s%s/memory.stat", mount, below);
        int64_t cache = file_number(path, cache_key);
        int64_t used = now - (cache > 0 ? cache : 0);
        if (max >= 0 && now >= 0 && max - used < least)
            least = max > used ? max - used : 0;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

// Both versions of control groups, as /proc/self/cgroup lists them.
static int64_t cgroup_available(void)
{
    char line[512];
    int64_t least = INT64_MAX;
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *v1 = strstr(line, ":memory:");
        int64_t left = INT64_MAX;
        if (strncmp(line, "0::", 3) == 0)
            left = group_available("/sys/fs/cgroup", line + 3, "memory.max", "memory.current",
                                   "inactive_file ");
        else if (v1)
            left = group_available("/sys/fs/cgroup/memory", v1 + strlen(":memory:"),
                                   "memory.limit_in_bytes", "memory.usage_in_bytes",
                                   "total_inactive_file ");
        if (left < least)
            least = left;
    }
    if (f)
        fclose(f);
    return least;
}

int64_t machine_memory_available(void)
{
    int64_t least = cgroup_available(), kib = file_number("/proc/meminfo", "MemAvailable:");
    if (kib >= 0 && kib * 1024 < least)
        least = kib * 1024;
    struct rlimit limit;
    int64_t pages = file_number("/proc/self/statm", ""); // what it has mapped already
    if (pages >= 0 && getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur <= INT64_MAX) {
        int64_t left = (int64_t)limit.rlim_cur - pages * (int64_t)sysconf(_SC_PAGESIZE);
        if (left < least)
            least = left > 0 ? left : 0;
    }
    return least;
}

int64_t machine_peak_bytes(void)
{
    // ru_maxrss starts with what the process was before it became this program, its parent's
    // image.
    int64_t kib = file_number("/proc/self/status", "VmHWM:");
    if (kib >= 0)
        return kib * 1024;
    struct rusage use;
    return getrusage(RUSAGE_SELF, &use) == 0 ? (int64_t)use.ru_maxrss * 1024 : 0;
}

void machine_isa(char *buf, size_t size)
{
    buf[0] = 0;
#if defined(__x86_64__)
#define FEATURES(X)                                                                            \
    X("sse4.2") X("avx") X("fma") X("avx2") X("avx512f") X("avx512vl") X("avx512vnni")
#define X(name)                                                                                \
    if (__builtin_cpu_supports(name))                                                          \
        snprintf(buf + strlen(buf), size - strlen(buf), "%s%s", buf[0] ? " " : "", name);
    FEATURES(X)
#undef X
#else
    struct utsname u;
    if (uname(&u) == 0)
        snprintf(buf, size, "%s", u.machine);
#endif
}

void machine_flush_subnormals(void)
{
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040); // flush results (bit 15) and operands (bit 6)
#elif defined(__aarch64__)
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    __asm__ volatile("msr fpcr, %0" ::"r"(fpcr | (1ULL << 24)));
#endif
}

json_t *machine_probe(const char *gemm, const char *no_amx, json_t *cuda)
{
    char cpu[256], isa[256];
    file_text("/proc/cpuinfo", "model name", cpu, sizeof cpu);
    machine_isa(isa, sizeof isa);
    int64_t total = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
    return json_pack(
        "{s:s, s:{s:{s:b, s:s, s:{s:b, s:s*}}, s:o}, s:s, s:s, s:i, s:i, s:I, s:I}", "version",
        MOESWEEP_VERSION, "backends", "cpu", "built", 1, "gemm", gemm, "bf16", "amx",
        no_amx == NULL, "why", no_amx, "cuda", cuda, "cpu", cpu, "isa", isa, "cores",
        pool_processors(), "cores_online", (int)sysconf(_SC_NPROCESSORS_ONLN), "memory_bytes",
        (json_int_t)total, "memory_available_bytes", (json_int_t)machine_memory_available());
}
