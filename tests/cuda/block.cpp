// SPDX-License-Identifier: Apache-2.0
// Runs a kernel: one block after the other, its threads as fibers that give way at barriers and
// warp collectives only.
#include "runtime.h"
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <vector>

enum thread_state { READY, AT_COLLECTIVE, AT_BARRIER, LEFT };

struct cuda_thread {
    emu_position position; // what emu_self points to
    thread_state state;
    emu_where where; // of the barrier or collective that it waits at
    emu_barrier_op barrier;
    emu_op op;
    unsigned mask;
    uint64_t value, result;
    int parameter, width;
};

struct shared_array {
    const void *key;
    void *p;
};

struct cuda_block {
    const emu_launch_config *config;
    const std::function<void()> *body;
    int threads, warps, left, at_barrier;
    std::vector<cuda_thread> thread;
    uint32_t ready[32];               // of each warp, the lanes that can run
    std::vector<shared_array> shared; // static ones
    size_t shared_size;
    void *dynamic;
};

const emu_position *emu_self;
static cuda_block &block = *new cuda_block();
static std::vector<emu_fiber *> &pool = *new std::vector<emu_fiber *>;
static size_t rotation; // fiber of thread 0: moves on, so that TSan tells blocks apart
static int running;     // index of the thread

static emu_fiber *fiber_of(int thread)
{
    return pool[((size_t)thread + rotation) % pool.size()];
}

static const char *op_name(emu_op op)
{
    static const char *const names[] = {"__syncwarp",
                                        "__shfl_sync",
                                        "__shfl_up_sync",
                                        "__shfl_down_sync",
                                        "__shfl_xor_sync",
                                        "__ballot_sync",
                                        "__any_sync",
                                        "__all_sync",
                                        "__match_any_sync",
                                        "__match_all_sync",
                                        "__reduce_add_sync",
                                        "__reduce_min_sync",
                                        "__reduce_max_sync",
                                        "__reduce_min_sync",
                                        "__reduce_max_sync",
                                        "__reduce_and_sync",
                                        "__reduce_or_sync",
                                        "__reduce_xor_sync",
                                        "wmma"};
    return names[op];
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
              where.line, block.config->kernel, p->block.x, p->block.y, p->block.z, p->thread.x,
              p->thread.y, p->thread.z, text);
}

// ---- waiting
// ----------------------------------------------------------------------------------

static void wait_for_others(thread_state state)
{
    int self = running;
    block.thread[self].state = state;
    block.ready[self / 32] &= ~(1u << self % 32);
    emu_fiber_yield(fiber_of(self));
}

static void wake(int index)
{
    block.thread[index].state = READY;
    block.ready[index / 32] |= 1u << index % 32;
}

// Everything that these threads did happens before all that they do from here on.
static void order(int first, const unsigned *masks, int warps)
{
    if (!emu_detects_races())
        return;
    void *object = emu_race_object_new();
    for (int pass = 0; pass < 2; pass++)
        for (int w = 0; w < warps; w++)
            for (unsigned rest = masks[w]; rest; rest &= rest - 1) {
                int index = first + w * 32 + __builtin_ctz(rest);
                void *here = emu_race_enter(fiber_of(index)->race_context);
                (pass ? emu_race_acquire : emu_race_release)(object);
                emu_race_enter(here);
            }
    emu_race_object_free(object);
}

static unsigned lanes_of_warp(int warp) // those that the block has at all
{
    int lanes = block.threads - warp * 32;
    return lanes >= 32 ? 0xffffffff : (1u << lanes) - 1;
}

int emu_barrier(emu_where where, emu_barrier_op op, int predicate)
{
    if (!emu_self)
        emu_report(where, "__syncthreads");
    cuda_thread &t = block.thread[running];
    t.where = where;
    t.barrier = op;
    t.value = predicate != 0;
    block.at_barrier++;
    wait_for_others(AT_BARRIER);
    return (int)t.result;
}

