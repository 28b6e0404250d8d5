// SPDX-License-Identifier: GPL-3.0-or-later
// Faults of the disk and of what is on it.
#include "core/json.h"
#include "orchestrator/config.h"
#include "orchestrator/journal.h"
#include "orchestrator/records.h"
#include "tests/faults/kinds.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// ---- a small file system that fills up

// In a mount namespace of its own, so that nothing stays mounted whatever happens.
static bool mount_small(const char *path)
{
    return unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", path, "tmpfs", 0, "size=16m") == 0;
}

const char *no_mount(void)
{
    char path[] = "/tmp/moesweep-faults-XXXXXX";
    int status = 1;
    if (!mkdtemp(path))
        return "no temporary folder";
    pid_t pid = fork();
    if (pid == 0)
        _exit(!mount_small(path));
    waitpid(pid, &status, 0);
    rmdir(path);
    return status == 0 ? NULL : "no permission to mount a small file system";
}

static void fill(int fd)
{
    static char block[65536];
    for (size_t size = sizeof block; size > 0;)
        if (write(fd, block, size) < 0)
            size /= 2;
}

void kind_disk_full(struct run *r)
{
    char small[PATH_MAX], ballast[PATH_MAX + 16];
    snprintf(small, sizeof small, "%s/small", r->dir);
    if (!expect(r, mkdir(small, 0777) == 0 && mount_small(small), "%s: %s", small,
                strerror(errno)))
        return;
    snprintf(r->out, sizeof r->out, "%.*s/out", PATH_MAX - 8, small);
    snprintf(ballast, sizeof ballast, "%s/ballast", small);
    int times = 1 + draw(r, 2);
    for (int i = 0; i < times; i++) {
        pid_t launch = sweep_start(r, NULL);
        bool under_way = sweep_moment(r, launch, .6);
        int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        while (under_way && !sweep_ended(launch)) { // checkpoints that go make room again
            fill(fd);
            nap(.05);
        }
        close(fd);
        int code = sweep_wait(r, launch);
        if (under_way) {
            r->struck++;
            expect(r, code == 1 || code == 0, "full: launch ended with code %d, expected 1",
                   code);
            expect(r, code == 0 || said(r, "No space left on device"),
                   "the log does not say that the disk is full");
            expect(r, code == 0 || said(r, "make room in"), "the log gives no advice");
        }
        unlink(ballast);
    }
    sweep_complete(r, 1);
}

// ---- a disk that fails, a disk that is slow to take it all

static void disk_fails(struct run *r, const char *what, const char *message)
{
    char environment[2 * PATH_MAX], shot[PATH_MAX];
    int times = 1 + draw(r, 2);
    snprintf(shot, sizeof shot, "%s/shot", r->dir);
    for (int i = 0; i < times; i++) {
        put_file(shot, "");
        snprintf(environment, sizeof environment, "FAULTY_DISK=%s %d %s", what,
                 1 + draw(r, r->setup->jobs / 2), shot);
        int code = sweep_wait(r, sweep_start(r, environment));
        if (access(shot, F_OK) == 0) {
            expect(r, code == 0, "launch ended with code %d, expected 0", code);
            continue;
        }
        r->struck++;
        expect(r, code == 1, "launch ended with code %d, expected 1", code);
        expect(r, said(r, message), "the log does not say '%s'", message);
        expect(r, said(r, "which are valid"), "the log does not say what is safe");
    }
    unlink(shot);
    sweep_complete(r, 1);
}

void kind_sync_fails(struct run *r)
{
    disk_fails(r, "sync", "Input/output error");
}

void kind_write_fails(struct run *r)
{
    if (draw(r, 2))
        disk_fails(r, "full", "No space left on device");
    else
        disk_fails(r, "broken", "Input/output error");
}

void kind_short_writes(struct run *r)
{
    char environment[PATH_MAX];
    snprintf(environment, sizeof environment, "FAULTY_DISK=short 1 %.64s", "none");
    int code = sweep_wait(r, sweep_start(r, environment));
    r->struck++;
    expect(r, code == 0, "launch ended with code %d, expected 0", code);
}

// ---- a journal that is cut

static enum err keep(void *ctx, json_t *rec)
{
    return json_array_append(ctx, rec) == 0 ? OK : err_set(ERR_FAILED, "out of memory");
}

