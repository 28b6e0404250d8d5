// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/kinds.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- workers and their manager

static void one_code(struct run *r, pid_t launch, int want)
{
    int code = sweep_wait(r, launch);
    expect(r, code == want, "launch ended with code %d, expected %d", code, want);
}

static void strike(struct run *r, int pid, int sig)
{
    if (pid > 0 && kill(pid, sig) == 0)
        r->struck++;
}

static void worker_killed(struct run *r)
{
    pid_t launch = sweep_start(r, NULL);
    int victims = 1 + draw(r, r->setup->workers - 1);
    for (int i = 0; i < victims && sweep_moment(r, launch, .8); i++)
        strike(r, rank_process(r, 1 + draw(r, r->setup->workers)), SIGKILL);
    one_code(r, launch, 0);
    expect(r, records(r, "session") == 1, "%d sessions, expected 1", records(r, "session"));
}

static void workers_all_killed(struct run *r)
{
    pid_t launch = sweep_start(r, NULL);
    if (sweep_moment(r, launch, .8))
        for (int w = 1; w <= r->setup->workers; w++)
            strike(r, rank_process(r, w), SIGKILL);
    int code = sweep_wait(r, launch);
    expect(r, code == 0 || code == 1, "launch ended with code %d, expected 0 or 1", code);
    if (code == 1)
        expect(r, said(r, "no sign of life") || said(r, "no worker has given a sign of life"),
               "the log does not say why it ended");
    sweep_complete(r, code == 0 ? 1 : 2);
}

static void worker_stopped(struct run *r)
{
    pid_t launch = sweep_start(r, NULL);
    for (int i = 0; i < 2 && sweep_moment(r, launch, .6); i++) {
        int pid = rank_process(r, 1 + draw(r, r->setup->workers));
        // Shorter and longer than is allowed; a busy manager counts slowly.
        double allowed = r->setup->silence, time = 2 * allowed * draw_unit(r);
        strike(r, pid, SIGSTOP);
        nap(time);
        expect(r, time < 1.9 * allowed || sweep_ended(launch) || said(r, "no sign of life"),
               "a worker's silence of %.1f s is not told", time);
        if (pid > 0)
            kill(pid, SIGCONT);
    }
    one_code(r, launch, 0);
}

static void worker_stopped_for_good(struct run *r)
{
    pid_t launch = sweep_start(r, NULL);
    bool late = draw(r, 3) == 0; // when nobody will miss it any more
    if (sweep_moment(r, launch, .8)) {
        while (late && !sweep_ended(launch) && records(r, "result") < r->setup->jobs)
            nap(.005);
        strike(r, rank_process(r, 1 + draw(r, r->setup->workers)), SIGSTOP);
    }
    one_code(r, launch, 0);
}

static void manager_stopped(struct run *r)
{
    pid_t launch = sweep_start(r, NULL);
    for (int i = 0; i < 2 && sweep_moment(r, launch, .6); i++) {
        int pid = rank_process(r, 0);
        strike(r, pid, SIGSTOP);
        nap(2 * r->setup->silence * draw_unit(r));
        if (pid > 0)
            kill(pid, SIGCONT);
    }
    one_code(r, launch, 0);
    expect(r, records(r, "session") == 1, "%d sessions, expected 1", records(r, "session"));
}

static void manager_killed(struct run *r)
{
    pid_t launch = sweep_start(r, NULL);
    int times = 1 + draw(r, 3);
    for (int i = 0; i < times && sweep_moment(r, launch, .8); i++)
        strike(r, rank_process(r, 0), SIGKILL);
    one_code(r, launch, 0);
    expect(r, r->struck == 0 || said(r, "the manager died"), "the manager's death is not told");
}

static void mpirun_killed(struct run *r)
{
    pid_t launch = sweep_start(r, NULL);
    int times = 1 + draw(r, 2);
    for (int i = 0; i < times && sweep_moment(r, launch, .8); i++)
        strike(r, child_named(launch, "mpirun"), SIGKILL);
    one_code(r, launch, 0);
}

static void launcher_killed(struct run *r)
{
    int times = 1 + draw(r, 2);
    for (int i = 0; i < times; i++) {
        pid_t launch = sweep_start(r, NULL);
        if (sweep_moment(r, launch, .8))
            strike(r, launch, SIGKILL);
        r->untidy = true; // nobody is left to tidy up
        sweep_wait(r, launch);
    }
    // At once: what the old one started still ends, and the new one waits for it.
    sweep_complete(r, 1);
    // mpirun may sleep for half a minute although none of its ranks is left.
    expect(r, rank_count(r) == 0 && trainer_process(r) == 0, "ranks or trainers are left over");
    kill_all(r);
}

