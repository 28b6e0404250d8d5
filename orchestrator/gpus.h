// SPDX-License-Identifier: GPL-3.0-or-later
// The GPUs that this process sees, without touching CUDA: moetrain and the driver's own tool
// are asked.
#ifndef ORCHESTRATOR_GPUS_H
#define ORCHESTRATOR_GPUS_H
#include <jansson.h>

// The answer of `moetrain --probe`, NULL if it gives none within the seconds. New reference.
json_t *gpus_probe(double seconds);
// UUIDs ["GPU-..", ..] in the order that CUDA numbers them: what the trainer sees by its answer
// (NULL: none), else the driver's list, for another trainer may see more. New reference.
json_t *gpus_uuids(const json_t *probed, double seconds);
// Bytes of the smallest of the devices in the trainer's answer; 0: it names none.
double gpus_memory(const json_t *probed);
#endif
