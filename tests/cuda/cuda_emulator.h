// SPDX-License-Identifier: Apache-2.0
// CUDA C++ for a plain C++17 compiler, as kernels/gpu.h includes it under MOESWEEP_EMULATE:
// built-in variables, barriers, warp collectives, atomics, shared memory and launches. NVIDIA's
// own headers declare the host API, which the runtime beside this file defines. Everything here
// is compiled into the kernels' objects, so that their sanitizers see it; emu_* functions are
// the runtime's.
#ifndef CUDA_EMULATOR_H
#define CUDA_EMULATOR_H
#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <cuda_runtime_api.h>
#include <vector_functions.h>
#include <cuda_bf16.h>
#include <cublas_v2.h>

#ifdef __launch_bounds__
#undef __launch_bounds__
#endif
#define __launch_bounds__(...)
#undef __shared__
#define __shared__ use_SHARED_or_DYN_SHARED_of_gpu_h

// Where something happens in the kernel's source.
struct emu_where {
    const char *file;
    int line;
};
#define EMU_HERE                                                                               \
    emu_where                                                                                  \
    {                                                                                          \
        __FILE__, __LINE__                                                                     \
    }

// ---- built-in variables -------------------------------------------------------------------

struct emu_position {
    uint3 thread, block;
    dim3 block_dim, grid_dim;
};
// The running CUDA thread's; null on the host.
extern const emu_position *emu_self;

#define threadIdx (emu_self->thread)
#define blockIdx (emu_self->block)
#define blockDim (emu_self->block_dim)
#define gridDim (emu_self->grid_dim)
constexpr int warpSize = 32;

// ---- launches -----------------------------------------------------------------------------

struct emu_launch_config {
    const char *kernel;
    const void *function;
    emu_where where;
    dim3 grid, block;
    size_t shmem;
    cudaStream_t stream;
};
// Queues a launch, or records the error that CUDA would. thread() is what each CUDA thread
// runs.
void emu_launch(const emu_launch_config &config, std::function<void()> thread);
// Reports a kernel argument that is, or contains, a pointer to memory that is not the device's.
void emu_check_pointer(const emu_launch_config &config, int index, const void *pointer);
void emu_check_words(const emu_launch_config &config, int index, const void *value,
                     size_t size);

template <class P>
void emu_check_argument(const emu_launch_config &config, int index, const P &p)
{
    static_assert(std::is_trivially_copyable_v<P>, "kernel arguments are copied byte by byte");
    if constexpr (std::is_pointer_v<P>)
        emu_check_pointer(config, index, reinterpret_cast<const void *>(p));
#if __has_builtin(__builtin_clear_padding) // which holds whatever was there before
    else if constexpr (std::is_class_v<P>) {
        P clean = p;
        __builtin_clear_padding(&clean);
        emu_check_words(config, index, &clean, sizeof clean);
    }
#endif
}

template <class... P, class... A>
void emu_launch_kernel(const char *name, emu_where where, dim3 grid, dim3 block, size_t shmem,
                       cudaStream_t stream, void (*kernel)(P...), A &&...a)
{
    static_assert(sizeof...(P) == sizeof...(A), "wrong number of kernel arguments");
    std::tuple<std::decay_t<P>...> arguments(static_cast<std::decay_t<P>>(a)...);
    emu_launch_config config = {
        name, reinterpret_cast<const void *>(kernel), where, grid, block, shmem, stream};
    std::apply(
        [&](const auto &...p) {
            int index = 0;
            (emu_check_argument(config, index++, p), ...);
        },
        arguments);
    emu_launch(config, [kernel, arguments] { std::apply(kernel, arguments); });
}

// ---- shared memory ------------------------------------------------------------------------

// The running block's memory for one declaration (key), made by the first thread that comes by.
void *emu_static_shared(const void *key, size_t size, size_t align, emu_where where);
void *emu_dynamic_shared(size_t align, emu_where where);

// ---- barriers and warp collectives --------------------------------------------------------

