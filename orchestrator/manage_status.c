// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/json.h"
#include "orchestrator/manage_state.h"
#include "orchestrator/signals.h"
#include "orchestrator/status.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>

// Share of the job's tokens that are trained after so many of its steps.
static double share_done(const struct job *j, int64_t step)
{
    return (double)job_tokens_after(j, step) / (double)job_tokens_after(j, job_steps(j));
}

static json_t *worker_json(const struct manager *m, int w, double now)
{
    const struct manage_worker *wk = &m->workers[w];
    const char *state = wk->lost       ? "lost"
                        : wk->unfit    ? "unfit"
                        : !wk->ready   ? "absent"
                        : wk->job >= 0 ? "training"
                                       : "idle";
    json_t *j = json_pack("{s:i, s:s, s:s}", "rank", w + 1, "host", wk->host, "state", state);
    if (wk->lost || wk->job < 0)
        return j;
    const struct steer_job *sj = manage_job(m, wk->job);
    json_object_set_new(j, "job", json_string(sj->job.id));
    json_object_set_new(j, "phase", json_string(m->cfg.phases[sj->phase].name));
    json_object_set_new(j, "C", json_num(sj->C));
    json_object_set_new(j, "fraction", json_num(share_done(&sj->job, wk->step)));
    json_object_set_new(j, "loss", json_num(wk->loss));
    json_object_set_new(j, "seconds", json_num(now - wk->t0));
    json_object_set_new(j, "step", json_integer(wk->step));
    json_object_set_new(j, "steps", json_integer(job_steps(&sj->job)));
    json_object_set_new(j, "tokens", json_integer(job_tokens_after(&sj->job, wk->step)));
    json_object_set_new(j, "predicted_s", json_num(manage_seconds(m, m->steer_of[wk->job])));
    return j;
}

// Share of the workers' time since the first start in which they trained.
static double training_share(const struct manager *m, double until)
{
    double busy = m->busy;
    for (int w = 0; w < m->n_workers; w++)
        if (m->workers[w].job >= 0 && !m->workers[w].lost)
            busy += until - m->workers[w].t0;
    double span = (until - m->first_start) * m->n_workers;
    return span > 0 ? fmin(1, busy / span) : NAN;
}

// What is left to train, jobs not yet created at the mean of those that are.
struct left {
    double seconds, longest;
    int jobs;
};

static struct left work_left(const struct manager *m)
{
    struct left left = {0};
    double all = 0;
    int n = m->seen_jobs, later = steer_expected_jobs(m->steer) - n;
    for (int i = 0; i < n; i++) {
        const struct steer_job *sj = steer_job_at(m->steer, i);
        double t = manage_seconds(m, i);
        all += t;
        if (!sj->final) {
            left.seconds += t;
            left.longest = fmax(left.longest, t);
            left.jobs++;
        }
    }
    for (int w = 0; w < m->n_workers; w++)
        if (m->workers[w].job >= 0 && !m->workers[w].lost) {
            const struct steer_job *sj = manage_job(m, m->workers[w].job);
            left.seconds -= manage_seconds(m, m->steer_of[m->workers[w].job]) *
                            share_done(&sj->job, m->workers[w].step);
        }
    if (n > 0) {
        left.seconds += all / n * later;
        left.jobs += later;
    }
    return left;
}

static struct runtime_eta eta_of(const struct manager *m, int workers)
{
    struct left left = work_left(m);
    return runtime_eta(&m->runtime, left.seconds, left.longest, left.jobs, workers);
}

enum err manage_show(struct manager *m, const char *state)
{
    double now = signals_clock();
    bool over = strcmp(state, "running") != 0 && strcmp(state, "draining") != 0;
    struct sched_counts c = sched_count(m->sched);
    struct runtime_eta eta = over ? (struct runtime_eta){NAN, NAN, NAN} : eta_of(m, c.workers);
    json_t *workers = json_array();
    int running = 0;
    for (int w = 0; w < m->n_workers; w++) {
        json_array_append_new(workers, worker_json(m, w, now));
        running += m->workers[w].job >= 0 && !m->workers[w].lost;
    }
    json_t *status = json_pack(
        "{s:i, s:s, s:s, s:o, s:o, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i}, s:i, s:o, s:o, "
        "s:o, s:o, s:o, s:o, s:O}",
        "v", 1, "name", m->cfg.name, "state", state, "updated",
        json_num(round(manage_time(m, now) * 1000) / 1000), "elapsed_s",
        json_num(now - m->clock0), "jobs", "done", m->n_final, "failed", m->n_failed, "pruned",
        m->n_pruned, "running", running, "queued", c.queued + c.held - running, "known",
        steer_n_jobs(m->steer), "expected", steer_expected_jobs(m->steer), "decisions",
        steer_n_decisions(m->steer), "eta_s", json_num(eta.at), "eta_lo_s", json_num(eta.lo),
        "eta_hi_s", json_num(eta.hi), "runtime_error", json_num(runtime_error(&m->runtime)),
        "training_share", json_num(training_share(m, over ? m->last_end : now)), "workers",
        workers, "latest", m->latest);
    ENSURE(status, ERR_FAILED, "out of memory for the status");
    m->shown = now;
    progress_show(m->progress, status);
    enum err e = status_write(m->dir, status);
    json_decref(status);
    return e;
}

void manage_say(struct manager *m, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    progress_say(m->progress, "%s", text);
    json_array_append_new(m->latest, json_string(text));
    if (json_array_size(m->latest) > MANAGE_LATEST)
        json_array_remove(m->latest, 0);
}

// " M = 8.9e+04 [7.1e+04, 1.2e+05] (interior)"; no numbers where the fit has none
static int fit_text(char *buf, size_t size, const json_t *fit)
{
    const char *axis = json_string_value(json_object_get(fit, "axis"));
    const char *verdict = json_string_value(json_object_get(fit, "verdict"));
    const json_t *opt = json_object_get(fit, "optimum"),
                 *adopted = json_object_get(fit, "adopted");
    const json_t *lo = json_object_get(opt, "lo"), *hi = json_object_get(opt, "hi");
    bool is_adopted = json_is_number(adopted);
    const json_t *value = is_adopted ? adopted : json_object_get(opt, "value");
    char number[32] = "", interval[64] = "";
    if (json_is_number(value))
        snprintf(number, sizeof number, " %c %.4g", is_adopted ? '=' : '~',
                 json_number_value(value));
    if (json_is_number(lo) && json_is_number(hi))
        snprintf(interval, sizeof interval, " [%.3g, %.3g]", json_number_value(lo),
                 json_number_value(hi));
    return snprintf(buf, size, " %s%s%s (%s)", axis ? axis : "?", number, interval,
                    verdict ? verdict : "?");
}

void manage_say_decision(struct manager *m, const json_t *decision)
{
    char text[768];
    const char *id = json_string_value(json_object_get(decision, "id"));
    const json_t *fits = json_object_get(decision, "fits");
    int n = snprintf(text, sizeof text, "decided %s:", id ? id : "?");
    for (size_t i = 0; i < json_array_size(fits) && n > 0 && (size_t)n < sizeof text; i++)
        n += fit_text(text + n, sizeof text - (size_t)n, json_array_get(fits, i));
    manage_say(m, "%s", text);
}
