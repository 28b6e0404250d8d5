// SPDX-License-Identifier: Apache-2.0
#include "core/file.h"
#include "core/rng.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err failed(const char *path, const char *what)
{
    int e = errno;
    enum err code = e == ENOENT || e == ENOTDIR || e == EACCES || e == EROFS || e == EISDIR
                        ? ERR_INPUT
                        : ERR_FAILED;
    return err_set(code, "%s: cannot %s: %s", path, what, strerror(e));
}

enum err file_write(int fd, const char *path, const void *data, size_t n)
{
    for (const char *at = data; n > 0;) {
        ssize_t k = write(fd, at, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return failed(path, "write");
        at += k;
        n -= (size_t)k;
    }
    return OK;
}

static enum err hash_all(int fd, const char *path, uint64_t *hash)
{
    unsigned char piece[1 << 16];
    struct stat st;
    ssize_t n;
    if (fstat(fd, &st) != 0)
        return failed(path, "read");
    ENSURE(S_ISREG(st.st_mode), ERR_INPUT, "%s: expected a regular file, found %s", path,
           S_ISDIR(st.st_mode) ? "a folder" : "something else");
    *hash = RNG_HASH_START;
    while ((n = read(fd, piece, sizeof piece)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(path, "read");
        *hash = rng_hash(piece, (uint64_t)n, *hash);
    }
    return OK;
}

enum err file_hash(const char *path, uint64_t *hash)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe is no reason to wait
    if (fd < 0)
        return failed(path, "read");
    enum err e = hash_all(fd, path, hash);
    close(fd);
    return e;
}

enum err file_sync_folder(const char *path)
{
    char *folder = strdup(path);
    ENSURE(folder != NULL, ERR_FAILED, "out of memory");
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        slash[slash == folder] = 0;
    int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    // Some file systems cannot sync a folder (EINVAL): the rename is as durable as they make
    // it.
    int bad = fd < 0 || (fsync(fd) != 0 && errno != EINVAL);
    enum err e = bad ? failed(path, "sync the folder") : OK;
    if (fd >= 0)
        close(fd);
    return e;
}

static enum err replace(const char *path, const char *tmp, const void *data, size_t n)
{
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return failed(path, "create");
    enum err e = file_write(fd, path, data, n);
    if (e == OK && fsync(fd) != 0)
        e = failed(path, "write");
    if (close(fd) != 0 && e == OK)
        e = failed(path, "write");
    if (e == OK && rename(tmp, path) != 0)
        e = failed(path, "replace");
    if (e != OK)
        unlink(tmp);
    return e == OK ? file_sync_folder(path) : e;
}

enum err file_replace(const char *path, const void *data, size_t n)
{
    size_t size = strlen(path) + sizeof ".tmp";
    char *tmp = malloc(size);
    ENSURE(tmp, ERR_FAILED, "%s: out of memory", path);
    snprintf(tmp, size, "%s.tmp", path);
    enum err e = replace(path, tmp, data, n);
    free(tmp);
    return e;
}

enum err file_fresh_folder(const char *path, bool *made)
{
    *made = mkdir(path, 0777) == 0;
    if (*made)
        return OK;
    if (errno != EEXIST)
        return failed(path, "make the folder");
    DIR *d = opendir(path);
    ENSURE(d != NULL, ERR_INPUT, "%s: expected a folder: %s", path, strerror(errno));
    int n = 0;
    while (n <= 2 && readdir(d) != NULL) // "." and ".." are always there
        n++;
    closedir(d);
    ENSURE(n <= 2, ERR_INPUT, "%s: expected an empty folder, found files in it", path);
    return OK;
}