struct cut {
    struct run *r;
    const struct sweep *cfg;
    int fd; // a file in memory: thousands of syncs are not for a disk
};

// Journal of the first size bytes of data: opens, with so many records, and is cut to whole.
static json_t *open_cut(const struct cut *c, const char *data, size_t size, size_t whole,
                        size_t records)
{
    char path[64];
    struct journal *j = NULL;
    int64_t torn = -1;
    json_t *list = json_array();
    snprintf(path, sizeof path, "/proc/self/fd/%d", c->fd);
    expect(c->r, ftruncate(c->fd, 0) == 0 && pwrite(c->fd, data, size, 0) == (ssize_t)size,
           "%s: %s", path, strerror(errno));
    enum err e = journal_open(path, keep, list, &torn, &j);
    expect(c->r, e == OK, "cut after %zu bytes: %s", size, err_message());
    expect(c->r, torn == (int64_t)(size - whole) && json_array_size(list) == records,
           "cut after %zu bytes: %zu records and %lld bytes torn, not %zu and %zu", size,
           json_array_size(list), (long long)torn, records, size - whole);
    journal_close(j);
    return list;
}

// What is left loads into a steering that can go on.
static void replays(const struct cut *c, const char *data, size_t size, size_t records)
{
    struct steer *steer = NULL;
    struct records_past past = {0};
    json_t *list = open_cut(c, data, size, size, records);
    expect(c->r,
           steer_create(c->cfg, &steer) == OK &&
               records_replay(list, c->cfg, "the cut journal", steer, &past) == OK,
           "cut after %zu bytes: %s", size, err_message());
    records_past_free(&past);
    steer_free(steer);
    json_decref(list);
}

static size_t line_start(const char *data, size_t at)
{
    while (at > 0 && data[at - 1] != '\n')
        at--;
    return at;
}

static size_t lines_in(const char *data, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += data[i] == '\n';
    return n;
}

// At every byte of the last two records: the intact ones are read, the rest is cut off. Where
// the first of the two starts.
static size_t cut_everywhere(struct run *r, const struct sweep *cfg, const char *data,
                             size_t size)
{
    struct cut c = {r, cfg, memfd_create("journal", MFD_CLOEXEC)};
    size_t end = line_start(data, size), last = end > 0 ? line_start(data, end - 1) : 0;
    size_t from = last > 0 ? line_start(data, last - 1) : 0;
    size_t one =
        from > 0 ? line_start(data, from - 1) : 0; // for speed: with one more before them
    for (size_t at = from; at <= end && r->failures == 0; at++) {
        size_t whole = line_start(data, at);
        json_decref(
            open_cut(&c, data + one, at - one, whole - one, lines_in(data + one, whole - one)));
        if (at == whole)
            replays(&c, data, whole, lines_in(data, whole));
    }
    close(c.fd);
    return from;
}

static char *read_journal(const struct run *r, size_t *size)
{
    char path[PATH_MAX + 16];
    struct stat st;
    snprintf(path, sizeof path, "%s/journal", r->out);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *data = fd >= 0 && fstat(fd, &st) == 0 ? malloc((size_t)st.st_size + 1) : NULL;
    ssize_t n = data ? read(fd, data, (size_t)st.st_size) : -1;
    if (fd >= 0)
        close(fd);
    *size = n > 0 ? (size_t)n : 0;
    return data;
}

void kind_journal_cut(struct run *r)
{
    static struct sweep cfg;
    char path[PATH_MAX + 16];
    int times = 1 + draw(r, 3);
    r->untidy = true;
    if (!expect(r, config_load(r->setup->config, &cfg) == OK, "%s", err_message()))
        return;
    snprintf(path, sizeof path, "%s/journal", r->out);
    for (int i = 0; i < times; i++) {
        size_t size = 0;
        pid_t launch = sweep_start(r, NULL);
        if (draw(r, 4) == 0)
            sweep_wait(r, launch); // a finished one
        else if (!sweep_moment(r, launch, .9))
            continue;
        kill_all(r);
        char *data = read_journal(r, &size);
        size_t from = data ? cut_everywhere(r, &cfg, data, size) : 0;
        free(data);
        size_t cut = from + (size_t)draw(r, (int)(size - from) + 1);
        expect(r, truncate(path, (off_t)cut) == 0, "%s: %s", path, strerror(errno));
        r->struck++;
    }
    config_free(&cfg);
    sweep_complete(r, 1);
}
