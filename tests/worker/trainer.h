// SPDX-License-Identifier: Apache-2.0
// Running moetrain from a test: jobs made from a small base job, output caught in a scratch
// folder.
#ifndef TESTS_WORKER_TRAINER_H
#define TESTS_WORKER_TRAINER_H
#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

struct scratch {
    char dir[64];        // a fresh folder; text.txt, job.json, out and err lie in it
    int64_t data_limit;  // RLIMIT_DATA of the trainers, bytes; 0: as it is
    const char *program; // in the folder of programs; scratch_make: moetrain
    char text[96], job[96], out[96], err[96], checkpoints[96];
};

// Makes the folder and a text of about n_bytes in `docs` documents: words drawn from a fixed
// list, so that there is something to learn. scratch_free removes everything.
void scratch_make(struct scratch *s, int64_t n_bytes, int docs);
void scratch_free(struct scratch *s);

// A small valid job over the scratch text: 4 experts, d = 16, S = 32, 80 steps of 256 tokens.
json_t *job_base(const struct scratch *s);
// Sets a value by its path ("train.lr"; "" replaces the whole job) from JSON text; NULL removes
// the key.
void job_set(json_t *job, const char *path, const char *value);
void job_write(const struct scratch *s, const json_t *job);

// Starts moetrain with the one argument, standard input from a file (NULL: none).
pid_t trainer_start(const struct scratch *s, const char *arg, const char *input);
// Exit code, or 128 + signal.
int trainer_wait(pid_t pid);
// Writes the job, runs it to its end, returns the exit code.
int trainer_run(const struct scratch *s, const json_t *job);

// A whole file as a string; the caller frees. "" when it is missing.
char *slurp(const char *path);
int count_lines(const char *text);
// The last line of type t in the output so far (NULL: none); the caller owns it.
json_t *trainer_last(const struct scratch *s, const char *t);
double number(const json_t *line, const char *key); // NaN when absent or null
// Everything printed is lines of the protocol: JSON objects of known types with their keys,
// hello first, steps in order, one result at the end. Returns the result; NULL, and why on
// stderr, if not.
json_t *trainer_check_lines(const struct scratch *s);
#endif
