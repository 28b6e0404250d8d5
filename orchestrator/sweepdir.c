// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/sweepdir.h"
#include "core/job.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// The machine's fault or the user's?
static enum err code_of(int cause)
{
    return cause == ENOSPC || cause == EIO || cause == ENOMEM || cause == EDQUOT ? ERR_FAILED
                                                                                 : ERR_INPUT;
}

static enum err make_all(const char *dir)
{
    char path[PATH_MAX];
    ENSURE(*dir, ERR_INPUT, "output directory: expected a path, found an empty one");
    int n = snprintf(path, sizeof path, "%s", dir);
    ENSURE(n > 0 && (size_t)n < sizeof path, ERR_INPUT,
           "output directory: the path is too long");
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char was = *p;
        *p = '\0';
        struct stat st;
        // An existing parent may be one in which we may not create anything: no mkdir there.
        if (stat(path, &st) != 0 && mkdir(path, 0777) != 0 && errno != EEXIST)
            return err_set(code_of(errno), "output directory %s: cannot make %s: %s", dir, path,
                           strerror(errno));
        *p = was;
        if (!was)
            return OK;
    }
}

static enum err check_content(const char *dir)
{
    char journal[PATH_MAX];
    TRY(sweepdir_path(dir, "journal", journal, sizeof journal));
    DIR *d = opendir(dir);
    ENSURE(d, code_of(errno), "output directory %s: %s", dir, strerror(errno));
    bool empty = true;
    for (struct dirent *e; empty && (e = readdir(d));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
                strcmp(e->d_name, "jobs") == 0; // made just before the journal
    closedir(d);
    ENSURE(empty || access(journal, F_OK) == 0, ERR_INPUT,
           "output directory %s: expected a new or empty directory or a sweep's, found files "
           "but no "
           "journal",
           dir);
    return OK;
}

enum err sweepdir_open(const char *dir, char *abs, size_t size)
{
    char found[PATH_MAX], jobs[PATH_MAX];
    TRY(make_all(dir));
    struct stat st;
    ENSURE(stat(dir, &st) == 0, ERR_INPUT, "output directory %s: %s", dir, strerror(errno));
    ENSURE(S_ISDIR(st.st_mode), ERR_INPUT,
           "output directory %s: expected a directory, found a file", dir);
    TRY(check_content(dir));
    ENSURE(access(dir, W_OK | X_OK) == 0, ERR_INPUT, "output directory %s: %s", dir,
           strerror(errno));
    ENSURE(realpath(dir, found), ERR_FAILED, "output directory %s: %s", dir, strerror(errno));
    int n = snprintf(abs, size, "%s", found);
    ENSURE(n > 0 && (size_t)n < size, ERR_INPUT, "output directory %s: the path is too long",
           dir);
    json_t *text = json_string(abs); // as which workers and trainers are told it
    ENSURE(text, ERR_INPUT, "output directory %s: expected a path in UTF-8", dir);
    json_decref(text);
    TRY(sweepdir_path(abs, "jobs", jobs, sizeof jobs));
    ENSURE(mkdir(jobs, 0777) == 0 || errno == EEXIST, code_of(errno), "%s: %s", jobs,
           strerror(errno));
    return OK;
}

enum err sweepdir_path(const char *dir, const char *name, char *buf, size_t size)
{
    int n = snprintf(buf, size, "%s/%s", dir, name);
    ENSURE(n > 0 && (size_t)n < size, ERR_INPUT, "%s/%s: the path is too long", dir, name);
    return OK;
}

bool sweepdir_existing(const char *dir, char *path, size_t size)
{
    struct stat st;
    if (snprintf(path, size, "%s", dir) >= (int)size)
        return false;
    while (stat(path, &st) != 0) {
        char *slash = strrchr(path, '/');
        if (!slash)
            snprintf(path, size, ".");
        else if (slash == path)
            path[1] = '\0';
        else
            *slash = '\0';
    }
    return S_ISDIR(st.st_mode);
}
