// SPDX-License-Identifier: Apache-2.0
// The whole test framework: checks that print both values and go on, and a summary as exit
// code.
#ifndef TESTS_TEST_H
#define TESTS_TEST_H
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One of each for a program, whichever of its files checks.
__attribute__((weak)) int test_failures, test_checks;

static inline void test_check(int ok, const char *file, int line, const char *what)
{
    test_checks++;
    if (!ok) {
        test_failures++;
        fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    }
}

static inline void test_near(double got, double want, double tol, const char *file, int line,
                             const char *what)
{
    test_checks++;
    if (!(fabs(got - want) <= tol)) { // negated so that NaN fails
        test_failures++;
        fprintf(stderr, "%s:%d: failed: %s: got %.17g, wanted %.17g +- %.3g\n", file, line,
                what, got, want, tol);
    }
}

#define CHECK(cond) test_check(!!(cond), __FILE__, __LINE__, #cond)
#define CHECK_NEAR(got, want, tol) test_near(got, want, tol, __FILE__, __LINE__, #got)
#define CHECK_REL(got, want, rel)                                                              \
    test_near(got, want, (rel)*fabs((double)(want)), __FILE__, __LINE__, #got)
#define CHECK_STR(got, want)                                                                   \
    do {                                                                                       \
        test_check(strcmp(got, want) == 0, __FILE__, __LINE__, #got " == " #want);             \
        if (strcmp(got, want) != 0)                                                            \
            fprintf(stderr, "    got    '%s'\n    wanted '%s'\n", got, want);                  \
    } while (0)

// Skips with a reason: exit code 77 is what ctest calls "skipped".
#define SKIP(reason)                                                                           \
    do {                                                                                       \
        fprintf(stderr, "skipped: %s\n", reason);                                              \
        exit(77);                                                                              \
    } while (0)

static inline int test_summary(void)
{
    printf("%d checks, %d failures\n", test_checks, test_failures);
    return test_checks == 0 || test_failures != 0;
}
#endif
