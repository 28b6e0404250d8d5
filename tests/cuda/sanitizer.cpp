// SPDX-License-Identifier: Apache-2.0
// Fibers and what the sanitizers need to know about them.
#include "runtime.h"
#include <cstdlib>
#include <sys/mman.h>

#define WEAK __attribute__((weak))
extern "C" {
WEAK void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size);
WEAK void __sanitizer_finish_switch_fiber(void *fake_stack, const void **bottom, size_t *size);
WEAK void __asan_poison_memory_region(void const volatile *p, size_t size);
WEAK void __asan_unpoison_memory_region(void const volatile *p, size_t size);
WEAK void *__asan_region_is_poisoned(void *p, size_t size);
WEAK void *__tsan_get_current_fiber();
WEAK void *__tsan_create_fiber(unsigned flags);
WEAK void __tsan_switch_to_fiber(void *fiber, unsigned flags);
WEAK void __tsan_acquire(void *p);
WEAK void __tsan_release(void *p);
WEAK void __tsan_read_range(void *p, unsigned long size);
WEAK void __tsan_write_range(void *p, unsigned long size);
WEAK void AnnotateIgnoreWritesBegin(const char *file, int line);
WEAK void AnnotateIgnoreWritesEnd(const char *file, int line);
WEAK void AnnotateIgnoreReadsBegin(const char *file, int line);
WEAK void AnnotateIgnoreReadsEnd(const char *file, int line);
}

// Leaks: stacks of fibers are not searched for pointers. Races: one is enough, and short
// histories keep hundreds of logical threads small.
extern "C" const char *__asan_default_options()
{
    return "detect_leaks=0";
}
extern "C" const char *__tsan_default_options()
{
    return "halt_on_error=1:atexit_sleep_ms=0:history_size=0";
}

static const unsigned no_order = 1; // of __tsan_switch_to_fiber

static struct { // the stack that resumes fibers
    void *stack_pointer;
    const void *bottom;
    size_t size;
    void *fake_stack, *race_context;
} scheduler;

// Saves the callee-saved registers on the stack it leaves and restores those of the one it
// enters.
asm(R"(
    .text
    .globl emu_switch_stack
    .type emu_switch_stack, @function
emu_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emu_switch_stack, . - emu_switch_stack
)");
extern "C" void emu_switch_stack(void **save, void *enter);

static void (*fiber_entry)();

static void fiber_start()
{
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(nullptr, &scheduler.bottom, &scheduler.size);
    fiber_entry();
}

emu_fiber *emu_fiber_new(int colour, void (*entry)())
{
    const size_t size = 256 << 10, guard = 4096;
    void *map = mmap(nullptr, size + guard, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED || mprotect(map, guard, PROT_NONE) != 0)
        emu_abort("no memory for the stack of a CUDA thread");
    fiber_entry = entry;
    emu_fiber *fiber = new emu_fiber{};
    fiber->stack = (char *)map + guard;
    fiber->stack_size = size;
    // Starts differ, or the same variable of all threads would lie in the same set of the
    // cache.
    char *top = fiber->stack + size - (size_t)colour % 64 * 128;
    void **frame = (void **)(void *)top - 8;
    for (int i = 0; i < 6; i++)
        frame[i] = nullptr;
    frame[6] = (void *)fiber_start;
    frame[7] = nullptr; // its return address: 16 n + 8, as after a call
    fiber->stack_pointer = frame;
    fiber->race_context = emu_race_context_new();
    return fiber;
}

void emu_fiber_resume(emu_fiber *fiber)
{
    if (__tsan_switch_to_fiber) {
        scheduler.race_context = __tsan_get_current_fiber();
        __tsan_switch_to_fiber(fiber->race_context, no_order);
    }
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(&scheduler.fake_stack, fiber->stack, fiber->stack_size);
    emu_switch_stack(&scheduler.stack_pointer, fiber->stack_pointer);
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(scheduler.fake_stack, nullptr, nullptr);
}

void emu_fiber_yield(emu_fiber *fiber)
{
    if (__tsan_switch_to_fiber)
        __tsan_switch_to_fiber(scheduler.race_context, no_order);
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(&fiber->fake_stack, scheduler.bottom, scheduler.size);
    emu_switch_stack(&fiber->stack_pointer, scheduler.stack_pointer);
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(fiber->fake_stack, &scheduler.bottom, &scheduler.size);
}

bool emu_detects_races()
{
    return __tsan_create_fiber != nullptr;
}

void *emu_race_context_new()
{
    return __tsan_create_fiber ? __tsan_create_fiber(0) : nullptr;
}

void *emu_race_enter(void *context)
{
    if (!__tsan_switch_to_fiber)
        return nullptr;
    void *left = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(context, no_order);
    return left;
}

void *emu_race_object_new()
{
    return emu_detects_races() ? emu_quiet_alloc(8, 8) : nullptr;
}

void emu_race_object_free(void *object)
{
    if (object)
        emu_quiet_free(object);
}

void emu_race_release(void *object)
{
    if (object)
        __tsan_release(object);
}

void emu_race_acquire(void *object)
{
    if (object)
        __tsan_acquire(object);
}

void emu_race_ignore(bool begin)
{
    if (!AnnotateIgnoreWritesBegin || !emu_detects_races())
        return;
    (begin ? AnnotateIgnoreWritesBegin : AnnotateIgnoreWritesEnd)(__FILE__, __LINE__);
    (begin ? AnnotateIgnoreReadsBegin : AnnotateIgnoreReadsEnd)(__FILE__, __LINE__);
}

void *emu_quiet_alloc(size_t size, size_t align)
{
    void *p;
    emu_race_ignore(true);
    if (posix_memalign(&p, align < sizeof p ? sizeof p : align, size ? size : 1) != 0)
        emu_abort("no memory for %zu bytes", size);
    memset(p, 0xff, size);
    emu_race_ignore(false);
    return p;
}

void emu_quiet_free(void *p)
{
    emu_race_ignore(true);
    free(p);
    emu_race_ignore(false);
}

void emu_race_read(const void *p, size_t size)
{
    if (!__tsan_read_range || !size)
        return;
    emu_race_ignore(false);
    __tsan_read_range(const_cast<void *>(p), size);
    emu_race_ignore(true);
}

void emu_race_write(void *p, size_t size)
{
    if (!__tsan_write_range || !size)
        return;
    emu_race_ignore(false);
    __tsan_write_range(p, size);
    emu_race_ignore(true);
}

const void *emu_forbidden(const void *p, size_t size)
{
    return __asan_region_is_poisoned && size
               ? __asan_region_is_poisoned(const_cast<void *>(p), size)
               : nullptr;
}

void emu_forbid(const void *p, size_t size)
{
    if (__asan_poison_memory_region)
        __asan_poison_memory_region(p, size);
}

void emu_allow(const void *p, size_t size)
{
    if (__asan_unpoison_memory_region)
        __asan_unpoison_memory_region(p, size);
}
