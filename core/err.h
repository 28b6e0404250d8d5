// SPDX-License-Identifier: Apache-2.0
// Errors: functions that can fail return enum err; the text that goes with it is kept per
// thread. Only main.c prints it and exits. Divergence, out-of-memory of a trainer and the like
// are RESULTS with a status, not errors.
#ifndef CORE_ERR_H
#define CORE_ERR_H

//    name         exit code   meaning
#define ERR_CODES(X)                                                                           \
    X(OK, 0, "done")                                                                           \
    X(ERR_FAILED, 1, "the program or the machine failed")                                      \
    X(ERR_INPUT, 2, "the user's input is wrong")                                               \
    X(ERR_STOPPED, 3, "stopped early, can be resumed")

enum err {
#define X(name, exit_code, text) name = exit_code,
    ERR_CODES(X)
#undef X
};

// Records the message (printf-style, at most 1023 bytes) and returns code. The enum's value is
// the process's exit code.
enum err err_set(enum err code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Puts "prefix: " (printf-style) before the recorded message; returns code unchanged.
enum err err_prefix(enum err code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// The message of the last err_set in this thread; "" if none.
const char *err_message(void);

// Propagates an error to the caller.
#define TRY(call)                                                                              \
    do {                                                                                       \
        enum err try_e_ = (call);                                                              \
        if (try_e_ != OK)                                                                      \
            return try_e_;                                                                     \
    } while (0)

// Something that the user or the machine can cause: ENSURE(cond, ERR_INPUT, "fmt", ...).
#define ENSURE(cond, code, ...)                                                                \
    do {                                                                                       \
        if (!(cond))                                                                           \
            return err_set(code, __VA_ARGS__);                                                 \
    } while (0)

// Our own bug: prints both values and aborts, in release builds too.
void err_bug(const char *file, int line, const char *what) __attribute__((noreturn));
#define ASSERT(cond)                                                                           \
    do {                                                                                       \
        if (!(cond))                                                                           \
            err_bug(__FILE__, __LINE__, #cond);                                                \
    } while (0)
#endif
