// SPDX-License-Identifier: Apache-2.0
// Every detection of the emulator fires: each case below does one thing wrong in a process of
// its own, whose report must say so. Cases of memory need the asan flavour, races the tsan
// flavour.
#include "kernels/gpu.h"
#include "tests/test.h"
#include <string>
#include <vector>

static const unsigned every_lane = 0xffffffff;

// ---- barriers and warp collectives ---------------------------------------------------------

static __global__ void some_leave(int)
{
    if (threadIdx.x >= 40)
        return;
    __syncthreads();
}
static __global__ void two_barriers(int)
{
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}
static __global__ void warp_stuck(int)
{
    if (threadIdx.x % 2)
        __syncwarp();
    else
        __syncthreads();
}
static __global__ void not_in_mask(int)
{
    __shfl_sync(0xfffffffeu, 1, 0);
}
static __global__ void masks_overlap(int)
{
    unsigned mask = threadIdx.x < 16 ? 0x0001ffffu : 0xffff0000u;
    __syncwarp(mask);
}
static __global__ void different_collectives(int)
{
    if (threadIdx.x < 16)
        __shfl_sync(every_lane, 1, 0);
    else
        __ballot_sync(every_lane, 1);
}
static __global__ void source_absent(int)
{
    if (threadIdx.x < 16)
        __shfl_sync(0x0000ffffu, 1, 20);
}
static __global__ void source_left(int) // a butterfly over a warp of 20 threads
{
    __shfl_xor_sync(every_lane, 1.0f, 16);
}
static __global__ void bad_width(int)
{
    __shfl_down_sync(every_lane, 1, 1, 12);
}
static __global__ void float_atomic(float *p)
{
    atomicAdd(p, 1.0f);
}

// ---- memory --------------------------------------------------------------------------------

static __global__ void read_one_past(float *p, int n)
{
    p[0] = p[threadIdx.x + (unsigned)n - 31];
}
static __global__ void shared_overflow(float *p)
{
    SHARED(float, a, [32]);
    float *past = a + 1; // plain indexing already fails as undefined behaviour
    past[threadIdx.x] = 1;
    p[threadIdx.x] = a[threadIdx.x];
}
static __global__ void dynamic_overflow(float *p, int n)
{
    DYN_SHARED(float, a);
    a[(int)threadIdx.x + n] = 1;
    p[threadIdx.x] = a[threadIdx.x];
}
static __global__ void misaligned(float4 *y, const float *x)
{
    *y = gpu_load4(x + 1);
}
static __global__ void fill(float *p, float value, int64_t n)
{
    if (gpu_index() < n)
        p[gpu_index()] = value;
}
struct pair {
    float *p;
    int64_t n;
};
static __global__ void fill_pair(pair a)
{
    a.p[0] = 1;
}

// ---- races ---------------------------------------------------------------------------------

static __global__ void no_barrier(float *y)
{
    SHARED(float, a, [64]);
    a[threadIdx.x] = 1;
    y[threadIdx.x] = a[63 - threadIdx.x];
}
static __global__ void no_syncwarp(float *y)
{
    SHARED(float, a, [32]);
    a[threadIdx.x] = 1;
    y[threadIdx.x] = a[threadIdx.x ^ 1];
}
static __global__ void shuffle_only(float *y) // which orders no memory
{
    SHARED(float, a, [32]);
    a[threadIdx.x] = 1;
    __shfl_sync(every_lane, 1, 0);
    y[threadIdx.x] = a[threadIdx.x ^ 1];
}
static __global__ void blocks_share(float *y)
{
    if (threadIdx.x == 0)
        y[0] += 1;
}
static __global__ void shared_reused(float *y) // the second round overwrites what is read
{
    SHARED(float, a, [64]);
    for (int round = 0; round < 2; round++) {
        a[threadIdx.x] = (float)round;
        __syncthreads();
        y[threadIdx.x] = a[63 - threadIdx.x];
    }
}

// ---- tensor cores --------------------------------------------------------------------------