static void tree_killed(struct run *r)
{
    int times = 1 + draw(r, 4);
    r->untidy = true;
    for (int i = 0; i < times; i++) {
        pid_t launch = sweep_start(r, NULL);
        r->struck += sweep_moment(r, launch, .8);
        kill_all(r);
    }
    sweep_complete(r, 1);
}

// Every way to ask for a stop, and at once the same command again.
static void stopped(struct run *r)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
    int times = 1 + draw(r, 3);
    for (int i = 0; i < times; i++) {
        pid_t launch = sweep_start(r, NULL);
        if (!sweep_under_way(r, launch) || !sweep_moment(r, launch, .7)) {
            one_code(r, launch, 0);
            continue;
        }
        int how = draw(r, 7), mpirun = child_named(launch, "mpirun");
        if (how < 4)
            kill(launch, signals[how]);
        else if (how == 4)
            signal_all(SIGTERM); // as batch systems do
        else if (mpirun)
            kill(mpirun, how == 5 ? SIGTERM : SIGUSR1);
        r->struck++;
        int code = sweep_wait(r, launch);
        expect(r, code == 3 || (code == 0 && how > 4) || records(r, "stop") > i,
               "stopped in way %d: launch ended with code %d, expected 3", how, code);
    }
    expect(r, records(r, "failure") == 0, "%d failures, expected none", records(r, "failure"));
    sweep_complete(r, 1);
    expect(r, !said(r, "is writing here"),
           "a launch was refused because the last one ended yet");
}

// ---- trainers

// A memory control group for real shortage of memory; "": not here.
static void memory_group(struct run *r, char *path)
{
    char own[PATH_MAX] = "", line[PATH_MAX], limit[PATH_MAX + 64];
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *at = strstr(line, ":memory:");
        line[strcspn(line, "\n")] = '\0';
        if (at)
            snprintf(own, sizeof own, "/sys/fs/cgroup/memory%.3000s", at + 8);
    }
    if (f)
        fclose(f);
    path[0] = '\0';
    if (!*own)
        return;
    snprintf(path, PATH_MAX, "%.3000s/moesweep-faults-%d", own, (int)getpid());
    snprintf(limit, sizeof limit, "%s/memory.limit_in_bytes", path);
    f = mkdir(path, 0777) == 0 ? fopen(limit, "we") : NULL;
    bool good = f && fputs("33554432\n", f) >= 0;
    good = f && fclose(f) == 0 && good;
    if (!good) {
        rmdir(path);
        path[0] = '\0';
    }
    (void)r;
}

static void plan(struct run *r, const char *mode, double share, const char *cgroup)
{
    char path[PATH_MAX], text[PATH_MAX + 128];
    snprintf(path, sizeof path, "%s/plan", r->dir);
    snprintf(text, sizeof text, "%s %.3f %llu %s\n", mode, share, (unsigned long long)r->random,
             cgroup);
    put_file(path, text);
}

static void bad_trainers(struct run *r, const char *mode, const char *cause)
{
    plan(r, mode, .1 + .2 * draw_unit(r), "");
    one_code(r, sweep_start(r, NULL), 0);
    int n = records(r, "failure");
    r->struck += n;
    expect(r, n == 0 || !cause || said(r, cause), "no failure says '%s'", cause);
}

static void trainer_crashes(struct run *r)
{
    bad_trainers(r, "segv", "killed by signal");
}

static void trainer_hangs(struct run *r)
{
    plan(r, "hang", .05 + .1 * draw_unit(r), "");
    one_code(r, sweep_start(r, NULL), 0);
    r->struck += records(r, "failure");
    expect(r, r->struck == 0 || said(r, "no sign of life from the trainer"),
           "no failure tells of a trainer's silence");
}

static void trainer_oom(struct run *r)
{
    char group[PATH_MAX];
    memory_group(r, group);
    plan(r, "oom", .1 + .2 * draw_unit(r), group);
    one_code(r, sweep_start(r, NULL), 0);
    r->struck += records(r, "failure");
    for (int i = 0; *group && i < 100 && rmdir(group) != 0 && errno == EBUSY; i++)
        nap(.05);
}

static void trainer_garbage(struct run *r)
{
    bad_trainers(r, "garbage", "line ");
}

static void trainer_exits(struct run *r)
{
    bad_trainers(r, "exit", "device lost");
}

static void trainer_killed(struct run *r)
{
    static const int signals[] = {SIGKILL, SIGSEGV, SIGTERM, SIGABRT};
    pid_t launch = sweep_start(r, NULL);
    for (int i = 0; i < 3 && sweep_moment(r, launch, .8); i++)
        strike(r, trainer_process(r), signals[draw(r, 4)]);
    one_code(r, launch, 0);
}

