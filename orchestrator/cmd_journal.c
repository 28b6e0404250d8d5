// SPDX-License-Identifier: GPL-3.0-or-later
// A journal looked at, printed, and made whole again. docs/journal.md.
#include "core/job.h"
#include "core/json.h"
#include "orchestrator/cmd.h"
#include "orchestrator/journal.h"
#include "orchestrator/repair.h"
#include "orchestrator/sweepdir.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tally {
    int64_t records, results, decisions, sessions;
    bool print;
};

static enum err take(void *ctx, json_t *rec)
{
    struct tally *c = ctx;
    const char *t = jstr(rec, "t");
    c->records++;
    c->results += strcmp(t, "result") == 0;
    c->decisions += strcmp(t, "decision") == 0;
    c->sessions += strcmp(t, "session") == 0;
    if (!c->print)
        return OK;
    ENSURE(json_dumpf(rec, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF, ERR_FAILED,
           "cannot write to standard output: %s", strerror(errno));
    return OK;
}

static enum err check(const char *path, struct tally *c)
{
    struct stat st;
    int64_t valid = 0;
    TRY(journal_read(path, take, c, &valid));
    ENSURE(stat(path, &st) == 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    if (c->print)
        return OK;
    printf("%s: %" PRId64 " records: %" PRId64 " results, %" PRId64 " decisions, %" PRId64
           " sessions\n",
           path, c->records, c->results, c->decisions, c->sessions);
    if ((int64_t)st.st_size > valid)
        printf("the last record is cut short (%" PRId64 " bytes): the next run drops it, or is "
               "writing it now\n",
               (int64_t)st.st_size - valid);
    return OK;
}

enum err cmd_journal(int argc, char **argv)
{
    const char *what = NULL, *dir = NULL;
    char path[JOB_PATH_MAX + 32];
    struct tally c = {0};
    int dry = 0;
    const struct cmd_option options[] = {{"check|dump|repair", .text = &what, .required = 1},
                                         {"DIR", .text = &dir, .required = 1},
                                         {"--dry-run", .flag = &dry},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    c.print = strcmp(what, "dump") == 0;
    bool repair = strcmp(what, "repair") == 0;
    ENSURE(c.print || repair || strcmp(what, "check") == 0, ERR_INPUT,
           "journal: expected check, dump or repair, found '%s'", what);
    ENSURE(repair || !dry, ERR_INPUT, "journal: --dry-run: expected with repair alone");
    TRY(sweepdir_path(dir, "journal", path, sizeof path));
    TRY(repair ? repair_journal(dir, dry, stdout) : check(path, &c));
    ENSURE(fflush(stdout) == 0, ERR_FAILED, "cannot write to standard output: %s",
           strerror(errno));
    return OK;
}
