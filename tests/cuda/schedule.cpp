// SPDX-License-Identifier: Apache-2.0
// In which order things run that CUDA leaves unordered: blocks, warps, lanes, streams.
#include "runtime.h"
#include <cerrno>
#include <cstdlib>

emu_schedule emu_schedule_kind;
static uint64_t random_state;

static void schedule_read() __attribute__((constructor));
static void schedule_read()
{
    const char *text = getenv("MOESWEEP_EMULATE_SCHEDULE");
    if (!text || strcmp(text, "forward") == 0)
        return;
    if (strcmp(text, "reverse") == 0) {
        emu_schedule_kind = EMU_REVERSE;
        return;
    }
    char *end;
    errno = 0;
    random_state = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno)
        emu_abort("MOESWEEP_EMULATE_SCHEDULE is '%s': expected forward, reverse or a seed",
                  text);
    emu_schedule_kind = EMU_RANDOM;
}

static uint64_t random_next() // splitmix64 (Steele, Lea and Flood 2014)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

int64_t emu_pick(int64_t n)
{
    if (emu_schedule_kind == EMU_RANDOM)
        return (int64_t)(random_next() % (uint64_t)n);
    return emu_schedule_kind == EMU_REVERSE ? n - 1 : 0;
}

int emu_pick_bit(uint64_t set)
{
    if (emu_schedule_kind == EMU_FORWARD)
        return __builtin_ctzll(set);
    if (emu_schedule_kind == EMU_REVERSE)
        return 63 - __builtin_clzll(set);
    for (int skip = (int)emu_pick(__builtin_popcountll(set)); skip > 0; skip--)
        set &= set - 1;
    return __builtin_ctzll(set);
}
