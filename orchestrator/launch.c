// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/launch.h"
#include "core/json.h"
#include "orchestrator/attempt.h"
#include "orchestrator/config.h"
#include "orchestrator/journal.h"
#include "orchestrator/mpirun.h"
#include "orchestrator/signals.h"
#include "orchestrator/slurm.h"
#include "orchestrator/status.h"
#include "orchestrator/sweepdir.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// Slurm looks at limits twice a minute and a trainer has 20 s for its checkpoint.
static const double MARGIN = 90;
// For the last run, which somebody killed or stopped, to end: trainers get 20 s, mpirun 30.
static const double STILL_WRITES = 10, STILL_DRAINS = 45;
static const double BACK_OFF = 1, BACK_OFF_MOST = 60; // s, doubling

struct mark {            // how far a sweep is
    double done, newest; // results; s since 1970 of the newest checkpoint
};

struct launch {
    const struct launch_options *opt;
    struct mpirun mpi;
    const char *out;
    char out_default[PATH_MAX], self[PATH_MAX], tell[PATH_MAX];
    int ranks;
    double began, limit; // monotonic s; s from then until the sweep drains, infinite: never
    struct mark first;
};

// ---- what is there

static enum err own_path(char *buf, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", buf, size - 1);
    ENSURE(n > 0, ERR_FAILED, "/proc/self/exe: %s", strerror(errno));
    buf[n] = '\0';
    return OK;
}

static int processors(void)
{
    cpu_set_t set;
    int all = slurm_processors();
    if (all > 0)
        return all;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static int default_ranks(void)
{
    const char *tasks = getenv("SLURM_NTASKS");
    int n = tasks ? atoi(tasks) : 0;
    return slurm_job() && n > 0 ? n + 1 : processors() + 1;
}

static void warn_crowd(const struct launch *l, int threads)
{
    int have = processors(), want = (l->ranks - 1) * threads;
    if (want > have)
        fprintf(stderr,
                "moesweep launch: %d workers of %d thread%s each on %d processors: trainings "
                "will wait for each other; -n %d would not\n",
                l->ranks - 1, threads, threads == 1 ? "" : "s", have,
                have / threads > 0 ? have / threads + 1 : 2);
}

enum err launch_default_out(const char *config, char *buf, size_t size)
{
    const char *slash = strrchr(config, '/'), *name = slash ? slash + 1 : config;
    size_t n = strlen(name);
    ENSURE(n > 4 && n < size && strcmp(name + n - 4, ".cfg") == 0, ERR_INPUT,
           "%s: no --out, and the name does not end in .cfg, from which a folder could be "
           "named",
           config);
    snprintf(buf, size, "%.*s", (int)(n - 4), name);
    return OK;
}

static struct mark look(const char *out)
{
    char jobs[PATH_MAX];
    json_t *status = NULL;
    struct mark m = {0};
    if (status_read(out, &status) == OK)
        m.done = jnum(json_object_get(status, "jobs"), "done");
    json_decref(status);
    DIR *d = sweepdir_path(out, "jobs", jobs, sizeof jobs) == OK ? opendir(jobs) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[NAME_MAX + 16];
        struct stat st;
        snprintf(path, sizeof path, "%s/checkpoint", e->d_name);
        if (fstatat(dirfd(d), path, &st, 0) == 0)
            m.newest =
                fmax(m.newest, (double)st.st_mtim.tv_sec + 1e-9 * (double)st.st_mtim.tv_nsec);
    }
    if (d)
        closedir(d);
    return m;
}

static bool further(struct mark now, struct mark then)
{
    return now.done > then.done || now.newest > then.newest;
}

// ---- one attempt

struct outcome {
    int code; // of the contract; -1: the manager died
    char why[512];
};

static const char *const FINAL[] = {"done", "failed", NULL, "stopped"}; // by exit code

// updated: status.json's before the attempt. What it says now counts if it is another one.
static int status_code(const struct launch *l, double updated, struct outcome *o)
{
    json_t *status = NULL;
    int code = -1;
    if (status_read(l->out, &status) != OK)
        return -1;
    const char *state = jstr(status, "state");
    for (int i = 0; i < 4 && jnum(status, "updated") != updated; i++)
        if (FINAL[i] && strcmp(state, FINAL[i]) == 0)
            code = i;
    const json_t *latest = json_object_get(status, "latest");
    const char *last = json_string_value(json_array_get(latest, json_array_size(latest) - 1));
    if (last)
        snprintf(o->why, sizeof o->why, "%s", last);
    json_decref(status);
    return code;
}

static double status_updated(const char *out)
{
    json_t *status = NULL;
    double updated = status_read(out, &status) == OK ? jnum(status, "updated") : 0;
    json_decref(status);
    return updated;
}

static double time_left(const struct launch *l)
{
    return l->limit - (signals_clock() - l->began);
}

