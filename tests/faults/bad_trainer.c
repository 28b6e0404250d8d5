// SPDX-License-Identifier: GPL-3.0-or-later
// A trainer that fails now and then, and otherwise becomes another one:
//
//     bad_trainer JOB.json COMMAND [ARGUMENT...]
//
// JOB.json is RUN/out/jobs/ID.json. Without a file RUN/plan it only starts COMMAND. With
// one, "MODE SHARE SEED [MEMORY-CGROUP]", an attempt fails with probability SHARE, in one of
// the mode's ways; which attempts and how follows from seed, job and the failures before it
// (the length of the file JOB.json.faults), and no job fails more than MOST times.
#include "core/err.h"
#include "tests/faults/chance.h"
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 2 };

struct plan {
    char mode[16], cgroup[PATH_MAX];
    double share;
    uint64_t seed;
};

static void hello(void)
{
    printf("{\"t\":\"hello\",\"v\":1,\"pid\":%d,\"backend\":\"planted\"}\n"
           "{\"t\":\"progress\",\"step\":1,\"tokens\":64,\"loss\":3.5}\n",
           (int)getpid());
    fflush(stdout);
}

static void segv(uint64_t how)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGKILL};
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (how % 7 != 0)
        hello(); // else at the very start
    raise(signals[how % 6]);
}

static void hang(uint64_t how)
{
    if (how % 5 != 0)
        hello();
    if (how % 5 == 1) { // with its output closed
        close(STDOUT_FILENO);
        close(STDERR_FILENO);
    } else if (how % 5 == 2) {
        signal(SIGTERM, SIG_IGN);
    } else if (how % 5 == 3 && fork() == 0) {
        pause(); // a child holds its output
    } else if (how % 5 == 4) {
        raise(SIGSTOP);
    }
    for (;;)
        pause();
}

// More than this group of processes may have: the kernel kills it. False: no such group.
static void eat(const char *cgroup)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
    int fd = open(path, O_WRONLY);
    if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
        return;
    for (int i = 0; i < 256; i++) {
        char *block = malloc(1 << 20);
        if (block)
            memset(block, 1 + i, 1 << 20);
    }
}

static void oom(uint64_t how, const char *cgroup)
{
    hello();
    if (how % 3 == 0 && *cgroup)
        eat(cgroup);
    if (how % 3 == 1) {
        setrlimit(RLIMIT_AS, &(struct rlimit){64 << 20, 64 << 20});
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        if (!malloc((size_t)1 << 30))
            fprintf(stderr, "cannot allocate memory\n");
        abort();
    }
    printf("{\"t\":\"result\",\"status\":\"oom\",\"cause\":\"planted\"}\n");
    exit(how % 2 ? 1 : 0);
}

static void repeat(char c, int n)
{
    while (n-- > 0)
        putchar(c);
}

