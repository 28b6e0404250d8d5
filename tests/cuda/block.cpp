// SPDX-License-Identifier: Apache-2.0
// Runs a kernel: one block after the other, its threads as fibers that give way at barriers and
// warp collectives only.
#include "block.h"
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

const emu_position *emu_self;
cuda_block &emu_block = *new cuda_block();
static std::vector<emu_fiber *> &pool = *new std::vector<emu_fiber *>;
static size_t rotation; // fiber of thread 0: moves on, so that TSan tells blocks apart
int emu_running;

emu_fiber *emu_fiber_of(int thread)
{
    return pool[((size_t)thread + rotation) % pool.size()];
}

void emu_abort(const char *fmt, ...)
{
    va_list arguments;
    va_start(arguments, fmt);
    fflush(stdout);
    fprintf(stderr, "cuda emulator: ");
    vfprintf(stderr, fmt, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    abort();
}

void emu_report(emu_where where, const char *fmt, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, fmt);
    vsnprintf(text, sizeof text, fmt, arguments);
    va_end(arguments);
    if (!emu_self)
        emu_abort("%s:%d: outside of a kernel: %s", where.file, where.line, text);
    const emu_position *p = emu_self;
    emu_abort("%s:%d: kernel %s, block (%u, %u, %u), thread (%u, %u, %u): %s", where.file,
              where.line, emu_block.config->kernel, p->block.x, p->block.y, p->block.z,
              p->thread.x, p->thread.y, p->thread.z, text);
}

// ---- waiting --------------------------------------------------------------------------------

void emu_wait(thread_state state)
{
    int self = emu_running;
    emu_block.thread[self].state = state;
    emu_block.ready[self / 32] &= ~(1u << self % 32);
    emu_fiber_yield(emu_fiber_of(self));
}

void emu_wake(int index)
{
    emu_block.thread[index].state = READY;
    emu_block.ready[index / 32] |= 1u << index % 32;
}

// Everything that these threads did happens before all that they do from here on.
void emu_order(int first, const unsigned *masks, int warps)
{
    if (!emu_detects_races())
        return;
    void *object = emu_race_object_new();
    for (int pass = 0; pass < 2; pass++)
        for (int w = 0; w < warps; w++)
            for (unsigned rest = masks[w]; rest; rest &= rest - 1) {
                int index = first + w * 32 + __builtin_ctz(rest);
                void *here = emu_race_enter(emu_fiber_of(index)->race_context);
                (pass ? emu_race_acquire : emu_race_release)(object);
                emu_race_enter(here);
            }
    emu_race_object_free(object);
}

unsigned emu_lanes_of_warp(int warp) // those that the block has at all
{
    int lanes = emu_block.threads - warp * 32;
    return lanes >= 32 ? 0xffffffff : (1u << lanes) - 1;
}

int emu_barrier(emu_where where, emu_barrier_op op, int predicate)
{
    if (!emu_self)
        emu_report(where, "__syncthreads");
    cuda_thread &t = emu_block.thread[emu_running];
    t.where = where;
    t.barrier = op;
    t.value = predicate != 0;
    emu_block.at_barrier++;
    emu_wait(AT_BARRIER);
    return (int)t.result;
}

static void barrier_report()
{
    fprintf(stderr, "cuda emulator: kernel %s, block (%u, %u, %u): divergent barrier\n",
            emu_block.config->kernel, emu_block.thread[0].position.block.x,
            emu_block.thread[0].position.block.y, emu_block.thread[0].position.block.z);
    if (emu_block.left)
        fprintf(stderr, "    %d threads left the kernel\n", emu_block.left);
    std::vector<bool> told((size_t)emu_block.threads);
    for (int i = 0; i < emu_block.threads; i++) {
        const cuda_thread &t = emu_block.thread[i];
        if (told[i] || t.state == LEFT)
            continue;
        int same = 0;
        for (int j = i; j < emu_block.threads; j++) {
            const cuda_thread &u = emu_block.thread[j];
            if (u.state == t.state && u.where.line == t.where.line &&
                strcmp(u.where.file, t.where.file) == 0) {
                told[j] = true;
                same++;
            }
        }
        fprintf(stderr, "    %d threads (the first is %d) wait at %s:%d (%s)\n", same, i,
                t.where.file, t.where.line,
                t.state == AT_BARRIER ? "__syncthreads" : emu_op_name(t.op));
    }
    emu_abort("a barrier needs all threads of its block at the same line");
}

