// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/sweep.h"
#include "core/json.h"
#include "orchestrator/journal.h"
#include "tests/faults/chance.h"
#include "tests/faults/processes.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// s for one launch, and this many undisturbed sweeps: the machine may be busy with others.
static const double PATIENCE = 240, PATIENCE_SWEEPS = 20;

// ---- chance and time

int draw(struct run *r, int n)
{
    r->random = chance_mix(r->random);
    return (int)(r->random % (uint64_t)n);
}

double draw_unit(struct run *r)
{
    r->random = chance_mix(r->random);
    return chance_unit(r->random);
}

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void nap(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

// ---- checks

bool expect(struct run *r, bool good, const char *fmt, ...)
{
    if (good)
        return true;
    va_list ap;
    va_start(ap, fmt);
    printf("    ");
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    r->failures++;
    return false;
}

static char *read_text(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd >= 0 && fstat(fd, &st) == 0 ? calloc(1, (size_t)st.st_size + 1) : NULL;
    if (text && read(fd, text, (size_t)st.st_size) != st.st_size) {
        free(text);
        text = NULL;
    }
    if (fd >= 0)
        close(fd);
    return text;
}

void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) {
        fprintf(stderr, "campaign: %s: %s\n", path, strerror(errno));
        exit(1);
    }
}

static void in_run(const struct run *r, const char *name, char *path)
{
    snprintf(path, PATH_MAX, "%s/%s", r->dir, name);
}

bool said(const struct run *r, const char *what)
{
    char path[PATH_MAX];
    in_run(r, "log", path);
    char *text = read_text(path);
    bool found = text && strstr(text, what);
    free(text);
    return found;
}

int records(const struct run *r, const char *type)
{
    char path[PATH_MAX + 16], want[64];
    int n = 0;
    snprintf(path, sizeof path, "%s/journal", r->out);
    snprintf(want, sizeof want, "{\"t\":\"%s\"", type);
    char *text = read_text(path);
    for (char *at = text; at && (at = strstr(at, want)); at++)
        n++;
    free(text);
    return n;
}

// ---- a sweep

static void child(struct run *r, const char *environment)
{
    char log[PATH_MAX], tmp[PATH_MAX], program[PATH_MAX], ranks[16], silence[16];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM); // a campaign that is interrupted leaves nobody
    in_run(r, "log", log);
    in_run(r, "tmp", tmp);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666),
        null = open("/dev/null", O_RDONLY);
    if (out < 0 || null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(127);
    if ((r->net >= 0 && setns(r->net, CLONE_NEWNET) != 0) ||
        (r->uts >= 0 && setns(r->uts, CLONE_NEWUTS) != 0))
        _exit(127);
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); // Open MPI's (docs/development.md)
    // What killed ranks leave behind, here.
    setenv("TMPDIR", tmp, 1);
    setenv("OMPI_MCA_orte_tmpdir_base", tmp, 1);
    setenv("OMPI_MCA_btl_vader_backing_directory", tmp, 1);
    setenv("OMPI_MCA_shmem_mmap_backing_file_base_dir", tmp, 1);
    const char *value = environment ? strchr(environment, '=') : NULL;
    if (value) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(value - environment), environment);
        setenv(name, value + 1, 1);
        setenv("LD_PRELOAD", r->library, 1);
        setenv("ASAN_OPTIONS", "detect_leaks=0:verify_asan_link_order=0", 1);
    }
    snprintf(program, sizeof program, "%s/moesweep", r->bin);
    snprintf(ranks, sizeof ranks, "%d", r->setup->workers + 1);
    snprintf(silence, sizeof silence, "%.2f", r->setup->silence);
    execl(program, "moesweep", "launch", r->setup->config, "-n", ranks, "--out", r->out,
          "--silence", silence, "--progress", "lines", r->mpirun ? "--mpirun" : (char *)NULL,
          r->mpirun, (char *)NULL);
    _exit(127);
}

pid_t sweep_start(struct run *r, const char *environment)
{
    fflush(stdout);
    r->sessions = records(r, "session");
    pid_t pid = fork();
    if (pid == 0)
        child(r, environment);
    if (pid < 0) {
        perror("campaign: fork");
        exit(1);
    }
    r->launches++;
    return pid;
}

bool sweep_ended(pid_t launch)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)launch, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid != 0;
}