static void barrier_report()
{
    fprintf(stderr, "cuda emulator: kernel %s, block (%u, %u, %u): divergent barrier\n",
            block.config->kernel, block.thread[0].position.block.x,
            block.thread[0].position.block.y, block.thread[0].position.block.z);
    if (block.left)
        fprintf(stderr, "    %d threads left the kernel\n", block.left);
    std::vector<bool> told((size_t)block.threads);
    for (int i = 0; i < block.threads; i++) {
        const cuda_thread &t = block.thread[i];
        if (told[i] || t.state == LEFT)
            continue;
        int same = 0;
        for (int j = i; j < block.threads; j++) {
            const cuda_thread &u = block.thread[j];
            if (u.state == t.state && u.where.line == t.where.line &&
                strcmp(u.where.file, t.where.file) == 0) {
                told[j] = true;
                same++;
            }
        }
        fprintf(stderr, "    %d threads (the first is %d) wait at %s:%d (%s)\n", same, i,
                t.where.file, t.where.line,
                t.state == AT_BARRIER ? "__syncthreads" : op_name(t.op));
    }
    emu_abort("a barrier needs all threads of its block at the same line");
}

// No thread can run: they all wait at one barrier, or will for ever.
static void barrier_release()
{
    const cuda_thread &first = block.thread[0];
    uint64_t count = 0;
    for (const cuda_thread &t : block.thread) {
        if (t.state != AT_BARRIER || t.where.line != first.where.line ||
            t.barrier != first.barrier || strcmp(t.where.file, first.where.file) != 0)
            barrier_report();
        count += t.value;
    }
    uint64_t result = first.barrier == EMU_BARRIER_AND  ? count == (uint64_t)block.threads
                      : first.barrier == EMU_BARRIER_OR ? count != 0
                                                        : count;
    unsigned masks[32];
    for (int w = 0; w < block.warps; w++)
        masks[w] = lanes_of_warp(w);
    order(0, masks, block.warps);
    block.at_barrier = 0;
    for (int i = 0; i < block.threads; i++) {
        block.thread[i].result = result;
        wake(i);
    }
}

// ---- warp collectives
// ---------------------------------------------------------------------------

static int source_lane(const cuda_thread &t, int lane)
{
    int base = lane & ~(t.width - 1), last = base + t.width - 1, source;
    switch (t.op) {
    case EMU_SHFL:
        return base | (t.parameter & (t.width - 1));
    case EMU_SHFL_UP:
        source = lane - t.parameter;
        return source < base ? lane : source;
    case EMU_SHFL_DOWN:
        source = lane + t.parameter;
        return source > last ? lane : source;
    default:
        source = lane ^ t.parameter;
        return source > last ? lane : source;
    }
}

static uint64_t combine(emu_op op, uint64_t a, uint64_t b)
{
    int32_t sa = (int32_t)a, sb = (int32_t)b;
    switch (op) {
    case EMU_ADD:
        return (uint32_t)(a + b);
    case EMU_MIN:
        return a < b ? a : b;
    case EMU_MAX:
        return a > b ? a : b;
    case EMU_MIN_SIGNED:
        return sa < sb ? a : b;
    case EMU_MAX_SIGNED:
        return sa > sb ? a : b;
    case EMU_AND:
        return a & b;
    case EMU_OR:
        return a | b;
    default:
        return a ^ b;
    }
}

// The lanes in mask of the warp that begins at thread first: computes every lane's result.
static void collective_compute(int first, unsigned mask)
{
    int leader = first + __builtin_ctz(mask);
    emu_op op = block.thread[leader].op;
    uint64_t all = block.thread[leader].value;
    unsigned votes = 0;
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        const cuda_thread &t = block.thread[first + __builtin_ctz(rest)];
        votes |= (t.value != 0) << __builtin_ctz(rest);
        if (rest != mask)
            all = combine(op, all, t.value);
    }
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        int lane = __builtin_ctz(rest);
        cuda_thread &t = block.thread[first + lane];
        if (op >= EMU_SHFL && op <= EMU_SHFL_XOR) {
            int source = source_lane(t, lane);
            if (!(mask >> source & 1)) {
                emu_self = &t.position;
                emu_report(t.where, "%s reads lane %d, which does not take part (mask %08x)",
                           op_name(op), source, mask);
            }
            t.result = block.thread[first + source].value;
        } else if (op == EMU_BALLOT) {
            t.result = votes;
        } else if (op == EMU_ANY) {
            t.result = votes != 0;
        } else if (op == EMU_ALL) {
            t.result = votes == mask;
        } else if (op == EMU_MATCH_ANY || op == EMU_MATCH_ALL) {
            unsigned same = 0;
            for (unsigned other = mask; other; other &= other - 1)
                same |= (block.thread[first + __builtin_ctz(other)].value == t.value)
                        << __builtin_ctz(other);
            t.result = op == EMU_MATCH_ANY || same == mask ? same : 0;
        } else {
            t.result = all;
        }
    }
    if (op == EMU_WMMA) {
        void *operands[32];
        emu_wmma_call *call = nullptr;
        for (int lane = 0; lane < 32; lane++) {
            call = (emu_wmma_call *)(uintptr_t)block.thread[first + lane].value;
            operands[lane] = call->operands;
        }
        if (call->work)
            call->work(operands);
    }
}