// No thread can run: they all wait at one barrier, or will for ever.
static void barrier_release()
{
    const cuda_thread &first = emu_block.thread[0];
    uint64_t count = 0;
    for (const cuda_thread &t : emu_block.thread) {
        if (t.state != AT_BARRIER || t.where.line != first.where.line ||
            t.barrier != first.barrier || strcmp(t.where.file, first.where.file) != 0)
            barrier_report();
        count += t.value;
    }
    uint64_t result = first.barrier == EMU_BARRIER_AND  ? count == (uint64_t)emu_block.threads
                      : first.barrier == EMU_BARRIER_OR ? count != 0
                                                        : count;
    unsigned masks[32];
    for (int w = 0; w < emu_block.warps; w++)
        masks[w] = emu_lanes_of_warp(w);
    emu_order(0, masks, emu_block.warps);
    emu_block.at_barrier = 0;
    for (int i = 0; i < emu_block.threads; i++) {
        emu_block.thread[i].result = result;
        emu_wake(i);
    }
}

// ---- shared memory --------------------------------------------------------------------------

void *emu_static_shared(const void *key, size_t size, size_t align, emu_where where)
{
    if (!emu_self)
        emu_report(where, "SHARED");
    for (const shared_array &s : emu_block.shared)
        if (s.key == key)
            return s.p;
    emu_block.shared_size += size;
    if (emu_block.shared_size > 48 << 10)
        emu_report(where, "%zu bytes of static shared memory, at most 49152",
                   emu_block.shared_size);
    emu_block.shared.push_back({key, emu_quiet_alloc(size, align < 16 ? 16 : align)});
    return emu_block.shared.back().p;
}

void *emu_dynamic_shared(size_t align, emu_where where)
{
    if (!emu_self)
        emu_report(where, "DYN_SHARED");
    if (align > 128)
        emu_report(where, "dynamic shared memory aligned to %zu bytes", align);
    if (!emu_block.dynamic)
        emu_block.dynamic = emu_quiet_alloc(emu_block.config->shmem, 128);
    return emu_block.dynamic;
}

static void shared_free()
{
    for (const shared_array &s : emu_block.shared)
        emu_quiet_free(s.p);
    emu_block.shared.clear();
    emu_block.shared_size = 0;
    if (emu_block.dynamic)
        emu_quiet_free(emu_block.dynamic);
    emu_block.dynamic = nullptr;
}

// ---- running --------------------------------------------------------------------------------

static void fiber_loop()
{
    for (;;) {
        int self = emu_running;
        (*emu_block.body)();
        emu_block.thread[self].state = LEFT;
        emu_block.ready[self / 32] &= ~(1u << self % 32);
        emu_block.left++;
        emu_fiber_yield(emu_fiber_of(self));
    }
}

static void run_thread(int index)
{
    emu_running = index;
    emu_self = &emu_block.thread[index].position;
    emu_fiber_resume(emu_fiber_of(index));
    if (emu_block.thread[index].state == LEFT)
        emu_collectives_retry(index / 32);
    emu_self = nullptr;
}

static uint64_t warps_ready()
{
    uint64_t set = 0;
    for (int w = 0; w < emu_block.warps; w++)
        set |= (uint64_t)(emu_block.ready[w] != 0) << w;
    return set;
}

