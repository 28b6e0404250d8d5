// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/report/runs.h"
#include "orchestrator/report/html.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void runs_free(struct runs *r)
{
    free(r->v);
    free(r->by_id);
    free(r->scales);
    free(r->phases);
    free(r->spans);
    free(r->sessions);
    memset(r, 0, sizeof *r);
}

static const char *id_of(const struct runs *r, int i)
{
    return r->v[i].job->job.id;
}

int runs_find(const struct runs *r, const char *id)
{
    int lo = 0, hi = r->n;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        if (strcmp(id_of(r, r->by_id[mid]), id) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < r->n && strcmp(id_of(r, r->by_id[lo]), id) == 0 ? r->by_id[lo] : -1;
}

static int by_id(const void *a, const void *b, void *ctx)
{
    return strcmp(id_of(ctx, *(const int *)a), id_of(ctx, *(const int *)b));
}

int runs_scale(const struct runs *r, double C)
{
    for (int i = 0; i < r->n_scales; i++)
        if (fabs(r->scales[i] / C - 1) < 1e-6)
            return i;
    return 0;
}

static void find_scales(struct runs *r)
{
    for (int i = 0; i < r->n; i++)
        r->scales[i] = r->v[i].job->C;
    qsort(r->scales, (size_t)r->n, sizeof *r->scales, num_compare);
    for (int i = 0; i < r->n; i++)
        if (r->n_scales == 0 || r->scales[i] > r->scales[r->n_scales - 1] * (1 + 1e-6))
            r->scales[r->n_scales++] = r->scales[i];
    for (int i = 0; i < r->n; i++)
        r->v[i].scale = runs_scale(r, r->v[i].job->C);
}

static int phase_number(struct runs *r, const char *name)
{
    for (int i = 0; i < r->n_phases; i++)
        if (strcmp(r->phases[i], name) == 0)
            return i;
    r->phases[r->n_phases] = name;
    return r->n_phases++;
}

// The journal's job records name the phase; where they do not, the first cell that reads the
// job does.
static void find_phases(struct runs *r, const json_t *law, const json_t *records)
{
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *rec = json_array_get(records, i);
        if (strcmp(jstr(rec, "t"), "job") != 0)
            continue;
        const json_t *job = json_object_get(rec, "job");
        const int k = runs_find(r, *jstr(rec, "id") ? jstr(rec, "id") : jstr(job, "id"));
        if (k >= 0)
            r->v[k].phase = jstr(rec, "phase");
    }
    const json_t *cells = json_object_get(law, "cells");
    for (size_t c = 0; c < json_array_size(cells); c++) {
        const json_t *cell = json_array_get(cells, c),
                     *inputs = json_object_get(cell, "inputs");
        for (size_t i = 0; i < json_array_size(inputs); i++) {
            const char *id = json_string_value(json_array_get(inputs, i));
            const int k = id ? runs_find(r, id) : -1;
            if (k >= 0 && !*r->v[k].phase)
                r->v[k].phase = jstr(cell, "phase");
        }
    }
    for (int i = 0; i < r->n; i++)
        r->v[i].phase_index = phase_number(r, r->v[i].phase);
}

static void find_outliers(struct runs *r, const json_t *law)
{
    const json_t *cells = json_object_get(law, "cells");
    for (size_t c = 0; c < json_array_size(cells); c++) {
        const json_t *fits = json_object_get(json_array_get(cells, c), "fits");
        for (size_t f = 0; f < json_array_size(fits); f++) {
            const json_t *points = json_object_get(json_array_get(fits, f), "points");
            for (size_t i = 0; i < json_array_size(points); i++) {
                const json_t *point = json_array_get(points, i);
                const int k = jtrue(point, "outlier") ? runs_find(r, jstr(point, "job")) : -1;
                if (k >= 0)
                    r->v[k].outlier = true;
            }
        }
    }
}

static void add_span(struct runs *r, const json_t *rec, bool lost)
{
    const double t0 = jnum(rec, "t0"), t1 = jnum(rec, "t1"), seconds = jnum(rec, "seconds");
    const double worker = jnum(rec, "worker");
    if (!isfinite(worker) || !(t1 >= t0))
        return;
    struct session *s = &r->sessions[r->n_sessions - 1];
    s->first = fmin(s->first, t0);
    s->last = fmax(s->last, t1);
    r->spans[r->n_spans++] = (struct span){runs_find(r, jstr(rec, "id")),
                                           r->n_sessions - 1,
                                           worker,
                                           t0,
                                           t1,
                                           isfinite(seconds) && !lost ? seconds : 0,
                                           lost};
}

