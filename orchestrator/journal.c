// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/journal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <isa-l/crc.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PREFIX = 9,            // CRC and the space
    RECORD_MAX = 64 << 20, // far above any record; a length in a file is never trusted
};
static const int64_t JOURNAL_MAX = INT64_C(4) << 30;

struct journal {
    int fd;
    bool locked, broken;
    char *path;
    char *buf; // appended, not yet written
    size_t len, cap;
    int64_t end; // of what is known to be on disk
};

uint32_t journal_crc32c(const void *data, size_t size)
{
    // ISA-L takes neither const nor size_t; it writes nothing.
    union {
        const void *in;
        unsigned char *out;
    } p = {.in = data};
    uint32_t crc = UINT32_MAX;
    while (size > 0) {
        int n = size > INT_MAX / 2 ? INT_MAX / 2 : (int)size;
        crc = crc32_iscsi(p.out, n, crc);
        p.out += n;
        size -= (size_t)n;
    }
    return crc ^ UINT32_MAX;
}

bool journal_hex8(const char *p, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < 8; i++) {
        uint32_t digit;
        if (p[i] >= '0' && p[i] <= '9')
            digit = (uint32_t)(p[i] - '0');
        else if (p[i] >= 'a' && p[i] <= 'f')
            digit = (uint32_t)(p[i] - 'a' + 10);
        else
            return false;
        v = v << 4 | digit;
    }
    *out = v;
    return true;
}

static bool line_intact(const char *line, size_t n)
{
    uint32_t crc;
    return n > PREFIX && n <= RECORD_MAX && journal_hex8(line, &crc) &&
           line[PREFIX - 1] == ' ' && journal_crc32c(line + PREFIX, n - PREFIX) == crc;
}

static enum err read_all(int fd, const char *path, char **text, size_t *size)
{
    struct stat st;
    ENSURE(fstat(fd, &st) == 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    ENSURE(S_ISREG(st.st_mode), ERR_INPUT, "%s: expected a regular file", path);
    ENSURE(st.st_size <= JOURNAL_MAX, ERR_INPUT,
           "%s: %" PRId64 " bytes, a journal has at most %" PRId64, path, (int64_t)st.st_size,
           JOURNAL_MAX);
    size_t want = (size_t)st.st_size, got = 0;
    char *buf = malloc(want + 1);
    ENSURE(buf, ERR_FAILED, "%s: no memory for %zu bytes", path, want);
    while (got < want) {
        ssize_t n = pread(fd, buf + got, want - got, (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(buf);
            return err_set(ERR_FAILED, "%s: read: %s", path, strerror(errno));
        }
        if (n == 0)
            break; // shorter than a moment ago: a writer cut a torn tail
        got += (size_t)n;
    }
    buf[got] = '\0';
    *text = buf;
    *size = got;
    return OK;
}

static enum err one_record(const char *path, int64_t number, size_t offset, const char *line,
                           size_t n, journal_on_record *on_record, void *ctx)
{
    json_error_t je;
    json_t *rec = json_loadb(line + PREFIX, n - PREFIX, JSON_REJECT_DUPLICATES, &je);
    if (!rec || !json_is_string(json_object_get(rec, "t"))) {
        json_decref(rec);
        return err_set(ERR_INPUT,
                       "%s: line %" PRId64
                       ", byte %zu: expected a JSON object with \"t\", found "
                       "something else under a valid CRC",
                       path, number, offset);
    }
    enum err e = on_record ? on_record(ctx, rec) : OK;
    json_decref(rec);
    return e;
}

static enum err scan(const char *path, const char *text, size_t size,
                     journal_on_record *on_record, void *ctx, int64_t *valid_bytes)
{
    size_t at = 0;
    for (int64_t number = 1; at < size; number++) {
        const char *line = text + at, *nl = memchr(line, '\n', size - at);
        if (!nl)
            break;
        size_t n = (size_t)(nl - line);
        if (!line_intact(line, n)) {
            if (at + n + 1 == size)
                break;
            return err_set(ERR_INPUT,
                           "%s: line %" PRId64
                           ", byte %zu: the record is corrupt (its CRC does "
                           "not match) and intact data follows; nothing was changed. "
                           "moesweep journal repair keeps what is intact",
                           path, number, at);
        }
        TRY(one_record(path, number, at, line, n, on_record, ctx));
        at += n + 1;
    }
    *valid_bytes = (int64_t)at;
    return OK;
}

// A write that was cut short leaves the beginning of a record or, on some file systems, zeros.
static bool looks_torn(const char *text, size_t size)
{
    size_t zeros = 0;
    while (zeros < size && text[zeros] == '\0')
        zeros++;
    if (zeros == size)
        return true;
    for (size_t i = 0; i < size && i < PREFIX + 1; i++) {
        bool hex = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
        if (i < 8 ? !hex : text[i] != (i == 8 ? ' ' : '{'))
            return false;
    }
    return true;
}

enum err journal_read(const char *path, journal_on_record *on_record, void *ctx,
                      int64_t *valid_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, ERR_INPUT, "%s: %s", path, strerror(errno));
    char *text = NULL;
    size_t size = 0;
    int64_t valid = 0;
    enum err e = read_all(fd, path, &text, &size);
    if (e == OK)
        e = scan(path, text, size, on_record, ctx, &valid);
    if (e == OK && valid_bytes)
        *valid_bytes = valid;
    free(text);
    close(fd);
    return e;
}

// POSIX locks: they work over NFS, name their holder, and vanish with the process. (They also
// vanish when this process closes any other descriptor of the file, so nobody here opens it
// twice.)
static enum err lock(struct journal *j)
{
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(j->fd, F_SETLK, &fl) == 0) {
        struct stat held, named; // a repair may have put another file in its place
        ENSURE(fstat(j->fd, &held) == 0 && stat(j->path, &named) == 0 &&
                   held.st_ino == named.st_ino && held.st_dev == named.st_dev,
               ERR_INPUT, "%s: was replaced at this moment; run the same command again",
               j->path);
        j->locked = true;
        return OK;
    }
    if (errno != EACCES && errno != EAGAIN)
        return OK; // a file system without locks: journal_locked() tells
    struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(j->fd, F_GETLK, &held) == 0 && held.l_type != F_UNLCK && held.l_pid > 0)
        return err_set(ERR_INPUT, "%s: another moesweep (process %ld) is writing here", j->path,
                       (long)held.l_pid);
    return err_set(ERR_INPUT, "%s: another moesweep is writing here", j->path);
}

