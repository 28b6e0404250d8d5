// SPDX-License-Identifier: Apache-2.0
// The device: its context, memory, copies, and the workspace that operations share.
#include "kernels/cuda.h"
#include <cinttypes>
#include <cstring>
#include <vector>

struct gpu gpu;

// Uploads pass through pinned memory, so that the host neither waits for the device nor may
// change what is on its way: each slot is used again once its last copy is done.
#define SLOTS 8
#define SLOT_BYTES ((size_t)1 << 20)
// Whether the workspace of cuBLAS is ours decides whether its results are the same every time.
#define BLAS_BYTES ((size_t)32 << 20)
// Of kernels, ours and cuBLAS's: CUDA loads each when it is first launched.
#define LOADED_BYTES ((int64_t)256 << 20)

static struct {
    char *pinned; // [SLOTS][SLOT_BYTES], then a slot for downloads
    cudaEvent_t done[SLOTS];
    int next;
    void *blas_workspace;
    bf16 *rounded; // room for n_rounded
    int64_t n_rounded;
    bool in_scope;
} device;

// ---- the context
// ------------------------------------------------------------------------------

// OK: the machine has `count` devices, at least one.
static enum err count_devices(int *count)
{
    *count = 0;
    cudaError_t e = cudaGetDeviceCount(count);
    if (e == cudaSuccess && *count > 0)
        return OK;
    cudaGetLastError(); // it would be the next launch's, too
    return err_set(ERR_INPUT, "no usable device: %s",
                   e == cudaSuccess ? "none is visible" : cudaGetErrorString(e));
}

// The kernels' instructions begin with 8.0: an older device would fail at the first launch.
static enum err check_capability()
{
    int major;
    GPU_TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    ENSURE(major >= 8, ERR_INPUT,
           "no usable device: expected compute capability 8.0 or newer, found %d", major);
    return OK;
}

static enum err open_blas()
{
    GPU_TRY(cublasCreate(&gpu.blas));
    GPU_TRY(cublasSetStream(gpu.blas, gpu.stream));
    GPU_TRY(cudaMalloc(&device.blas_workspace, BLAS_BYTES));
    GPU_TRY(cublasSetWorkspace(gpu.blas, device.blas_workspace, BLAS_BYTES));
    // f32 stays f32, and parts of a sum whose result is bf16 are added before it is rounded.
    GPU_TRY(cublasSetMathMode(
        gpu.blas, (cublasMath_t)(CUBLAS_DEFAULT_MATH |
                                 CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)));
    return OK;
}

static enum err open_device()
{
    GPU_TRY(cudaSetDevice(0));
    GPU_TRY(cudaStreamCreateWithFlags(&gpu.stream, cudaStreamNonBlocking));
    GPU_TRY(cudaMallocHost(&device.pinned, (SLOTS + 1) * SLOT_BYTES));
    for (int i = 0; i < SLOTS; i++)
        GPU_TRY(cudaEventCreateWithFlags(&device.done[i], cudaEventDisableTiming));
    return open_blas();
}

enum err cuda_open(bool bf16_pass)
{
    int count;
    ASSERT(gpu.stream == nullptr);
    TRY(count_devices(&count));
    TRY(check_capability());
    gpu.bf16 = bf16_pass;
    enum err e = open_device();
    if (e != OK)
        cuda_close();
    return e;
}

void cuda_close(void)
{
    if (gpu.stream)
        cudaStreamSynchronize(gpu.stream);
    if (gpu.blas)
        cublasDestroy(gpu.blas);
    for (cudaEvent_t event : device.done)
        if (event)
            cudaEventDestroy(event);
    cudaFree(device.blas_workspace);
    cudaFree(device.rounded);
    cudaFree(gpu.workspace);
    cudaFreeHost(device.pinned);
    if (gpu.stream)
        cudaStreamDestroy(gpu.stream);
    gpu = {};
    device = {};
}

// ---- memory
// -------------------------------------------------------------------------------------

static enum err get(void *to, size_t bytes, const char *what)
{
    cudaError_t e = cudaMalloc(static_cast<void **>(to), bytes);
    if (e == cudaErrorMemoryAllocation)
        cudaGetLastError();
    ENSURE(e != cudaErrorMemoryAllocation, ERR_FAILED,
           "out of memory: the device has no %zu bytes for %s", bytes, what);
    GPU_TRY(e);
    return OK;
}

