// SPDX-License-Identifier: Apache-2.0
// What moetrain really stores and runs for a job, embedding, norms, router and unembedding
// included (arch.h has the paper's counts).
#ifndef CORE_EXECUTED_H
#define CORE_EXECUTED_H
#include "core/job.h"

// The resident size of moetrain (bytes) before it has a model, and of each further thread
// (stack, and what its allocations keep). Measured as the peak of jobs of a few kilobytes less
// what is counted here, with oneDNN 2.6, whose relocated tables are 4 MB of it, glibc 2.36,
// jansson and ISA-L, on x86-64 (docs/memory.md). Without a BLAS it is 3.1 MB.
#define EXECUTED_BASE 7350000
#define EXECUTED_THREAD 80000
// Of a device's memory, what CUDA's context and cuBLAS have for themselves, an allowance that
// no device has confirmed yet, and the 256 MiB that moetrain leaves for kernels
// (kernels/device.cu).
#define EXECUTED_CUDA (600000000 + (256 << 20))

struct executed {
    int64_t params, active_params;
    double flops_per_token; // forward + backward, causal scores halved; matrix products only
    // Bytes. Total: these, the program and the tokens of a batch: the largest resident size of
    // moetrain but for its data (executed_data_bytes).
    int64_t mem_weights, mem_grads, mem_optimizer, mem_activations, mem_total;
    // Of a job on a device the numbers above are of the device's memory, all of it but what
    // CUDA has for itself being mem_device; mem_total is what the host needs. Else zeros.
    int64_t mem_workspace, mem_device;
};
// Of a job whose architecture is checked; job_micro_tokens sizes the activations. With V = 0
// nothing is counted for embedding and unembedding.
struct executed executed_of(const struct job *j);
// Of files of that many bytes, tokens of `width` bytes each, those that are resident while the
// job trains: moetrain maps its data, and pages that it has read stay while there is memory for
// them. All of them, if anything reads them all: text, data.eot, a vocabulary that is not
// known, a checkpoint's fingerprint; else, in the mean, those of the windows that are drawn.
int64_t executed_data_bytes(const struct job *j, int64_t bytes, int width);
// A job of which only this is known, to ask executed_of about; it owns nothing.
struct job executed_job(const struct arch *a, bool tied, int64_t batch_tokens);
// {L_d.., N_a, N, M, x, y, r, G, s, z, g, r_a, r_d, r_m, "executed": {..}} as `moesweep arch
// --json` prints it; the caller owns the object.
json_t *executed_report_json(const struct job *j);
#endif
