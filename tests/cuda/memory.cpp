// SPDX-License-Identifier: Apache-2.0
// Device and pinned memory, and copies. Every allocation is one of the C library, as large as
// asked for, so that ASan's red zones lie at its ends; all bytes begin as 0xFF: NaN, or -1.
#include "runtime.h"
#include <cstdlib>
#include <map>
#include <memory>

static std::map<uintptr_t, emu_allocation> &allocations =
    *new std::map<uintptr_t, emu_allocation>; // by base
static size_t device_used;
static bool on_device;

static size_t device_total()
{
    const char *text = getenv("MOESWEEP_EMULATE_MEMORY"); // bytes
    return text ? strtoull(text, nullptr, 10) : (size_t)64 << 30;
}

const emu_allocation *emu_find(const void *p)
{
    auto next = allocations.upper_bound((uintptr_t)p);
    if (next == allocations.begin())
        return nullptr;
    const emu_allocation *a = &std::prev(next)->second;
    bool there = !a->freed || on_device; // queued work may still use what the host has freed
    return there && (const char *)p < a->base + a->size ? a : nullptr;
}

void emu_check_device_range(const char *what, const void *p, size_t size)
{
    if (size == 0)
        return;
    const emu_allocation *a = emu_find(p);
    if (!a || a->memory != EMU_DEVICE)
        emu_abort("%s: %p is not in device memory", what, p);
    size_t room = (size_t)(a->base + a->size - (const char *)p);
    if (size > room)
        emu_abort("%s: %zu bytes from %p, where its allocation of %zu bytes has %zu left", what,
                  size, p, a->size, room);
}

void emu_device_enter()
{
    on_device = true;
    for (const auto &[base, a] : allocations)
        if (a.memory == EMU_DEVICE)
            emu_allow(a.base, a.size);
}

void emu_device_leave()
{
    on_device = false;
    for (const auto &[base, a] : allocations)
        if (a.memory == EMU_DEVICE)
            emu_forbid(a.base, a.size);
}

static cudaError_t allocate(void **p, size_t size, emu_memory memory)
{
    if (!p)
        return emu_error(cudaErrorInvalidValue);
    *p = nullptr;
    if (size == 0)
        return cudaSuccess;
    if (memory == EMU_DEVICE && size > device_total() - device_used)
        return emu_error(cudaErrorMemoryAllocation);
    *p = emu_quiet_alloc(size, 256);
    allocations[(uintptr_t)*p] = {(char *)*p, size, memory, false};
    if (memory == EMU_DEVICE) {
        device_used += size;
        emu_forbid(*p, size);
    }
    return cudaSuccess;
}

static cudaError_t release(void *p, emu_memory memory, const char *what)
{
    if (!p)
        return cudaSuccess;
    auto found = allocations.find((uintptr_t)p);
    if (found == allocations.end() || found->second.memory != memory || found->second.freed)
        emu_abort("%s: %p did not come from the function that it undoes, or was freed before",
                  what, p);
    if (memory == EMU_DEVICE)
        device_used -= found->second.size;
    found->second.freed = true;
    emu_memory_idle();
    return cudaSuccess;
}

// CUDA waits for the device when it frees memory. Here that would run work that nothing else
// waits for and so hide a missing wait: instead memory outlives what is queued.
void emu_memory_idle()
{
    if (!emu_idle())
        return;
    for (auto next = allocations.begin(); next != allocations.end();) {
        auto a = next++;
        if (!a->second.freed)
            continue;
        emu_allow(a->second.base, a->second.size);
        emu_quiet_free(a->second.base);
        allocations.erase(a);
    }
}

// ---- copies ---------------------------------------------------------------------------------

static emu_memory memory_of(const void *p)
{
    const emu_allocation *a = emu_find(p);
    return a ? a->memory : EMU_PAGEABLE;
}

static void check_side(const char *what, const char *side, const void *p, size_t size,
                       bool device)
{
    const emu_allocation *a = emu_find(p);
    bool is_device = a && a->memory == EMU_DEVICE;
    if (is_device != device)
        emu_abort("%s: its %s %p is %s memory, which contradicts the kind of the copy", what,
                  side, p, is_device ? "device" : "host");
    if (a && size > (size_t)(a->base + a->size - (const char *)p))
        emu_abort(
            "%s: its %s takes %zu bytes from %p, where its allocation of %zu has %zu left",
            what, side, size, p, a->size, (size_t)(a->base + a->size - (const char *)p));
    if (!device && emu_forbidden(p, size))
        emu_abort("%s: its %s, %zu bytes of host memory from %p, does not have them all", what,
                  side, size, p);
}

