// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli) as RFC 3720 defines it, by ISA-L, any length.
#ifndef CORE_CRC_H
#define CORE_CRC_H
#include <stddef.h>
#include <stdint.h>

// Of one block: "123456789" has e3069283.
uint32_t crc32c(const void *data, size_t n);
// Of several: starts with CRC_START; crc32c is the complement of what comes out.
#define CRC_START 0xffffffffU
uint32_t crc_update(uint32_t crc, const void *data, size_t n);
#endif
