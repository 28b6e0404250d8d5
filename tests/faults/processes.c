// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/processes.h"
#include "tests/faults/sweep.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 4096 };

struct process {
    int pid, parent;
    char name[64];
    bool below; // this process
};

struct table {
    struct process p[MOST];
    int n;
};

static bool read_process(int pid, struct process *out)
{
    char path[64], text[1024], state = 'X';
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    char *from = strchr(text, '('), *to = strrchr(text, ')');
    if (!from || !to || sscanf(to + 1, " %c %d", &state, &out->parent) != 2)
        return false;
    out->pid = pid;
    out->below = false;
    snprintf(out->name, sizeof out->name, "%.*s", (int)(to - from - 1), from + 1);
    return state != 'Z' && state != 'X';
}

// All that live and descend from root, root left out. (A parent stands before its children only
// by chance: until nothing changes.)
static struct table *below(int root)
{
    struct table *t = calloc(1, sizeof *t);
    DIR *d = opendir("/proc");
    for (struct dirent *e; t && d && (e = readdir(d));) {
        int pid = atoi(e->d_name);
        if (pid > 0 && t->n < MOST && read_process(pid, &t->p[t->n]))
            t->n++;
    }
    if (d)
        closedir(d);
    if (!t) {
        perror("campaign");
        exit(1);
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < t->n; i++)
            for (int k = 0; !t->p[i].below && k < t->n; k++)
                if (t->p[i].parent == root || (t->p[k].below && t->p[k].pid == t->p[i].parent))
                    changed = t->p[i].below = true;
    }
    int n = 0;
    for (int i = 0; i < t->n; i++)
        if (t->p[i].below)
            t->p[n++] = t->p[i];
    t->n = n;
    return t;
}

static int rank_of(int pid)
{
    static const char NAME[] = "OMPI_COMM_WORLD_RANK=";
    static char text[256 << 10];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    for (ssize_t got;
         fd >= 0 && n < sizeof text - 1 && (got = read(fd, text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    if (fd >= 0)
        close(fd);
    text[n] = '\0';
    for (char *at = text; at < text + n; at += strlen(at) + 1)
        if (strncmp(at, NAME, sizeof NAME - 1) == 0)
            return atoi(at + sizeof NAME - 1);
    return -1;
}

static bool is_rank(const struct process *p)
{
    return strcmp(p->name, "moesweep") == 0 && rank_of(p->pid) >= 0;
}

int rank_process(struct run *r, int rank)
{
    (void)r;
    struct table *t = below(getpid());
    int found = 0;
    for (int i = 0; i < t->n && !found; i++)
        if (strcmp(t->p[i].name, "moesweep") == 0 && rank_of(t->p[i].pid) == rank)
            found = t->p[i].pid;
    free(t);
    return found;
}

int rank_count(struct run *r)
{
    (void)r;
    struct table *t = below(getpid());
    int n = 0;
    for (int i = 0; i < t->n; i++)
        n += is_rank(&t->p[i]);
    free(t);
    return n;
}

int trainer_process(struct run *r)
{
    struct table *t = below(getpid());
    int found = 0, seen = 0;
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->p[i].name, "planted_trainer") == 0 ||
            strcmp(t->p[i].name, "moetrain") == 0)
            if (draw(r, ++seen) == 0)
                found = t->p[i].pid;
    free(t);
    return found;
}

int child_named(pid_t parent, const char *name)
{
    struct table *t = below(getpid());
    int found = 0;
    for (int i = 0; i < t->n && !found; i++)
        if (t->p[i].parent == parent && strcmp(t->p[i].name, name) == 0)
            found = t->p[i].pid;
    free(t);
    return found;
}

int signal_all(int sig)
{
    struct table *t = below(getpid());
    for (int i = 0; i < t->n; i++)
        kill(t->p[i].pid, sig);
    int n = t->n;
    free(t);
    return n;
}

void kill_all(struct run *r)
{
    (void)r;
    while (signal_all(SIGKILL) > 0)
        nap(.01);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

bool nobody_left(double patience)
{
    for (double until = now() + patience; now() < until; nap(.05)) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (signal_all(0) == 0)
            return true;
    }
    return false;
}

void processes_print(void)
{
    struct table *t = below(getpid());
    for (int i = 0; i < t->n; i++) {
        char path[64], text[512];
        snprintf(path, sizeof path, "/proc/%d/cmdline", t->p[i].pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
        if (fd >= 0)
            close(fd);
        for (ssize_t k = 0; k < n; k++)
            text[k] = text[k] ? text[k] : ' ';
        text[n > 0 ? n : 0] = '\0';
        printf("      %d, child of %d: %s\n", t->p[i].pid, t->p[i].parent, text);
    }
    free(t);
}
