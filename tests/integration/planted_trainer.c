// SPDX-License-Identifier: GPL-3.0-or-later
// A trainer that trains nothing: the loss comes from a planted surface (docs/simulate.md) and
// the time is slept, so that a test may have many workers on few processors. It keeps to
// docs/trainer-protocol.md: checkpoints, resuming and an orderly stop included.
//
//     planted_trainer JOB.json TRUTH.json SECONDS     SECONDS: of a run of 1e10 FLOPs
//
// The loss is a function of the job alone, so a sweep that was disturbed must end like one that
// was not.
#include "core/json.h"
#include "orchestrator/signals.h"
#include "orchestrator/truth.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STEPS = 64 };

static int done_before(const char *file)
{
    int step = 0;
    FILE *f = *file ? fopen(file, "r") : NULL;
    if (f && fscanf(f, "%d", &step) != 1)
        step = 0;
    if (f)
        fclose(f);
    return step;
}

static void checkpoint(const char *file, int step)
{
    char fresh[JOB_PATH_MAX + 32];
    snprintf(fresh, sizeof fresh, "%s.tmp", file);
    FILE *f = *file ? fopen(fresh, "w") : NULL;
    if (!f)
        return;
    fprintf(f, "%d\n", step);
    if (fclose(f) == 0 && rename(fresh, file) == 0)
        printf("{\"t\":\"checkpoint\",\"step\":%d}\n", step);
}

// The surface is in C, which a job file does not name: what the job will spend is within half a
// batch.
static double loss_of(const struct truth *truth, const struct job *job, double C)
{
    struct steer_job sj = {.job = *job, .counts = arch_counts(&job->arch), .C = C};
    return truth_loss(truth, &sj, 0);
}

static int train(const struct job *job, const struct truth *truth, double seconds)
{
    char file[JOB_PATH_MAX + 16] = "";
    struct timespec nap;
    double C = (double)arch_counts(&job->arch).M * (double)job->train.tokens;
    double per_step = seconds * C / 1e10 / STEPS, loss = loss_of(truth, job, C);
    if (job->checkpoint.dir[0]) {
        mkdir(job->checkpoint.dir, 0777);
        snprintf(file, sizeof file, "%s/checkpoint", job->checkpoint.dir);
    }
    int step = done_before(file);
    nap.tv_sec = (time_t)per_step;
    nap.tv_nsec = (long)(1e9 * (per_step - (double)nap.tv_sec));
    printf("{\"t\":\"hello\",\"v\":1,\"pid\":%d,\"backend\":\"planted\",\"steps\":%d,\"resumed_"
           "step\":%d}\n",
           (int)getpid(), STEPS, step);
    for (int sig = 0; step < STEPS;) {
        nanosleep(&nap, NULL);
        step++;
        printf("{\"t\":\"progress\",\"step\":%d,\"tokens\":%lld,\"loss\":%.17g}\n", step,
               (long long)(job->train.tokens / STEPS * step), loss * (1 + .5 / step));
        sig = signals_pending();
        if (sig || step % 8 == 0)
            checkpoint(file, step);
        if (sig) {
            printf("{\"t\":\"result\",\"status\":\"stopped\"}\n");
            return 3;
        }
    }
    printf("{\"t\":\"result\",\"id\":\"%s\",\"status\":\"ok\",\"loss\":%.17g,\"tokens\":%lld,"
           "\"seconds\":%.6f,"
           "\"flops\":%.17g}\n",
           job->id, loss, (long long)job->train.tokens, per_step * STEPS, C);
    if (*file)
        remove(file);
    return 0;
}

int main(int argc, char **argv)
{
    json_t *obj = NULL;
    struct job job = {0};
    struct truth truth;
    if (argc != 4) {
        fprintf(stderr, "usage: planted_trainer JOB.json TRUTH.json SECONDS\n");
        return 2;
    }
    signals_block();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (json_read_file(argv[1], &obj) != OK || job_from_json(obj, argv[1], &job) != OK ||
        truth_read(argv[2], &truth) != OK) {
        fprintf(stderr, "planted_trainer: %s\n", err_message());
        return 2;
    }
    int code = train(&job, &truth, strtod(argv[3], NULL));
    job_free(&job);
    json_decref(obj);
    return code;
}
