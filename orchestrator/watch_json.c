// SPDX-License-Identifier: GPL-3.0-or-later
// A watch as a document. Keys: docs/clusters.md.
#include "core/json.h"
#include "orchestrator/origin.h"
#include "orchestrator/recommend.h"
#include "orchestrator/watch_state.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// A running sweep writes status.json every second; after so long without, it is silent.
static const double SILENT = 60;

// ---- laws

void watch_laws(struct watch *w)
{
    if (!w->steer || (w->fits_at != w->results && steer_advance(w->steer) != OK))
        return;
    watch_settle(w);
    if (w->fits_at == w->results)
        return;
    json_t *fresh = NULL;
    w->fits_at = w->results;
    if (steer_provisional(w->steer, &fresh) == OK) {
        json_decref(w->provisional);
        w->provisional = fresh;
    }
    int decided = steer_n_decisions(w->steer);
    fresh = NULL;
    if (decided == 0 || decided == w->law_at || steer_law(w->steer, &fresh) != OK)
        return;
    w->law_at = decided;
    json_decref(w->law);
    w->law = fresh;
}

// Each law at the budget that the sweep is for.
static json_t *laws_json(const struct watch *w)
{
    json_t *list = json_array(), *law;
    const char *name;
    double C =
        w->cfg ? w->cfg->recommend.budget_factor * w->cfg->scales[w->cfg->n_scales - 1] : NAN;
    json_object_foreach(json_object_get(w->law, "laws"), name, law)
    {
        double v, lo, hi;
        if (strchr(name, '.'))
            continue; // a band's edge
        recommend_predict(law, C, &v, &lo, &hi);
        json_t *one = json_interval(v, lo, hi);
        json_object_set_new(one, "name", json_string(name));
        json_object_set_new(one, "C", json_num(C));
        json_object_set_new(one, "fitted", json_boolean(jtrue(law, "fitted")));
        json_object_set_new(
            one, "p", json_interval(jnum(law, "p"), jnum(law, "p_lo"), jnum(law, "p_hi")));
        json_object_set_new(one, "rule", json_string(jstr(law, "rule")));
        json_array_append_new(list, one);
    }
    return list;
}

// ---- phases

static const json_t *provisional_of(const struct watch *w, const char *phase, double C)
{
    size_t i;
    json_t *d;
    json_array_foreach(w->provisional, i, d) if (strcmp(jstr(d, "phase"), phase) == 0 &&
                                                 jnum(d, "C") == C) return d;
    return NULL;
}

