// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/json.h"
#include "orchestrator/doctor.h"
#include "orchestrator/signals.h"
#include "orchestrator/trainer.h"
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT = 64 << 10, DOCUMENT = 1 << 10, POLL_MS = 5 };
static const int64_t SHORT = 5120;            // tokens; 20 steps
static const int64_t LONG = INT64_C(1) << 40; // more than can be done before it is stopped
static const double GRACE = 20;               // s, as a worker gives (supervise.c)
static const double PATIENCE = 300;           // s for a start-up and the short job
static const double UNDER_WAY = 0.5;          // s of training before it is stopped

struct bench {
    json_t *findings;
    const char *command;
    char dir[PATH_MAX - 64];
};

// What one run of the trainer did.
struct seen {
    struct job_result result;
    char backend[64];
    int64_t lines, first_step, last_step; // first -1: no progress line
    double seconds, to_stop;              // to_stop: from SIGTERM to its end
    char cause[300], words[300];          // its last line on standard error
};

// ---- a small job

static enum err write_text(const struct bench *b)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/text.txt", b->dir);
    FILE *f = fopen(path, "we");
    ENSURE(f, ERR_FAILED, "%s: %s", path, strerror(errno));
    uint32_t x = 1;
    for (int i = 1; i <= TEXT; i++) {
        x = x * 1664525u + 1013904223u; // Numerical Recipes; any text would do
        uint32_t r = x >> 24;
        fputc(i % DOCUMENT == 0 ? '\f' : r < 48 ? ' ' : (char)('a' + r % 16), f);
    }
    ENSURE(fclose(f) == 0, ERR_FAILED, "%s: %s", path, strerror(errno));
    return OK;
}

static enum err write_job(const struct bench *b, int version, int64_t tokens, char *path,
                          size_t size)
{
    char text[PATH_MAX], checkpoints[PATH_MAX];
    snprintf(path, size, "%s/job.json", b->dir);
    snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", b->dir); // as yet not there
    snprintf(text, sizeof text, "%s/text.txt", b->dir);
    json_t *job = json_pack(
        "{s:i, s:s, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}, "
        "s:{s:s, s:[s]}, s:{s:I, s:i, s:f}, s:{s:f}, s:i, s:{s:s, s:f}, s:{s:i}}",
        "v", version, "id", "d0c702", "arch", "L_d", 1, "L_m", 1, "d", 16, "d_qkv", 8, "d_d",
        48, "d_m", 12, "N_q", 2, "N_kv", 1, "S", 32, "N_e", 4, "K", 2, "n_shared", 1, "data",
        "kind", "text", "paths", text, "train", "tokens", (json_int_t)tokens, "batch_tokens",
        256, "lr", 0.01, "model", "rope_base", 100.0, "threads", 1, "checkpoint", "dir",
        checkpoints, "every_s", 0.5, "val", "tokens", 1024);
    ENSURE(job, ERR_FAILED, "out of memory");
    enum err e = json_write_file(path, job);
    json_decref(job);
    return e;
}

// ---- running it

static int64_t first_step(const struct trainer *t)
{
    json_t *curve = trainer_curve(t);
    const json_t *first = json_array_get(json_array_get(curve, 0), 0);
    int64_t step = first ? json_integer_value(first) : -1;
    json_decref(curve);
    return step;
}

static void note_words(struct seen *s, const char *text)
{
    size_t end = strlen(text);
    while (end > 0 && text[end - 1] == '\n')
        end--;
    size_t from = end;
    while (from > 0 && text[from - 1] != '\n')
        from--;
    snprintf(s->words, sizeof s->words, "%.*s", (int)(end - from), text + from);
}