long journal_writer(const char *path)
{
    struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool locked = fd >= 0 && fcntl(fd, F_GETLK, &held) == 0 && held.l_type != F_UNLCK;
    if (fd >= 0)
        close(fd);
    return !locked ? 0 : held.l_pid > 0 ? (long)held.l_pid : -1;
}

// A new file's name must survive a crash as well as its content.
static void sync_folder(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(copy);
}

static enum err load_and_cut(struct journal *j, journal_on_record *on_record, void *ctx,
                             int64_t *torn_bytes)
{
    char *text = NULL;
    size_t size = 0;
    TRY(read_all(j->fd, j->path, &text, &size));
    enum err e = scan(j->path, text, size, on_record, ctx, &j->end);
    if (e == OK && j->end == 0 && !looks_torn(text, size))
        e = err_set(ERR_INPUT, "%s: expected a journal, found something else", j->path);
    free(text);
    TRY(e);
    if (torn_bytes)
        *torn_bytes = (int64_t)size - j->end;
    if ((int64_t)size > j->end)
        ENSURE(ftruncate(j->fd, (off_t)j->end) == 0 && fdatasync(j->fd) == 0, ERR_FAILED,
               "%s: cannot cut the torn tail off: %s", j->path, strerror(errno));
    return OK;
}

enum err journal_open(const char *path, journal_on_record *on_record, void *ctx,
                      int64_t *torn_bytes, struct journal **out)
{
    struct journal *j = calloc(1, sizeof *j);
    ENSURE(j, ERR_FAILED, "%s: out of memory", path);
    j->fd = -1;
    j->path = strdup(path);
    enum err e = j->path ? OK : err_set(ERR_FAILED, "%s: out of memory", path);
    if (e == OK) {
        j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (j->fd < 0)
            e = err_set(errno == ENOSPC || errno == EIO ? ERR_FAILED : ERR_INPUT, "%s: %s",
                        path, strerror(errno));
    }
    if (e == OK)
        e = lock(j);
    if (e == OK)
        e = load_and_cut(j, on_record, ctx, torn_bytes);
    if (e != OK) {
        journal_close(j);
        return e;
    }
    if (j->end == 0)
        sync_folder(path);
    *out = j;
    return OK;
}

