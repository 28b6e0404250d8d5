// SPDX-License-Identifier: GPL-3.0-or-later
// One run of mpirun from its start until nothing of it is left on this machine: signals become
// an orderly stop, a dead manager ends it, leftovers are removed. launch.c decides what
// follows.
#ifndef ORCHESTRATOR_ATTEMPT_H
#define ORCHESTRATOR_ATTEMPT_H
#include "core/err.h"
#include <stdbool.h>
#include <sys/types.h>

struct attempt {
    int mpirun_status; // as wait gives it
    pid_t manager;     // rank 0's process on this machine; 0: never heard of
    int code;          // what rank 0 said that it exits with; -1: it did not
    char why[1024];    // its message then; "": none
    int asked;         // the signal that asked us to stop; 0: none
    bool manager_died; // while mpirun went on
    double seconds;
};

// Blocks the signals that mean "stop" (and SIGCHLD) in this process, and makes it the parent of
// everything that its children leave behind. Once, before the first attempt.
enum err attempt_prepare(void);
// argv: mpirun and its arguments, NULL-terminated; tell: a file that rank 0 fills (run --tell).
// ERR_FAILED: mpirun cannot be started.
enum err attempt_run(const char *const *argv, const char *tell, struct attempt *a);
// Sleeps; the signal that asked to stop meanwhile, 0 if none did.
int attempt_wait(double seconds);

// Rank 0's half: writes its process number (and MPI's session folder) before
// MPI starts, the exit code and the error message when they are known. path NULL: nothing.
void attempt_tell_start(const char *path);
bool attempt_tell_code(const char *path, int code); // whether it was told
#endif
