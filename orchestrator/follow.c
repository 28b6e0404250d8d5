// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/follow.h"
#include "orchestrator/journal.h"
#include "orchestrator/sweepdir.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 5 };
static const int64_t MOST = INT64_C(4) << 30; // bytes of a journal

struct follow {
    char path[JOB_PATH_MAX + 32];
    struct sweep cfg;
    bool has_cfg;
    struct watch *watch;
    dev_t dev;
    ino_t ino;
    int64_t at; // bytes taken
    double last;
    follow_before *before;
    void *ctx;
    // Of the stretch being taken
    int64_t bad;  // where bytes that are no record begin; -1: none
    bool damaged; // an intact record follows them
};

static enum err begin(struct follow *f)
{
    watch_free(f->watch);
    f->watch = NULL;
    f->at = 0;
    f->last = -INFINITY;
    return watch_create(f->has_cfg ? &f->cfg : NULL, &f->watch);
}

enum err follow_open(const char *dir, struct follow **out)
{
    char resolved[JOB_PATH_MAX + 32];
    struct follow *f = calloc(1, sizeof *f);
    ENSURE(f, ERR_FAILED, "out of memory");
    enum err e = sweepdir_path(dir, "journal", f->path, sizeof f->path);
    if (e == OK)
        e = sweepdir_path(dir, "config.resolved.cfg", resolved, sizeof resolved);
    if (e == OK && access(f->path, R_OK) != 0)
        e = err_set(ERR_INPUT, "%s: expected a sweep's directory, found no journal", dir);
    if (e == OK) {
        f->has_cfg = config_load(resolved, &f->cfg) == OK;
        e = begin(f);
    }
    if (e == OK)
        *out = f;
    else
        follow_close(f);
    return e;
}

static enum err take(void *ctx, const struct journal_piece *p)
{
    struct follow *f = ctx;
    if (!p->rec && f->bad < 0)
        f->bad = p->offset;
    f->damaged = f->damaged || (p->rec && f->bad >= 0);
    if (f->bad >= 0)
        return OK;
    double time = watch_time(p->rec);
    if (f->before)
        TRY(f->before(f->ctx, p->rec));
    f->last = fmax(f->last, time);
    return watch_take(f->watch, p->rec);
}

static enum err take_text(struct follow *f, const char *text, size_t size)
{
    f->bad = -1;
    f->damaged = false;
    // Where runs are stopped early, learning curves decide which jobs there are.
    bool brief = !f->has_cfg || !sweep_stops_early(&f->cfg);
    TRY(journal_pieces(text, size, brief, take, f));
    f->at += f->bad < 0 ? (int64_t)size : f->bad;
    return OK;
}

// What lies behind f->at.
static enum err read_rest(struct follow *f, int fd, char **text, size_t *size)
{
    struct stat st;
    ENSURE(fstat(fd, &st) == 0, ERR_FAILED, "%s: %s", f->path, strerror(errno));
    if (st.st_ino != f->ino || st.st_dev != f->dev || st.st_size < f->at) {
        f->ino = st.st_ino;
        f->dev = st.st_dev;
        TRY(begin(f));
    }
    ENSURE(S_ISREG(st.st_mode) && st.st_size <= MOST, ERR_INPUT,
           "%s: expected a regular file of at most %" PRId64 " bytes", f->path, MOST);
    size_t want = (size_t)(st.st_size - f->at);
    *text = malloc(want + 1);
    ENSURE(*text, ERR_FAILED, "%s: no memory for %zu bytes", f->path, want);
    *size = 0;
    while (*size < want) {
        ssize_t n = pread(fd, *text + *size, want - *size, (off_t)(f->at + (int64_t)*size));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; // shorter than a moment ago
        *size += (size_t)n;
    }
    return OK;
}

static enum err one_try(struct follow *f)
{
    char *text = NULL;
    size_t size = 0;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, ERR_INPUT, "%s: %s", f->path, strerror(errno));
    enum err e = read_rest(f, fd, &text, &size);
    close(fd);
    if (e == OK)
        e = take_text(f, text, size);
    free(text);
    return e;
}

enum err follow_more(struct follow *f)
{
    // Some file systems show a later write before an earlier one, for a moment.
    for (int i = 0; i < TRIES; i++) {
        TRY(one_try(f));
        if (!f->damaged)
            return OK;
        usleep(20000);
    }
    TRY(journal_read(f->path, NULL, NULL, NULL)); // says where
    return OK;
}

enum err follow_play(struct follow *f, follow_before *before, void *ctx)
{
    f->before = before;
    f->ctx = ctx;
    return follow_more(f);
}

struct watch *follow_watch(const struct follow *f)
{
    return f->watch;
}

double follow_last(const struct follow *f)
{
    return f->last;
}

void follow_close(struct follow *f)
{
    if (!f)
        return;
    watch_free(f->watch);
    if (f->has_cfg)
        config_free(&f->cfg);
    free(f);
}
