// SPDX-License-Identifier: GPL-3.0-or-later
// The manager's side of who gets what of a machine: from what the workers say of theirs
// (place.h), each gets processors and GPUs that no other one on that machine has, if there are
// enough. No MPI here.
#ifndef ORCHESTRATOR_SLOTS_H
#define ORCHESTRATOR_SLOTS_H
#include "core/job.h"
#include "orchestrator/sched.h"

struct slots;

// Workers are numbered from 0.
enum err slots_create(int n_workers, struct slots **out);
void slots_free(struct slots *s);
// A worker is there; ready holds what place_facts made. ERR_INPUT: it does not.
enum err slots_ready(struct slots *s, int worker, const char *host, json_t *ready);
// Shares what the workers that are there have, for trainers of so many threads each, GPUs only
// if the device needs one. Workers of one machine that may use the same processors get equal
// parts of them in the order of their numbers; one that has some for itself keeps them; where
// they are too few, or workers overlap in part, nobody of that machine is bound. The same for
// GPUs. *why says in one line where nobody was bound, "" otherwise. Without `bind` nobody gets
// parts, and it is only seen how many share a GPU.
enum err slots_share(struct slots *s, const struct job *job, bool bind, char *why, size_t size);
// Where the worker is, for the scheduler: machines are hosts. A part of a machine's memory
// stays for others (SLOTS_MEMORY of it is ours); workers that share a GPU have equal parts of
// its memory.
struct sched_place slots_place(const struct slots *s, int worker);
#define SLOTS_MEMORY .95
// Adds to a JOB message what a trainer that takes n workers' slots is bound to: "cpus" and
// "gpus", where there is something to bind it to.
enum err slots_bind(const struct slots *s, const int *workers, int n, json_t *body);
#endif
