// SPDX-License-Identifier: Apache-2.0
#include "worker/checkpoint.h"
#include "core/crc.h"
#include "core/file.h"
#include "core/json.h"
#include "core/tensor.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct header {
    char magic[8];
    char build[24];
    char job[24];
    uint32_t text, real_size;
    int64_t n_params, n_bias, meta_bytes;
    struct run_state state;
};
#define TOKENS_MAX (INT64_C(1) << 53) // behind weights: counts stay exact as doubles
#define META_MAX (INT64_C(1) << 26)   // 4096 paths of 4096 bytes, escaped, and some

// One contiguous piece of the file.
struct part {
    void *p;
    size_t n;
};
enum { PART_HEADER, PART_META, PART_PARAMS, PART_M1, PART_M2, PART_BIAS, N_PARTS };

static void parts_of(struct header *h, char *meta, struct model *m, struct part part[N_PARTS])
{
    size_t arena = (size_t)h->n_params * sizeof(real);
    int64_t n_bias;
    part[PART_HEADER] = (struct part){h, sizeof *h};
    part[PART_META] = (struct part){meta, (size_t)h->meta_bytes};
    part[PART_PARAMS] = (struct part){model_params(m), arena};
    part[PART_M1] = (struct part){model_moment1(m), arena};
    part[PART_M2] = (struct part){model_moment2(m), arena};
    part[PART_BIAS] =
        (struct part){model_router_bias(m, &n_bias), (size_t)h->n_bias * sizeof(real)};
}

