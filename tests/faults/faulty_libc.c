// SPDX-License-Identifier: GPL-3.0-or-later
// Preloaded (LD_PRELOAD): a disk that fails and a clock that jumps.
//
//     FAULTY_DISK="WHAT N FILE"   what happens to the journal alone:
//         sync    the N-th fdatasync fails with EIO, once for each time that FILE can be
//         removed full    the N-th write stops halfway, the next one gets ENOSPC; likewise
//         broken  the N-th write fails with EIO; likewise
//         short   every write stops halfway at first, and every third is interrupted (EINTR)
//     FAULTY_CLOCK="AT OFFSET [AT OFFSET]"   from the monotonic moment AT on (s) the time of
//     day
//         is OFFSET s off
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// ---- the clock

static struct {
    bool read;
    int n;
    double at[2], offset[2];
} jumps;

static void read_jumps(void)
{
    const char *text = getenv("FAULTY_CLOCK");
    jumps.read = true;
    int n = text ? sscanf(text, "%lf %lf %lf %lf", &jumps.at[0], &jumps.offset[0], &jumps.at[1],
                          &jumps.offset[1])
                 : 0;
    jumps.n = n / 2;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    struct timespec m;
    long rc = syscall(SYS_clock_gettime, clock, t);
    if (rc != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
        return (int)rc;
    if (!jumps.read)
        read_jumps();
    if (jumps.n == 0 || syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &m) != 0)
        return 0;
    double now = (double)m.tv_sec + 1e-9 * (double)m.tv_nsec, offset = 0;
    for (int i = 0; i < jumps.n; i++)
        if (now >= jumps.at[i])
            offset = jumps.offset[i];
    t->tv_sec += (time_t)offset;
    return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

// ---- the disk

static struct {
    bool read, tearing;
    char what[16], file[4096];
    int at, writes, syncs;
} disk;

static void read_disk(void)
{
    const char *text = getenv("FAULTY_DISK");
    disk.read = true;
    if (!text || sscanf(text, "%15s %d %4095s", disk.what, &disk.at, disk.file) != 3)
        disk.what[0] = '\0';
}

static bool journal(int fd)
{
    char name[64], path[4096];
    if (!disk.read)
        read_disk();
    if (!disk.what[0])
        return false;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, sizeof path - 1);
    return n >= 8 && memcmp(path + n - 8, "/journal", 8) == 0;
}

// Whether the N-th call is this one, and a shot is left.
static bool strikes(const char *what, int count)
{
    return strcmp(disk.what, what) == 0 && count == disk.at && unlink(disk.file) == 0;
}

static ssize_t faulty_pwrite(int fd, const void *data, size_t size, off_t at)
{
    if (!journal(fd))
        return syscall(SYS_pwrite64, fd, data, size, at);
    disk.writes++;
    if (disk.tearing) {
        errno = ENOSPC;
        return -1;
    }
    if (strikes("broken", disk.writes)) {
        errno = EIO;
        return -1;
    }
    if (strikes("full", disk.writes)) {
        disk.tearing = true;
        return syscall(SYS_pwrite64, fd, data, (size + 1) / 2, at);
    }
    if (strcmp(disk.what, "short") == 0 && disk.writes % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    if (strcmp(disk.what, "short") == 0)
        size = (size + 1) / 2;
    return syscall(SYS_pwrite64, fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return faulty_pwrite(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return faulty_pwrite(fd, data, size, at);
}

int fdatasync(int fd)
{
    if (journal(fd) && strikes("sync", ++disk.syncs)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
