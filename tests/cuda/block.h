// SPDX-License-Identifier: Apache-2.0
// The running block, as block.cpp (threads, barriers, shared memory) and warp.cpp (collectives)
// see it.
#ifndef CUDA_EMULATOR_BLOCK_H
#define CUDA_EMULATOR_BLOCK_H
#include "runtime.h"
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

extern cuda_block &emu_block;
extern int emu_running; // index of the thread that runs

emu_fiber *emu_fiber_of(int thread);
const char *emu_op_name(emu_op op);
unsigned emu_lanes_of_warp(int warp); // those that the block has at all
// The running thread can go on only when another wakes it.
void emu_wait(thread_state state);
void emu_wake(int thread);
// Everything that these threads (of warps from thread first on, by lane masks) did happens
// before all that they do from here on.
void emu_order(int first, const unsigned *masks, int warps);
// A thread left: collectives that waited only for it can go on.
void emu_collectives_retry(int warp);
#endif