// Completes the collective of mask if all its lanes are there (those that left are excused).
static void collective_try(int warp, unsigned mask)
{
    int first = warp * 32;
    unsigned present = 0;
    for (unsigned rest = mask & lanes_of_warp(warp); rest; rest &= rest - 1) {
        const cuda_thread &t = block.thread[first + __builtin_ctz(rest)];
        if (t.state == LEFT)
            continue;
        if (t.state != AT_COLLECTIVE || t.mask != mask)
            return;
        present |= 1u << __builtin_ctz(rest);
    }
    if (!present)
        return;
    const cuda_thread &any = block.thread[first + __builtin_ctz(present)];
    if (any.op == EMU_WMMA && present != 0xffffffff) {
        emu_self = &any.position;
        emu_report(any.where, "wmma by a part of the warp: lanes %08x", present);
    }
    collective_compute(first, present);
    if (any.op == EMU_SYNCWARP || any.op == EMU_WMMA) // shuffles order no memory
        order(first, &present, 1);
    for (unsigned rest = present; rest; rest &= rest - 1)
        wake(first + __builtin_ctz(rest));
}

uint64_t emu_collective(emu_where where, emu_op op, unsigned mask, uint64_t value,
                        int parameter, int width)
{
    if (!emu_self)
        emu_report(where, "%s", op_name(op));
    int self = running, warp = self / 32;
    cuda_thread &t = block.thread[self];
    if (!(mask >> self % 32 & 1))
        emu_report(where, "%s by lane %d, which is not in its mask %08x", op_name(op),
                   self % 32, mask);
    if (width < 1 || width > 32 || (width & (width - 1)))
        emu_report(where, "%s of width %d", op_name(op), width);
    for (int lane = 0; lane < 32 && warp * 32 + lane < block.threads; lane++) {
        const cuda_thread &u = block.thread[warp * 32 + lane];
        if (u.state != AT_COLLECTIVE || !(u.mask & mask))
            continue;
        if (u.mask != mask)
            emu_report(where, "%s with mask %08x, but lane %d waits at line %d with mask %08x",
                       op_name(op), mask, lane, u.where.line, u.mask);
        if (u.op != op || u.where.line != where.line || strcmp(u.where.file, where.file) != 0)
            emu_report(where, "%s, but lane %d of the same mask waits in %s at %s:%d",
                       op_name(op), lane, op_name(u.op), u.where.file, u.where.line);
    }
    t.where = where;
    t.op = op;
    t.mask = mask;
    t.value = value;
    t.parameter = parameter;
    t.width = width;
    t.state = AT_COLLECTIVE;
    block.ready[warp] &= ~(1u << self % 32);
    collective_try(warp, mask);
    emu_fiber_yield(fiber_of(self));
    return t.result;
}

// ---- shared memory
// --------------------------------------------------------------------------------

void *emu_static_shared(const void *key, size_t size, size_t align, emu_where where)
{
    if (!emu_self)
        emu_report(where, "SHARED");
    for (const shared_array &s : block.shared)
        if (s.key == key)
            return s.p;
    block.shared_size += size;
    if (block.shared_size > 48 << 10)
        emu_report(where, "%zu bytes of static shared memory, at most 49152",
                   block.shared_size);
    block.shared.push_back({key, emu_quiet_alloc(size, align < 16 ? 16 : align)});
    return block.shared.back().p;
}

void *emu_dynamic_shared(size_t align, emu_where where)
{
    if (!emu_self)
        emu_report(where, "DYN_SHARED");
    if (align > 128)
        emu_report(where, "dynamic shared memory aligned to %zu bytes", align);
    if (!block.dynamic)
        block.dynamic = emu_quiet_alloc(block.config->shmem, 128);
    return block.dynamic;
}

static void shared_free()
{
    for (const shared_array &s : block.shared)
        emu_quiet_free(s.p);
    block.shared.clear();
    block.shared_size = 0;
    if (block.dynamic)
        emu_quiet_free(block.dynamic);
    block.dynamic = nullptr;
}

// ---- running
// ----------------------------------------------------------------------------------------

