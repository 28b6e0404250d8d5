// SPDX-License-Identifier: GPL-3.0-or-later
// A Slurm batch script for a sweep, from a template. Nothing of the user's reaches a shell
// unquoted, control characters are refused.
#ifndef ORCHESTRATOR_SUBMIT_H
#define ORCHESTRATOR_SUBMIT_H
#include "orchestrator/cmd.h"
#include <stdbool.h>

struct submit_options {
    const char *config, *out;                        // out NULL: as launch has it
    const char *template;                            // NULL: the one that comes with moesweep
    const char *account, *partition, *time, *mpirun; // NULL: none
    int nodes, workers, gpus;                        // per node; gpus 0: none
    double margin;                                   // s before the limit
    const struct cmd_list *more;                     // further options of sbatch, each one word
};

// The whole script; the caller frees. ERR_INPUT: the configuration or an option is wrong.
enum err submit_script(const struct submit_options *opt, char **text);
// One word for a POSIX shell. ERR_INPUT: control characters. The caller frees.
enum err submit_quote(const char *word, char **quoted);
// --time as sbatch takes it: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S. Seconds, NaN for anything
// else.
double submit_limit(const char *text);
#endif
