// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/cmd.h"
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err number(const char *cmd, const char *name, const char *text, double *out)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    ENSURE(*text && !*end && isfinite(v) && v > 0, ERR_INPUT,
           "%s: %s: expected a positive number, found '%s'", cmd, name, text);
    *out = v;
    return OK;
}

static enum err option(const char *cmd, const struct cmd_option *o, const char *value)
{
    if (o->text)
        *o->text = value;
    if (o->number)
        TRY(number(cmd, o->name, value, o->number));
    if (o->list) {
        ENSURE(o->list->n < CMD_MAX_LIST, ERR_INPUT, "%s: %s: expected it at most %d times",
               cmd, o->name, CMD_MAX_LIST);
        o->list->item[o->list->n++] = value;
    }
    return OK;
}

enum err cmd_parse(int argc, char **argv, const struct cmd_option *options)
{
    const struct cmd_option *next = options; // next positional argument
    uint64_t seen = 0;                       // bit i: options[i] was given
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' || !argv[i][1]) {
            while (next->name && next->name[0] == '-')
                next++;
            ENSURE(next->name, ERR_INPUT, "%s: unexpected argument '%s'", argv[0], argv[i]);
            TRY(option(argv[0], next++, argv[i]));
            continue;
        }
        const char *eq = strchr(argv[i], '=');
        size_t len = eq ? (size_t)(eq - argv[i]) : strlen(argv[i]);
        const struct cmd_option *o = options;
        while (o->name && (strlen(o->name) != len || strncmp(o->name, argv[i], len) != 0))
            o++;
        ENSURE(o->name, ERR_INPUT, "%s: unknown option '%s' (moesweep %s --help lists them)",
               argv[0], argv[i], argv[0]);
        uint64_t bit = UINT64_C(1) << (o - options);
        ENSURE(!(seen & bit) || o->flag || o->list, ERR_INPUT, "%s: %s: given twice", argv[0],
               o->name);
        seen |= bit;
        if (o->flag) {
            ENSURE(!eq || o->number, ERR_INPUT, "%s: %s takes no value", argv[0], o->name);
            *o->flag = 1;
            if (eq)
                TRY(option(argv[0], o, eq + 1));
            continue;
        }
        const char *value = eq ? eq + 1 : i + 1 < argc ? argv[++i] : NULL;
        ENSURE(value, ERR_INPUT, "%s: %s: expected a value", argv[0], o->name);
        TRY(option(argv[0], o, value));
    }
    for (const struct cmd_option *o = options; o->name; o++)
        ENSURE(!o->required || !o->text || *o->text, ERR_INPUT,
               "%s: expected %s (moesweep %s --help)", argv[0], o->name, argv[0]);
    return OK;
}

enum err cmd_whole(const char *cmd, const char *option, double v, int most, int *out)
{
    ENSURE(v == floor(v) && v <= most, ERR_INPUT,
           "%s: %s: expected a whole number of at most %d, found %g", cmd, option, most, v);
    *out = (int)v;
    return OK;
}

enum err cmd_new_file(const char *cmd, const char *option, const char *path, int force)
{
    struct stat st;
    if (!path || force)
        return OK;
    ENSURE(lstat(path, &st) != 0, ERR_INPUT,
           "%s: %s %s: exists already; expected a new file, or --force", cmd, option, path);
    return OK;
}

enum err cmd_print_json(json_t *j)
{
    int bad = !j || json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) != 0;
    bad = putchar('\n') == EOF || fflush(stdout) != 0 || bad;
    json_decref(j);
    ENSURE(!bad, ERR_FAILED, "cannot write to standard output: %s", strerror(errno));
    return OK;
}

enum err cmd_installed(const char *what, const char *name, char *path, size_t size)
{
    // A build folder lies in the sources, or elsewhere.
    static const char *const places[] = {"../share/moesweep", "../..", ".."};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    ENSURE(n > 0, ERR_FAILED, "%s: cannot tell where this program is", what);
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int len = snprintf(path, size, "%s/%s/%s", self, places[i], name);
        char *whole = len > 0 && (size_t)len < size ? realpath(path, NULL) : NULL;
        if (!whole)
            continue;
        snprintf(path, size, "%s", whole);
        free(whole);
        return OK;
    }
    snprintf(path, size, MOESWEEP_SOURCES "/%s", name);
    ENSURE(access(path, R_OK) == 0, ERR_FAILED,
           "%s: %s is neither in share/moesweep beside the program nor in the sources", what,
           name);
    return OK;
}
