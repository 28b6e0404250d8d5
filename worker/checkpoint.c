// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint.h"
#include "core/crc.h"
#include "core/file.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct header {
    char magic[8]; // format and version
    char build[24];
    char job[24];
    uint32_t text, real_size;
    int64_t n_params, n_bias;
    struct run_state state;
};

// One contiguous piece of the file.
struct part {
    void *p;
    size_t n;
};
#define N_PARTS 5

static void parts_of(struct header *h, struct model *m, struct part part[N_PARTS])
{
    size_t arena = (size_t)h->n_params * sizeof(real);
    int64_t n_bias;
    part[0] = (struct part){h, sizeof *h};
    part[1] = (struct part){model_params(m), arena};
    part[2] = (struct part){model_moment1(m), arena};
    part[3] = (struct part){model_moment2(m), arena};
    part[4] = (struct part){model_router_bias(m, &n_bias), (size_t)h->n_bias * sizeof(real)};
}

// The header that this job, text, build and model must have; the state is left zero.
static void expected_header(struct header *h, const struct job *j, uint32_t text,
                            struct model *m)
{
    memset(h, 0, sizeof *h); // padding too: it is written and summed
    memcpy(h->magic, "moeckpt1", sizeof h->magic);
    snprintf(h->build, sizeof h->build, "%s", MOESWEEP_VERSION);
    struct job named = *j; // shallow: only the id changes
    job_set_id(&named);
    snprintf(h->job, sizeof h->job, "%s", named.id);
    h->text = text;
    h->real_size = sizeof(real);
    h->n_params = model_n_params(m);
    if (!model_router_bias(m, &h->n_bias))
        h->n_bias = 0;
}

static enum err write_parts(int fd, const struct part *part, const char *path)
{
    uint32_t crc = CRC_START;
    for (int i = 0; i < N_PARTS; i++) {
        crc = crc_update(crc, part[i].p, part[i].n);
        TRY(file_write(fd, path, part[i].p, part[i].n));
    }
    TRY(file_write(fd, path, &crc, sizeof crc));
    ENSURE(fsync(fd) == 0, ERR_FAILED, "%s: fsync: %s", path, strerror(errno));
    return OK;
}

struct paths {
    char now[JOB_PATH_MAX + 24], tmp[JOB_PATH_MAX + 24], refused[JOB_PATH_MAX + 24];
};

static struct paths paths_in(const char *dir)
{
    struct paths p;
    snprintf(p.now, sizeof p.now, "%s/checkpoint", dir);
    snprintf(p.tmp, sizeof p.tmp, "%s/checkpoint.tmp", dir);
    snprintf(p.refused, sizeof p.refused, "%s/checkpoint.refused", dir);
    return p;
}

