// SPDX-License-Identifier: Apache-2.0
// The device that is pretended, its errors, and which launches it takes.
#include "runtime.h"
#include <cstdlib>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

static const int shared_default = 48 << 10, shared_optin = 227 << 10; // compute capability 9.0

static cudaError_t last_error;

cudaError_t emu_error(cudaError_t error)
{
    last_error = error;
    return error;
}

static int device_count()
{
    const char *text = getenv("MOESWEEP_EMULATE_DEVICES"); // 0: as on a machine without a GPU
    return text && strcmp(text, "0") == 0 ? 0 : 1;
}

#define ERRORS(X)                                                                              \
    X(cudaSuccess, "no error")                                                                 \
    X(cudaErrorInvalidValue, "invalid argument")                                               \
    X(cudaErrorMemoryAllocation, "out of memory")                                              \
    X(cudaErrorInvalidConfiguration, "invalid configuration argument")                         \
    X(cudaErrorInvalidPitchValue, "invalid pitch argument")                                    \
    X(cudaErrorNoDevice, "no CUDA-capable device is detected")                                 \
    X(cudaErrorInvalidDevice, "invalid device ordinal")                                        \
    X(cudaErrorInvalidResourceHandle, "invalid resource handle")                               \
    X(cudaErrorNotReady, "device not ready")                                                   \
    X(cudaErrorNotSupported, "operation not supported")

// ---- launches -------------------------------------------------------------------------------

static std::map<const void *, int> &shared_allowed =
    *new std::map<const void *, int>; // by cudaFuncSetAttribute

static cudaError_t launch_error(const emu_launch_config &c)
{
    if (!emu_stream_exists(c.stream))
        return cudaErrorInvalidResourceHandle;
    dim3 g = c.grid, b = c.block;
    if (!g.x || !g.y || !g.z || !b.x || !b.y || !b.z || g.x > INT32_MAX || g.y > 65535 ||
        g.z > 65535 || b.x > 1024 || b.y > 1024 || b.z > 64 || b.x * b.y * b.z > 1024)
        return cudaErrorInvalidConfiguration;
    auto allowed = shared_allowed.find(c.function);
    int limit = allowed == shared_allowed.end() ? shared_default : allowed->second;
    return c.shmem > (size_t)limit ? cudaErrorInvalidValue : cudaSuccess;
}

void emu_launch(const emu_launch_config &config, std::function<void()> thread)
{
    cudaError_t error = device_count() ? launch_error(config) : cudaErrorNoDevice;
    if (error != cudaSuccess) {
        emu_error(error);
        return;
    }
    emu_enqueue(config.stream, config.kernel,
                [config, thread = std::move(thread)] { emu_run_kernel(config, thread); });
}

void emu_check_pointer(const emu_launch_config &config, int index, const void *pointer)
{
    // the end of an allocation is the address of an empty array
    if (pointer && !emu_find(pointer) && !emu_find((const char *)pointer - 1))
        emu_abort("%s:%d: kernel %s: argument %d, %p, is neither device nor pinned memory",
                  config.where.file, config.where.line, config.kernel, index, pointer);
}

static bool is_mapped(uintptr_t address)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    unsigned char resident;
    return mincore((void *)(address & ~(page - 1)), 1, &resident) == 0;
}

void emu_check_words(const emu_launch_config &config, int index, const void *value, size_t size)
{
    // A structure's words are pointers where they look like one: high in the address space,
    // mapped.
    for (size_t at = 0; at + sizeof(void *) <= size; at += sizeof(void *)) {
        uintptr_t word;
        memcpy(&word, (const char *)value + at, sizeof word);
        if (word >> 40 && !(word >> 47) && !emu_find((const void *)word) && is_mapped(word))
            emu_abort("%s:%d: kernel %s: argument %d has at byte %zu the host pointer %p",
                      config.where.file, config.where.line, config.kernel, index, at,
                      (const void *)word);
    }
}

// ---- the API --------------------------------------------------------------------------------

extern "C" {
cudaError_t cudaGetLastError()
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError()
{
    return last_error;
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
#define X(name, text)                                                                          \
    case name:                                                                                 \
        return #name;
        ERRORS(X)
#undef X
    default:
        return "unrecognized error code";
    }
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
#define X(name, text)                                                                          \
    case name:                                                                                 \
        return text;
        ERRORS(X)
#undef X
    default:
        return "unrecognized error code";
    }
}

cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute attribute, int value)
{
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout)
        return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        value > shared_optin)
        return emu_error(cudaErrorInvalidValue);
    shared_allowed[function] = value;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = device_count();
    return *count ? cudaSuccess : emu_error(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device)
{
    if (!device_count())
        return emu_error(cudaErrorNoDevice);
    return device == 0 ? cudaSuccess : emu_error(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return device_count() ? cudaSuccess : emu_error(cudaErrorNoDevice);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = device_count() ? CUDART_VERSION : 0;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    cudaError_t error = cudaSetDevice(device);
    if (error != cudaSuccess)
        return error;
    size_t available;
    *p = {};
    strcpy(p->name, "emulated");
    cudaMemGetInfo(&available, &p->totalGlobalMem);
    const char *major = getenv("MOESWEEP_EMULATE_CAPABILITY");
    p->major = major ? atoi(major) : 9;
    p->minor = 0;
    p->warpSize = 32;
    p->multiProcessorCount = 4; // few, as every block costs time here
    p->maxThreadsPerBlock = 1024;
    p->maxThreadsPerMultiProcessor = 2048;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
    p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = INT32_MAX;
    p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->sharedMemPerBlock = (size_t)shared_default;
    p->sharedMemPerBlockOptin = (size_t)shared_optin;
    p->sharedMemPerMultiprocessor = 228 << 10;
    p->regsPerBlock = p->regsPerMultiprocessor = 64 << 10;
    p->unifiedAddressing = 1;
    p->l2CacheSize = 50 << 20;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    cudaDeviceProp p;
    cudaError_t error = cudaGetDeviceProperties(&p, device);
    if (error != cudaSuccess)
        return error;
    switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
        *value = p.major;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
        *value = p.minor;
        return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
        *value = p.multiProcessorCount;
        return cudaSuccess;
    case cudaDevAttrMaxThreadsPerBlock:
        *value = p.maxThreadsPerBlock;
        return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = p.maxThreadsPerMultiProcessor;
        return cudaSuccess;
    case cudaDevAttrWarpSize:
        *value = p.warpSize;
        return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = (int)p.sharedMemPerBlock;
        return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)p.sharedMemPerBlockOptin;
        return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = (int)p.sharedMemPerMultiprocessor;
        return cudaSuccess;
    case cudaDevAttrL2CacheSize:
        *value = p.l2CacheSize;
        return cudaSuccess;
    default:
        return emu_error(cudaErrorInvalidValue);
    }
}
}