static void fiber_loop()
{
    for (;;) {
        int self = running;
        (*block.body)();
        block.thread[self].state = LEFT;
        block.ready[self / 32] &= ~(1u << self % 32);
        block.left++;
        emu_fiber_yield(fiber_of(self));
    }
}

// A thread left: a collective that waited only for it can go on.
static void collectives_retry(int warp)
{
    for (int i = warp * 32; i < block.threads && i < warp * 32 + 32; i++)
        if (block.thread[i].state == AT_COLLECTIVE)
            collective_try(warp, block.thread[i].mask);
}

static void run_thread(int index)
{
    running = index;
    emu_self = &block.thread[index].position;
    emu_fiber_resume(fiber_of(index));
    if (block.thread[index].state == LEFT)
        collectives_retry(index / 32);
    emu_self = nullptr;
}

static uint64_t warps_ready()
{
    uint64_t set = 0;
    for (int w = 0; w < block.warps; w++)
        set |= (uint64_t)(block.ready[w] != 0) << w;
    return set;
}

static void run_block(int64_t number)
{
    dim3 grid = block.config->grid, dim = block.config->block;
    uint3 index = {(unsigned)(number % grid.x), (unsigned)(number / grid.x % grid.y),
                   (unsigned)(number / ((int64_t)grid.x * grid.y))};
    block.left = block.at_barrier = 0;
    for (int i = 0; i < block.threads; i++) {
        unsigned t = (unsigned)i;
        block.thread[i].position = {
            {t % dim.x, t / dim.x % dim.y, t / (dim.x * dim.y)}, index, dim, grid};
        wake(i);
    }
    while (block.left < block.threads) {
        uint64_t warps = warps_ready();
        if (!warps) {
            barrier_release();
            continue;
        }
        int warp = emu_pick_bit(warps);
        do
            run_thread(warp * 32 + emu_pick_bit(block.ready[warp]));
        while (block.ready[warp] && emu_schedule_kind != EMU_RANDOM);
    }
    shared_free();
}

static void pool_fill(int threads)
{
    // With TSan two blocks in turn run on different logical threads (1 MB each), or on shifted
    // ones.
    size_t need = (size_t)threads;
    if (emu_detects_races())
        need = threads <= 128 ? 2 * need : need + 32;
    while (pool.size() < need)
        pool.push_back(emu_fiber_new((int)pool.size(), fiber_loop));
}

// A logical thread's begin and end: after the launch, before what follows the kernel.
static void order_threads(void *object, void (*what)(void *))
{
    if (!object)
        return;
    for (int i = 0; i < block.threads; i++) {
        void *here = emu_race_enter(fiber_of(i)->race_context);
        what(object);
        emu_race_enter(here);
    }
}

void emu_run_kernel(const emu_launch_config &config, const std::function<void()> &thread)
{
    block.config = &config;
    block.body = &thread;
    block.threads = (int)(config.block.x * config.block.y * config.block.z);
    block.warps = (block.threads + 31) / 32;
    block.thread.assign((size_t)block.threads, cuda_thread{});
    pool_fill(block.threads);
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
        rotation =
            (rotation + (block.threads <= 128 ? (size_t)block.threads : 37)) % pool.size();
        order_threads(start, emu_race_acquire);
        run_block(number);
        order_threads(end, emu_race_release);
    }
    emu_race_acquire(end);
    emu_race_object_free(start);
    emu_race_object_free(end);
}

// ---- small things
// -----------------------------------------------------------------------------------

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

void emu_wmma_product(void *const *lanes)
{
    float a[16][16], b[16][16], c[16][16];
    for (int lane = 0; lane < 32; lane++) {
        const emu_wmma_operands *o = (const emu_wmma_operands *)lanes[lane];
        for (int i = 0; i < 8; i++) {
            int row = emu_wmma_row(lane, i), col = emu_wmma_col(lane, i);
            a[row][col] = __bfloat162float(o->a->x[i]);
            b[col][row] = __bfloat162float(o->b->x[i]); // B's pairs lie along a column
            c[row][col] = o->c->x[i];
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        const emu_wmma_operands *o = (const emu_wmma_operands *)lanes[lane];
        for (int i = 0; i < 8; i++) {
            int row = emu_wmma_row(lane, i), col = emu_wmma_col(lane, i);
            float sum = c[row][col];
            for (int k = 0; k < 16; k++)
                sum += a[row][k] * b[k][col];
            o->d->x[i] = sum;
        }
    }
}