static void trainer_stopped(struct run *r)
{
    pid_t launch = sweep_start(r, NULL);
    for (int i = 0; i < 2 && sweep_moment(r, launch, .8); i++) {
        int pid = trainer_process(r);
        strike(r, pid, SIGSTOP);
        nap(.5 * draw_unit(r));
        if (pid > 0 && draw(r, 2))
            kill(pid, SIGCONT);
    }
    one_code(r, launch, 0);
}

// ---- the rest

static void clock_jumps(struct run *r)
{
    static const double offsets[] = {3600, -3600, 86400, -86400, 1, -1, -1e9, 2e9};
    char environment[256];
    double T = r->setup->seconds, at = now() + draw_unit(r) * T;
    snprintf(environment, sizeof environment, "FAULTY_CLOCK=%.3f %.0f %.3f %.0f", at,
             offsets[draw(r, 8)], at + draw_unit(r) * T / 2, offsets[draw(r, 8)]);
    pid_t launch = sweep_start(r, environment);
    while (now() < at && !sweep_ended(launch))
        nap(.02);
    r->struck += !sweep_ended(launch);
    if (draw(r, 2) && sweep_moment(r, launch, .8))
        strike(r, rank_process(r, 0), SIGKILL);
    one_code(r, launch, 0);
}

static void two_launchers(struct run *r)
{
    pid_t first = sweep_start(r, NULL), second;
    bool together = draw(r, 3) == 0;
    if (!together && !sweep_moment(r, first, .4)) {
        one_code(r, first, 0);
        return;
    }
    second = sweep_start(r, NULL);
    r->struck++;
    int b = sweep_wait(r, second), a;
    // The second one's end may come after the first one's; then there was nobody to refuse it.
    bool during = !sweep_ended(first);
    a = sweep_wait(r, first);
    if (together)
        expect(r, (a == 0 && (b == 2 || b == 0)) || (a == 2 && b == 0),
               "launched together they ended with codes %d and %d", a, b);
    else
        expect(r, a == 0 && (b == 2 || (b == 0 && !during)),
               "the first ended with code %d, the second with %d, expected 0 and 2", a, b);
    expect(r, (a == 0 && b == 0) || said(r, "is writing here"),
           "the refusal does not say that another one writes");
    sweep_complete(r, 1);
}

static void mixture(struct run *r)
{
    int ends = 0;
    plan(r, "mixed", .08, "");
    r->untidy = true;
    for (int i = 0; i < 3 && !ends; i++) {
        pid_t launch = sweep_start(r, NULL);
        for (int k = 0; k < 4 && sweep_moment(r, launch, .7); k++)
            switch (draw(r, 5)) {
            case 0:
                strike(r, rank_process(r, 0), SIGKILL);
                break;
            case 1:
                strike(r, rank_process(r, 1 + draw(r, r->setup->workers)), SIGKILL);
                break;
            case 2:
                strike(r, trainer_process(r), SIGKILL);
                break;
            case 3:
                strike(r, launch, SIGTERM);
                break;
            default:
                kill_all(r);
                r->struck++;
            }
        ends = sweep_wait(r, launch) == 0;
    }
    sweep_complete(r, 3);
}

const struct kind kinds[] = {
    {"worker_killed", worker_killed, true, NULL},
    {"workers_all_killed", workers_all_killed, false, NULL},
    {"worker_stopped", worker_stopped, true, NULL},
    {"worker_stopped_for_good", worker_stopped_for_good, false, NULL},
    {"manager_stopped", manager_stopped, false, NULL},
    {"manager_killed", manager_killed, true, NULL},
    {"mpirun_killed", mpirun_killed, true, NULL},
    {"launcher_killed", launcher_killed, true, NULL},
    {"tree_killed", tree_killed, true, NULL},
    {"stopped", stopped, true, NULL},
    {"trainer_crashes", trainer_crashes, false, NULL},
    {"trainer_hangs", trainer_hangs, false, NULL},
    {"trainer_oom", trainer_oom, false, NULL},
    {"trainer_garbage", trainer_garbage, false, NULL},
    {"trainer_exits", trainer_exits, false, NULL},
    {"trainer_killed", trainer_killed, true, NULL},
    {"trainer_stopped", trainer_stopped, false, NULL},
    {"disk_full", kind_disk_full, false, no_mount},
    {"sync_fails", kind_sync_fails, false, NULL},
    {"write_fails", kind_write_fails, false, NULL},
    {"short_writes", kind_short_writes, false, NULL},
    {"journal_cut", kind_journal_cut, true, NULL},
    {"clock_jumps", clock_jumps, false, NULL},
    {"two_launchers", two_launchers, false, NULL},
    {"link_cut", kind_link_cut, false, no_namespaces},
    {"host_killed", kind_host_killed, false, no_namespaces},
    {"mixture", mixture, true, NULL},
};
const int n_kinds = sizeof kinds / sizeof *kinds;
