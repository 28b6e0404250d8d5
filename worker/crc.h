// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli) by ISA-L, any length; the finished value is the complement.
#ifndef WORKER_CRC_H
#define WORKER_CRC_H
#include <stddef.h>
#include <stdint.h>

#define CRC_START 0xffffffffU
uint32_t crc_update(uint32_t crc, const void *data, size_t n);
#endif
