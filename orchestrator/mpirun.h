// SPDX-License-Identifier: GPL-3.0-or-later
// The MPI launcher of this machine: which one it is, and with which flags moesweep wants it.
#ifndef ORCHESTRATOR_MPIRUN_H
#define ORCHESTRATOR_MPIRUN_H
#include "core/err.h"
#include <stdbool.h>

enum { MPIRUN_WORDS = 64, MPIRUN_VERSION = 64 };

struct mpirun {
    char **command;               // words of --mpirun; NULL-terminated, freed by mpirun_free
    char version[MPIRUN_VERSION]; // "Open MPI 4.1.4"; "" if it is not Open MPI
    int major, minor;             // 0: not Open MPI
    bool ulfm;                    // --with-ft ulfm works: its library and ours have it
};

// command: as the user wrote it, "mpirun" if NULL. ERR_FAILED with advice when it cannot be
// run.
enum err mpirun_find(const char *command, struct mpirun *out);
void mpirun_free(struct mpirun *m);
// What happens when a rank dies: one phrase for the start and for doctor.
const char *mpirun_on_death(const struct mpirun *m);
// Whether the other ranks go on when one dies.
bool mpirun_recovers(const struct mpirun *m);
// The beginning of an argument list: command and flags for that many ranks; at most
// MPIRUN_WORDS. Returns how many. ranks_text must live as long as words.
int mpirun_words(const struct mpirun *m, const char *ranks_text, const char **words);
// What the launcher's environment must say: permission for root; time for checkpoints between
// SIGTERM and SIGKILL.
void mpirun_environment(void);
#endif
