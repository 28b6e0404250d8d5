// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/doctor.h"
#include "orchestrator/signals.h"
#include "orchestrator/sweepdir.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SYNCS = 15 };
static const double SYNC_LONG = 0.05; // s; a journal's batch waits so long
static const double SYNC_BUDGET = 3;  // s for all of them
static const double SKEW = 2;         // s between a file server's clock and ours
static const double ROOM = 1 << 30;   // bytes; checkpoints are larger than results

// Numbers from Linux's magic.h and the file systems' own sources.
static const struct {
    unsigned long magic;
    const char *name;
} types[] = {
    {0xef53, "ext4"},       {0x58465342, "xfs"},    {0x9123683e, "btrfs"},
    {0x2fc12fc1, "zfs"},    {0x01021994, "tmpfs"},  {0x794c7630, "overlay"},
    {0x6969, "nfs"},        {0x0bd00bd0, "lustre"}, {0x47504653, "gpfs"},
    {0x19830326, "beegfs"}, {0x00c36400, "ceph"},   {0x65735546, "fuse"},
    {0xff534d42, "cifs"},   {0xfe534d42, "smb"},    {0xaad7aaea, "panfs"},
};

static const char *type_name(unsigned long magic, char *buf, size_t size)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].magic == magic)
            return types[i].name;
    snprintf(buf, size, "type 0x%lx", magic);
    return buf;
}

// Whether another process is refused a lock that we hold: 1, 0, or -1 for no locks at all.
static int locks_work(int fd, const char *path)
{
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int status = 0;
    if (fcntl(fd, F_SETLK, &fl) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        int other = open(path, O_RDWR | O_CLOEXEC);
        _exit(other >= 0 && fcntl(other, F_SETLK, &fl) == 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status) == 0;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Median seconds of a small append with fdatasync; NaN if it fails.
static double sync_cost(int fd)
{
    char record[512];
    double took[SYNCS], from = signals_clock();
    int n = 0;
    memset(record, '\n', sizeof record);
    for (; n < SYNCS && (n == 0 || signals_clock() - from < SYNC_BUDGET); n++) {
        double t0 = signals_clock();
        if (write(fd, record, sizeof record) != (ssize_t)sizeof record || fdatasync(fd) != 0)
            return NAN;
        took[n] = signals_clock() - t0;
    }
    qsort(took, (size_t)n, sizeof *took, ascending);
    return took[n / 2];
}

static void check_file(json_t *f, int fd, const char *path)
{
    struct timespec now;
    struct stat st = {0};
    int locks = locks_work(fd, path);
    doctor_add(f, "locks", locks == 1 ? DOCTOR_OK : DOCTOR_WARN,
               locks == 1 ? NULL
                          : "nothing will keep a second moesweep from the same folder: start "
                            "only one",
               "%s",
               locks == 1   ? "a second writer is refused"
               : locks == 0 ? "granted to two processes at once"
                            : "this file system has none");
    double cost = sync_cost(fd);
    if (isnan(cost)) {
        doctor_add(f, "sync", DOCTOR_BAD, "results could not be kept here: use another folder",
                   "writing fails: %s", strerror(errno));
        return;
    }
    bool slow = cost > SYNC_LONG;
    doctor_add(
        f, "sync", slow ? DOCTOR_WARN : DOCTOR_OK,
        slow ? "each batch of results waits so long; a sweep of very short trainings will "
               "feel it"
             : NULL,
        "%.2g ms for a small record", 1e3 * cost);
    clock_gettime(CLOCK_REALTIME, &now);
    double skew = fstat(fd, &st) == 0 ? difftime(st.st_mtime, now.tv_sec) : 0;
    if (fabs(skew) > SKEW)
        doctor_add(f, "clock of the folder", DOCTOR_NOTE,
                   "nothing depends on it, but make may, and so may you", "%.0f s %s ours",
                   fabs(skew), skew > 0 ? "ahead of" : "behind");
}

void doctor_check_folder(json_t *f, const char *dir)
{
    char path[PATH_MAX], file[PATH_MAX + 32], unknown[32];
    struct statfs fs;
    if (!sweepdir_existing(dir, path, sizeof path) || statfs(path, &fs) != 0) {
        doctor_add(f, "folder", DOCTOR_BAD, "name another with --out", "%s: not a folder", dir);
        return;
    }
    const char *type =
        type_name((unsigned long)fs.f_type & 0xffffffff, unknown, sizeof unknown);
    double room = (double)fs.f_bavail * (double)fs.f_bsize;
    bool memory = strcmp(type, "tmpfs") == 0, little = room < ROOM;
    doctor_add(f, "folder", memory || little ? DOCTOR_WARN : DOCTOR_OK,
               memory   ? "it lives in memory: results are gone when the machine restarts"
               : little ? "checkpoints may not fit; a full disk stops the sweep (it can be "
                          "resumed)"
                        : NULL,
               "%s: %s, %.1f GiB free", path, type, room / (1 << 30));
    if (fs.f_files > 0 && fs.f_ffree < 10000)
        doctor_add(f, "files", DOCTOR_WARN, "each job takes three or four", "%ld more fit",
                   (long)fs.f_ffree);
    snprintf(file, sizeof file, "%s/.moesweep-doctor-XXXXXX", path);
    int fd = mkstemp(file);
    if (fd < 0) {
        doctor_add(f, "writing", DOCTOR_BAD, "name a folder of yours with --out", "%s: %s",
                   path, strerror(errno));
        return;
    }
    check_file(f, fd, file);
    close(fd);
    unlink(file);
}