static json_t *optima_json(const json_t *decision)
{
    json_t *list = json_array(), *fit;
    size_t i;
    json_array_foreach(json_object_get(decision, "fits"), i, fit)
    {
        json_t *one = json_deep_copy(json_object_get(fit, "optimum"));
        if (!one)
            continue;
        json_object_set_new(one, "axis", json_string(jstr(fit, "axis")));
        json_object_set_new(one, "verdict", json_string(jstr(fit, "verdict")));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *cell_json(const struct watch *w, const struct watch_cell *c)
{
    const char *phase = json_string_value(json_array_get(w->names, (size_t)c->phase));
    bool decided = strcmp(jstr(c->decision, "verdict"), "decided") == 0;
    const json_t *fits = decided ? c->decision : provisional_of(w, phase, c->C);
    if (!fits)
        fits = c->decision;
    return json_pack("{s:s, s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:o}", "phase", phase, "C",
                     json_num(c->C), "known", c->known, "expected",
                     c->known > 0 ? c->known : c->expected, "ok", c->count[WATCH_OK], "failed",
                     c->count[WATCH_FAILED], "pruned", c->count[WATCH_PRUNED], "running",
                     c->count[WATCH_RUNNING], "decided", decided, "optima", optima_json(fits));
}

// What is adopted now: {"M@1e+11": value}.
static json_t *adopted_json(const struct watch *w)
{
    json_t *now = json_object();
    for (int i = 0; i < w->n_cells; i++) {
        const char *name;
        json_t *value;
        json_object_foreach(json_object_get(w->cells[i].decision, "adopted"), name, value)
        {
            char key[64];
            snprintf(key, sizeof key, "%s@%.4g", name, w->cells[i].C);
            json_object_set(now, key, value);
        }
    }
    return now;
}

// ---- workers

static json_t *worker_json(const struct watch *w, int rank, double now)
{
    const struct watch_job *j = &w->jobs[w->on[rank]];
    const struct watch_cell *c = &w->cells[j->cell];
    double seconds = fmax(0, now - j->t0);
    double predicted = runtime_predict(&w->runtime, &j->work, NULL);
    bool known = w->runtime.n > 0 && predicted > 0;
    // Only its start is journalled: how far it is, is a guess of the model.
    double share = known ? fmin(1, seconds / predicted) : NAN;
    return json_pack(
        "{s:i, s:s, s:s, s:O, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:b}", "rank", rank,
        "state", "training", "job", j->id, "phase", json_array_get(w->names, (size_t)c->phase),
        "C", json_num(c->C), "seconds", json_num(seconds), "fraction", json_num(share), "step",
        isfinite(share) ? json_integer((json_int_t)(share * (double)j->steps)) : json_null(),
        "steps", (json_int_t)j->steps, "tokens_per_s",
        json_num(known ? (double)j->tokens / predicted : NAN), "predicted_s",
        json_num(known ? predicted : NAN), "left_s",
        json_num(known ? fmax(0, predicted - seconds) : NAN), "guessed", true);
}

// From status.json: what the trainer itself said.
static json_t *live_worker_json(json_t *live)
{
    json_t *j = json_copy(live);
    double seconds = jnum(live, "seconds"), tokens = jnum(live, "tokens");
    double share = jnum(live, "fraction"), predicted = jnum(live, "predicted_s");
    if (!json_object_get(live, "job"))
        return j;
    bool moves = share > 0.02 && seconds > 0;
    json_object_set_new(j, "tokens_per_s", json_num(moves ? tokens / seconds : NAN));
    double left = moves ? seconds * (1 - share) / share : fmax(0, predicted - seconds);
    json_object_set_new(j, "left_s", json_num(left));
    json_object_set_new(j, "guessed", json_false());
    return j;
}

static json_t *workers_json(const struct watch *w, double now, const json_t *live)
{
    json_t *list = json_array(), *worker;
    size_t i;
    json_array_foreach(json_object_get(live, "workers"), i, worker)
        json_array_append_new(list, live_worker_json(worker));
    for (int rank = 1; !live && rank < w->n_on; rank++)
        if (w->on[rank] >= 0)
            json_array_append_new(list, worker_json(w, rank, now));
    return list;
}

// ---- time

static struct runtime_eta eta_of(const struct watch *w, int expected, double now)
{
    double left = 0, all = 0, longest = 0;
    int jobs = 0;
    for (int i = 0; i < w->n_jobs; i++) {
        const struct watch_job *j = &w->jobs[i];
        double t = runtime_predict(&w->runtime, &j->work, NULL);
        all += t;
        if (j->fate >= WATCH_OK)
            continue;
        jobs++;
        longest = fmax(longest, t);
        left += j->fate == WATCH_RUNNING ? fmax(0, t - (now - j->t0)) : t;
    }
    int later = expected - w->n_jobs;
    if (w->n_jobs > 0)
        left += all / w->n_jobs * later;
    return runtime_eta(&w->runtime, left, longest, jobs + later, w->workers);
}

static const char *state_of(const struct watch *w, double now, const json_t *live)
{
    const char *said = jstr(live, "state");
    if (strcmp(w->stop, "done") == 0)
        return "done";
    if (w->stop[0])
        return "stopped";
    if (strcmp(said, "failed") == 0)
        return said;
    if (live && now - fmax(jnum(live, "updated"), w->last) > SILENT)
        return "silent";
    return strcmp(said, "draining") == 0 ? said : "running";
}

static json_t *jobs_json(const struct watch *w, int expected)
{
    int count[N_WATCH_FATES] = {0};
    for (int i = 0; i < w->n_cells; i++)
        for (int f = 0; f < N_WATCH_FATES; f++)
            count[f] += w->cells[i].count[f];
    int done = count[WATCH_OK] + count[WATCH_PRUNED] + count[WATCH_FAILED];
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "done", done, "failed",
                     count[WATCH_FAILED], "pruned", count[WATCH_PRUNED], "running",
                     count[WATCH_RUNNING], "queued", count[WATCH_QUEUED], "known", w->n_jobs,
                     "expected", expected, "crashes", w->crashes);
}

static json_t *throughput_json(const struct watch *w)
{
    bool some = w->n_predicted > 0 && w->predicted > 0, any = w->seconds > 0;
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "runs", w->n_predicted,
                     "measured_s", json_num(some ? w->measured : NAN), "predicted_s",
                     json_num(some ? w->predicted : NAN), "ratio",
                     json_num(some ? w->measured / w->predicted : NAN), "error",
                     json_num(runtime_error(&w->runtime)), "tokens_per_s",
                     json_num(any ? w->tokens / w->seconds : NAN), "flops_per_s",
                     json_num(any ? w->flops / w->seconds : NAN));
}