// Polls until it ends. stop: it is asked to once it has trained for a moment.
static enum err watch(struct trainer *t, bool stop, struct seen *s)
{
    double began = signals_clock(), under_way = INFINITY, asked = INFINITY;
    while (!trainer_poll(t, POLL_MS)) {
        double now = signals_clock();
        ENSURE(!signals_pending(), ERR_STOPPED, "doctor: stopped");
        struct trainer_state st = trainer_state(t);
        s->last_step = st.step;
        if (s->first_step < 0)
            s->first_step = first_step(t);
        if (!isfinite(under_way) && (s->first_step >= 0 || (st.lines > 0 && now - began > 5)))
            under_way = now;
        bool late = now - began > PATIENCE;
        if (!isfinite(asked) && ((stop && now - under_way > UNDER_WAY) || late)) {
            asked = now;
            trainer_stop(t);
        }
    }
    s->seconds = signals_clock() - began;
    s->to_stop = signals_clock() - asked;
    s->lines = trainer_state(t).lines;
    s->last_step = trainer_state(t).step;
    if (s->first_step < 0)
        s->first_step = first_step(t);
    s->result = *trainer_result(t);
    snprintf(s->backend, sizeof s->backend, "%s", trainer_backend(t));
    snprintf(s->cause, sizeof s->cause, "%s", s->result.cause);
    note_words(s, trainer_stderr(t));
    return OK;
}

static enum err run(const struct bench *b, int version, int64_t tokens, bool stop,
                    struct seen *s)
{
    char job[PATH_MAX], err_file[PATH_MAX];
    struct trainer_setup *setup;
    struct trainer *t = NULL;
    *s = (struct seen){.first_step = -1};
    TRY(write_job(b, version, tokens, job, sizeof job));
    snprintf(err_file, sizeof err_file, "%s/stderr.txt", b->dir);
    struct trainer_spec spec = {
        .command = b->command, .threads = 1, .width = 1, .grace = GRACE};
    TRY(trainer_prepare(&spec, &setup));
    enum err e = trainer_start(setup, job, err_file, &t);
    if (e == OK)
        e = watch(t, stop, s);
    trainer_free(t);
    trainer_setup_free(setup);
    return e;
}

// ---- what is expected of it

static bool trained(const struct seen *s)
{
    return s->result.status == JOB_OK && s->result.loss > 0 && s->result.tokens > 0;
}

static void judge_short(struct bench *b, const struct seen *s)
{
    if (s->result.status == JOB_OK && !trained(s))
        doctor_add(b->findings, "short job", DOCTOR_BAD,
                   "a result with status ok needs a loss above 0 and the tokens trained",
                   "loss %.5g, %" PRId64 " tokens", s->result.loss, s->result.tokens);
    else if (s->result.status != JOB_OK)
        doctor_add(
            b->findings, "short job", DOCTOR_BAD,
            "docs/trainer-protocol.md says what a trainer prints; nothing else may go to "
            "standard output",
            "%s: %s", job_status_name(s->result.status), s->cause);
    else
        doctor_add(b->findings, "short job", DOCTOR_OK, NULL,
                   "loss %.5g after %" PRId64 " tokens in %.2g s on %s", s->result.loss,
                   s->result.tokens, s->seconds,
                   *s->backend ? s->backend : "an unnamed backend");
    if (s->result.status == JOB_OK && s->first_step < 0)
        doctor_add(b->findings, "progress", DOCTOR_NOTE,
                   "without progress lines there are no learning curves, and no hurry to see a "
                   "training that hangs",
                   "none told");
    else if (s->result.status == JOB_OK)
        doctor_add(b->findings, "progress", DOCTOR_OK, NULL, "told");
}

static void judge_again(struct bench *b, const struct seen *s, double loss)
{
    bool same = trained(s) && s->result.loss == loss;
    doctor_add(b->findings, "repetition", same ? DOCTOR_OK : DOCTOR_WARN,
               same ? NULL
                    : "a sweep that is resumed or repeated will differ a little; the seed in "
                      "`train.seed` should decide everything",
               same ? "the same loss, bit for bit" : "%.17g, then %.17g", loss, s->result.loss);
}

