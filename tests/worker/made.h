// SPDX-License-Identifier: Apache-2.0
// Checkpoints with random weights, for tests of what is done with checkpoints.
#ifndef TESTS_WORKER_MADE_H
#define TESTS_WORKER_MADE_H
#include "core/job.h"

// A job of a small model: L_d = 1, L_m = 2, d = 16, d_qkv = 4, N_q = 4, N_kv = 2, N_e = 4, K =
// 2, one shared expert, V = 7, d_m = 6, d_d = 10, S = 8; softmax. job_free frees it.
struct job made_job(void);
// Writes dir/checkpoint (dir is made) with random weights, gains and biases. text: with
// symbols.
void made_checkpoint(const char *dir, const struct job *j, bool text);
// A fresh folder for a test's files, in memory where the system has such a place: hundreds of
// files that are synced one by one take a disk's time. made_remove removes it.
void made_scratch(char dir[64]);
// DIR/NAME in a buffer of its own.
struct made_path {
    char text[256];
};
struct made_path made_path(const char *dir, const char *name);
// Whole files; the caller frees.
char *made_slurp(const char *path, size_t *n);
void made_write(const char *path, const char *bytes, size_t n);
// Number of entries in a folder; -1: there is none.
int made_entries(const char *dir);
void made_remove(const char *dir);
#endif
