// SPDX-License-Identifier: GPL-3.0-or-later
// Two hosts: network namespaces, each with a host name of its own, joined by a veth pair. A
// process that sleeps holds each; with it the namespace and its end of the link are gone.
#include "tests/faults/kinds.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const double PATIENT = 10; // s of an undisturbed sweep: then ends may take two minutes

struct hosts {
    pid_t holder[2]; // the manager's host, the other one
    char agent[PATH_MAX], mpirun[2 * PATH_MAX];
};

// One word after another, without a shell.
static int command(const char *const *argv)
{
    union { // execvp takes no const, and writes nothing
        const char *const *in;
        char *const *out;
    } words = {.in = argv};
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], words.out);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return status;
}

// ip ARGUMENTS in a host (0: here).
static bool ip(pid_t host, const char *const *arguments)
{
    char target[32];
    const char *argv[32] = {"nsenter", "-t", target, "-n", "ip"};
    int n = 5;
    snprintf(target, sizeof target, "%d", (int)(host ? host : getpid()));
    for (int i = 0; arguments[i]; i++)
        argv[n++] = arguments[i];
    argv[n] = NULL;
    return command(argv) == 0;
}

// What the second host runs for the first, one command at a time: its sshd. Of the run's
// folder.
static const char SERVE[] = "cd \"$1\" && while :; do read -r line <to-b && sh -c \"$line\" "
                            "</dev/null >from-b 2>&1; done";
// The first host's ssh HOST COMMAND: lasts as long as the command.
static const char AGENT[] = "#!/bin/sh\ncd \"${0%/*}\" && shift && echo \"$*\" >to-b && exec "
                            "cat from-b\n";

static void live(const char *dir)
{
    char tmp[PATH_MAX];
    snprintf(tmp, sizeof tmp, "%s/tmp-b", dir);
    setenv("TMPDIR", tmp, 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    execl("/bin/sh", "sh", "-c", SERVE, "host", dir, (char *)NULL);
    _exit(127);
}

// dir: the folder of a host that serves; NULL: it only is there.
static pid_t hold(const char *name, const char *dir)
{
    int ready[2];
    char byte = 0;
    if (pipe(ready) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        byte =
            unshare(CLONE_NEWNET | CLONE_NEWUTS) == 0 && sethostname(name, strlen(name)) == 0;
        if (write(ready[1], &byte, 1) != 1 || !byte)
            _exit(1);
        if (dir)
            live(dir);
        for (;;)
            pause();
    }
    close(ready[1]);
    bool good = pid > 0 && read(ready[0], &byte, 1) == 1 && byte;
    close(ready[0]);
    return good ? pid : -1;
}

static bool join(const struct hosts *h)
{
    char other[32];
    snprintf(other, sizeof other, "%d", (int)h->holder[1]);
    const char *const pair[] = {"link", "add", "va",    "type", "veth", "peer",
                                "name", "vb",  "netns", other,  NULL};
    const char *const address[2][6] = {{"addr", "add", "10.213.0.1/24", "dev", "va", NULL},
                                       {"addr", "add", "10.213.0.2/24", "dev", "vb", NULL}};
    const char *const up[2][5] = {{"link", "set", "va", "up", NULL},
                                  {"link", "set", "vb", "up", NULL}};
    const char *const lo[] = {"link", "set", "lo", "up", NULL};
    bool good = ip(h->holder[0], pair);
    for (int i = 0; i < 2; i++)
        good = good && ip(h->holder[i], address[i]) && ip(h->holder[i], up[i]) &&
               ip(h->holder[i], lo);
    return good;
}

static void free_hosts(struct hosts *h)
{
    for (int i = 0; i < 2; i++)
        if (h->holder[i] > 0) {
            kill(h->holder[i], SIGKILL);
            waitpid(h->holder[i], NULL, 0);
        }
}

static bool make_hosts(struct hosts *h, const char *dir)
{
    *h = (struct hosts){.holder = {hold("host-a", NULL), hold("host-b", dir)}};
    return h->holder[0] > 0 && h->holder[1] > 0 && join(h);
}

const char *no_namespaces(void)
{
    struct hosts h;
    bool good = make_hosts(&h, NULL);
    free_hosts(&h);
    return good ? NULL : "no permission for network namespaces, or no ip and nsenter";
}

// launch then runs on the first host and has mpirun start ranks on both.
static bool move_in(struct run *r, struct hosts *h)
{
    static const char *const names[] = {"to-b", "from-b", "tmp-b"};
    char path[PATH_MAX + 16];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", r->dir, names[i]);
        expect(r, (i < 2 ? mkfifo(path, 0666) : mkdir(path, 0777)) == 0, "%s: %s", path,
               strerror(errno));
    }
    if (!expect(r, make_hosts(h, r->dir), "two hosts cannot be made"))
        return false;
    snprintf(h->agent, sizeof h->agent, "%s/agent", r->dir);
    put_file(h->agent, AGENT);
    chmod(h->agent, 0777);
    snprintf(h->mpirun, sizeof h->mpirun,
             "mpirun --mca plm_rsh_agent '%s' --mca oob_tcp_if_include 10.213.0.0/24 --mca "
             "btl_tcp_if_include 10.213.0.0/24 --host 10.213.0.1:3,10.213.0.2:2",
             h->agent);
    r->mpirun = h->mpirun;
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)h->holder[0]);
    r->net = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/ns/uts", (int)h->holder[0]);
    r->uts = open(path, O_RDONLY | O_CLOEXEC);
    return expect(r, r->net >= 0 && r->uts >= 0, "%s: %s", path, strerror(errno));
}