size_t cuda_workspace(const struct ops_sizes *n)
{
    size_t most = 0;
    size_t (*const each[])(const struct ops_sizes *) = {
        cuda_embed_workspace,     cuda_rmsnorm_workspace, cuda_router_workspace,
        cuda_dispatch_workspace,  cuda_adamw_workspace,   cuda_linear_workspace,
        cuda_attention_workspace, cuda_ffn_workspace,     cuda_unembed_workspace};
    for (auto bytes : each)
        most = bytes(n) > most ? bytes(n) : most;
    return most;
}

// What kernels keep of a row on chip sets bounds.
static enum err check_widths(const struct ops_sizes *n)
{
    const struct {
        const char *name;
        int64_t n, most;
    } widths[] = {{"d_qkv", n->D, 256}, {"d", n->d, 32768}, {"N_e", n->E, 12288}};
    for (auto w : widths)
        ENSURE(w.n <= w.most, ERR_INPUT,
               "arch.%s: expected at most %" PRId64 " with device cuda, found %" PRId64, w.name,
               w.most, w.n);
    return OK;
}

enum err cuda_reserve(const struct ops_sizes *n)
{
    TRY(check_widths(n));
    size_t bytes = cuda_workspace(n);
    gpu.sizes = *n;
    if (bytes > gpu.workspace_bytes) {
        GPU_CHECK(cudaStreamSynchronize(gpu.stream));
        cudaFree(gpu.workspace);
        gpu.workspace = nullptr;
        gpu.workspace_bytes = 0;
        TRY(get(&gpu.workspace, bytes, "workspace"));
        gpu.workspace_bytes = bytes;
    }
    if (gpu.bf16 && n->params > device.n_rounded) {
        GPU_CHECK(cudaStreamSynchronize(gpu.stream));
        cudaFree(device.rounded);
        device.rounded = nullptr;
        device.n_rounded = gpu.n_params = 0;
        TRY(get(&device.rounded, (size_t)n->params * sizeof(bf16), "rounded weights"));
        device.n_rounded = n->params;
    }
    return OK;
}

void *cuda_alloc(size_t bytes)
{
    void *p = nullptr;
    cudaError_t e = cudaMalloc(&p, bytes > 0 ? bytes : 1);
    if (e == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return nullptr;
    }
    GPU_CHECK(e);
    GPU_CHECK(cudaMemsetAsync(p, 0, bytes, gpu.stream));
    return p;
}

int64_t cuda_available(void)
{
    size_t available, total;
    GPU_CHECK(cudaMemGetInfo(&available, &total));
    return (int64_t)available > LOADED_BYTES ? (int64_t)available - LOADED_BYTES : 0;
}

void cuda_poison(void *p, size_t bytes)
{
#ifdef NDEBUG
    (void)p;
    (void)bytes;
#else
    GPU_CHECK(cudaMemsetAsync(p, 0xff, bytes, gpu.stream)); // all ones is a NaN
#endif
}

void cuda_release(void *p)
{
    GPU_CHECK(cudaStreamSynchronize(gpu.stream));
    GPU_CHECK(cudaFree(p));
}

void cuda_upload(void *to, const void *host, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += SLOT_BYTES) {
        size_t n = bytes - at < SLOT_BYTES ? bytes - at : SLOT_BYTES;
        int i = device.next++ % SLOTS;
        char *slot = device.pinned + (size_t)i * SLOT_BYTES;
        GPU_CHECK(cudaEventSynchronize(device.done[i]));
        memcpy(slot, static_cast<const char *>(host) + at, n);
        GPU_CHECK(cudaMemcpyAsync(static_cast<char *>(to) + at, slot, n, cudaMemcpyHostToDevice,
                                  gpu.stream));
        GPU_CHECK(cudaEventRecord(device.done[i], gpu.stream));
    }
}

void cuda_download(void *host, const void *from, size_t bytes)
{
    char *slot = device.pinned + SLOTS * SLOT_BYTES;
    for (size_t at = 0; at < bytes; at += SLOT_BYTES) {
        size_t n = bytes - at < SLOT_BYTES ? bytes - at : SLOT_BYTES;
        GPU_CHECK(cudaMemcpyAsync(slot, static_cast<const char *>(from) + at, n,
                                  cudaMemcpyDeviceToHost, gpu.stream));
        GPU_CHECK(cudaStreamSynchronize(gpu.stream));
        memcpy(static_cast<char *>(host) + at, slot, n);
    }
}