enum emu_op {
    EMU_SYNCWARP,
    EMU_SHFL,
    EMU_SHFL_UP,
    EMU_SHFL_DOWN,
    EMU_SHFL_XOR,
    EMU_BALLOT,
    EMU_ANY,
    EMU_ALL,
    EMU_MATCH_ANY,
    EMU_MATCH_ALL,
    EMU_ADD,
    EMU_MIN,
    EMU_MAX,
    EMU_MIN_SIGNED,
    EMU_MAX_SIGNED,
    EMU_AND,
    EMU_OR,
    EMU_XOR,
    EMU_WMMA, // value: address of the lane's void (*)(void *lanes[32]) and operands
};
enum emu_barrier_op { EMU_BARRIER, EMU_BARRIER_COUNT, EMU_BARRIER_AND, EMU_BARRIER_OR };

// Waits for the other threads of the block; the result of _count, _and, _or.
int emu_barrier(emu_where where, emu_barrier_op op, int predicate);
// Waits for the other lanes of mask and returns this lane's result (as bits).
uint64_t emu_collective(emu_where where, emu_op op, unsigned mask, uint64_t value,
                        int parameter, int width);
// Reports what the running CUDA thread did wrong and aborts (printf-style).
[[noreturn]] void emu_report(emu_where where, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

template <class T>
T emu_exchange(emu_where where, emu_op op, unsigned mask, T value, int parameter = 0,
               int width = 32)
{
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>, "no type of a shuffle");
    uint64_t bits = 0;
    memcpy(static_cast<void *>(&bits), &value, sizeof value);
    bits = emu_collective(where, op, mask, bits, parameter, width);
    memcpy(static_cast<void *>(&value), &bits, sizeof value);
    return value;
}
template <class T> unsigned emu_match_all(emu_where where, unsigned mask, T value, int *all)
{
    unsigned same = (unsigned)emu_exchange(where, EMU_MATCH_ALL, mask, value);
    *all = same != 0;
    return same;
}
inline unsigned emu_vote(emu_where where, emu_op op, unsigned mask, int predicate)
{
    return (unsigned)emu_collective(where, op, mask, predicate != 0, 0, 32);
}
template <class T> unsigned emu_match_any(emu_where where, unsigned mask, T value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return (unsigned)emu_collective(where, EMU_MATCH_ANY, mask, bits, 0, 32);
}
struct emu_syncwarp {
    emu_where where;
    void operator()(unsigned mask = 0xffffffff) const
    {
        emu_collective(where, EMU_SYNCWARP, mask, 0, 0, 32);
    }
};
inline unsigned emu_reduce(emu_where where, emu_op op, unsigned mask, unsigned value)
{
    return emu_exchange(where, op, mask, value);
}
inline int emu_reduce(emu_where where, emu_op op, unsigned mask, int value)
{
    op = op == EMU_MIN ? EMU_MIN_SIGNED : op == EMU_MAX ? EMU_MAX_SIGNED : op;
    return emu_exchange(where, op, mask, value);
}

#define __syncthreads() ((void)emu_barrier(EMU_HERE, EMU_BARRIER, 0))
#define __syncthreads_count(p) emu_barrier(EMU_HERE, EMU_BARRIER_COUNT, p)
#define __syncthreads_and(p) emu_barrier(EMU_HERE, EMU_BARRIER_AND, p)
#define __syncthreads_or(p) emu_barrier(EMU_HERE, EMU_BARRIER_OR, p)
#define __syncwarp(...) emu_syncwarp{EMU_HERE}(__VA_ARGS__)
#define __shfl_sync(...) emu_exchange(EMU_HERE, EMU_SHFL, __VA_ARGS__)
#define __shfl_up_sync(...) emu_exchange(EMU_HERE, EMU_SHFL_UP, __VA_ARGS__)
#define __shfl_down_sync(...) emu_exchange(EMU_HERE, EMU_SHFL_DOWN, __VA_ARGS__)
#define __shfl_xor_sync(...) emu_exchange(EMU_HERE, EMU_SHFL_XOR, __VA_ARGS__)
#define __ballot_sync(mask, p) emu_vote(EMU_HERE, EMU_BALLOT, mask, p)
#define __any_sync(mask, p) (int)emu_vote(EMU_HERE, EMU_ANY, mask, p)
#define __all_sync(mask, p) (int)emu_vote(EMU_HERE, EMU_ALL, mask, p)
#define __match_any_sync(mask, v) emu_match_any(EMU_HERE, mask, v)
#define __match_all_sync(mask, v, all) emu_match_all(EMU_HERE, mask, v, all)
#define __reduce_add_sync(mask, v) emu_reduce(EMU_HERE, EMU_ADD, mask, v)
#define __reduce_min_sync(mask, v) emu_reduce(EMU_HERE, EMU_MIN, mask, v)
#define __reduce_max_sync(mask, v) emu_reduce(EMU_HERE, EMU_MAX, mask, v)
#define __reduce_and_sync(mask, v) emu_reduce(EMU_HERE, EMU_AND, mask, v)
#define __reduce_or_sync(mask, v) emu_reduce(EMU_HERE, EMU_OR, mask, v)
#define __reduce_xor_sync(mask, v) emu_reduce(EMU_HERE, EMU_XOR, mask, v)