static void run_block(int64_t number)
{
    dim3 grid = emu_block.config->grid, dim = emu_block.config->block;
    uint3 index = {(unsigned)(number % grid.x), (unsigned)(number / grid.x % grid.y),
                   (unsigned)(number / ((int64_t)grid.x * grid.y))};
    emu_block.left = emu_block.at_barrier = 0;
    for (int i = 0; i < emu_block.threads; i++) {
        unsigned t = (unsigned)i;
        emu_block.thread[i].position = {
            {t % dim.x, t / dim.x % dim.y, t / (dim.x * dim.y)}, index, dim, grid};
        emu_wake(i);
    }
    while (emu_block.left < emu_block.threads) {
        uint64_t warps = warps_ready();
        if (!warps) {
            barrier_release();
            continue;
        }
        int warp = emu_pick_bit(warps);
        do
            run_thread(warp * 32 + emu_pick_bit(emu_block.ready[warp]));
        while (emu_block.ready[warp] && emu_schedule_kind != EMU_RANDOM);
    }
    shared_free();
}

static void pool_fill(int threads)
{
    // With TSan two blocks in turn run on different logical threads: one that both had would
    // order them, through the barriers that it takes part in. These are costly (0.5 MB), so of
    // large blocks only the first warp's are different.
    size_t need = (size_t)threads;
    if (emu_detects_races())
        need = threads <= 256 ? 2 * need : need + 32;
    while (pool.size() < need)
        pool.push_back(emu_fiber_new((int)pool.size(), fiber_loop));
}

// A logical thread's begin and end: after the launch, before what follows the kernel.
static void order_threads(void *object, void (*what)(void *))
{
    if (!object)
        return;
    for (int i = 0; i < emu_block.threads; i++) {
        void *here = emu_race_enter(emu_fiber_of(i)->race_context);
        what(object);
        emu_race_enter(here);
    }
}

void emu_run_kernel(const emu_launch_config &config, const std::function<void()> &thread)
{
    emu_block.config = &config;
    emu_block.body = &thread;
    emu_block.threads = (int)(config.block.x * config.block.y * config.block.z);
    emu_block.warps = (emu_block.threads + 31) / 32;
    emu_block.thread.assign((size_t)emu_block.threads, cuda_thread{});
    pool_fill(emu_block.threads);
    void *start = emu_race_object_new(), *end = emu_race_object_new();
    emu_race_release(start);
    int64_t blocks = (int64_t)config.grid.x * config.grid.y * config.grid.z;
    std::vector<uint32_t> order;
    if (emu_schedule_kind == EMU_RANDOM) { // a shuffle of Fisher and Yates
        for (int64_t i = 0; i < blocks; i++)
            order.push_back((uint32_t)i);
        for (int64_t i = blocks - 1; i > 0; i--)
            std::swap(order[i], order[emu_pick(i + 1)]);
    }
    for (int64_t i = 0; i < blocks; i++) {
        int64_t number = emu_schedule_kind == EMU_RANDOM    ? order[i]
                         : emu_schedule_kind == EMU_REVERSE ? blocks - 1 - i
                                                            : i;
        bool apart = pool.size() >= 2 * (size_t)emu_block.threads;
        rotation = (rotation + (apart ? (size_t)emu_block.threads : 32)) % pool.size();
        order_threads(start, emu_race_acquire);
        run_block(number);
        order_threads(end, emu_race_release);
    }
    emu_race_acquire(end);
    emu_race_object_free(start);
    emu_race_object_free(end);
}

// ---- small things ---------------------------------------------------------------------------

void emu_fence()
{
    static char object;
    if (emu_detects_races()) {
        emu_race_acquire(&object);
        emu_race_release(&object);
    }
}

void emu_float_atomic(emu_where where)
{
    static const char *allowed = getenv("MOESWEEP_EMULATE_FLOAT_ATOMICS");
    if (allowed && strcmp(allowed, "0") == 0)
        emu_report(where, "atomicAdd on a float: the sum depends on the order");
}
