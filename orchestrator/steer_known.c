// SPDX-License-Identifier: GPL-3.0-or-later
// Results that were there before their jobs: a job that comes to exist takes its own.
#include "orchestrator/steer_state.h"
#include <stdlib.h>

static void make_final(struct steer_job *sj, const struct job_result *r, json_t *origin)
{
    if (sj->final)
        return;
    sj->final = true;
    sj->result = *r;
    sj->origin = json_incref(origin);
}

enum err steer_know(struct steer *s, const struct job_result *r, json_t *origin)
{
    int i = steer_find(s, r->id);
    if (i >= 0) {
        make_final(s->jobs[i], r, origin);
        return OK;
    }
    if (!s->known_at)
        s->known_at = json_object();
    if (json_object_get(s->known_at, r->id))
        return OK;
    if (s->n_known == s->cap_known) {
        int cap = s->cap_known ? 2 * s->cap_known : 128;
        struct known *grown = realloc(s->known, (size_t)cap * sizeof *grown);
        ENSURE(grown, ERR_FAILED, "out of memory: %d results", cap);
        s->known = grown;
        s->cap_known = cap;
    }
    ENSURE(json_object_set_new(s->known_at, r->id, json_integer(s->n_known)) == 0, ERR_FAILED,
           "out of memory");
    s->known[s->n_known++] = (struct known){*r, json_incref(origin)};
    return OK;
}

void steer_take_known(struct steer *s, struct steer_job *sj)
{
    const json_t *at = json_object_get(s->known_at, sj->job.id);
    const json_t *whole = json_object_get(s->known_at, sj->work); // without stops
    if (!at && !whole)
        return;
    const struct known *k = &s->known[json_integer_value(at ? at : whole)];
    struct job_result r = k->result;
    if (!at)
        steer_cut(sj, &r);
    make_final(sj, &r, k->origin);
}

void steer_known_free(struct steer *s)
{
    for (int i = 0; i < s->n_known; i++)
        json_decref(s->known[i].origin);
    free(s->known);
    json_decref(s->known_at);
}