static void garbage(uint64_t how)
{
    static const char *const lines[] = {
        "Loading checkpoint shards\n",
        "{\"t\":\"result\",\"status\":\"ok\",\"loss\":NaN,\"tokens\":64}\n",
        "{\"t\":\"result\",\"status\":\"ok\",\"loss\":null,\"tokens\":64}\n",
        "{\"t\":\"result\",\"status\":\"ok\",\"loss\":1e999,\"tokens\":64}\n",
        "{\"t\":\"result\",\"status\":\"ok\",\"loss\":-1,\"tokens\":64}\n",
        "{\"t\":\"result\",\"status\":\"ok\",\"loss\":0,\"tokens\":64}\n",
        "{\"t\":\"result\",\"status\":\"ok\",\"loss\":\"2\",\"tokens\":64}\n",
        "{\"t\":\"result\",\"status\":\"fine\",\"loss\":2}\n",
        "{\"t\":\"result\",\"status\":\"ok\",\"loss\":2,\"tokens\":64}\n"
        "{\"t\":\"result\",\"status\":\"ok\",\"loss\":3,\"tokens\":64}\n",
        "{\"t\":\"result\",\"id\":\"ffffffffffff\",\"status\":\"ok\",\"loss\":2,\"tokens\":64}"
        "\n",
        "{\"t\":\"result\",\"status\":\"ok\",\"loss\":2,\"tokens\":64}", // no end of line
        "{\"t\":\"result\",\"status\":\"stopped\"}\n",
        "{\"t\":\"progress\",\"step\":-1}\n",
        "{\"t\":\"progress\",\"step\":99999999999999999999}\n",
        "{\"t\":\"progress\",\"step\":2,\"step\":3}\n",
        "{\"t\":\"dance\"}\n",
        "{\"t\":\"resu",
        "{}\n",
        "[1]\n",
        "\n",
        "{\"t\":\"\xff\xfe\xc0\"}\n",
    };
    const uint64_t n = sizeof lines / sizeof *lines;
    uint64_t which = how % (n + 4);
    if (which != n)
        hello();
    if (which < n) {
        fputs(lines[which], stdout);
    } else if (which == n) { // no hello
        puts("{\"t\":\"result\",\"status\":\"ok\",\"loss\":2,\"tokens\":64}");
    } else if (which == n + 1) { // binary
        uint64_t x = how;
        for (int i = 0; i < 4096; i++)
            putchar((int)((x = chance_mix(x)) & 255));
    } else if (which == n + 2) {
        repeat('x', 300000);
    } else {
        repeat('[', 60000);
        putchar('\n');
    }
    fflush(stdout);
    exit(0);
}

static void leave(uint64_t how)
{
    static const int codes[] = {1, 2, 3, 7, 127, 137, 143, 255};
    if (how % 3)
        hello();
    if (how % 5 == 0)
        for (int i = 0; i < 100000; i++)
            fputs("a warning that nobody reads\n", stderr);
    fprintf(stderr, "device lost\n");
    exit(codes[how % 8]);
}

static bool read_plan(const char *job, struct plan *p)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s", job);
    for (int up = 0; up < 3; up++) { // RUN/out/jobs/ID.json
        char *slash = strrchr(path, '/');
        if (!slash)
            return false;
        *slash = '\0';
    }
    strcat(path, "/plan");
    FILE *f = fopen(path, "r");
    int n = f ? fscanf(f, "%15s %lf %llu %4095s", p->mode, &p->share,
                       (unsigned long long *)&p->seed, p->cgroup)
              : 0;
    if (f)
        fclose(f);
    return n >= 3;
}

static void fail_perhaps(const char *job)
{
    struct plan p = {0};
    char path[PATH_MAX];
    struct stat st;
    if (!read_plan(job, &p))
        return;
    snprintf(path, sizeof path, "%s.faults", job);
    int64_t before = stat(path, &st) == 0 ? st.st_size : 0;
    uint64_t x = p.seed;
    for (const char *c = strrchr(job, '/') + 1; *c && *c != '.'; c++)
        x = chance_mix(x ^ (uint64_t)(unsigned char)*c);
    x = chance_mix(x ^ (uint64_t)before << 32);
    if (before >= MOST || chance_unit(x) >= p.share)
        return;
    FILE *f = fopen(path, "a");
    if (!f || fputc('x', f) == EOF || fclose(f) != 0)
        return;
    x = chance_mix(x);
    if (strcmp(p.mode, "mixed") == 0) {
        static const char *const modes[] = {"segv", "oom", "garbage", "exit"};
        snprintf(p.mode, sizeof p.mode, "%s", modes[x % 4]);
        x = chance_mix(x);
    }
    if (strcmp(p.mode, "segv") == 0)
        segv(x);
    else if (strcmp(p.mode, "hang") == 0)
        hang(x);
    else if (strcmp(p.mode, "oom") == 0)
        oom(x, p.cgroup);
    else if (strcmp(p.mode, "garbage") == 0)
        garbage(x);
    else
        leave(x);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bad_trainer JOB.json COMMAND [ARGUMENT...]\n");
        return 2;
    }
    fail_perhaps(argv[1]);
    execv(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
