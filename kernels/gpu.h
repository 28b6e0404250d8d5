// SPDX-License-Identifier: Apache-2.0
// What every kernels/*.cu includes, and nothing else of CUDA. The same source is compiled by
// nvcc for a GPU, and by a plain C++17 compiler with MOESWEEP_EMULATE for the emulator of
// tests/cuda, which runs it on the CPU and reports races, stray accesses and misuse
// (docs/emulator.md). So:
//
//     static __global__ void __launch_bounds__(256) scale(float *y, const float *x, int64_t n)
//     {
//         SHARED(float, tile, [8][33]);   // never a bare __shared__; [...] left out: one
//         variable DYN_SHARED(float4, more);       // the launch's shmem bytes
//         ...
//     }
//     extern "C" void cuda_scale(float *y, const float *x, int64_t n, cudaStream_t stream)
//     {
//         LAUNCH(scale, gpu_blocks(n, 256), 256, 0, stream, y, x, n); // never <<< >>>
//     }
//
// A template kernel goes in parentheses: LAUNCH((scale<float, 4>), ...). Both compilers convert
// the arguments to the parameters' types. No inline PTX, no cp.async, no __constant__ or
// __device__ variables; tensor cores through WMMA_* below only. Sources are listed in
// KERNEL_CUDA_SOURCES (kernels/CMakeLists.txt); prototypes for C stand in headers that C can
// include.
//
// Errors. moetrain is a process of its own whose end the orchestrator turns into a result, so:
// what the machine or the user can cause (no device, no memory) is returned as an enum err,
// by GPU_TRY; what can only be our bug or a broken device (launches, products, copies inside
// operations that return void) ends the process with file, line and CUDA's name for the error,
// by GPU_CHECK. LAUNCH checks itself.
#ifndef KERNELS_GPU_H
#define KERNELS_GPU_H
#include <cstdint>
#include <cstdio>
#include <cstdlib>
extern "C" {
#include "core/err.h"
}

#ifdef MOESWEEP_EMULATE
#include <cuda_emulator.h>
#else
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <mma.h>
#endif

// ---- errors -------------------------------------------------------------------------------

