// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/calibrate.h"
#include "core/json.h"
#include "orchestrator/signals.h"
#include "orchestrator/trainer.h"
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHAPES = 3, COPIES = 64, POLL_MS = 2, STEPS = 4 };
static const double GRACE = 2;
// A choice: one sweep that was compared took .85 of its forecast
// (tests/integration/test_plan.sh prints both), and a machine may be busier or cooler later
// than now.
static const double CALIBRATED = 1.5;

struct bench {
    const struct sweep *cfg;
    char dir[PATH_MAX - 128];
    double until; // when all must be over
    int copies;   // at a time
};

struct measured {
    double seconds, wall; // of training, means over the copies; of the process
    int n;
    char cause[300];
};

// ---- pieces of jobs

static int by_work(const void *a, const void *b)
{
    const struct job *const *x = a, *const *y = b;
    double p = runtime_work_of(*x).x[0], q = runtime_work_of(*y).x[0];
    return (p > q) - (p < q);
}

// The least, the middle and the most work among the jobs.
static enum err choose(const struct steer *s, const struct job *shape[SHAPES], int *n)
{
    int jobs = steer_n_jobs(s);
    const struct job **all = calloc((size_t)jobs + 1, sizeof *all);
    ENSURE(all, ERR_FAILED, "out of memory");
    for (int i = 0; i < jobs; i++)
        all[i] = &steer_job_at(s, i)->job;
    qsort(all, (size_t)jobs, sizeof *all, by_work);
    *n = 0;
    for (int i = 0; i < SHAPES && jobs > 0; i++) {
        const struct job *j = all[(jobs - 1) * i / (SHAPES - 1)];
        if (*n == 0 || memcmp(&shape[*n - 1]->arch, &j->arch, sizeof j->arch) != 0)
            shape[(*n)++] = j;
    }
    free(all);
    ENSURE(*n > 0, ERR_INPUT, "plan: --calibrate: the plan has no run to try");
    return OK;
}

// A piece of about so many tokens, its validation in proportion.
static enum err piece(const struct job *whole, double tokens, struct job *out)
{
    double least = fmin((double)whole->train.tokens, STEPS * (double)whole->train.batch_tokens);
    TRY(job_copy(out, whole));
    tokens = fmin(fmax(tokens, least), (double)whole->train.tokens);
    out->val.tokens = (int64_t)fmax((double)whole->arch.S, (double)whole->val.tokens * tokens /
                                                               (double)whole->train.tokens);
    out->train.tokens = (int64_t)tokens;
    out->checkpoint.keep = false;
    return OK;
}

// ---- running them

static enum err start(const struct bench *b, struct job *j, int copy, struct trainer **t)
{
    char folder[PATH_MAX - 32], file[PATH_MAX], words[PATH_MAX];
    snprintf(folder, sizeof folder, "%s/%d", b->dir, copy);
    ENSURE(mkdir(folder, 0777) == 0 || errno == EEXIST, ERR_FAILED, "%s: %s", folder,
           strerror(errno));
    snprintf(file, sizeof file, "%s/job.json", folder);
    snprintf(words, sizeof words, "%s/stderr.txt", folder);
    snprintf(j->checkpoint.dir, sizeof j->checkpoint.dir, "%s", folder);
    j->train.seed = copy + 1;
    job_set_id(j);
    json_t *spec = job_to_json(j);
    enum err e = json_write_file(file, spec);
    json_decref(spec);
    TRY(e);
    struct trainer_spec how = {
        .command = b->cfg->trainer, .threads = j->threads, .grace = GRACE};
    struct trainer_setup *setup;
    TRY(trainer_prepare(&how, &setup));
    e = trainer_start(setup, file, words, t);
    trainer_setup_free(setup);
    return e;
}

// tokens: of the piece. One that had to be stopped counts by the part that it did.
static void note(struct measured *m, const struct trainer *t, double tokens, double wall)
{
    const struct job_result *r = trainer_result(t);
    double part = r->status == JOB_OK ? 1 : (double)r->tokens / tokens;
    bool stopped = r->status == JOB_STOPPED && part > 0;
    if ((r->status == JOB_OK || stopped) && r->seconds > 0) {
        m->seconds += r->seconds / part;
        m->wall += (wall - r->seconds) + r->seconds / part;
        m->n++;
    } else {
        snprintf(m->cause, sizeof m->cause, "%s: %s", job_status_name(r->status), r->cause);
    }
}

