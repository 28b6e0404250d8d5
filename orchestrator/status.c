// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/status.h"
#include "core/job.h"
#include "core/json.h"
#include "orchestrator/sweepdir.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum err status_read(const char *dir, json_t **out)
{
    char path[JOB_PATH_MAX + 32];
    int64_t v = 0;
    TRY(sweepdir_path(dir, "status.json", path, sizeof path));
    TRY(json_read_file(path, out));
    if (json_get_i64(*out, path, "v", true, 1, 1, &v) == OK)
        return OK;
    json_decref(*out);
    return ERR_INPUT;
}

enum err status_write(const char *dir, const json_t *status)
{
    char path[JOB_PATH_MAX + 32];
    TRY(sweepdir_path(dir, "status.json", path, sizeof path));
    return json_write_file(path, status);
}

static const char *text(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

static double number(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

void status_duration(double s, char *buf, size_t size)
{
    if (!isfinite(s))
        snprintf(buf, size, "-");
    else if (s < 100)
        snprintf(buf, size, "%.0f s", s);
    else if (s < 3600)
        snprintf(buf, size, "%.0f min %02.0f s", floor(s / 60), fmod(s, 60));
    else
        snprintf(buf, size, "%.0f h %02.0f min", floor(s / 3600), floor(fmod(s, 3600) / 60));
}

// printf at the end of what is there.
static void __attribute__((format(printf, 3, 4)))
add(char *buf, size_t size, const char *fmt, ...)
{
    size_t n = strlen(buf);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf + n, size - n, fmt, ap);
    va_end(ap);
}

void status_line(const json_t *status, char *buf, size_t size)
{
    const json_t *jobs = json_object_get(status, "jobs");
    double done = number(jobs, "done"), known = number(jobs, "known");
    double expected = number(jobs, "expected"), failed = number(jobs, "failed");
    double eta = number(status, "eta_s"), share = number(status, "training_share");
    buf[0] = '\0';
    if (expected > known)
        add(buf, size, "%.0f of about %.0f jobs", done, expected);
    else
        add(buf, size, "%.0f of %.0f jobs", done, known);
    if (failed > 0)
        add(buf, size, ", %.0f failed", failed);
    if (number(jobs, "pruned") > 0)
        add(buf, size, ", %.0f stopped early", number(jobs, "pruned"));
    add(buf, size, ", %.0f running", number(jobs, "running"));
    if (isfinite(share))
        add(buf, size, ", workers train %.0f %% of the time", 100 * share);
    if (isfinite(eta)) {
        char left[64];
        status_duration(eta, left, sizeof left);
        add(buf, size, ", about %s left", left);
        double lo = number(status, "eta_lo_s"), hi = number(status, "eta_hi_s");
        if (isfinite(lo) && isfinite(hi)) {
            char from[64], to[64];
            status_duration(lo, from, sizeof from);
            status_duration(hi, to, sizeof to);
            add(buf, size, " (%s to %s)", from, to);
        }
    }
}

void status_worker_line(const json_t *worker, char *buf, size_t size)
{
    buf[0] = '\0';
    add(buf, size, "  %3.0f  %s", number(worker, "rank"), text(worker, "state"));
    if (!json_object_get(worker, "job"))
        return;
    add(buf, size, " %s  %s C=%.3g", text(worker, "job"), text(worker, "phase"),
        number(worker, "C"));
    double fraction = number(worker, "fraction"), loss = number(worker, "loss");
    if (isfinite(fraction))
        add(buf, size, "  %3.0f %%", 100 * fraction);
    if (isfinite(loss))
        add(buf, size, "  loss %.3f", loss);
}
