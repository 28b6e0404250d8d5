// SPDX-License-Identifier: Apache-2.0
#include "tests/worker/trainer.h"
#include "core/rng.h"
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void write_text(const char *path, int64_t n_bytes, int docs)
{
    static const char *const words[] = {"the",   "river", "runs",   "over",  "stones", "and",
                                        "under", "a",     "bridge", "where", "people", "walk",
                                        "every", "day",   "until",  "night", "comes",  "again"};
    FILE *f = fopen(path, "w");
    struct rng r;
    rng_seed(&r, 1, 1);
    if (!f)
        die(path);
    for (int d = 0; d < docs; d++) {
        for (int64_t n = 0; n < n_bytes / docs;)
            n += fprintf(f, "%s%s", words[rng_below(&r, 18)], rng_below(&r, 9) ? " " : ".\n");
        fputc('\f', f);
    }
    if (fclose(f) != 0)
        die(path);
}

void scratch_make(struct scratch *s, int64_t n_bytes, int docs)
{
    s->data_limit = 0;
    s->program = "moetrain";
    snprintf(s->dir, sizeof s->dir, "/tmp/moetrain-test-XXXXXX");
    if (!mkdtemp(s->dir))
        die(s->dir);
    snprintf(s->text, sizeof s->text, "%s/text.txt", s->dir);
    snprintf(s->job, sizeof s->job, "%s/job.json", s->dir);
    snprintf(s->out, sizeof s->out, "%s/out", s->dir);
    snprintf(s->err, sizeof s->err, "%s/err", s->dir);
    snprintf(s->checkpoints, sizeof s->checkpoints, "%s/checkpoints", s->dir);
    write_text(s->text, n_bytes, docs);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void scratch_free(struct scratch *s)
{
    nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

json_t *job_base(const struct scratch *s)
{
    json_t *job = json_pack(
        "{s:i, s:s, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}, s:{s:s, s:[s], s:f},"
        " s:{s:i, s:i, s:f, s:i}, s:{s:f}, s:{s:i}}",
        "v", 1, "id", "abc123", "arch", "L_d", 1, "L_m", 1, "d", 16, "d_qkv", 8, "d_m", 16,
        "N_q", 2, "N_kv", 1, "S", 32, "N_e", 4, "K", 2, "data", "kind", "text", "paths",
        s->text, "held", 0.2, "train", "tokens", 20480, "batch_tokens", 256, "lr", 0.01, "seed",
        1, "model", "rope_base", 100.0, "val", "tokens", 1024);
    if (!job)
        die("json_pack");
    return job;
}

void job_set(json_t *job, const char *path, const char *value)
{
    const char *dot = strchr(path, '.');
    json_t *at = job;
    if (dot) {
        char child[32];
        snprintf(child, sizeof child, "%.*s", (int)(dot - path), path);
        at = json_object_get(job, child);
        if (!at)
            json_object_set_new(job, child, at = json_object());
    }
    const char *key = dot ? dot + 1 : path;
    if (!value)
        json_object_del(at, key);
    else if (json_object_set_new(at, key, json_loads(value, JSON_DECODE_ANY, NULL)) != 0)
        die(value);
}

void job_write(const struct scratch *s, const json_t *job)
{
    if (json_dump_file(job, s->job, JSON_INDENT(1)) != 0)
        die(s->job);
}

pid_t trainer_start(const struct scratch *s, const char *arg, const char *input)
{
    const char *bin = getenv("MOESWEEP_BIN");
    char program[4200];
    snprintf(program, sizeof program, "%s/%s", bin ? bin : "bin", s->program);
    // Opened (and emptied) before the fork: the caller never reads an earlier run's output.
    int in = open(input ? input : "/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(s->out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int err = open(s->err, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (in < 0 || out < 0 || err < 0)
        die(s->dir);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid > 0) {
        close(in);
        close(out);
        close(err);
        return pid;
    }
    struct rlimit limit = {(rlim_t)s->data_limit, (rlim_t)s->data_limit};
    if (s->data_limit > 0 && setrlimit(RLIMIT_DATA, &limit) != 0)
        _exit(125);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(126);
    execl(program, program, arg, (char *)NULL);
    _exit(127);
}

int trainer_wait(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid)
        die("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int trainer_run(const struct scratch *s, const json_t *job)
{
    job_write(s, job);
    return trainer_wait(trainer_start(s, s->job, NULL));
}

char *slurp(const char *path)
{
    FILE *f = fopen(path, "r");
    size_t n = 0, room = 1 << 16;
    char *buf = malloc(room);
    while (f && buf && (n += fread(buf + n, 1, room - 1 - n, f)) == room - 1)
        buf = realloc(buf, room *= 2);
    if (!buf)
        die("malloc");
    if (f)
        fclose(f);
    buf[n] = 0;
    return buf;
}

int count_lines(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

json_t *trainer_last(const struct scratch *s, const char *t)
{
    char *text = slurp(s->out);
    json_t *last = NULL;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        json_t *j = json_loads(line, 0, NULL);
        const char *type = json_string_value(json_object_get(j, "t"));
        if (type && strcmp(type, t) == 0) {
            json_decref(last);
            last = json_incref(j);
        }
        json_decref(j);
    }
    free(text);
    return last;
}

double number(const json_t *line, const char *key)
{
    const json_t *v = json_object_get(line, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}