enum err checkpoint_save(const char *dir, const struct job *j, uint32_t text,
                         const struct run_state *s, struct model *m)
{
    struct header h;
    struct part part[N_PARTS];
    expected_header(&h, j, text, m);
    h.state = *s;
    parts_of(&h, m, part);
    struct paths p = paths_in(dir);
    int fd = open(p.tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    ENSURE(fd >= 0, ERR_FAILED, "%s: %s", p.tmp, strerror(errno));
    enum err e = write_parts(fd, part, p.tmp);
    if (close(fd) != 0 && e == OK)
        e = err_set(ERR_FAILED, "%s: %s", p.tmp, strerror(errno));
    if (e == OK && rename(p.tmp, p.now) != 0)
        e = err_set(ERR_FAILED, "%s: %s", p.now, strerror(errno));
    if (e != OK) {
        unlink(p.tmp);
        return e;
    }
    return file_sync_folder(p.now);
}

static enum err read_all(int fd, void *p, size_t n, const char *path)
{
    for (char *at = p; n > 0;) {
        ssize_t got = read(fd, at, n);
        if (got < 0 && errno == EINTR)
            continue;
        ENSURE(got >= 0, ERR_FAILED, "%s: %s", path, strerror(errno));
        ENSURE(got > 0, ERR_INPUT, "%s: cut short", path);
        at += got;
        n -= (size_t)got;
    }
    return OK;
}

// The whole file is there and its sum is right: size, then CRC, in small pieces.
static enum err check_sum(int fd, size_t want, const char *path)
{
    struct stat st;
    ENSURE(fstat(fd, &st) == 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    ENSURE(S_ISREG(st.st_mode), ERR_INPUT, "%s: not a regular file", path);
    ENSURE((uintmax_t)st.st_size == want, ERR_INPUT, "%s: expected %zu bytes, found %jd", path,
           want, (intmax_t)st.st_size);
    unsigned char piece[1 << 16];
    uint32_t crc = CRC_START, stored;
    for (size_t left = want - sizeof crc, n; left > 0; left -= n) {
        n = left < sizeof piece ? left : sizeof piece;
        TRY(read_all(fd, piece, n, path));
        crc = crc_update(crc, piece, n);
    }
    TRY(read_all(fd, &stored, sizeof stored, path));
    ENSURE(crc == stored, ERR_INPUT, "%s: CRC expected %08x, found %08x: torn or damaged", path,
           (unsigned)stored, (unsigned)crc);
    return OK;
}

// Who wrote it, before the size: a foreign file is called foreign, not torn.
static enum err check_header(const struct header *want, const struct header *got,
                             const char *path)
{
    ENSURE(memcmp(got->magic, want->magic, sizeof got->magic) == 0, ERR_INPUT,
           "%s: not a checkpoint of this format", path);
    ENSURE(memcmp(got->build, want->build, sizeof got->build) == 0 &&
               got->real_size == want->real_size,
           ERR_INPUT, "%s: written by another build (%.23s), this is %s", path, got->build,
           want->build);
    ENSURE(memcmp(got->job, want->job, sizeof got->job) == 0, ERR_INPUT,
           "%s: of another job: expected %s, found %.23s", path, want->job, got->job);
    ENSURE(got->text == want->text, ERR_INPUT,
           "%s: of another text: expected fingerprint %08x, found %08x", path,
           (unsigned)want->text, (unsigned)got->text);
    ENSURE(got->n_params == want->n_params && got->n_bias == want->n_bias, ERR_INPUT,
           "%s: of another model: expected %" PRId64 " parameters, found %" PRId64, path,
           want->n_params, got->n_params);
    return OK;
}

static enum err load(int fd, const char *path, struct header *want, struct run_state *s,
                     struct model *m)
{
    struct header got;
    struct part part[N_PARTS];
    TRY(read_all(fd, &got, sizeof got, path));
    TRY(check_header(want, &got, path));
    parts_of(&got, m, part);
    size_t size = sizeof(uint32_t);
    for (int i = 0; i < N_PARTS; i++)
        size += part[i].n;
    ENSURE(lseek(fd, 0, SEEK_SET) == 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    TRY(check_sum(fd, size, path));
    ENSURE(lseek(fd, 0, SEEK_SET) == 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    for (int i = 0; i < N_PARTS; i++)
        TRY(read_all(fd, part[i].p, part[i].n, path));
    *s = got.state;
    return OK;
}

enum err checkpoint_load(const char *dir, const struct job *j, uint32_t text, bool *found,
                         struct run_state *s, struct model *m)
{
    struct paths p = paths_in(dir);
    *found = false;
    int fd = open(p.now, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return OK;
    *found = true;
    ENSURE(fd >= 0, ERR_INPUT, "%s: %s", p.now, strerror(errno));
    struct header want;
    expected_header(&want, j, text, m);
    enum err e = load(fd, p.now, &want, s, m);
    close(fd);
    return e;
}

enum err checkpoint_set_aside(const char *dir)
{
    struct paths p = paths_in(dir);
    ENSURE(rename(p.now, p.refused) == 0, ERR_FAILED, "%s: %s", p.refused, strerror(errno));
    return OK;
}

enum err checkpoint_check_dir(const char *dir)
{
    struct stat st;
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return err_set(ERR_INPUT, "checkpoint.dir: %s: %s", dir, strerror(errno));
    ENSURE(stat(dir, &st) == 0 && S_ISDIR(st.st_mode), ERR_INPUT,
           "checkpoint.dir: expected a folder, found %s", dir);
    ENSURE(access(dir, W_OK | X_OK) == 0, ERR_INPUT, "checkpoint.dir: %s: %s", dir,
           strerror(errno));
    return OK;
}

void checkpoint_remove(const char *dir)
{
    unlink(paths_in(dir).now);
}
