// SPDX-License-Identifier: GPL-3.0-or-later
// One run of the fault campaign: a sweep under `moesweep launch` in a folder of its own, the
// processes below it, and the checks of its end. Everything that a run starts becomes its child
// sooner or later (it is a subreaper), so that no survivor is missed.
#ifndef TESTS_FAULTS_SWEEP_H
#define TESTS_FAULTS_SWEEP_H
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { WORKERS = 4, RETRIES = 4 };

// A configuration and what an undisturbed run of it gave.
struct setup {
    const char *name; // of the configuration's file, without .cfg
    char config[PATH_MAX];
    char reference[PATH_MAX]; // the undisturbed run's folder
    int jobs, workers;
    double seconds; // it took
    double silence; // s: `moesweep launch --silence`
};

struct run {
    const struct setup *setup;
    char dir[PATH_MAX - 64]; // of this run; below it: out, log, tmp, plan
    char out[PATH_MAX];
    const char *bin, *library; // folder of the programs; what may be preloaded
    const char *mpirun;        // NULL: launch's default
    int net;                   // namespaces (files in /proc) to start in; -1: our own
    int uts;
    uint64_t random;
    int failures, struck;   // checks that failed; faults that were injected
    int launches, sessions; // so far; in the journal when the newest launch began
    bool untidy; // launch itself was killed: what MPI leaves in tmp is not held against it
    double began;
};

// ---- chance: the same for the same seed (chance.h)
int draw(struct run *r, int n); // 0 .. n - 1
double draw_unit(struct run *r);

// ---- time
double now(void);
void nap(double seconds);

// ---- checks: what fails is told with the run
bool expect(struct run *r, bool good, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool said(const struct run *r, const char *text); // in the log of all launches
int records(const struct run *r, const char *type);

// ---- a sweep
// Starts `moesweep launch`; environment: NAME=VALUE or NULL, for it alone.
pid_t sweep_start(struct run *r, const char *environment);
// Its exit code, or 128 + signal. Longer than patience is a failure: everything is killed.
int sweep_wait(struct run *r, pid_t launch);
// Sleeps until the newest launch has begun its session; false if it ends before that.
bool sweep_under_way(struct run *r, pid_t launch);
// Sleeps until a random share (0 .. most) of the jobs is done and a moment more; false if the
// sweep ends before that.
bool sweep_moment(struct run *r, pid_t launch, double most);
bool sweep_ended(pid_t launch);
// The same command until it is done, at most so often.
void sweep_complete(struct run *r, int times);
// Every job exactly once, losses and law as undisturbed, nobody left, nothing left.
void sweep_verify(struct run *r);

// ---- processes below this one
int rank_process(struct run *r, int rank); // 0: none
int rank_count(struct run *r);             // that live
int trainer_process(struct run *r);        // a random one that trains; 0: none
int child_named(pid_t parent, const char *name);
void kill_all(struct run *r); // with SIGKILL, until nobody is left
int signal_all(int sig);      // every process below; how many
bool nobody_left(double patience);

void put_file(const char *path, const char *text);
#endif
