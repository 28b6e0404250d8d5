// SPDX-License-Identifier: GPL-3.0-or-later
// A worker's side of who gets what of a machine: what this process may use of it, and a trainer
// bound to its share. slots.h is the manager's side.
#ifndef ORCHESTRATOR_PLACE_H
#define ORCHESTRATOR_PLACE_H
#include "core/err.h"
#include <jansson.h>
#include <stdbool.h>

enum { PLACE_CPUS = 8192 }; // the most that a machine may number

// {"machine": text that only processes of this machine have, "cpus": the processors that this
// process may use as "0,64,1,65" with those of a core side by side, "memory": bytes
// (memory_of_host), "gpus": the visible ones as
// CUDA_VISIBLE_DEVICES names them, "gpu_memory": bytes of the smallest, 0: not known}. New
// reference, NULL: out of memory.
json_t *place_facts(void);
// Numbers of a list "0,64,1" into cpus[PLACE_CPUS]; how many, -1 if it is none.
int place_parse_cpus(const char *list, int *cpus);
// Binds the calling thread, and what it starts from now on, to a list of processors; what it
// was bound to before is kept in *before until place_unbind. False: nothing was done.
struct place_before;
bool place_bind(const char *cpus, struct place_before **before);
void place_unbind(struct place_before *before);
#endif
