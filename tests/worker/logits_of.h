// SPDX-License-Identifier: Apache-2.0
// The logits of a checkpoint's model, by the kernels that train it: the loss is fused with the
// unembedding there, so its product is formed here once more.
#ifndef TESTS_WORKER_LOGITS_OF_H
#define TESTS_WORKER_LOGITS_OF_H
#include "worker/checkpoint.h"

// windows of S tokens and the tokens after each; logits[windows S, V]. *loss: their mean
// cross-entropy as moetrain reports it, window by window.
enum err logits_of(const struct checkpoint *c, const int32_t *tokens, const int32_t *targets,
                   int64_t windows, float *logits, double *loss);
#endif