enum err journal_hold(const char *path, struct journal **out, char **text, size_t *size)
{
    struct journal *j = calloc(1, sizeof *j);
    ENSURE(j, ERR_FAILED, "%s: out of memory", path);
    j->fd = open(path, O_RDWR | O_CLOEXEC);
    j->path = strdup(path);
    enum err e = j->fd < 0  ? err_set(ERR_INPUT, "%s: %s", path, strerror(errno))
                 : !j->path ? err_set(ERR_FAILED, "%s: out of memory", path)
                            : lock(j);
    if (e == OK)
        e = read_all(j->fd, path, text, size);
    if (e == OK)
        *out = j;
    else
        journal_close(j);
    return e;
}

bool journal_locked(const struct journal *j)
{
    return j->locked;
}

static enum err reserve(struct journal *j, size_t more)
{
    if (j->cap - j->len >= more)
        return OK;
    size_t cap = 2 * (j->len + more);
    char *p = realloc(j->buf, cap);
    ENSURE(p, ERR_FAILED, "%s: out of memory", j->path);
    j->buf = p;
    j->cap = cap;
    return OK;
}

enum err journal_append_text(struct journal *j, const char *text, size_t n)
{
    ENSURE(!j->broken, ERR_FAILED, "%s: an earlier write failed", j->path);
    ASSERT(!memchr(text, '\n', n));
    ENSURE(n + PREFIX <= RECORD_MAX, ERR_FAILED, "%s: a record of %zu bytes", j->path, n);
    TRY(reserve(j, n + PREFIX + 2));
    snprintf(j->buf + j->len, PREFIX + 1, "%08" PRIx32 " ", journal_crc32c(text, n));
    memcpy(j->buf + j->len + PREFIX, text, n);
    j->buf[j->len + PREFIX + n] = '\n';
    j->len += PREFIX + n + 1;
    return OK;
}

enum err journal_append(struct journal *j, const json_t *rec)
{
    ASSERT(json_is_string(json_object_get(rec, "t")));
    char *text = json_dumps(rec, JSON_COMPACT);
    ENSURE(text, ERR_FAILED, "%s: cannot write a record as JSON", j->path);
    enum err e = journal_append_text(j, text, strlen(text));
    free(text);
    return e;
}

static enum err give_up(struct journal *j, int cause)
{
    j->broken = true;
    // Back to the last record that is known to be safe; if even that fails, the tail is a torn
    // one.
    if (ftruncate(j->fd, (off_t)j->end) == 0)
        fdatasync(j->fd);
    return err_set(ERR_FAILED,
                   "%s: %s; the journal keeps its first %" PRId64
                   " bytes, which are valid: %s and run the same command again to resume",
                   j->path, strerror(cause), j->end,
                   cause == ENOSPC || cause == EDQUOT ? "make room" : "see to the disk");
}

enum err journal_sync(struct journal *j)
{
    ENSURE(!j->broken, ERR_FAILED, "%s: an earlier write failed", j->path);
    size_t done = 0;
    while (done < j->len) {
        ssize_t n =
            pwrite(j->fd, j->buf + done, j->len - done, (off_t)(j->end + (int64_t)done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return give_up(j, n < 0 ? errno : ENOSPC);
        done += (size_t)n;
    }
    if (done > 0 && fdatasync(j->fd) != 0)
        return give_up(j, errno);
    j->end += (int64_t)done;
    j->len = 0;
    return OK;
}

enum err journal_again(struct journal *j, journal_on_record *on_record, void *ctx)
{
    char *text = NULL;
    size_t size = 0;
    int64_t valid;
    enum err e = read_all(j->fd, j->path, &text, &size);
    if (e == OK)
        e = scan(j->path, text, size, on_record, ctx, &valid);
    free(text);
    return e;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    free(j->path);
    free(j->buf);
    free(j);
}