template <class layout>
static __global__ void wmma_copy(float *c, const __nv_bfloat16 *a, unsigned ld, int shift)
{
    gpu_wmma_a<layout> fa;
    gpu_wmma_b<gpu_row> identity;
    gpu_wmma_acc sum;
    SHARED(__nv_bfloat16, one, [256]);
    for (int i = (int)threadIdx.x; i < 256; i += 32)
        one[i] = __float2bfloat16(i % 17 == 0 ? 1.0f : 0.0f);
    __syncwarp();
    WMMA_FILL(sum, 0.0f);
    WMMA_LOAD(fa, a + shift, ld);
    WMMA_LOAD(identity, one, 16);
    WMMA_MMA(sum, fa, identity, sum);
    WMMA_STORE(c, sum, 16);
}
static __global__ void wmma_half_a_warp(int)
{
    gpu_wmma_acc sum;
    if (threadIdx.x < 16)
        WMMA_FILL(sum, 0.0f);
}
static __global__ void wmma_nothing_loaded(float *c)
{
    gpu_wmma_a<gpu_row> a;
    gpu_wmma_b<gpu_row> b;
    gpu_wmma_acc sum;
    WMMA_FILL(sum, 0.0f);
    WMMA_MMA(sum, a, b, sum);
    WMMA_STORE(c, sum, 16);
}

// ---- the cases -----------------------------------------------------------------------------

static float *device(size_t n)
{
    float *p;
    GPU_CHECK(cudaMalloc(&p, n * sizeof(float)));
    GPU_CHECK(cudaMemset(p, 0, n * sizeof(float)));
    return p;
}
static void finish()
{
    GPU_CHECK(cudaDeviceSynchronize());
}
// How a test notices a wrong result; the value is read back in the proper way.
static void expect(const float *p, float value)
{
    float got;
    GPU_CHECK(cudaMemcpy(&got, p, sizeof got, cudaMemcpyDeviceToHost));
    if (!(got == value))
        fprintf(stderr, "wrong result: %g, expected %g\n", got, value);
}
static cublasHandle_t blas()
{
    cublasHandle_t handle;
    GPU_CHECK(cublasCreate(&handle));
    return handle;
}
static const float one = 1, zero = 0;

