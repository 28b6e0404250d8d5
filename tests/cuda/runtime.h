// SPDX-License-Identifier: Apache-2.0
// What the files of the emulator's runtime share. The runtime is compiled without sanitizers
// and talks to whichever of them the program is linked with: their entry points are weak
// references.
#ifndef CUDA_EMULATOR_RUNTIME_H
#define CUDA_EMULATOR_RUNTIME_H
#include <cuda_emulator.h>
#include <functional>

// ---- sanitizers (sanitizer.cpp): each does nothing where its sanitizer is absent
// -------------

// A stack of its own that runs entry() for ever, resumed by the scheduler and yielding to it.
struct emu_fiber {
    void *stack_pointer;
    char *stack;
    size_t stack_size;
    void *fake_stack;   // ASan's
    void *race_context; // TSan's: one logical thread
};
emu_fiber *emu_fiber_new(int colour, void (*entry)());
void emu_fiber_resume(emu_fiber *fiber);
void emu_fiber_yield(emu_fiber *fiber);

// Logical threads of TSan. Entering one by itself orders nothing; release and acquire do,
// through objects that are made fresh so that no older order leaks into a newer one.
bool emu_detects_races();
void *emu_race_context_new();
void *emu_race_enter(void *context); // returns the one that was left
void *emu_race_object_new();
void emu_race_object_free(void *object);
void emu_race_release(void *object);
void emu_race_acquire(void *object);
// malloc and free that TSan takes for no access.
void *emu_quiet_alloc(size_t size, size_t align);
void emu_quiet_free(void *p);
// Begins or ends a stretch whose accesses are the runtime's own and of no interest: those of
// queued work, on whose behalf only emu_race_read and _write report any. And whether ASan
// forbids an access (the first byte).
void emu_race_ignore(bool begin);
void emu_race_read(const void *p, size_t size);
void emu_race_write(void *p, size_t size);
const void *emu_forbidden(const void *p, size_t size);
void emu_forbid(const void *p, size_t size);
void emu_allow(const void *p, size_t size);

// ---- the schedule (schedule.cpp): MOESWEEP_EMULATE_SCHEDULE --------------------------------

enum emu_schedule { EMU_FORWARD, EMU_REVERSE, EMU_RANDOM };
extern emu_schedule emu_schedule_kind;
// One of n candidates that stand in issue order.
int64_t emu_pick(int64_t n);
int emu_pick_bit(uint64_t set); // set != 0

// ---- blocks (block.cpp) --------------------------------------------------------------------

// Runs all threads of all blocks.
void emu_run_kernel(const emu_launch_config &config, const std::function<void()> &thread);
// Outside kernels, too: prints and aborts.
[[noreturn]] void emu_abort(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

// ---- memory (memory.cpp) -------------------------------------------------------------------

enum emu_memory { EMU_PAGEABLE, EMU_PINNED, EMU_DEVICE };
struct emu_allocation {
    char *base;
    size_t size;
    emu_memory memory;
    bool freed; // by the host; gone when nothing is queued any more
};
// The allocation that p points into; null: not one of ours.
const emu_allocation *emu_find(const void *p);
// Aborts unless [p, p + size) lies inside one device allocation.
void emu_check_device_range(const char *what, const void *p, size_t size);
void emu_memory_idle(); // gives back what was freed, if nothing is queued
// While the device runs, its memory may be touched; otherwise ASan forbids it to the host.
void emu_device_enter();
void emu_device_leave();

// ---- streams (stream.cpp) ------------------------------------------------------------------

// Queues work, which runs in the stream's logical thread at some synchronisation. Queued work
// may be run later than anything that no wait, event or stream order puts after it.
void emu_enqueue(cudaStream_t stream, const char *what, std::function<void()> work);
bool emu_idle(); // nothing is queued
void emu_synchronize_all();
void emu_synchronize(cudaStream_t stream);
bool emu_stream_exists(cudaStream_t stream);
// Remembers an error for cudaGetLastError and returns it.
cudaError_t emu_error(cudaError_t error);
#endif
