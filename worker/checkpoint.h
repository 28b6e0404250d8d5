// SPDX-License-Identifier: Apache-2.0
// The state of a training run in DIR/checkpoint: one file, replaced atomically (written beside,
// fsync, rename, fsync of the folder), protected by a CRC-32C over everything. Continued from
// it, a run ends with the same bits as one that was never interrupted.
//
// Layout, little endian as the machine writes it: struct header; a JSON object {"job": the job,
// V filled in, "symbols": the byte of every symbol from 1 on, where the data is text};
// parameters, first and second moments (n_params elements each); routing biases (n_bias); the
// CRC. The header names the job (its hash) and the text (its fingerprint), so that nothing
// continues from another run's weights; the JSON object lets the file be read on its own.
#ifndef WORKER_CHECKPOINT_H
#define WORKER_CHECKPOINT_H
#include "core/job.h"
#include "worker/model.h"

// Everything of a run that is neither in the arenas nor a function of the job and the step.
struct run_state {
    int64_t step;                   // steps done
    int64_t init_tokens;            // behind the weights that the run started with
    double seconds;                 // training time of all attempts so far
    double curve_sum;               // training losses since the last curve point
    double curve[JOB_CURVE_POINTS]; // means of the points passed
    double smooth, lowest; // smoothed training loss, its lowest value: the divergence rule
    double balance_sum;    // over the last steps, see train.h
};

// The JSON object of a checkpoint as text (the caller frees; NULL: no memory). symbols: the
// byte of every symbol from 1 on, V - 1 of them, or NULL where tokens are no bytes.
char *checkpoint_meta(const struct job *j, const struct arch *a, const uint8_t *symbols);
// Writes DIR/checkpoint. ERR_FAILED (disk full, ...) leaves the earlier one untouched.
enum err checkpoint_save(const char *dir, const struct job *j, uint32_t text, const char *meta,
                         const struct run_state *s, struct model *m);
// Reads it back. *found is false, and the rest untouched, when there is none. ERR_INPUT: torn,
// changed, of another job, text or build; nothing of the model is then changed. The file is
// read twice, so that no unchecked byte reaches the model.
enum err checkpoint_load(const char *dir, const struct job *j, uint32_t text, bool *found,
                         struct run_state *s, struct model *m);
// A checkpoint on its own, for those who do not continue its run.
struct checkpoint {
    struct job job; // arch.V is set
    struct run_state state;
    json_t *symbols; // array of bytes, as written; NULL where tokens are no bytes
    real *params;    // n_params, in the order of core's tensor table
    real *bias;      // n_bias routing biases; NULL with softmax
    int64_t n_params, n_bias;
};
// Reads the file at path. ERR_INPUT: torn, changed, foreign, or inconsistent with its own job.
// checkpoint_free accepts a zeroed struct.
enum err checkpoint_read(const char *path, struct checkpoint *out);
void checkpoint_free(struct checkpoint *c);
// Moves a refused checkpoint to DIR/checkpoint.refused: out of the way, not lost.
enum err checkpoint_set_aside(const char *dir);
// The folder can be written, or made by checkpoint_save if only its last part is missing:
// ERR_INPUT if not.
enum err checkpoint_check_dir(const char *dir);
// Whether the file at path is DIR/checkpoint, by whatever name.
bool checkpoint_is_in(const char *path, const char *dir);
// Removes DIR/checkpoint of a finished run.
void checkpoint_remove(const char *dir);
#endif
