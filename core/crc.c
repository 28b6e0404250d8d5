// SPDX-License-Identifier: Apache-2.0
#include "core/crc.h"
#include <isa-l/crc.h>

uint32_t crc_update(uint32_t crc, const void *data, size_t n)
{
    union { // ISA-L reads only, but its prototype lacks the const
        const void *in;
        unsigned char *out;
    } p = {data};
    for (size_t part; n > 0; p.out += part, n -= part) {
        part = n < 1U << 30 ? n : 1U << 30;
        crc = crc32_iscsi(p.out, (int)part, crc);
    }
    return crc;
}

uint32_t crc32c(const void *data, size_t n)
{
    return ~crc_update(CRC_START, data, n);
}
