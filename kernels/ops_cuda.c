// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda.h"
#include "kernels/ops.h"

// Operations take their scratch from the backend's workspace.
static int64_t scratch(const struct ops_sizes *n)
{
    (void)n;
    return 0;
}

static struct ops cuda = {
    .align = 256, // a device's transactions
    .device = true,
    .alloc = cuda_alloc,
    .poison = cuda_poison,
    .release = cuda_release,
    .upload = cuda_upload,
    .download = cuda_download,
    .copy = cuda_copy,
    .clear = cuda_clear,
    .reserve = cuda_reserve,
    .scratch = scratch,
    .weights_changed = cuda_weights_changed,
    .embed_fwd = cuda_embed_fwd,
    .embed_bwd = cuda_embed_bwd,
    .rmsnorm_fwd = cuda_rmsnorm_fwd,
    .rmsnorm_bwd = cuda_rmsnorm_bwd,
    .rmsnorm_heads_fwd = cuda_rmsnorm_heads_fwd,
    .rmsnorm_heads_bwd = cuda_rmsnorm_heads_bwd,
    .rope_fwd = cuda_rope_fwd,
    .rope_bwd = cuda_rope_bwd,
    .attention_fwd = cuda_attention_fwd,
    .attention_bwd = cuda_attention_bwd,
    .linear_fwd = cuda_linear_fwd,
    .linear_fwd_add = cuda_linear_fwd_add,
    .linear_bwd = cuda_linear_bwd,
    .router_fwd = cuda_router_fwd,
    .router_bwd = cuda_router_bwd,
    .router_mean = cuda_router_mean,
    .dispatch_plan = cuda_dispatch_plan,
    .dispatch_weights = cuda_dispatch_weights,
    .dispatch_weights_bwd = cuda_dispatch_weights_bwd,
    .ffn_fwd = cuda_ffn_fwd,
    .ffn_bwd = cuda_ffn_bwd,
    .unembed_xent = cuda_unembed_xent,
    .grad_square = cuda_grad_square,
    .grad_scale = cuda_grad_scale,
    .adamw_update = cuda_adamw_update,
    .muon_scratch = cuda_muon_scratch,
    .muon_update = cuda_muon_update,
};

enum err ops_cuda(bool bf16, const struct ops **out)
{
    *out = NULL;
    TRY(cuda_open(bf16));
    cuda.name = bf16 ? "cuda+bf16" : "cuda";
    cuda.act_bytes = bf16 ? 2 : sizeof(real);
    *out = &cuda;
    return OK;
}

json_t *ops_cuda_probe(void)
{
    return cuda_probe();
}
