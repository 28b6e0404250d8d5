// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/slurm.h"
#include "orchestrator/capture.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double ANSWER = 20; // s for squeue, scontrol: a busy controller may take a while

static const char *variable(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

const char *slurm_job(void)
{
    const char *job = variable("SLURM_JOB_ID");
    return job && strspn(job, "0123456789_+") == strlen(job) ? job : NULL;
}

double slurm_duration(const char *text)
{
    long part[4] = {0};
    int n = 0;
    if (strcmp(text, "UNLIMITED") == 0)
        return INFINITY;
    const char *dash = strchr(text, '-'), *at = text;
    if (strspn(text, "0123456789:-") != strlen(text) || !*text)
        return NAN;
    long days = dash ? strtol(text, NULL, 10) : 0;
    at = dash ? dash + 1 : text;
    for (; n < 4 && *at; n++) {
        char *end;
        part[n] = strtol(at, &end, 10);
        if (end == at || (*end && *end != ':'))
            return NAN;
        at = *end ? end + 1 : end;
    }
    if (*at || n < 2 || n > 3)
        return NAN; // squeue always prints minutes and seconds
    double s = 0;
    for (int i = 0; i < n; i++)
        s = s * 60 + (double)part[i];
    return (double)days * 86400 + s;
}

double slurm_time_left(void)
{
    const char *job = slurm_job(), *end = variable("SLURM_JOB_END_TIME");
    char text[64], *stop;
    int code = 0;
    if (!job)
        return NAN;
    if (end) {
        double at = strtod(end, &stop);
        if (!*stop && at > 0)
            return fmax(0, at - (double)time(NULL));
    }
    const char *argv[] = {"squeue", "-h", "-j", job, "-o", "%L", NULL};
    if (capture(argv, ANSWER, 1, text, sizeof text, &code) != OK || code != 0)
        return NAN;
    text[strcspn(text, " \n")] = '\0';
    return slurm_duration(text);
}

int slurm_counts(const char *text)
{
    long sum = 0;
    while (*text) {
        char *end;
        long n = strtol(text, &end, 10), times = 1;
        if (end == text || n < 0)
            return 0;
        if (strncmp(end, "(x", 2) == 0) {
            times = strtol(end + 2, &end, 10);
            end += *end == ')';
        }
        sum += n * times;
        if (sum > 10000000 || (*end && *end != ','))
            return 0;
        text = *end ? end + 1 : end;
    }
    return (int)sum;
}

int slurm_nodes(void)
{
    const char *n = variable("SLURM_JOB_NUM_NODES");
    return n ? atoi(n) : 0;
}

int slurm_processors(void)
{
    const char *n = variable("SLURM_JOB_CPUS_PER_NODE");
    return n ? slurm_counts(n) : 0;
}

enum err slurm_requeue(const char *job)
{
    char text[256];
    int code = 0;
    const char *argv[] = {"scontrol", "requeue", job, NULL};
    TRY(capture(argv, ANSWER, 0, text, sizeof text, &code));
    ENSURE(code == 0, ERR_FAILED, "scontrol requeue %s failed (exit code %d)", job, code);
    return OK;
}