static void wmma_case(unsigned ld, int shift, bool by_columns)
{
    std::vector<__nv_bfloat16> host;
    for (int i = 0; i < 400; i++)
        host.push_back(__float2bfloat16((float)(i % 16)));
    __nv_bfloat16 *a;
    GPU_CHECK(cudaMalloc(&a, 400 * sizeof *a));
    GPU_CHECK(cudaMemcpy(a, host.data(), 400 * sizeof *a, cudaMemcpyHostToDevice));
    float *c = device(256);
    if (by_columns)
        LAUNCH((wmma_copy<gpu_col>), 1, 32, 0, nullptr, c, a, ld, shift);
    else
        LAUNCH((wmma_copy<gpu_row>), 1, 32, 0, nullptr, c, a, ld, shift);
    expect(c + 1, 1);
    expect(c + 16, 0);
}
// One stream fills, another copies what was filled.
static void two_streams(bool wait)
{
    float *x = device(64), *y = device(64);
    finish();
    cudaStream_t first, second;
    cudaEvent_t event;
    GPU_CHECK(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
    GPU_CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    GPU_CHECK(cudaEventCreate(&event));
    LAUNCH(fill, 1, 64, 0, first, x, 7.0f, 64);
    GPU_CHECK(cudaEventRecord(event, first));
    if (wait)
        GPU_CHECK(cudaStreamWaitEvent(second, event, 0));
    GPU_CHECK(cudaMemcpyAsync(y, x, 64 * sizeof *x, cudaMemcpyDeviceToDevice, second));
    GPU_CHECK(cudaStreamSynchronize(second));
    expect(y, 7);
    finish();
    GPU_CHECK(cudaEventDestroy(event));
    GPU_CHECK(cudaStreamDestroy(first));
    GPU_CHECK(cudaStreamDestroy(second));
}
static void read_too_early(bool wait)
{
    float *x = device(1), *pinned;
    GPU_CHECK(cudaMallocHost(&pinned, sizeof *pinned));
    *pinned = 5;
    LAUNCH(fill, 1, 1, 0, nullptr, x, 7.0f, 1);
    GPU_CHECK(cudaMemcpyAsync(pinned, x, sizeof *x, cudaMemcpyDeviceToHost, nullptr));
    if (wait)
        finish();
    if (*pinned != 7)
        fprintf(stderr, "wrong result: %g\n", *pinned);
    finish();
}
static void written_too_early() // the copy has not read it yet
{
    float *x = device(1), *pinned;
    GPU_CHECK(cudaMallocHost(&pinned, sizeof *pinned));
    *pinned = 5;
    GPU_CHECK(cudaMemcpyAsync(x, pinned, sizeof *x, cudaMemcpyHostToDevice, nullptr));
    *pinned = 6;
    expect(x, 5);
}

enum flavour { ANY = 1, ASAN = 2, TSAN = 4, NOT_TSAN = 8 };
struct trial {
    const char *name;
    int flavours;
    const char *report; // a part of what it prints; "" when it must print nothing
    void (*run)();
};
static const trial trials[] = {
    {"some_leave", ANY, "24 threads left the kernel",
     [] {
         LAUNCH(some_leave, 1, 64, 0, 0, 0);
         finish();
     }},
    {"two_barriers", ANY, "divergent barrier",
     [] {
         LAUNCH(two_barriers, 1, 64, 0, 0, 0);
         finish();
     }},
    {"warp_stuck", ANY, "__syncwarp",
     [] {
         LAUNCH(warp_stuck, 1, 32, 0, 0, 0);
         finish();
     }},
    {"not_in_mask", ANY, "not in its mask fffffffe",
     [] {
         LAUNCH(not_in_mask, 1, 32, 0, 0, 0);
         finish();
     }},
    {"masks_overlap", ANY, "with mask 0001ffff",
     [] {
         LAUNCH(masks_overlap, 1, 32, 0, 0, 0);
         finish();
     }},
    {"different_collectives", ANY, "of the same mask waits in",
     [] {
         LAUNCH(different_collectives, 1, 32, 0, 0, 0);
         finish();
     }},
    {"source_absent", ANY, "reads lane 20",
     [] {
         LAUNCH(source_absent, 1, 32, 0, 0, 0);
         finish();
     }},
    {"source_left", ANY, "does not take part",
     [] {
         LAUNCH(source_left, 1, 20, 0, 0, 0);
         finish();
     }},
    {"bad_width", ANY, "of width 12",
     [] {
         LAUNCH(bad_width, 1, 32, 0, 0, 0);
         finish();
     }},
    {"float_atomic", ANY, "the sum depends on the order",
     [] {
         LAUNCH(float_atomic, 1, 1, 0, 0, device(1));
         finish();
     }},

    {"host_pointer", ANY, "kernel fill: argument 0",
     [] { LAUNCH(fill, 1, 1, 0, 0, new float[4], 1.0f, 4); }},
    {"host_pointer_inside", ANY, "has at byte 0 the host pointer",
     [] {
         LAUNCH(fill_pair, 1, 1, 0, 0, pair{new float[4], 4});
     }},
    {"freed_pointer", ANY, "neither device nor pinned",
     [] {
         float *p = device(4);
         GPU_CHECK(cudaFree(p));
         LAUNCH(fill, 1, 1, 0, 0, p, 1.0f, 4);
     }},
    {"freed_twice", ANY, "was freed before",
     [] {
         float *p = device(4);
         GPU_CHECK(cudaFree(p));
         GPU_CHECK(cudaFree(p));
     }},
    {"too_many_threads", ANY, "launch of fill: cudaErrorInvalidConfiguration",
     [] { LAUNCH(fill, 1, 1025, 0, 0, device(4), 1.0f, 4); }},
    {"no_block", ANY, "cudaErrorInvalidConfiguration",
     [] { LAUNCH(fill, 0, 32, 0, 0, device(4), 1.0f, 4); }},
    {"high_grid", ANY, "cudaErrorInvalidConfiguration",
     [] { LAUNCH(fill, dim3(1, 65536), 32, 0, 0, device(4), 1.0f, 4); }},
    {"shared_not_opted", ANY, "launch of dynamic_overflow: cudaErrorInvalidValue",
     [] { LAUNCH(dynamic_overflow, 1, 32, 50000, 0, device(32), 0); }},
    {"shared_opted", ANY, "",
     [] {
         GPU_CHECK(cudaFuncSetAttribute(dynamic_overflow,
                                        cudaFuncAttributeMaxDynamicSharedMemorySize, 50000));
         LAUNCH(dynamic_overflow, 1, 32, 50000, 0, device(32), 0);
         finish();
     }},
    {"shared_too_large", ANY, "cudaErrorInvalidValue",
     [] {
         GPU_CHECK(cudaFuncSetAttribute(
             dynamic_overflow, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10));
     }},
    {"copy_kind", ANY, "contradicts the kind",
     [] { GPU_CHECK(cudaMemcpy(device(1), device(1), 4, cudaMemcpyHostToDevice)); }},
    {"copy_range", ANY, "where its allocation of 16 has 16 left",
     [] {
         GPU_CHECK(
             cudaMemcpy(device(4), std::vector<float>(5).data(), 20, cudaMemcpyHostToDevice));
     }},
    {"set_range", ANY, "cudaMemset: 20 bytes", [] { GPU_CHECK(cudaMemset(device(4), 0, 20)); }},
    {"out_of_memory", ANY, "cudaErrorMemoryAllocation",
     [] {
         void *p;
         GPU_CHECK(cudaMalloc(&p, (size_t)1 << 60));
     }},
    {"streams_wait", ANY, "", [] { two_streams(true); }},
    {"streams_miss_wait", NOT_TSAN, "wrong result: 0, expected 7", [] { two_streams(false); }},
    {"streams_race", TSAN, "data race", [] { two_streams(false); }},
    {"read_in_time", ANY, "", [] { read_too_early(true); }},
    {"read_too_early", NOT_TSAN, "wrong result: 5", [] { read_too_early(false); }},
    {"read_race", TSAN, "data race", [] { read_too_early(false); }},
    {"written_too_early", NOT_TSAN, "wrong result: 6", written_too_early},
    {"write_race", TSAN, "data race", written_too_early},

    {"wmma", ANY, "", [] { wmma_case(16, 0, false); }},
    {"wmma_ld", ANY, "is no multiple of 8 elements", [] { wmma_case(20, 0, false); }},
    {"wmma_address", ANY, "is not aligned to 32 bytes", [] { wmma_case(16, 8, false); }},
    {"wmma_other_ld", ANY, "wrong result", [] { wmma_case(24, 0, false); }},
    {"wmma_layout", ANY, "wrong result", [] { wmma_case(16, 0, true); }},
    {"wmma_half_a_warp", ANY, "wmma",
     [] {
         LAUNCH(wmma_half_a_warp, 1, 32, 0, 0, 0);
         finish();
     }},
    {"wmma_nothing_loaded", ANY, "operand a was never written",
     [] {
         LAUNCH(wmma_nothing_loaded, 1, 32, 0, 0, device(256));
         finish();
     }},

    {"blas_small", ANY, "operand A (4 x 5, leading dimension 4): 80 bytes",
     [] {
         cublasSgemm(blas(), CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 5, &one, device(19), 4, device(20),
                     5, &zero, device(16), 4);
     }},
    {"blas_host", ANY, "operand C (4 x 4, leading dimension 4): ",
     [] {
         cublasSgemm(blas(), CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 5, &one, device(20), 4, device(20),
                     5, &zero, new float[16], 4);
     }},
    {"blas_ld", ANY, "CUBLAS_STATUS_INVALID_VALUE",
     [] {
         GPU_CHECK(cublasSgemm(blas(), CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 5, &one, device(20), 3,
                               device(20), 5, &zero, device(16), 4));
     }},
    {"blas_types", ANY, "CUBLAS_STATUS_NOT_SUPPORTED",
     [] {
         GPU_CHECK(cublasGemmEx(blas(), CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, device(1),
                                CUDA_R_32F, 1, device(1), CUDA_R_16BF, 1, &zero, device(1),
                                CUDA_R_32F, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
     }},
    {"blas_group_arrays", ANY, "array of addresses of a grouped product",
     [] {
         cublasOperation_t op = CUBLAS_OP_N;
         int n = 1;
         float *a[] = {device(1)}, *b[] = {device(1)}, *c[] = {device(1)};
         GPU_CHECK(cublasSgemmGroupedBatched(blas(), &op, &op, &n, &n, &n, &one, a, &n, b, &n,
                                             &zero, c, &n, 1, &n));
     }},

    {"global_overflow", ASAN, "heap-buffer-overflow",
     [] {
         LAUNCH(read_one_past, 1, 32, 0, 0, device(33), 33);
         finish();
     }},
    {"shared_overflow", ASAN, "heap-buffer-overflow",
     [] {
         LAUNCH(shared_overflow, 1, 32, 0, 0, device(32));
         finish();
     }},
    {"dynamic_overflow", ASAN, "heap-buffer-overflow",
     [] {
         LAUNCH(dynamic_overflow, 1, 32, 128, 0, device(32), 1);
         finish();
     }},
    {"misaligned", ASAN, "misaligned address",
     [] {
         LAUNCH(misaligned, 1, 1, 0, 0, (float4 *)(void *)device(4), device(8));
         finish();
     }},
    {"host_touches_device", ASAN, "use-after-poison",
     [] {
         float *p = device(4);
         finish();
         printf("%g\n", *p);
     }},
    {"host_buffer_small", ASAN, "does not have them all",
     [] {
         GPU_CHECK(
             cudaMemcpy(std::vector<float>(3).data(), device(4), 16, cudaMemcpyDeviceToHost));
     }},

    {"no_barrier", TSAN, "data race",
     [] {
         LAUNCH(no_barrier, 1, 64, 0, 0, device(64));
         finish();
     }},
    {"no_syncwarp", TSAN, "data race",
     [] {
         LAUNCH(no_syncwarp, 1, 32, 0, 0, device(32));
         finish();
     }},
    {"shuffle_only", TSAN, "data race",
     [] {
         LAUNCH(shuffle_only, 1, 32, 0, 0, device(32));
         finish();
     }},
    {"blocks_share", TSAN, "data race",
     [] {
         LAUNCH(blocks_share, 2, 32, 0, 0, device(1));
         finish();
     }},
    {"shared_reused", TSAN, "data race",
     [] {
         LAUNCH(shared_reused, 1, 64, 0, 0, device(64));
         finish();
     }},
};

static std::string output_of(const std::string &command)
{
    std::string text;
    char buffer[4096];
    FILE *pipe = popen(command.c_str(), "r");
    for (size_t n; pipe && (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;)
        text.append(buffer, n);
    if (pipe)
        pclose(pipe);
    return text;
}

int main(int argc, char **argv)
{
    for (const trial &t : trials)
        if (argc > 1 && strcmp(argv[1], t.name) == 0) {
            t.run();
            return 0;
        }
#if defined __SANITIZE_ADDRESS__
    const int here = ANY | ASAN | NOT_TSAN;
#elif defined __SANITIZE_THREAD__
    const int here = ANY | TSAN;
#else
    const int here = ANY | NOT_TSAN;
#endif
    setenv("MOESWEEP_EMULATE_FLOAT_ATOMICS", "0", 1);
    for (const trial &t : trials) {
        if (!(t.flavours & here))
            continue;
        std::string text = output_of("'" + std::string(argv[0]) + "' " + t.name + " 2>&1");
        bool right = *t.report ? text.find(t.report) != text.npos : text.empty();
        test_check(right, __FILE__, __LINE__, t.name);
        if (!right)
            fprintf(stderr, "    wanted '%s', got:\n%.2000s\n", t.report, text.c_str());
    }
    return test_summary();
}