char *checkpoint_meta(const struct job *j, const struct arch *a, const uint8_t *symbols)
{
    struct job named = *j; // shallow: only the architecture changes
    named.arch = *a;
    json_t *meta = json_pack("{s:o}", "job", job_to_json(&named)), *list = json_array();
    for (int64_t i = 1; symbols != NULL && i < a->V; i++)
        json_array_append_new(list, json_integer(symbols[i]));
    if (symbols != NULL)
        json_object_set(meta, "symbols", list);
    char *text = json_dumps(meta, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(list);
    json_decref(meta);
    return text;
}

// The header that this job, text, build and model must have; the state is left zero.
static void expected_header(struct header *h, const struct job *j, uint32_t text,
                            struct model *m)
{
    memset(h, 0, sizeof *h); // padding too: it is written and summed
    memcpy(h->magic, CHECKPOINT_MAGIC, sizeof h->magic);
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

enum err checkpoint_save(const char *dir, const struct job *j, uint32_t text, const char *meta,
                         const struct run_state *s, struct model *m)
{
    struct header h;
    struct part part[N_PARTS];
    model_fetch(m);
    expected_header(&h, j, text, m);
    h.state = *s;
    h.meta_bytes = (int64_t)strlen(meta);
    union { // parts are written from here
        const char *in;
        char *out;
    } text_of = {meta};
    parts_of(&h, text_of.out, m, part);
    struct paths p = paths_in(dir);
    ENSURE(mkdir(dir, 0777) == 0 || errno == EEXIST, ERR_FAILED, "%s: %s", dir,
           strerror(errno));
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

// *fd is -1, and the file's absence no error, where `missing` is given and there is none.
static enum err open_file(const char *path, bool *missing, int *fd)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe is no reason to wait
    if (missing != NULL && (*missing = *fd < 0 && errno == ENOENT))
        return OK;
    ENSURE(*fd >= 0, ERR_INPUT, "%s: %s", path, strerror(errno));
    if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
        return OK;
    close(*fd);
    return err_set(ERR_INPUT, "%s: not a regular file", path);
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

// Sizes that a header claims, before anything is allocated or added up.
static enum err check_sizes(const struct header *h, const char *path)
{
    ENSURE(h->n_params > 0 && h->n_params <= INT64_MAX / 64 && h->n_bias >= 0 &&
               h->n_bias <= INT64_MAX / 64 && h->meta_bytes > 0 && h->meta_bytes <= META_MAX,
           ERR_INPUT,
           "%s: claims %" PRId64 " parameters, %" PRId64 " biases and %" PRId64
           " bytes about its job: torn or damaged",
           path, h->n_params, h->n_bias, h->meta_bytes);
    return OK;
}

// Where its run stood: within its job, and tokens that can be added to a job's.
static enum err check_state(const struct run_state *s, const struct job *j, const char *path)
{
    int64_t steps = job_steps(j);
    ENSURE(s->step >= 0 && s->step <= steps, ERR_INPUT,
           "%s: step: expected 0 to %" PRId64 " as in its job, found %" PRId64, path, steps,
           s->step);
    ENSURE(s->init_tokens >= 0 && s->init_tokens <= TOKENS_MAX, ERR_INPUT,
           "%s: tokens behind its first weights: expected 0 to 2^53, found %" PRId64, path,
           s->init_tokens);
    return OK;
}

static enum err check_whole_sum(int fd, const struct header *h, const char *path)
{
    size_t reals = (size_t)(3 * h->n_params + h->n_bias);
    size_t size = sizeof *h + (size_t)h->meta_bytes + reals * sizeof(real) + sizeof(uint32_t);
    ENSURE(lseek(fd, 0, SEEK_SET) == 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    TRY(check_sum(fd, size, path));
    ENSURE(lseek(fd, 0, SEEK_SET) == 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    return OK;
}

static enum err load(int fd, const char *path, const struct job *j, const struct header *want,
                     struct run_state *s, struct model *m)
{
    struct header got;
    struct part part[N_PARTS];
    TRY(read_all(fd, &got, sizeof got, path));
    TRY(check_header(want, &got, path));
    TRY(check_sizes(&got, path));
    TRY(check_whole_sum(fd, &got, path));
    TRY(check_state(&got.state, j, path));
    char *meta = malloc((size_t)got.meta_bytes);
    ENSURE(meta != NULL, ERR_FAILED, "%s: out of memory", path);
    parts_of(&got, meta, m, part);
    enum err e = OK;
    for (int i = 0; i < N_PARTS && e == OK; i++)
        e = read_all(fd, part[i].p, part[i].n, path);
    free(meta);
    *s = got.state;
    return e;
}

// Whether the arrays are those of the job's model. A table of tensors grows with the layers, of
// which each has two norms: more than the file can hold are refused before it is made.
static enum err check_model(const struct job *j, const struct header *h, const char *path)
{
    const struct arch *a = &j->arch;
    int64_t biases = j->model.router == ROUTER_SIGMOID_BIAS ? a->L_m * a->N_e : 0;
    ENSURE(a->L_d + a->L_m <= h->n_params / 2, ERR_INPUT,
           "%s: holds %" PRId64 " parameters, its job has %" PRId64 " layers", path,
           h->n_params, a->L_d + a->L_m);
    struct tensor *table;
    int n;
    int64_t N = tensor_table(a, &j->model, &table, &n);
    ENSURE(N >= 0, ERR_FAILED, "out of memory");
    free(table);
    ENSURE(a->V > 0 && N == h->n_params && h->n_bias == biases, ERR_INPUT,
           "%s: holds %" PRId64 " parameters and %" PRId64 " biases, its job has %" PRId64
           " and %" PRId64,
           path, h->n_params, h->n_bias, N, biases);
    return OK;
}

// The job in a checkpoint's JSON object.
static enum err read_meta(const char *text, const struct header *h, const char *path,
                          struct checkpoint *c)
{
    json_error_t where;
    json_t *meta = json_loadb(text, (size_t)h->meta_bytes, JSON_REJECT_DUPLICATES, &where);
    ENSURE(meta != NULL, ERR_INPUT, "%s: about its job: %s", path, where.text);
    enum err e = job_from_json(json_object_get(meta, "job"), path, &c->job);
    c->symbols = json_incref(json_object_get(meta, "symbols"));
    json_decref(meta);
    TRY(e);
    TRY(check_model(&c->job, h, path));
    return check_state(&h->state, &c->job, path);
}

static enum err read_own(int fd, const char *path, struct checkpoint *c)
{
    struct header h;
    TRY(read_all(fd, &h, sizeof h, path));
    ENSURE(memcmp(h.magic, CHECKPOINT_MAGIC, sizeof h.magic) == 0, ERR_INPUT,
           "%s: not a checkpoint of this format", path);
    ENSURE(h.real_size == sizeof(real), ERR_INPUT, "%s: numbers of %u bytes, expected %zu",
           path, (unsigned)h.real_size, sizeof(real));
    TRY(check_sizes(&h, path));
    TRY(check_whole_sum(fd, &h, path));
    c->state = h.state;
    c->n_params = h.n_params;
    c->n_bias = h.n_bias;
    c->params = malloc((size_t)h.n_params * sizeof(real));
    c->bias = h.n_bias > 0 ? malloc((size_t)h.n_bias * sizeof(real)) : NULL;
    char *meta = malloc((size_t)h.meta_bytes);
    enum err e = c->params != NULL && meta != NULL && (c->bias != NULL || h.n_bias == 0)
                     ? OK
                     : err_set(ERR_FAILED, "%s: out of memory", path);
    if (e == OK && lseek(fd, sizeof h, SEEK_SET) < 0)
        e = err_set(ERR_FAILED, "%s: %s", path, strerror(errno));
    if (e == OK)
        e = read_all(fd, meta, (size_t)h.meta_bytes, path);
    if (e == OK)
        e = read_meta(meta, &h, path, c);
    free(meta);
    TRY(e);
    TRY(read_all(fd, c->params, (size_t)h.n_params * sizeof(real), path));
    off_t moments = (off_t)(2 * (size_t)h.n_params * sizeof(real));
    ENSURE(lseek(fd, moments, SEEK_CUR) >= 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    return read_all(fd, c->bias, (size_t)h.n_bias * sizeof(real), path);
}

enum err checkpoint_read(const char *path, struct checkpoint *out)
{
    int fd;
    *out = (struct checkpoint){0};
    TRY(open_file(path, NULL, &fd));
    enum err e = read_own(fd, path, out);
    close(fd);
    if (e != OK)
        checkpoint_free(out);
    return e;
}

void checkpoint_free(struct checkpoint *c)
{
    job_free(&c->job);
    json_decref(c->symbols);
    free(c->params);
    free(c->bias);
    *c = (struct checkpoint){0};
}

enum err checkpoint_load(const char *dir, const struct job *j, uint32_t text, bool *found,
                         struct run_state *s, struct model *m)
{
    struct paths p = paths_in(dir);
    bool missing;
    int fd;
    *found = true;
    TRY(open_file(p.now, &missing, &fd));
    *found = !missing;
    if (missing)
        return OK;
    struct header want;
    expected_header(&want, j, text, m);
    enum err e = load(fd, p.now, j, &want, s, m);
    close(fd);
    if (e == OK)
        model_store(m);
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
    char above[JOB_PATH_MAX];
    if (stat(dir, &st) == 0) {
        ENSURE(S_ISDIR(st.st_mode), ERR_INPUT, "checkpoint.dir: expected a folder, found %s",
               dir);
    } else {
        ENSURE(errno == ENOENT, ERR_INPUT, "checkpoint.dir: %s: %s", dir, strerror(errno));
        snprintf(above, sizeof above, "%s", dir);
        dir = dirname(above);
    }
    ENSURE(access(dir, W_OK | X_OK) == 0, ERR_INPUT, "checkpoint.dir: %s: %s", dir,
           strerror(errno));
    return OK;
}

bool checkpoint_is_in(const char *path, const char *dir)
{
    struct stat a, b;
    return stat(path, &a) == 0 && stat(paths_in(dir).now, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

void checkpoint_remove(const char *dir)
{
    unlink(paths_in(dir).now);
}