static void copy_check(const char *what, const void *to, size_t to_size, const void *from,
                       size_t from_size, cudaMemcpyKind kind)
{
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault)
        emu_abort("%s: %d is no kind of a copy", what, (int)kind);
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind == cudaMemcpyDefault) {
        to_device = memory_of(to) == EMU_DEVICE;
        from_device = memory_of(from) == EMU_DEVICE;
    }
    check_side(what, "destination", to, to_size, to_device);
    check_side(what, "source", from, from_size, from_device);
}

static void copy_rows(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                      size_t width, size_t height)
{
    for (size_t row = 0; row < height; row++) {
        char *destination = (char *)to + row * to_pitch;
        const char *source = (const char *)from + row * from_pitch;
        emu_race_read(source, width);
        emu_race_write(destination, width);
        memmove(destination, source, width);
    }
}

// As the CUDA Runtime API's page on synchronisation has it: pageable memory is read before the
// call returns, and written before it returns; pinned memory when the stream gets there.
static cudaError_t copy(const char *what, void *to, size_t to_pitch, const void *from,
                        size_t from_pitch, size_t width, size_t height, cudaMemcpyKind kind,
                        cudaStream_t stream, bool wait)
{
    if (!emu_stream_exists(stream))
        return emu_error(cudaErrorInvalidResourceHandle);
    if (width == 0 || height == 0)
        return cudaSuccess;
    if (height > 1 && (width > to_pitch || width > from_pitch))
        return emu_error(cudaErrorInvalidPitchValue);
    size_t to_size = (height - 1) * to_pitch + width,
           from_size = (height - 1) * from_pitch + width;
    copy_check(what, to, to_size, from, from_size, kind);
    if (memory_of(from) == EMU_PAGEABLE) {
        std::shared_ptr<char> staged((char *)emu_quiet_alloc(from_size, 16), emu_quiet_free);
        memcpy(staged.get(), from, from_size);
        emu_enqueue(stream, what,
                    [=] { copy_rows(to, to_pitch, staged.get(), from_pitch, width, height); });
    } else {
        emu_enqueue(stream, what,
                    [=] { copy_rows(to, to_pitch, from, from_pitch, width, height); });
    }
    if (wait || memory_of(to) == EMU_PAGEABLE)
        emu_synchronize(stream);
    return cudaSuccess;
}

static cudaError_t set(const char *what, void *p, int value, size_t size, cudaStream_t stream)
{
    if (!emu_stream_exists(stream))
        return emu_error(cudaErrorInvalidResourceHandle);
    emu_check_device_range(what, p, size);
    emu_enqueue(stream, what, [=] {
        emu_race_write(p, size);
        memset(p, value, size);
    });
    return cudaSuccess;
}

// ---- the API --------------------------------------------------------------------------------

extern "C" {
cudaError_t cudaMalloc(void **p, size_t size)
{
    return allocate(p, size, EMU_DEVICE);
}

cudaError_t cudaFree(void *p)
{
    return release(p, EMU_DEVICE, "cudaFree");
}

cudaError_t cudaMallocHost(void **p, size_t size)
{
    return allocate(p, size, EMU_PINNED);
}

cudaError_t cudaHostAlloc(void **p, size_t size, unsigned)
{
    return allocate(p, size, EMU_PINNED);
}

cudaError_t cudaFreeHost(void *p)
{
    return release(p, EMU_PINNED, "cudaFreeHost");
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    *total = device_total();
    *available = *total - device_used;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return copy("cudaMemcpyAsync", to, size, from, size, size, 1, kind, stream, false);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t size, cudaMemcpyKind kind)
{
    // between two places of the device it does not wait
    bool wait = memory_of(to) != EMU_DEVICE || memory_of(from) != EMU_DEVICE;
    return copy("cudaMemcpy", to, size, from, size, size, 1, kind, nullptr, wait);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    return copy("cudaMemcpy2DAsync", to, to_pitch, from, from_pitch, width, height, kind,
                stream, false);
}

cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                         size_t width, size_t height, cudaMemcpyKind kind)
{
    return copy("cudaMemcpy2D", to, to_pitch, from, from_pitch, width, height, kind, nullptr,
                true);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t size, cudaStream_t stream)
{
    return set("cudaMemsetAsync", p, value, size, stream);
}

cudaError_t cudaMemset(void *p, int value, size_t size)
{
    return set("cudaMemset", p, value, size, nullptr);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *p)
{
    *attributes = {};
    emu_memory memory = memory_of(p);
    attributes->type = memory == EMU_DEVICE   ? cudaMemoryTypeDevice
                       : memory == EMU_PINNED ? cudaMemoryTypeHost
                                              : cudaMemoryTypeUnregistered;
    attributes->devicePointer = memory == EMU_PAGEABLE ? nullptr : const_cast<void *>(p);
    attributes->hostPointer = memory == EMU_DEVICE ? nullptr : const_cast<void *>(p);
    return cudaSuccess;
}
}