int sweep_wait(struct run *r, pid_t launch)
{
    int status = 0;
    double patience = PATIENCE + PATIENCE_SWEEPS * r->setup->seconds, until = now() + patience;
    while (!sweep_ended(launch) && now() < until)
        nap(.02);
    if (!expect(r, sweep_ended(launch), "moesweep launch has not ended after %.0f s",
                patience)) {
        r->untidy = true;
        kill_all(r);
        return -1;
    }
    waitpid(launch, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool sweep_under_way(struct run *r, pid_t launch)
{
    while (records(r, "session") == r->sessions) {
        if (sweep_ended(launch))
            return false;
        nap(.02);
    }
    return true;
}

bool sweep_moment(struct run *r, pid_t launch, double most)
{
    int want = (int)(draw_unit(r) * most * r->setup->jobs);
    double more = draw_unit(r) * r->setup->seconds / 10;
    while (records(r, "result") < want || records(r, "start") == 0) {
        if (sweep_ended(launch))
            return false;
        nap(.02);
    }
    nap(more);
    return !sweep_ended(launch);
}

void sweep_complete(struct run *r, int times)
{
    int code = -1;
    for (int i = 0; i < times && code != 0; i++)
        code = sweep_wait(r, sweep_start(r, NULL));
    expect(r, code == 0, "exit code %d of the last launch, expected 0", code);
}

// ---- the end of it

struct fold {
    json_t *jobs, *results; // id -> record
    int twice, bad;
};

static enum err take(void *ctx, json_t *rec)
{
    struct fold *f = ctx;
    const char *t = jstr(rec, "t"), *id = jstr(rec, "id");
    if (strcmp(t, "job") == 0) {
        f->twice += json_object_get(f->jobs, id) != NULL;
        json_object_set(f->jobs, id, rec);
    } else if (strcmp(t, "result") == 0) {
        f->twice += json_object_get(f->results, id) != NULL;
        f->bad += strcmp(jstr(rec, "status"), "ok") != 0;
        json_object_set(f->results, id, rec);
    }
    return OK;
}

static enum err fold(const char *dir, struct fold *f)
{
    char path[PATH_MAX + 16];
    *f = (struct fold){.jobs = json_object(), .results = json_object()};
    snprintf(path, sizeof path, "%s/journal", dir);
    return journal_read(path, take, f, NULL);
}

static void fold_free(struct fold *f)
{
    json_decref(f->jobs);
    json_decref(f->results);
}

// Every job of the undisturbed run has one result here, with its loss, and there is no other.
static void verify_results(struct run *r)
{
    struct fold is, was;
    const char *id;
    json_t *rec;
    if (expect(r, fold(r->out, &is) == OK, "the journal: %s", err_message()) &&
        expect(r, fold(r->setup->reference, &was) == OK, "the reference: %s", err_message())) {
        expect(r, is.twice == 0, "%d records of a job or a result are double", is.twice);
        expect(r, is.bad == 0, "%d jobs ended without a loss", is.bad);
        expect(r, json_object_size(is.jobs) == json_object_size(was.jobs),
               "%zu jobs, undisturbed %zu", json_object_size(is.jobs),
               json_object_size(was.jobs));
        int missing = 0, other = 0;
        json_object_foreach(was.jobs, id, rec)
        {
            const json_t *result = json_object_get(is.results, id);
            missing += !json_object_get(is.jobs, id) || !result;
            other += result &&
                     !json_equal(json_object_get(result, "loss"),
                                 json_object_get(json_object_get(was.results, id), "loss"));
        }
        expect(r, missing == 0, "%d jobs have no result", missing);
        expect(r, other == 0, "%d jobs have another loss than undisturbed", other);
        fold_free(&was);
    }
    fold_free(&is);
}

static void verify_file(struct run *r, const char *name)
{
    char a[PATH_MAX + 32], b[PATH_MAX + 32];
    snprintf(a, sizeof a, "%s/%s", r->out, name);
    snprintf(b, sizeof b, "%s/%s", r->setup->reference, name);
    char *is = read_text(a), *was = read_text(b);
    expect(r, is && was && strcmp(is, was) == 0, "%s is not that of the undisturbed run", name);
    free(is);
    free(was);
}

static int files_below(const char *dir, char *first)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[PATH_MAX + 300];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && strlen(path) < PATH_MAX) {
            n += files_below(path, first);
        } else {
            n++;
            snprintf(first, PATH_MAX, "%.4000s", path);
        }
    }
    if (d)
        closedir(d);
    return n;
}

void sweep_verify(struct run *r)
{
    char tmp[PATH_MAX], path[PATH_MAX + 16], first[PATH_MAX] = "";
    verify_results(r);
    verify_file(r, "law.json");
    verify_file(r, "architecture.json");
    snprintf(path, sizeof path, "%s/status.json", r->out);
    char *status = read_text(path);
    expect(r, status && strstr(status, "\"state\": \"done\""), "status.json does not say done");
    free(status);
    if (!expect(r, nobody_left(15), "processes are left over:")) {
        processes_print();
        kill_all(r);
    }
    in_run(r, "tmp", tmp);
    int n = files_below(tmp, first);
    expect(r, n == 0 || r->untidy, "%d temporary files are left over, among them %s", n, first);
}
