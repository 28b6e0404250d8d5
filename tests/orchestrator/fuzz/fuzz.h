// SPDX-License-Identifier: GPL-3.0-or-later
// The parsers of what comes from outside, against inputs that are nearly right. One harness,
// one target a parser (docs/development.md): with FUZZ_LIBFUZZER defined clang's libFuzzer,
// else a test that reads the kept inputs and then changes them at random from a fixed seed.
#ifndef TESTS_ORCHESTRATOR_FUZZ_H
#define TESTS_ORCHESTRATOR_FUZZ_H
#include "core/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// The target's: whether the input was accepted. Whatever the bytes are, it returns.
bool fuzz_one(const uint8_t *in, size_t size);

// What a target makes once and keeps, made before the first input. May be absent.
void fuzz_prepare(void) __attribute__((weak));

// Puts the bytes where a path leads to: a file in memory, the same one every time.
const char *fuzz_file(const void *data, size_t size);

// The document that the bytes are, NULL if they are none.
json_t *fuzz_json(const uint8_t *in, size_t size);

// Aborts: both programs report it with a stack.
#define MUST(cond)                                                                             \
    do {                                                                                       \
        if (!(cond)) {                                                                         \
            fprintf(stderr, "%s:%d: %s does not hold; last error: %s\n", __FILE__, __LINE__,   \
                    #cond, err_message());                                                     \
            abort();                                                                           \
        }                                                                                      \
    } while (0)
#endif