static enum err attempt(struct launch *l, struct attempt *a)
{
    const struct launch_options *opt = l->opt;
    const char *w[MPIRUN_WORDS + 32 + 2 * CMD_MAX_LIST];
    char ranks[16], limit[32], silence[32];
    snprintf(ranks, sizeof ranks, "%d", l->ranks);
    snprintf(limit, sizeof limit, "%.3f", fmax(0.001, time_left(l)));
    snprintf(silence, sizeof silence, "%.17g", opt->silence);
    int n = mpirun_words(&l->mpi, ranks, w);
    const char *const always[] = {l->self, "run",    opt->config, "--out",
                                  l->out,  "--tell", l->tell};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        w[n++] = always[i];
    const char *const maybe[][2] = {
        {"--time-limit", isfinite(l->limit) ? limit : NULL},
        {"--silence", opt->silence > 0 ? silence : NULL},
        {"--progress", opt->progress},
    };
    for (size_t i = 0; i < sizeof maybe / sizeof *maybe; i++)
        if (maybe[i][1]) {
            w[n++] = maybe[i][0];
            w[n++] = maybe[i][1];
        }
    if (opt->allow_mixed)
        w[n++] = "--allow-mixed";
    if (opt->extend)
        w[n++] = "--extend";
    for (int i = 0; opt->imports && i < opt->imports->n; i++) {
        w[n++] = "--import";
        w[n++] = opt->imports->item[i];
    }
    w[n] = NULL;
    ENSURE(truncate(l->tell, 0) == 0, ERR_FAILED, "%s: %s", l->tell, strerror(errno));
    return attempt_run(w, l->tell, a);
}

static int mpirun_code(const struct attempt *a)
{
    int s = a->mpirun_status;
    return WIFEXITED(s) ? WEXITSTATUS(s) : 128 + WTERMSIG(s);
}

// The status file first, then rank 0's own word; mpirun's exit code only where rank 0 never
// was.
static struct outcome judge(const struct launch *l, const struct attempt *a, double updated)
{
    struct outcome o = {.code = -1};
    o.code = status_code(l, updated, &o);
    if (o.code < 0)
        o.code = a->code;
    bool unasked = o.code == ERR_STOPPED && !a->asked && time_left(l) > 0 &&
                   !strstr(o.why, STATUS_TOO_LATE) && !strstr(o.why, STATUS_MISFIT);
    if (unasked && !mpirun_recovers(&l->mpi))
        o.code = -1; // mpirun ended all because one rank died
    if (o.code < 0 && a->manager == 0 && !a->asked && mpirun_code(a) != 0)
        o.code = ERR_FAILED; // it did not get as far as a rank
    if (o.code < 0 && a->asked)
        o.code = ERR_STOPPED;
    return o;
}

// ---- the end of it

static enum err advise(const struct launch *l, const struct attempt *a, const struct outcome *o)
{
    const char *why = o->why;
    if (o->code == ERR_STOPPED)
        return err_set(ERR_STOPPED, "launch: stopped; the same command goes on where it was");
    if (o->code == ERR_INPUT)
        return err_set(ERR_INPUT,
                       "launch: the input is wrong, see above; `moesweep plan` checks a "
                       "configuration without starting anything");
    if (a->manager == 0)
        return err_set(ERR_FAILED,
                       "launch: mpirun ended with code %d before a rank of moesweep ran; its "
                       "message is above, and `moesweep doctor` looks for the cause",
                       mpirun_code(a));
    if (strstr(why, "No space left") || strstr(a->why, "No space left"))
        return err_set(ERR_FAILED, "launch: make room in %s, then run the same command again",
                       l->out);
    return err_set(ERR_FAILED,
                   "launch: the sweep failed, see above; once the cause is removed, the same "
                   "command goes on (moesweep status %s shows how it stands)",
                   l->out);
}

// Back into the queue, unless that would go on for ever.
static enum err requeue(const struct launch *l, const char *why)
{
    ENSURE(further(look(l->out), l->first), ERR_FAILED,
           "launch: no result and no checkpoint is new in this run: not queued again. Longer "
           "time, smaller jobs, or a trainer that writes checkpoints would help");
    TRY(slurm_requeue(slurm_job()));
    return err_set(ERR_STOPPED, "launch: stopped %s; job %s is queued again", why, slurm_job());
}

static enum err finish(const struct launch *l, const struct attempt *a, const struct outcome *o)
{
    if (o->code == OK)
        return OK;
    bool over = a->asked == SIGUSR1 ||
                (!a->asked && (time_left(l) <= 0 || strstr(o->why, STATUS_TOO_LATE)));
    if (o->code == ERR_STOPPED && l->opt->requeue && slurm_job() && over)
        return requeue(l, "at the time limit");
    return advise(l, a, o);
}

// It will not work here and now. In a Slurm job, elsewhere perhaps: a node may be dead.
static enum err give_up(const struct launch *l, int deaths)
{
    if (l->opt->requeue && slurm_job() && further(look(l->out), l->first))
        return requeue(l, "after too many deaths");
    return err_set(ERR_FAILED,
                   "launch: the manager died %d times without a new result in between; was it "
                   "killed for want of memory (dmesg)? The same command goes on",
                   deaths);
}

