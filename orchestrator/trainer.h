// SPDX-License-Identifier: GPL-3.0-or-later
// One run of the trainer: a process in its own group, its lines (docs/trainer-protocol.md) read
// and checked, its end told as a result. Whatever the trainer does is a result, never an error
// of ours. No MPI here.
#ifndef ORCHESTRATOR_TRAINER_H
#define ORCHESTRATOR_TRAINER_H
#include "orchestrator/protocol.h"
#include <stdbool.h>

struct trainer;
struct trainer_setup;

struct trainer_spec {
    const char *command;     // config's `trainer`
    int threads, width;      // width takes the place of {width}
    const char *cpus, *gpus; // processors as "0,64,1" and CUDA_VISIBLE_DEVICES; NULL: ours
    double memory_limit;     // bytes of it and all that it starts; 0: none
    double grace;            // s from a request to stop to SIGKILL; also after the result line
    double silence; // s without any output, after which it is killed as failed; 0: none
};

// What the runs of one spec share is found once: program, environment, processors, to which the
// calling thread too is bound until trainer_setup_free. ERR_INPUT: the command; ERR_FAILED.
enum err trainer_prepare(const struct trainer_spec *spec, struct trainer_setup **out);
void trainer_setup_free(struct trainer_setup *s); // NULL: nothing
// job_file takes the place of {job}; stderr_file is made for the last lines of its standard
// error, if there are any. The trainer may outlive the setup. ERR_FAILED: no process, no
// memory, the program is gone. One that cannot be executed is a result.
enum err trainer_start(const struct trainer_setup *s, const char *job_file,
                       const char *stderr_file, struct trainer **out);
// Waits at most timeout_ms for output and takes it in. True once the trainer has ended.
bool trainer_poll(struct trainer *t, int timeout_ms);
// SIGTERM to its group, SIGKILL after the grace: a trainer writes its checkpoint and reports
// "stopped".
void trainer_stop(struct trainer *t);
struct trainer_state trainer_state(const struct trainer *t);

// After trainer_poll returned true.
//   JOB_OK, JOB_DIVERGED, JOB_OOM as reported (JOB_OOM also when the kernel's out-of-memory
//   killer came or it was over its limit); JOB_STOPPED only after trainer_stop; JOB_FAILED with
//   the cause: signal, exit code, broken protocol.
// The id is empty unless the trainer told one.
const struct job_result *trainer_result(const struct trainer *t);
// It failed only because somebody other than trainer_stop sent it SIGTERM: batch systems send
// one to every process of a job.
bool trainer_terminated(const struct trainer *t);
const char *trainer_backend(const struct trainer *t); // of its hello; "" if none
const char *trainer_stderr(const struct trainer *t);  // last lines
// The learning curve [[step, loss], ..], at most 64 points: the result line's own, else
// collected from the progress lines. New reference.
json_t *trainer_curve(const struct trainer *t);
// Kills what still runs.
void trainer_free(struct trainer *t);
#endif
