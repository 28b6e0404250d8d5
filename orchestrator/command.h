// SPDX-License-Identifier: GPL-3.0-or-later
// The trainer's command as the user wrote it, made ready for exec: split into words, never seen
// by a shell.
#ifndef ORCHESTRATOR_COMMAND_H
#define ORCHESTRATOR_COMMAND_H
#include "core/err.h"
#include <stddef.h>

// Splits at blanks; '..' and ".." group, and a backslash takes the next character as it is
// except inside '..'. {job} in any word becomes job_file, {width} the number. *argv is
// NULL-terminated, one block of memory that the caller frees. ERR_INPUT: no words, or a quote
// that is never closed.
enum err command_split(const char *command, const char *job_file, int width, char ***argv);
// Where exec finds the program: as written if it holds a slash; else beside the running
// program, else in $PATH. ERR_INPUT: not found or not executable.
enum err command_find(const char *program, char *path, size_t size);
// The environment of a child: this process's without what MPI and process managers put there (a
// trainer that uses MPI itself must not believe that it is a rank of ours), OMP_NUM_THREADS
// set, CUDA_VISIBLE_DEVICES too unless gpus is NULL. One block of memory that the caller frees;
// the texts are this process's own.
enum err command_environment(int threads, const char *gpus, char ***envp);
#endif