// Takes the pauses out: each session begins where the last one ended, the first at 0.
static void close_pauses(struct runs *r)
{
    double end = 0;
    for (int k = 0; k < r->n_sessions; k++) {
        struct session *s = &r->sessions[k];
        if (s->first > s->last)
            continue;
        const double back = s->first - end;
        for (int i = 0; i < r->n_spans; i++)
            if (r->spans[i].session == k) {
                r->spans[i].t0 -= back;
                r->spans[i].t1 -= back;
            }
        s->first -= back;
        s->last -= back;
        end = s->last;
    }
}

// How many different workers reported in a session.
static double workers_seen(const struct runs *r, int session)
{
    double n = 0;
    for (int i = 0; i < r->n_spans; i++) {
        bool first = r->spans[i].session == session;
        for (int j = 0; j < i && first; j++)
            first = r->spans[j].session != session || r->spans[j].worker != r->spans[i].worker;
        n += first;
    }
    return n;
}

static void find_spans(struct runs *r, const json_t *records)
{
    r->sessions[r->n_sessions++] = (struct session){0, INFINITY, -INFINITY};
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *rec = json_array_get(records, i);
        const char *type = jstr(rec, "t");
        if (strcmp(type, "session") == 0) {
            r->sessions[r->n_sessions++] =
                (struct session){fmax(0, jnum(rec, "workers")), INFINITY, -INFINITY};
        } else if (strcmp(type, "failure") == 0) {
            add_span(r, rec, true);
        } else if (strcmp(type, "result") == 0) {
            const int k = runs_find(r, jstr(rec, "id"));
            if (k >= 0 && json_is_array(json_object_get(rec, "curve")))
                r->v[k].curve = json_object_get(rec, "curve");
            add_span(r, rec, false);
        } else if (strcmp(type, "import") == 0) {
            const int k = runs_find(r, jstr(rec, "id"));
            if (k >= 0 && json_is_array(json_object_get(rec, "curve")))
                r->v[k].curve = json_object_get(rec, "curve");
        }
    }
    close_pauses(r);
    for (int k = 0; k < r->n_sessions; k++)
        r->sessions[k].workers = fmax(r->sessions[k].workers, workers_seen(r, k));
}

static void find_best(struct runs *r)
{
    for (int s = 0; s < r->n_scales; s++) {
        struct run *best = NULL;
        for (int i = 0; i < r->n; i++)
            if (r->v[i].ok && r->v[i].scale == s &&
                (!best || r->v[i].job->result.loss < best->job->result.loss))
                best = &r->v[i];
        if (best)
            best->best = true;
    }
}

enum err runs_collect(const struct steer_job *const *jobs, int n, const json_t *law,
                      const json_t *records, struct runs *out)
{
    memset(out, 0, sizeof *out);
    out->v = calloc((size_t)n + 1, sizeof *out->v);
    out->scales = calloc((size_t)n + 1, sizeof *out->scales);
    out->phases = calloc((size_t)n + 1, sizeof *out->phases);
    out->spans = calloc(json_array_size(records) + 1, sizeof *out->spans);
    out->sessions = calloc(json_array_size(records) + 1, sizeof *out->sessions);
    out->by_id = calloc((size_t)n + 1, sizeof *out->by_id);
    if (!out->by_id || !out->sessions || !out->v || !out->scales || !out->phases ||
        !out->spans) {
        runs_free(out);
        return err_set(ERR_FAILED, "out of memory for a report of %d jobs", n);
    }
    out->n = n;
    for (int i = 0; i < n; i++) {
        out->v[i] = (struct run){.job = jobs[i], .phase = ""};
        out->v[i].ok = steer_job_ok(jobs[i]);
        out->n_ok += out->v[i].ok;
        out->n_pruned += steer_job_pruned(jobs[i]);
        out->n_open += !jobs[i]->final;
        out->by_id[i] = i;
    }
    qsort_r(out->by_id, (size_t)n, sizeof *out->by_id, by_id, out);
    out->n_failed = n - out->n_ok - out->n_pruned - out->n_open;
    find_scales(out);
    find_phases(out, law, records);
    find_outliers(out, law);
    find_spans(out, records);
    find_best(out);
    return OK;
}

struct usage runs_usage(const struct runs *r)
{
    struct usage u = {0};
    for (int k = 0; k < r->n_sessions; k++) {
        const struct session *s = &r->sessions[k];
        if (s->first > s->last)
            continue;
        u.workers = fmax(u.workers, s->workers);
        u.span += s->last - s->first;
        u.capacity += s->workers * (s->last - s->first);
    }
    for (int i = 0; i < r->n_spans; i++) {
        u.busy += r->spans[i].t1 - r->spans[i].t0;
        u.training += r->spans[i].training;
    }
    return u;
}
