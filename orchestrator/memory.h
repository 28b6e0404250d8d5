// SPDX-License-Identifier: GPL-3.0-or-later
// Memory of this machine and of processes on it, from /proc and control groups.
#ifndef ORCHESTRATOR_MEMORY_H
#define ORCHESTRATOR_MEMORY_H
#include <stdint.h>
#include <sys/types.h>

// Bytes that processes of this job may use here together: the smallest of the machine's, the
// control groups' limits and what Slurm allows on a node; 0: not known.
double memory_of_host(void);
// Bytes of a process and all that it has started, as far as nobody shares them (data files that
// are mapped do not count); 0: it is gone, or /proc does not tell.
double memory_of_tree(pid_t pid);
// How many processes the kernel has killed for want of memory: of our control group where it
// counts them, else of the machine; -1 where nobody tells.
int64_t memory_oom_kills(void);
#endif
