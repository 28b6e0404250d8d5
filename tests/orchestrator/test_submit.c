// SPDX-License-Identifier: GPL-3.0-or-later
// Slurm's numbers and times as it prints and takes them; words that a shell takes as they are;
// programs that answer, fail, say too much or never end.
#include "orchestrator/capture.h"
#include "orchestrator/signals.h"
#include "orchestrator/slurm.h"
#include "orchestrator/submit.h"
#include "tests/test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void test_durations(void)
{
    CHECK(slurm_duration("1:05") == 65);
    CHECK(slurm_duration("2:00:01") == 7201);
    CHECK(slurm_duration("1-02:03:04") == 86400 + 7384);
    CHECK(isinf(slurm_duration("UNLIMITED")));
    const char *const bad[] = {"", "INVALID", "NOT_SET", "5", "1:", ":1", "1:2:3:4", "1-", "-"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(isnan(slurm_duration(bad[i])));
}

static void test_limits(void)
{
    CHECK(submit_limit("10") == 600);
    CHECK(submit_limit("10:30") == 630);
    CHECK(submit_limit("1:00:01") == 3601);
    CHECK(submit_limit("2-3") == 2 * 86400 + 3 * 3600);
    CHECK(submit_limit("2-3:30") == 2 * 86400 + 3.5 * 3600);
    CHECK(submit_limit("2-03:30:05") == 2 * 86400 + 3.5 * 3600 + 5);
    const char *const bad[] = {"", "x", "1:2:3:4", "1:", "1-2-3", "10;ls", "UNLIMITED"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!(submit_limit(bad[i]) > 0));
}

static void test_counts(void)
{
    CHECK(slurm_counts("4") == 4);
    CHECK(slurm_counts("4(x2),3") == 11);
    CHECK(slurm_counts("128(x1000)") == 128000);
    CHECK(slurm_counts("x") == 0);
    CHECK(slurm_counts("4(x2") == 8);
    CHECK(slurm_counts("-4") == 0);
    CHECK(slurm_counts("4;5") == 0);
    CHECK(slurm_counts("99999999(x99999999)") == 0);
}

// What the shell makes of a quoted word is the word.
static void test_quotes(void)
{
    const char *const words[] = {"plain",      "",
                                 "a b",        "it's",
                                 "$(touch x)", "`id`",
                                 "\"\\\"",     "'; rm -rf / #",
                                 "*?[a]",      "$HOME ~ !1 & | >",
                                 "''",         "\xc3\xa4",
                                 "-n"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char *quoted = NULL, command[256], out[256];
        int code = 0;
        CHECK(submit_quote(words[i], &quoted) == OK);
        snprintf(command, sizeof command, "printf %%s %s", quoted);
        const char *argv[] = {"sh", "-c", command, NULL};
        CHECK(capture(argv, 30, 1, out, sizeof out, &code) == OK && code == 0);
        CHECK(strcmp(out, words[i]) == 0);
        free(quoted);
    }
    char *quoted = NULL;
    CHECK(submit_quote("a\nb", &quoted) == ERR_INPUT && !quoted);
    CHECK(submit_quote("a\x1b[2J", &quoted) == ERR_INPUT && !quoted);
    CHECK(submit_quote("\x7f", &quoted) == ERR_INPUT && !quoted);
}

static void test_capture(void)
{
    char out[8];
    int code = 0;
    const char *fails[] = {"sh", "-c", "echo 1; exit 5", NULL};
    CHECK(capture(fails, 30, 1, out, sizeof out, &code) == OK && code == 5);
    CHECK(strcmp(out, "1\n") == 0);
    const char *much[] = {"sh", "-c", "head -c 200000 /dev/zero | tr '\\0' a", NULL};
    CHECK(capture(much, 30, 1, out, sizeof out, &code) == OK && code == 0);
    CHECK(strcmp(out, "aaaaaaa") == 0);
    const char *killed[] = {"sh", "-c", "kill -9 $$", NULL};
    CHECK(capture(killed, 30, 1, out, sizeof out, &code) == OK && code == 128 + 9);
    const char *absent[] = {"no-such-program-anywhere", NULL};
    CHECK(capture(absent, 30, 1, out, sizeof out, &code) == ERR_FAILED);
    double from = signals_clock();
    const char *hangs[] = {"sh", "-c", "sleep 100", NULL};
    CHECK(capture(hangs, 0.1, 1, out, sizeof out, &code) == ERR_FAILED);
    CHECK(signals_clock() - from < 50);
}

int main(void)
{
    test_durations();
    test_limits();
    test_counts();
    test_quotes();
    test_capture();
    return test_summary();
}
