// SPDX-License-Identifier: GPL-3.0-or-later
// An architecture as command-line arguments of Megatron-LM (pretrain_gpt.py, Megatron core 0.12
// and later). What it computes is what moetrain does, but for what is said in
// docs/recommend.md.
#ifndef ORCHESTRATOR_MEGATRON_H
#define ORCHESTRATOR_MEGATRON_H
#include "core/job.h"

// One argument with its value a line; the caller frees *out. ERR_INPUT: a model that Megatron
// has no arguments for, with what would have to change.
enum err megatron_arguments(const struct arch *a, const struct job_model *model, char **out);
#endif
