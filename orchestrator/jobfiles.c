// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/jobfiles.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum err jobfiles_make(const char *sweep, const char *id, const char *text, size_t n,
                       struct jobfiles *out)
{
    snprintf(out->job, sizeof out->job, "%s/jobs/%s.json", sweep, id);
    snprintf(out->err, sizeof out->err, "%s/jobs/%s.stderr.txt", sweep, id);
    int fd = open(out->job, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) {
        unlink(out->err);
        fd = open(out->job, O_WRONLY | O_TRUNC | O_CLOEXEC);
    }
    ENSURE(fd >= 0, ERR_FAILED, "%s: %s", out->job, strerror(errno));
    // Written anew for every attempt, so it need not survive a crash.
    ssize_t wrote = write(fd, text, n);
    int cause = wrote < 0 ? errno : ENOSPC;
    close(fd);
    ENSURE(wrote == (ssize_t)n, ERR_FAILED, "%s: %s", out->job, strerror(cause));
    return OK;
}
