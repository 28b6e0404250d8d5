// SPDX-License-Identifier: Apache-2.0
#include "core/err.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char message[1024]; // the one mutable global of the project

enum err err_set(enum err code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    return code;
}

enum err err_prefix(enum err code, const char *fmt, ...)
{
    char old[sizeof message];
    memcpy(old, message, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n + 3 < sizeof message) {
        int room = (int)sizeof message - n - 3; // for ": " and the terminator
        snprintf(message + n, (size_t)room + 3, ": %.*s", room, old);
    }
    return code;
}

const char *err_message(void)
{
    return message;
}

void err_bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: this is a bug in moesweep: %s does not hold\n", file, line, what);
    abort();
}