static enum err wait_for(const struct bench *b, struct trainer **t, int n, double tokens,
                         struct measured *m)
{
    double began = signals_clock();
    bool ended[COPIES] = {false}, asked = false;
    for (int left = n; left > 0;) {
        ENSURE(!signals_pending(), ERR_STOPPED, "plan: stopped");
        bool late = signals_clock() > b->until && !asked;
        asked = asked || late;
        for (int i = 0; i < n; i++) {
            if (late && !ended[i])
                trainer_stop(t[i]);
            if (ended[i] || !trainer_poll(t[i], POLL_MS))
                continue;
            ended[i] = true;
            left--;
            note(m, t[i], tokens, signals_clock() - began);
        }
    }
    if (m->n > 0) {
        m->seconds /= m->n;
        m->wall /= m->n;
    }
    return OK;
}

// Copies of one piece at a time.
static enum err measure(const struct bench *b, struct job *j, struct measured *m)
{
    struct trainer *t[COPIES] = {NULL};
    enum err e = OK;
    *m = (struct measured){0};
    for (int i = 0; e == OK && i < b->copies; i++)
        e = start(b, j, i, &t[i]);
    if (e == OK)
        e = wait_for(b, t, b->copies, (double)j->train.tokens, m);
    for (int i = 0; i < b->copies; i++)
        trainer_free(t[i]);
    return e;
}

// A first look tells how much fits into the share, which is then measured.
static enum err one_shape(struct bench *b, const struct job *whole, double share,
                          struct forecast_basis *basis, double *overhead, json_t *report)
{
    struct job j;
    struct measured m;
    double guess = forecast_seconds(basis, whole);
    double tokens = (double)whole->train.tokens * share / 50 / guess;
    b->until = signals_clock() + share;
    for (int look = 0; look < 2; look++) {
        TRY(piece(whole, tokens, &j));
        enum err e = measure(b, &j, &m);
        struct runtime_work work = runtime_work_of(&j);
        double did = (double)j.train.tokens, at_most = (double)whole->train.tokens;
        job_free(&j);
        TRY(e);
        if (m.n == 0)
            return look > 0 ? OK : err_set(ERR_FAILED, "plan: --calibrate: %s", m.cause);
        // A fifth for what takes longer than it looks.
        tokens = did * .8 * (b->until - signals_clock() - (m.wall - m.seconds)) / m.seconds;
        if (look == 0 && tokens > 1.5 * did && did < at_most)
            continue; // too short to tell much
        runtime_add(&basis->runtime, &work, "here", m.seconds);
        *overhead += m.wall - m.seconds;
        if (report)
            json_array_append_new(
                report, json_pack("{s:I, s:I, s:i, s:f, s:f}", "d", (json_int_t)whole->arch.d,
                                  "tokens", (json_int_t)did, "at_a_time", b->copies, "seconds",
                                  m.seconds, "start_s", m.wall - m.seconds));
        return OK;
    }
    return OK;
}

static enum err all_shapes(struct bench *b, const struct steer *s, double seconds,
                           struct forecast_basis *basis, json_t *report)
{
    const struct job *shape[SHAPES];
    struct forecast_basis fresh = *basis;
    double overhead = 0, began = signals_clock();
    int n;
    TRY(choose(s, shape, &n));
    for (int i = 0; i < n; i++) {
        double left = seconds - (signals_clock() - began);
        if (left > 0)
            TRY(one_shape(b, shape[i], left / (n - i), &fresh, &overhead, report));
    }
    ENSURE(fresh.runtime.n > 0, ERR_FAILED,
           "plan: --calibrate: no run ended within %g s; give it more", seconds);
    fresh.overhead = overhead / fresh.runtime.n;
    fresh.from = "calibrated";
    fresh.factor = CALIBRATED;
    *basis = fresh;
    return OK;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

enum err calibrate(const struct sweep *cfg, const struct steer *s, double seconds,
                   struct forecast_basis *basis, json_t *report)
{
    struct bench b = {.cfg = cfg};
    const char *tmp = getenv("TMPDIR");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long at_a_time = cores > cfg->base.threads ? cores / cfg->base.threads : 1;
    if (job_on_device(&cfg->base))
        at_a_time = 1;
    b.copies = (int)fmin(fmin((double)at_a_time, basis->workers), COPIES);
    int n = snprintf(b.dir, sizeof b.dir, "%s/moesweep-calibrate-XXXXXX",
                     tmp && *tmp ? tmp : "/tmp");
    ENSURE(n > 0 && (size_t)n < sizeof b.dir && mkdtemp(b.dir), ERR_FAILED, "%s: %s", b.dir,
           strerror(errno));
    signals_block();
    enum err e = all_shapes(&b, s, seconds, basis, report);
    nftw(b.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return e;
}