static bool judge_stop(struct bench *b, const struct seen *s)
{
    bool stopped = s->result.status == JOB_STOPPED;
    if (stopped && s->to_stop < GRACE)
        doctor_add(b->findings, "stop", DOCTOR_OK, NULL, "ended %.2g s after SIGTERM",
                   s->to_stop);
    else if (stopped)
        doctor_add(
            b->findings, "stop", DOCTOR_BAD,
            "it must end by itself after SIGTERM: stop after the step, write a checkpoint, "
            "say \"stopped\", exit with 3",
            "still there %.0f s after SIGTERM; killed", GRACE);
    else if (trained(s))
        doctor_add(b->findings, "stop", DOCTOR_NOTE,
                   "it does not heed train.tokens, so stopping could not be tried",
                   "done before it was stopped");
    else
        doctor_add(b->findings, "stop", DOCTOR_BAD,
                   "after SIGTERM a trainer says \"stopped\" and exits with 3", "%s: %s",
                   job_status_name(s->result.status), s->cause);
    return stopped;
}

static void judge_resume(struct bench *b, const struct seen *first, const struct seen *s)
{
    if (first->first_step < 0 || s->first_step < 0)
        doctor_add(b->findings, "resume", DOCTOR_NOTE, "progress lines would tell",
                   "cannot be told");
    else if (s->first_step >= first->last_step && first->last_step > first->first_step)
        doctor_add(b->findings, "resume", DOCTOR_OK, NULL,
                   "stopped at step %" PRId64 ", goes on at %" PRId64, first->last_step,
                   s->first_step);
    else
        doctor_add(
            b->findings, "resume", DOCTOR_WARN,
            "a stop or a time limit then costs the whole training: write checkpoints into "
            "the folder checkpoint.dir, which the trainer makes, and start from what is there",
            "stopped at step %" PRId64 ", starts again at %" PRId64 "%s%s", first->last_step,
            s->first_step, *first->words ? "; its last words when stopped: " : "",
            first->words);
}

static void judge_wrong(struct bench *b, const struct seen *s)
{
    bool refused = s->lines == 0 && strncmp(s->cause, "exit code 2 ", 12) == 0;
    doctor_add(b->findings, "wrong job", refused ? DOCTOR_OK : DOCTOR_WARN,
               refused ? NULL
                       : "exit code 2 and an empty standard output tell a job that cannot run "
                         "from a crash, which is tried again",
               refused ? "refused with exit code 2" : "a job of version 99: %s, %s",
               job_status_name(s->result.status), s->cause);
}

static enum err examine(struct bench *b)
{
    struct seen first, again, stopped, resumed, wrong;
    TRY(write_text(b));
    TRY(run(b, 1, SHORT, false, &first));
    judge_short(b, &first);
    if (!trained(&first))
        return OK; // the rest would say the same again
    TRY(run(b, 1, SHORT, false, &again));
    judge_again(b, &again, first.result.loss);
    TRY(run(b, 1, LONG, true, &stopped));
    if (judge_stop(b, &stopped)) {
        TRY(run(b, 1, LONG, true, &resumed));
        judge_resume(b, &stopped, &resumed);
    }
    TRY(run(b, 99, SHORT, true, &wrong));
    judge_wrong(b, &wrong);
    return OK;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

enum err doctor_check_trainer(json_t *findings, const char *command)
{
    struct bench b = {.findings = findings, .command = command};
    const char *tmp = getenv("TMPDIR");
    int n =
        snprintf(b.dir, sizeof b.dir, "%s/moesweep-doctor-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ENSURE(n > 0 && (size_t)n < sizeof b.dir && mkdtemp(b.dir), ERR_FAILED, "%s: %s", b.dir,
           strerror(errno));
    signals_block();
    enum err e = examine(&b);
    nftw(b.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return e;
}
