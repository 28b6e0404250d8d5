// SPDX-License-Identifier: Apache-2.0
// Stands in for the CUDA backend in a build without it.
#include "kernels/ops.h"

#define WHY                                                                                    \
    "this build has no CUDA backend (when it was configured, no CUDA toolkit was found or "    \
    "MOESWEEP_CUDA was off)"

enum err ops_cuda(bool bf16, const struct ops **out)
{
    (void)bf16;
    *out = NULL;
    return err_set(ERR_INPUT, WHY);
}

json_t *ops_cuda_probe(void)
{
    return json_pack("{s:b, s:[], s:s}", "built", 0, "devices", "why", WHY);
}
