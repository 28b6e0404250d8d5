// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/jobdir.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Written anew for every attempt, so it need not survive a crash.
static enum err write_file(const char *path, const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    ENSURE(fd >= 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    ssize_t wrote = write(fd, text, n);
    int cause = wrote < 0 ? errno : ENOSPC;
    close(fd);
    ENSURE(wrote == (ssize_t)n, ERR_FAILED, "%s: %s", path, strerror(cause));
    return OK;
}

enum err jobdir_make(const char *sweep, const char *id, const char *text, size_t n,
                     struct jobdir *out)
{
    char dir[JOB_PATH_MAX + 64];
    snprintf(dir, sizeof dir, "%s/jobs/%s", sweep, id);
    snprintf(out->job, sizeof out->job, "%s/job.json", dir);
    snprintf(out->err, sizeof out->err, "%s/stderr.txt", dir);
    bool made = mkdir(dir, 0777) == 0;
    ENSURE(made || errno == EEXIST, ERR_FAILED, "%s: %s", dir, strerror(errno));
    if (!made)
        unlink(out->err);
    return write_file(out->job, text, n);
}