static inline const char *gpu_error(cudaError_t e)
{
    return e == cudaSuccess ? nullptr : cudaGetErrorName(e);
}
static inline const char *gpu_error(cublasStatus_t e)
{
    return e == CUBLAS_STATUS_SUCCESS ? nullptr : cublasGetStatusName(e);
}
static inline void gpu_check(const char *error, const char *file, int line, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, error);
    abort();
}
#define GPU_CHECK(call) gpu_check(gpu_error(call), __FILE__, __LINE__, #call)
#define GPU_TRY(call)                                                                          \
    do {                                                                                       \
        const char *gpu_e_ = gpu_error(call);                                                  \
        if (gpu_e_)                                                                            \
            return err_set(ERR_FAILED, "%s:%d: %s: %s", __FILE__, __LINE__, #call, gpu_e_);    \
    } while (0)

// ---- launches and shared memory -----------------------------------------------------------

#ifdef MOESWEEP_EMULATE
#define LAUNCH(kernel, grid, block, shmem, stream, ...)                                        \
    do {                                                                                       \
        emu_launch_kernel(#kernel, EMU_HERE, grid, block, shmem, stream, kernel, __VA_ARGS__); \
        gpu_check(gpu_error(cudaGetLastError()), __FILE__, __LINE__, "launch of " #kernel);    \
    } while (0)
#define SHARED(type, name, ...)                                                                \
    using name##_shared = type __VA_ARGS__;                                                    \
    static char name##_key;                                                                    \
    name##_shared &name = *static_cast<name##_shared *>(emu_static_shared(                     \
        &name##_key, sizeof(name##_shared), alignof(name##_shared), EMU_HERE))
#define DYN_SHARED(type, name)                                                                 \
    type *name = static_cast<type *>(emu_dynamic_shared(alignof(type), EMU_HERE))
#else
#define LAUNCH(kernel, grid, block, shmem, stream, ...)                                        \
    do {                                                                                       \
        kernel<<<grid, block, shmem, stream>>>(__VA_ARGS__);                                   \
        gpu_check(gpu_error(cudaGetLastError()), __FILE__, __LINE__, "launch of " #kernel);    \
    } while (0)
#define SHARED(type, name, ...) __shared__ __align__(16) type name __VA_ARGS__
#define DYN_SHARED(type, name)                                                                 \
    extern __shared__ __align__(128) unsigned char gpu_dynamic_shared[];                       \
    type *name = reinterpret_cast<type *>(gpu_dynamic_shared)
#endif

// Blocks of `threads` that cover n elements; one block where there are none.
static inline unsigned gpu_blocks(int64_t n, int64_t threads)
{
    int64_t blocks = n > 0 ? (n + threads - 1) / threads : 1;
    ASSERT(blocks <= INT32_MAX);
    return (unsigned)blocks;
}
// The thread's number in a grid and block of one dimension.
static __device__ inline int64_t gpu_index()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

// ---- storage types: float and __nv_bfloat16, computed with as float ------------------------

static __device__ inline float gpu_load(const float *p)
{
    return *p;
}
static __device__ inline float gpu_load(const __nv_bfloat16 *p)
{
    return __bfloat162float(*p);
}
static __device__ inline void gpu_store(float *p, float v)
{
    *p = v;
}
static __device__ inline void gpu_store(__nv_bfloat16 *p, float v)
{
    *p = __float2bfloat16(v); // to nearest, ties to even
}
// Four neighbours in one access; p aligned to four elements.
static __device__ inline float4 gpu_load4(const float *p)
{
    return *reinterpret_cast<const float4 *>(p);
}
static __device__ inline float4 gpu_load4(const __nv_bfloat16 *p)
{
    uint2 raw = *reinterpret_cast<const uint2 *>(p);
    return make_float4(__uint_as_float(raw.x << 16), __uint_as_float(raw.x & 0xffff0000u),
                       __uint_as_float(raw.y << 16), __uint_as_float(raw.y & 0xffff0000u));
}
static __device__ inline void gpu_store4(float *p, float4 v)
{
    *reinterpret_cast<float4 *>(p) = v;
}
static __device__ inline unsigned gpu_bf16_bits(float v)
{
    return __bfloat16_as_ushort(__float2bfloat16(v));
}
static __device__ inline void gpu_store4(__nv_bfloat16 *p, float4 v)
{
    *reinterpret_cast<uint2 *>(p) = make_uint2(gpu_bf16_bits(v.x) | gpu_bf16_bits(v.y) << 16,
                                               gpu_bf16_bits(v.z) | gpu_bf16_bits(v.w) << 16);
}

// ---- reductions, in an order that is always the same ---------------------------------------

// All 32 lanes call it; every lane gets the result.
static __device__ inline float gpu_warp_sum(float v)
{
    for (int step = 16; step > 0; step /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, step);
    return v;
}
static __device__ inline float gpu_warp_max(float v) // NaN is passed over, as fmaxf does
{
    for (int step = 16; step > 0; step /= 2)
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, step));
    return v;
}
// All threads of a block of one dimension and whole warps call it; every thread gets the
// result. scratch: 32 floats of shared memory, which may be used again at once.
static __device__ inline float gpu_block_sum(float v, float *scratch)
{
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32,
        warps = (int)blockDim.x / 32;
    v = gpu_warp_sum(v);
    __syncthreads(); // an earlier call's scratch is read
    if (lane == 0)
        scratch[warp] = v;
    __syncthreads();
    return gpu_warp_sum(lane < warps ? scratch[lane] : 0);
}
static __device__ inline float gpu_block_max(float v, float *scratch)
{
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32,
        warps = (int)blockDim.x / 32;
    v = gpu_warp_max(v);
    __syncthreads();
    if (lane == 0)
        scratch[warp] = v;
    __syncthreads();
    return gpu_warp_max(lane < warps ? scratch[lane] : scratch[0]);
}

// ---- tensor cores: D = A B + C in tiles of 16 x 16 x 16, bf16 in, float accumulated
// -------------
//
// All 32 lanes of a warp make every call together. Which elements of a tile a lane holds in
// f.x[0
// .. f.num_elements - 1] is not specified: treat all alike (scaling) or go through memory.
// Addresses are aligned to 32 bytes, ld to 8 (bf16) or 4 (float) elements.
//
//     gpu_wmma_a<gpu_row> a; gpu_wmma_b<gpu_col> b; gpu_wmma_acc c;
//     WMMA_FILL(c, 0.0f);
//     WMMA_LOAD(a, p, ld);             // gpu_row: element (i, j) at p[i * ld + j]; gpu_col:
//     p[i + j * ld] WMMA_MMA(d, a, b, c);            // d may be c WMMA_LOAD_ACC(c, p, ld);
//     WMMA_STORE(p, c, ld);   // row by row, float

#ifdef MOESWEEP_EMULATE
struct gpu_row {
    static constexpr bool by_columns = false;
};
struct gpu_col {
    static constexpr bool by_columns = true;
};
template <class layout> struct gpu_wmma_a : emu_fragment<__nv_bfloat16> {
    static constexpr bool by_columns = layout::by_columns, transposed = false;
};
template <class layout> struct gpu_wmma_b : emu_fragment<__nv_bfloat16> {
    static constexpr bool by_columns = layout::by_columns, transposed = true;
};
typedef emu_fragment<float> gpu_wmma_acc;
#define WMMA_FILL(f, v) emu_wmma_fill(EMU_HERE, f, v)
#define WMMA_LOAD(f, p, ld) emu_wmma_load(EMU_HERE, f, p, ld, f.by_columns, f.transposed)
#define WMMA_LOAD_ACC(f, p, ld) emu_wmma_load(EMU_HERE, f, p, ld, false)
#define WMMA_MMA(d, a, b, c) emu_wmma_mma(EMU_HERE, d, a, b, c)
#define WMMA_STORE(p, f, ld) emu_wmma_store(EMU_HERE, p, f, ld, false)
#else
typedef nvcuda::wmma::row_major gpu_row;
typedef nvcuda::wmma::col_major gpu_col;
template <class layout>
using gpu_wmma_a =
    nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16, __nv_bfloat16, layout>;
template <class layout>
using gpu_wmma_b =
    nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, __nv_bfloat16, layout>;
typedef nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float> gpu_wmma_acc;
#define WMMA_FILL(f, v) nvcuda::wmma::fill_fragment(f, v)
#define WMMA_LOAD(f, p, ld) nvcuda::wmma::load_matrix_sync(f, p, ld)
#define WMMA_LOAD_ACC(f, p, ld)                                                                \
    nvcuda::wmma::load_matrix_sync(f, p, ld, nvcuda::wmma::mem_row_major)
#define WMMA_MMA(d, a, b, c) nvcuda::wmma::mma_sync(d, a, b, c)
#define WMMA_STORE(p, f, ld)                                                                   \
    nvcuda::wmma::store_matrix_sync(p, f, ld, nvcuda::wmma::mem_row_major)
#endif
#endif
