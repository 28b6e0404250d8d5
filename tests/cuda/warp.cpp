// SPDX-License-Identifier: Apache-2.0
// Warp collectives: lanes meet by mask, and the last one to arrive computes for all.
#include "block.h"

const char *emu_op_name(emu_op op)
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
    emu_op op = emu_block.thread[leader].op;
    uint64_t all = emu_block.thread[leader].value;
    unsigned votes = 0;
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        const cuda_thread &t = emu_block.thread[first + __builtin_ctz(rest)];
        votes |= (t.value != 0) << __builtin_ctz(rest);
        if (rest != mask)
            all = combine(op, all, t.value);
    }
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        int lane = __builtin_ctz(rest);
        cuda_thread &t = emu_block.thread[first + lane];
        if (op >= EMU_SHFL && op <= EMU_SHFL_XOR) {
            int source = source_lane(t, lane);
            if (!(mask >> source & 1)) {
                emu_self = &t.position;
                emu_report(t.where, "%s reads lane %d, which does not take part (mask %08x)",
                           emu_op_name(op), source, mask);
            }
            t.result = emu_block.thread[first + source].value;
        } else if (op == EMU_BALLOT) {
            t.result = votes;
        } else if (op == EMU_ANY) {
            t.result = votes != 0;
        } else if (op == EMU_ALL) {
            t.result = votes == mask;
        } else if (op == EMU_MATCH_ANY || op == EMU_MATCH_ALL) {
            unsigned same = 0;
            for (unsigned other = mask; other; other &= other - 1)
                same |= (emu_block.thread[first + __builtin_ctz(other)].value == t.value)
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
            call = (emu_wmma_call *)(uintptr_t)emu_block.thread[first + lane].value;
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
    if (emu_block.ready[warp] & mask)
        return;
    for (unsigned rest = mask & emu_lanes_of_warp(warp); rest; rest &= rest - 1) {
        const cuda_thread &t = emu_block.thread[first + __builtin_ctz(rest)];
        if (t.state == LEFT)
            continue;
        if (t.state != AT_COLLECTIVE || t.mask != mask)
            return;
        present |= 1u << __builtin_ctz(rest);
    }
    if (!present)
        return;
    const cuda_thread &any = emu_block.thread[first + __builtin_ctz(present)];
    if (any.op == EMU_WMMA && present != 0xffffffff) {
        emu_self = &any.position;
        emu_report(any.where, "wmma by a part of the warp: lanes %08x", present);
    }
    collective_compute(first, present);
    if (any.op == EMU_SYNCWARP || any.op == EMU_WMMA) // shuffles order no memory
        emu_order(first, &present, 1);
    for (unsigned rest = present; rest; rest &= rest - 1)
        emu_wake(first + __builtin_ctz(rest));
}

uint64_t emu_collective(emu_where where, emu_op op, unsigned mask, uint64_t value,
                        int parameter, int width)
{
    if (!emu_self)
        emu_report(where, "%s", emu_op_name(op));
    int self = emu_running, warp = self / 32;
    cuda_thread &t = emu_block.thread[self];
    if (!(mask >> self % 32 & 1))
        emu_report(where, "%s by lane %d, which is not in its mask %08x", emu_op_name(op),
                   self % 32, mask);
    if (width < 1 || width > 32 || (width & (width - 1)))
        emu_report(where, "%s of width %d", emu_op_name(op), width);
    for (int lane = 0; lane < 32 && warp * 32 + lane < emu_block.threads; lane++) {
        const cuda_thread &u = emu_block.thread[warp * 32 + lane];
        if (u.state != AT_COLLECTIVE || !(u.mask & mask))
            continue;
        if (u.mask != mask)
            emu_report(where, "%s with mask %08x, but lane %d waits at line %d with mask %08x",
                       emu_op_name(op), mask, lane, u.where.line, u.mask);
        if (u.op != op || u.where.line != where.line || strcmp(u.where.file, where.file) != 0)
            emu_report(where, "%s, but lane %d of the same mask waits in %s at %s:%d",
                       emu_op_name(op), lane, emu_op_name(u.op), u.where.file, u.where.line);
        break; // the others of this mask were held against it
    }
    t.where = where;
    t.op = op;
    t.mask = mask;
    t.value = value;
    t.parameter = parameter;
    t.width = width;
    t.state = AT_COLLECTIVE;
    emu_block.ready[warp] &= ~(1u << self % 32);
    collective_try(warp, mask);
    emu_fiber_yield(emu_fiber_of(self));
    return t.result;
}

void emu_collectives_retry(int warp)
{
    for (int i = warp * 32; i < emu_block.threads && i < warp * 32 + 32; i++)
        if (emu_block.thread[i].state == AT_COLLECTIVE)
            collective_try(warp, emu_block.thread[i].mask);
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
