// SPDX-License-Identifier: GPL-3.0-or-later
// What a machine, an allocation, a folder or a trainer offers, and what is wrong with it. Every
// part appends findings {"name", "verdict": "ok|note|warn|bad", "found", "advice"} to an array;
// advice is absent where nothing is to be done.
#ifndef ORCHESTRATOR_DOCTOR_H
#define ORCHESTRATOR_DOCTOR_H
#include "core/err.h"
#include <jansson.h>

#define DOCTOR_OK "ok"
#define DOCTOR_NOTE "note"
#define DOCTOR_WARN "warn"
#define DOCTOR_BAD "bad"

// found is printf-style; advice may be NULL.
void doctor_add(json_t *findings, const char *name, const char *verdict, const char *advice,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));

// {"host", "processors", "memory", "available" (bytes; null: unknown), "cpu", "isa", "gpus":
// [UUID of each visible one], "time": s since 1970, "shm": free bytes} of the machine this runs
// on, from `moetrain --probe` (probe_error says why not) and nvidia-smi. New reference.
json_t *doctor_machine(void);
// Findings about facts of that form.
void doctor_check_machine(json_t *findings, const json_t *machine);
void doctor_check_mpi(json_t *findings, const char *mpirun);
void doctor_check_slurm(json_t *findings);
// The file system of dir or of its nearest parent that exists: type, room, locks, the cost of a
// sync, its clock. Writes one small file there and removes it.
void doctor_check_folder(json_t *findings, const char *dir);
// Called on every rank of an MPI world: rank 0 gets {"machine" of each rank, "clock": s ahead
// of rank 0, "sees": whether it sees a file that rank 0 made in dir} in *ranks, the others
// NULL. dir may be NULL. ERR_INPUT for a world of one rank.
enum err doctor_gather(const char *dir, json_t **ranks);
void doctor_check_ranks(json_t *findings, const json_t *ranks, const char *dir);
// Runs a trainer's command on tiny jobs and holds it against docs/trainer-protocol.md.
// ERR_FAILED only if no process can be started, ERR_STOPPED after a signal.
enum err doctor_check_trainer(json_t *findings, const char *command);
#endif
