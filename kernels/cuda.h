// SPDX-License-Identifier: Apache-2.0
// The CUDA backend inside: the prototypes of its operations (each is the twin of the one in its
// header, arguments and meaning the same) and, for .cu files, what they share. Not for others:
// they go through ops.h.
//
// In bf16 an act is an __nv_bfloat16 at an address that is typed act *; reals are floats
// always.
#ifndef KERNELS_CUDA_H
#define KERNELS_CUDA_H
#ifdef __cplusplus
#include "kernels/gpu.h"
#define CUDA_TWIN(operation) decltype(operation) cuda_##operation
extern "C" {
#else
#define CUDA_TWIN(operation) __typeof__(operation) cuda_##operation
#endif
#include "core/err.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/dispatch.h"
#include "kernels/embed.h"
#include "kernels/ffn.h"
#include "kernels/linear.h"
#include "kernels/muon.h"
#include "kernels/ops_sizes.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/router.h"
#include "kernels/unembed.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

CUDA_TWIN(embed_fwd);
CUDA_TWIN(embed_bwd);
CUDA_TWIN(rmsnorm_fwd);
CUDA_TWIN(rmsnorm_bwd);
CUDA_TWIN(rmsnorm_heads_fwd);
CUDA_TWIN(rmsnorm_heads_bwd);
CUDA_TWIN(rope_fwd);
CUDA_TWIN(rope_bwd);
CUDA_TWIN(attention_fwd);
CUDA_TWIN(attention_bwd);
CUDA_TWIN(linear_fwd);
CUDA_TWIN(linear_fwd_add);
CUDA_TWIN(linear_bwd);
CUDA_TWIN(router_fwd);
CUDA_TWIN(router_bwd);
CUDA_TWIN(router_mean);
CUDA_TWIN(dispatch_plan);
CUDA_TWIN(dispatch_weights);
CUDA_TWIN(dispatch_weights_bwd);
CUDA_TWIN(ffn_fwd);
CUDA_TWIN(ffn_bwd);
CUDA_TWIN(unembed_xent);
CUDA_TWIN(grad_square);
CUDA_TWIN(grad_scale);
CUDA_TWIN(adamw_update);
CUDA_TWIN(muon_scratch);
CUDA_TWIN(muon_update);

// Bytes that a chunk of rows takes at most in the unembedding: logits in float and, in bf16,
// their gradient. Every chunk reads and writes the weights' gradient [V, d] once more, which
// with less would take longer than the products.
#define CUDA_LOGITS_BYTES ((int64_t)1 << 30)

// Bytes of workspace that one operation (forward or backward) takes at most at a time.
size_t cuda_embed_workspace(const struct ops_sizes *n);
size_t cuda_rmsnorm_workspace(const struct ops_sizes *n);
size_t cuda_router_workspace(const struct ops_sizes *n);
size_t cuda_dispatch_workspace(const struct ops_sizes *n);
size_t cuda_adamw_workspace(const struct ops_sizes *n);
size_t cuda_linear_workspace(const struct ops_sizes *n);
size_t cuda_attention_workspace(const struct ops_sizes *n);
size_t cuda_ffn_workspace(const struct ops_sizes *n);
size_t cuda_unembed_workspace(const struct ops_sizes *n);
size_t cuda_workspace(const struct ops_sizes *n); // the most of these

// The device (device.cu). open: context, stream, cuBLAS; ERR_INPUT with the reason when there
// is no usable one. One at a time; open again after close.
enum err cuda_open(bool bf16);
void cuda_close(void);
enum err cuda_reserve(const struct ops_sizes *n);
void *cuda_alloc(size_t bytes);
int64_t cuda_available(void);
void cuda_poison(void *p, size_t bytes);
void cuda_release(void *p);
void cuda_upload(void *to, const void *host, size_t bytes);
void cuda_download(void *host, const void *from, size_t bytes);
void cuda_copy(real *to, const real *from, int64_t n);
void cuda_clear(real *x, int64_t n);
void cuda_weights_changed(const real *params, int64_t n);
json_t *cuda_probe(void);

#ifdef __cplusplus
}

typedef __nv_bfloat16 bf16;

struct gpu {
    cudaStream_t stream;    // all work, in order
    cublasHandle_t blas;    // on that stream, with a workspace of its own
    bool bf16;              // acts and factors of products
    struct ops_sizes sizes; // as reserved
    // The model's parameters, and in bf16 their rounded copies.
    const float *params;
    __nv_bfloat16 *rounded;
    int64_t n_params;
    // Workspace of the operation that runs, dealt out by gpu_scratch.
    char *workspace;
    size_t workspace_bytes, used;
};
extern struct gpu gpu;

// One per operation, at its start: what it takes from the workspace is free again at its end.
// (The next operation's work follows on the same stream.) Operations do not nest scopes.
struct gpu_scope {
    gpu_scope();
    ~gpu_scope();
};
// n elements of T, aligned to 256 bytes, of unknown content. Ends the process when cuda_reserve
// was told of less. In the emulator's builds each is an allocation of its own, so that strays
// show.
void *gpu_scratch_bytes(size_t bytes);
template <typename T> T *gpu_scratch(int64_t n)
{
    return static_cast<T *>(gpu_scratch_bytes((size_t)n * sizeof(T)));
}
static inline size_t gpu_scratch_size(int64_t n, size_t size) // what gpu_scratch takes
{
    return ((size_t)n * size + 255) / 256 * 256;
}
// Where the rounded copy of x is kept; NULL where none is: x is none of the model's, or no
// bf16.
static inline bf16 *gpu_kept(const float *x)
{
    bool inside = gpu.bf16 && x >= gpu.params && x < gpu.params + gpu.n_params;
    return inside ? gpu.rounded + (x - gpu.params) : nullptr;
}
// x [n] rounded, for the products of a bf16 pass: the kept copies where x is the model's, else
// converted into scratch.
const bf16 *gpu_rounded(const float *x, int64_t n);

static inline bool gpu_aligned(const void *p, unsigned bytes)
{
    return (uintptr_t)p % bytes == 0;
}
// As gpu_block_sum of floats; scratch: 32 doubles.
static __device__ inline double gpu_block_sum(double v, double *scratch)
{
    int lane = (int)threadIdx.x % 32, warps = (int)blockDim.x / 32;
    for (int step = 16; step > 0; step /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    __syncthreads(); // an earlier call's scratch is read
    if (lane == 0)
        scratch[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0;
    for (int i = 0; i < warps; i++)
        v += scratch[i];
    return v;
}
// order [n]: the indices of key [n], 0 <= key < keys, so that keys rise and equal ones keep
// their order (sort.cu). Takes gpu_sort_workspace bytes of the scope's workspace.
void gpu_sort(int32_t *order, const int32_t *key, int64_t n, int64_t keys);
size_t gpu_sort_workspace(int64_t n, int64_t keys);
// y[c] = scale sum_r x[r, c], added to what y holds or not; x [rows, cols] (sum_rows.cu). Takes
// gpu_sum_rows_workspace bytes.
void gpu_sum_rows(float *y, const float *x, int64_t rows, int64_t cols, float scale, bool add);
size_t gpu_sum_rows_workspace(int64_t rows, int64_t cols);
#endif
#endif