static void add_time(json_t *doc, const struct watch *w, int expected, double now,
                     const json_t *live, bool over)
{
    struct runtime_eta eta = {NAN, NAN, NAN};
    if (live && !over)
        eta = (struct runtime_eta){jnum(live, "eta_s"), jnum(live, "eta_lo_s"),
                                   jnum(live, "eta_hi_s")};
    else if (!over)
        eta = eta_of(w, expected, now);
    double until = over ? w->last : now;
    if (!isfinite(eta.hi))
        eta.lo = NAN; // before the model knows its own error
    double heard = fmax(w->last, jnum(live, "updated"));
    json_object_set_new(doc, "elapsed_s", json_num(until - w->first));
    json_object_set_new(doc, "updated", json_num(heard));
    json_object_set_new(doc, "quiet_s", json_num(over ? NAN : fmax(0, now - heard)));
    json_object_set_new(doc, "eta_s", json_num(eta.at));
    json_object_set_new(doc, "eta_lo_s", json_num(eta.lo));
    json_object_set_new(doc, "eta_hi_s", json_num(eta.hi));
    json_object_set_new(doc, "training_share", json_num(jnum(live, "training_share")));
}

json_t *watch_json(struct watch *w, double now, json_t *live)
{
    watch_laws(w);
    json_t *phases = json_array(), *doc = json_object();
    int expected = 0;
    bool open = false;
    for (int i = 0; i < w->n_cells; i++) {
        json_t *c = cell_json(w, &w->cells[i]);
        expected += (int)jnum(c, "expected");
        open = open || !jtrue(c, "decided");
        json_array_append_new(phases, c);
    }
    const char *state = state_of(w, now, live);
    bool over = strcmp(state, "done") == 0 || strcmp(state, "stopped") == 0 ||
                strcmp(state, "failed") == 0;
    // An old one knows less than the journal.
    const json_t *fresh = over || strcmp(state, "silent") == 0 ? NULL : live;
    json_object_set_new(doc, "v", json_integer(1));
    json_object_set_new(doc, "sweep", json_string(w->name));
    json_object_set_new(doc, "question", json_string(w->cfg ? w->cfg->question : ""));
    json_object_set_new(doc, "state", json_string(state));
    json_object_set_new(doc, "why", json_string(w->stop));
    json_object_set_new(
        doc, "done",
        json_boolean(strcmp(state, "done") == 0 ||
                     (w->steer ? steer_done(w->steer) : w->n_cells > 0 && !open)));
    json_object_set_new(doc, "known", json_integer(w->n_jobs));
    json_object_set_new(doc, "expected", json_integer(expected));
    json_object_set_new(doc, "decisions", json_integer(w->decisions));
    json_object_set_new(doc, "sessions", json_integer(w->sessions));
    json_object_set_new(doc, "session_workers", json_integer(w->workers));
    add_time(doc, w, expected, now, fresh, over);
    json_object_set_new(doc, "jobs", jobs_json(w, expected));
    json_object_set_new(doc, "phases", phases);
    json_object_set_new(doc, "adopted", adopted_json(w));
    json_object_set_new(doc, "laws", laws_json(w));
    json_object_set_new(doc, "workers", over ? json_array() : workers_json(w, now, fresh));
    json_object_set_new(doc, "throughput", throughput_json(w));
    json_object_set_new(doc, "causes", json_deep_copy(w->causes));
    json_t *origins = w->steer ? origins_of(w->steer) : NULL;
    if (origins)
        json_object_set_new(doc, "origins", origins);
    json_object_set_new(doc, "latest",
                        json_deep_copy(fresh ? json_object_get(fresh, "latest") : w->latest));
    json_object_set(doc, "live", live ? live : json_null());
    return doc;
}