static void move_out(struct run *r, struct hosts *h)
{
    free_hosts(h);
    close(r->net);
    close(r->uts);
}

static ino_t network_of(int pid)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

// Everything that runs on a host, but what holds it.
static int kill_host(pid_t holder)
{
    int n = 0;
    ino_t network = network_of(holder);
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));) {
        int pid = atoi(e->d_name);
        if (network && pid > 0 && pid != holder && network_of(pid) == network)
            n += kill(pid, SIGKILL) == 0;
    }
    if (d)
        closedir(d);
    return n;
}

static void set_link(const struct hosts *h, const char *state)
{
    const char *const words[] = {"link", "set", "vb", state, NULL};
    ip(h->holder[1], words);
}

void kind_link_cut(struct run *r)
{
    struct hosts h;
    if (!move_in(r, &h))
        return;
    pid_t launch = sweep_start(r, NULL);
    bool for_good = draw(r, 2);
    if (sweep_moment(r, launch, .6)) {
        set_link(&h, "down");
        r->struck++;
        if (!for_good) {
            nap(1 + 7 * draw_unit(r));
            set_link(&h, "up");
        }
    }
    int code = sweep_wait(r, launch);
    expect(r, code == 0, "launch ended with code %d, expected 0", code);
    // Nobody can tell the ranks beyond the link to end: they do it themselves, where there is
    // time to see it. What Open MPI leaves there is not ours.
    if (r->setup->seconds > PATIENT)
        for (double until = now() + 40 * r->setup->silence; rank_count(r) > 0 && now() < until;)
            nap(.5);
    expect(r, r->setup->seconds <= PATIENT || rank_count(r) == 0,
           "ranks are left beyond the link");
    kill_host(h.holder[1]);
    r->untidy = true;
    move_out(r, &h);
}

void kind_host_killed(struct run *r)
{
    struct hosts h;
    if (!move_in(r, &h))
        return;
    pid_t launch = sweep_start(r, NULL);
    if (sweep_moment(r, launch, .6))
        r->struck += kill_host(h.holder[1]) > 0;
    r->untidy = true; // nobody tidies up on a host that died
    int code = sweep_wait(r, launch);
    expect(r, code == 0, "launch ended with code %d, expected 0", code);
    move_out(r, &h);
}