void cuda_copy(real *to, const real *from, int64_t n)
{
    GPU_CHECK(cudaMemcpyAsync(to, from, (size_t)n * sizeof *to, cudaMemcpyDeviceToDevice,
                              gpu.stream));
}

void cuda_clear(real *x, int64_t n)
{
    GPU_CHECK(cudaMemsetAsync(x, 0, (size_t)n * sizeof *x, gpu.stream));
}

// ---- workspace
// ------------------------------------------------------------------------------------

#ifdef MOESWEEP_EMULATE
static std::vector<void *> &taken = *new std::vector<void *>;
#endif

gpu_scope::gpu_scope()
{
    ASSERT(!device.in_scope);
    device.in_scope = true;
    gpu.used = 0;
}

gpu_scope::~gpu_scope()
{
    device.in_scope = false;
#ifdef MOESWEEP_EMULATE
    for (void *p : taken)
        GPU_CHECK(cudaFree(p));
    taken.clear();
#endif
}

void *gpu_scratch_bytes(size_t bytes)
{
    size_t at = gpu.used;
    ASSERT(device.in_scope);
    gpu.used += gpu_scratch_size((int64_t)bytes, 1);
    if (gpu.used > gpu.workspace_bytes) {
        fprintf(stderr, "an operation takes %zu bytes of workspace, %zu are reserved\n",
                gpu.used, gpu.workspace_bytes);
        abort();
    }
#ifdef MOESWEEP_EMULATE
    (void)at;
    void *p = nullptr;
    GPU_CHECK(cudaMalloc(&p, bytes > 0 ? bytes : 1));
    taken.push_back(p);
    return p;
#else
    return gpu.workspace + at;
#endif
}

// ---- rounded weights
// --------------------------------------------------------------------------------

// Threads take four neighbours each, by one access where both addresses allow that.
template <bool aligned>
static __global__ void __launch_bounds__(256) round_all(bf16 *y, const float *x, int64_t n)
{
    int64_t i = gpu_index() * 4;
    if (aligned && i + 4 <= n) {
        gpu_store4(y + i, gpu_load4(x + i));
        return;
    }
    for (int64_t end = i + 4 < n ? i + 4 : n; i < end; i++)
        gpu_store(y + i, x[i]);
}

static void round_to(bf16 *y, const float *x, int64_t n)
{
    if (gpu_aligned(x, 16) && gpu_aligned(y, 8))
        LAUNCH(round_all<true>, gpu_blocks(n, 1024), 256, 0, gpu.stream, y, x, n);
    else
        LAUNCH(round_all<false>, gpu_blocks(n, 1024), 256, 0, gpu.stream, y, x, n);
}

void cuda_weights_changed(const real *params, int64_t n)
{
    gpu.params = params;
    gpu.n_params = n;
    gpu.rounded = device.rounded;
    if (!gpu.bf16)
        return;
    ASSERT(n <= device.n_rounded);
    round_to(gpu.rounded, params, n);
}

const bf16 *gpu_rounded(const float *x, int64_t n)
{
    bf16 *kept = gpu_kept(x);
    if (kept)
        return kept;
    bf16 *y = gpu_scratch<bf16>(n);
    round_to(y, x, n);
    return y;
}

// ---- what there is
// ----------------------------------------------------------------------------------

static json_t *describe(int i)
{
    cudaDeviceProp p;
    if (cudaGetDeviceProperties(&p, i) != cudaSuccess)
        return json_null();
    char uuid[40], capability[16];
    const unsigned char *u = reinterpret_cast<const unsigned char *>(p.uuid.bytes);
    snprintf(uuid, sizeof uuid,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
             u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
             u[15]);
    snprintf(capability, sizeof capability, "%d.%d", p.major, p.minor);
    return json_pack("{s:s, s:s, s:I, s:s}", "name", p.name, "uuid", uuid, "memory_bytes",
                     (json_int_t)p.totalGlobalMem, "compute_capability", capability);
}

json_t *cuda_probe(void)
{
    int count;
    json_t *devices = json_array();
    json_t *probe = json_pack("{s:b, s:o}", "built", 1, "devices", devices);
    if (count_devices(&count) != OK)
        json_object_set_new(probe, "why", json_string(err_message()));
    for (int i = 0; i < count; i++)
        json_array_append_new(devices, describe(i));
    return probe;
}