// ---- atomics: relaxed, as on the device ---------------------------------------------------

// Aborts when MOESWEEP_EMULATE_FLOAT_ATOMICS is 0: sums by float atomics depend on the order.
void emu_float_atomic(emu_where where);

template <class T, class F> T emu_atomic(T *address, F &&combine)
{
    T old, next;
    __atomic_load(address, &old, __ATOMIC_RELAXED);
    do
        next = combine(old);
    while (!__atomic_compare_exchange(address, &old, &next, false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED));
    return old;
}
template <class T> T emu_atomic_add(emu_where where, T *address, T v)
{
    if constexpr (std::is_floating_point_v<T>)
        emu_float_atomic(where);
    return emu_atomic(address, [=](T old) { return (T)(old + v); });
}
// The value's type follows the address's, as overload resolution does it in CUDA.
template <class T> using emu_same = std::common_type_t<T>;
#define atomicAdd(address, v)                                                                  \
    emu_atomic_add(EMU_HERE, address,                                                          \
                   static_cast<std::remove_reference_t<decltype(*(address))>>(v))
template <class T> T atomicSub(T *address, emu_same<T> v)
{
    return emu_atomic(address, [=](T old) { return (T)(old - v); });
}
template <class T> T atomicMax(T *address, emu_same<T> v)
{
    return emu_atomic(address, [=](T old) { return old > v ? old : v; });
}
template <class T> T atomicMin(T *address, emu_same<T> v)
{
    return emu_atomic(address, [=](T old) { return old < v ? old : v; });
}
template <class T> T atomicAnd(T *address, emu_same<T> v)
{
    return emu_atomic(address, [=](T old) { return old & v; });
}
template <class T> T atomicOr(T *address, emu_same<T> v)
{
    return emu_atomic(address, [=](T old) { return old | v; });
}
template <class T> T atomicXor(T *address, emu_same<T> v)
{
    return emu_atomic(address, [=](T old) { return old ^ v; });
}
template <class T> T atomicExch(T *address, emu_same<T> v)
{
    return emu_atomic(address, [=](T) { return v; });
}
template <class T> T atomicCAS(T *address, emu_same<T> expected, emu_same<T> v)
{
    return emu_atomic(address, [=](T old) { return old == expected ? v : old; });
}
inline unsigned atomicInc(unsigned *address, unsigned last)
{
    return emu_atomic(address, [=](unsigned old) { return old >= last ? 0 : old + 1; });
}
// To the race detector every fence comes after all earlier ones: what "last block sums up"
// needs.
void emu_fence();
inline void __threadfence()
{
    emu_fence();
}
inline void __threadfence_block()
{
    emu_fence();
}

// The C++ overload of cuda_runtime.h, which cannot be included here.
template <class... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute, int value)
{
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), attribute, value);
}
template <class T> cudaError_t cudaMalloc(T **p, size_t size)
{
    return cudaMalloc(reinterpret_cast<void **>(p), size);
}
template <class T> cudaError_t cudaMallocHost(T **p, size_t size, unsigned = 0)
{
    return cudaMallocHost(reinterpret_cast<void **>(p), size);
}

#include <cuda_emulator_math.h>
#include <cuda_emulator_wmma.h>
#endif