static bool draining(const struct launch *l)
{
    json_t *status = NULL;
    bool is =
        status_read(l->out, &status) == OK && strcmp(jstr(status, "state"), "running") != 0;
    json_decref(status);
    return is;
}

// mpirun and launch may be gone before rank 0 has written its last checkpoint and record: the
// next command waits for it. Who goes on writing is refused by rank 0 itself.
static enum err wait_for_writer(const struct launch *l)
{
    char journal[PATH_MAX];
    double began = signals_clock();
    TRY(sweepdir_path(l->out, "journal", journal, sizeof journal));
    long writer = journal_writer(journal);
    if (writer != 0)
        fprintf(stderr, "moesweep launch: another moesweep (process %ld) still writes to %s\n",
                writer, l->out);
    for (; writer != 0; writer = journal_writer(journal)) {
        if (signals_clock() - began > (draining(l) ? STILL_DRAINS : STILL_WRITES))
            return OK;
        if (attempt_wait(.2))
            return err_set(ERR_STOPPED, "launch: stopped while another one still writes");
    }
    return OK;
}

static enum err attempts(struct launch *l)
{
    int in_a_row = 0;
    double nap = BACK_OFF;
    bool worked = false;
    struct mark before = l->first;
    for (;;) {
        struct attempt a;
        double updated = status_updated(l->out);
        TRY(attempt(l, &a));
        struct outcome o = judge(l, &a, updated);
        worked = worked || a.manager != 0;
        if (o.code >= 0 && !(o.code == ERR_FAILED && a.manager == 0 && worked))
            return finish(l, &a, &o);
        struct mark now = look(l->out);
        if (further(now, before)) {
            in_a_row = 0;
            nap = BACK_OFF;
        }
        before = now;
        if (in_a_row++ == l->opt->restarts)
            return give_up(l, in_a_row);
        fprintf(stderr, "moesweep launch: the manager died after %.0f s; again in %.0f s\n",
                a.seconds, nap);
        a.asked = attempt_wait(nap);
        if (a.asked) {
            o.code = ERR_STOPPED;
            return finish(l, &a, &o);
        }
        nap = fmin(2 * nap, BACK_OFF_MOST);
    }
}

// ---- the beginning

static void find_limit(struct launch *l)
{
    double left = slurm_time_left(), margin = l->opt->margin > 0 ? l->opt->margin : MARGIN;
    l->limit = l->opt->time_limit > 0 ? l->opt->time_limit : INFINITY;
    if (isfinite(left))
        l->limit = fmin(l->limit, fmax(0.001, left - fmin(margin, left / 2)));
}

static enum err tell_file(struct launch *l)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(l->tell, sizeof l->tell, "%s/moesweep-launch-XXXXXX",
                     tmp && *tmp ? tmp : "/tmp");
    int fd = n > 0 && (size_t)n < sizeof l->tell ? mkstemp(l->tell) : -1;
    ENSURE(fd >= 0, ERR_FAILED, "%s: %s (TMPDIR names the folder)", l->tell, strerror(errno));
    close(fd);
    return OK;
}

static enum err prepare(struct launch *l)
{
    struct sweep cfg;
    TRY(attempt_prepare());                 // a signal from now on is one that asks to stop
    TRY(config_load(l->opt->config, &cfg)); // a wrong one is refused before anything starts
    int threads = cfg.base.threads;
    config_free(&cfg);
    l->out = l->opt->out;
    if (!l->out) {
        TRY(launch_default_out(l->opt->config, l->out_default, sizeof l->out_default));
        l->out = l->out_default;
    }
    TRY(own_path(l->self, sizeof l->self));
    TRY(mpirun_find(l->opt->mpirun, &l->mpi));
    l->ranks = l->opt->ranks > 0 ? l->opt->ranks : default_ranks();
    ENSURE(l->ranks >= 2, ERR_INPUT, "launch: -n: expected 2 or more ranks, found %d",
           l->ranks);
    warn_crowd(l, threads);
    find_limit(l);
    l->first = look(l->out);
    TRY(tell_file(l));
    fprintf(stderr, "moesweep launch: %s, %d workers and a manager; %s\n",
            *l->mpi.version ? l->mpi.version : "an MPI other than Open MPI", l->ranks - 1,
            mpirun_on_death(&l->mpi));
    if (isfinite(l->limit))
        fprintf(stderr, "moesweep launch: drains after %.0f s\n", l->limit);
    return OK;
}

enum err launch_sweep(const struct launch_options *opt)
{
    struct launch l = {.opt = opt, .began = signals_clock()};
    enum err e = prepare(&l);
    if (e == OK)
        e = wait_for_writer(&l);
    if (e == OK)
        e = attempts(&l);
    if (*l.tell)
        unlink(l.tell);
    mpirun_free(&l.mpi);
    return e;
}
