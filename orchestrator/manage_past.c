// SPDX-License-Identifier: GPL-3.0-or-later
// What a sweep has besides its own results so far: those of the configuration that this one
// extends, and those of other sweeps.
#include "core/json.h"
#include "orchestrator/extend.h"
#include "orchestrator/import.h"
#include "orchestrator/manage_state.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// The old configuration must lead to what the journal holds, or its results are not its own.
static enum err verify(const struct manager *m, const struct sweep *was, const char *journal)
{
    struct steer *s = NULL;
    TRY(steer_create(was, &s));
    enum err e = records_replay(m->records, was, journal, s, NULL);
    steer_free(s);
    return e;
}

static enum err begin_extension(struct manager *m, const char *journal)
{
    struct sweep was;
    char keys[4096];
    struct records_identity id = m->identity;
    TRY(extend_was(m->dir, m->records, &was));
    enum err e = extend_check(&was, &m->cfg, m->dir);
    if (e == OK)
        e = verify(m, &was, journal);
    config_differences(&was, &m->cfg, keys, sizeof keys);
    config_free(&was);
    TRY(e);
    memcpy(id.name, m->cfg.name, sizeof id.name);
    id.hash = m->cfg.hash;
    m->identity = id;
    m->extension = records_extend(&id, extend_number(m->records) + 1, keys, m->wall0);
    ENSURE(m->extension && json_array_append(m->records, m->extension) == 0, ERR_FAILED,
           "out of memory");
    return OK;
}

static enum err import_all(struct manager *m, struct import *im)
{
    for (int k = 0; k < m->opt.imports->n; k++)
        TRY(import_sweep(im, m->opt.imports->item[k]));
    ENSURE(json_array_extend(m->records, im->fresh) == 0, ERR_FAILED, "out of memory");
    manage_say(m, "imported %zu results", json_array_size(im->fresh));
    return OK;
}

static enum err import(struct manager *m)
{
    struct import im = {0};
    if (!m->opt.imports || m->opt.imports->n == 0)
        return OK;
    enum err e = import_begin(&m->cfg, &m->identity, m->records, m->opt.allow_mixed, &im);
    if (e == OK)
        e = import_all(m, &im);
    import_free(&im);
    return e;
}

enum err manage_past(struct manager *m, const char *journal)
{
    bool begins = json_array_size(m->records) == 1, extends = m->identity.hash != m->own.hash;
    m->settled = json_array_size(m->records);
    if (extends)
        TRY(begin_extension(m, journal));
    if (m->cfg.prior.n > 0 && (begins || extends))
        ENSURE(json_array_append_new(m->records, records_prior(&m->cfg)) == 0, ERR_FAILED,
               "out of memory");
    return import(m);
}

enum err manage_past_keep(struct manager *m, const char *resolved)
{
    char kept[JOB_PATH_MAX + 64];
    if (m->extension) {
        int number = (int)json_integer_value(json_object_get(m->extension, "n")), used = 0;
        TRY(extend_kept_path(m->dir, number - 1, kept, sizeof kept));
        ENSURE(rename(resolved, kept) == 0 || errno == ENOENT, ERR_FAILED, "%s: %s", kept,
               strerror(errno));
        for (int i = 0; i < steer_n_jobs(m->steer); i++)
            used += steer_job_at(m->steer, i)->final;
        manage_say(m, "extended (configuration %d): %d results are used again so far; %s",
                   number, used, jstr(m->extension, "keys"));
    }
    for (size_t i = m->settled; i < json_array_size(m->records); i++)
        TRY(journal_append(m->journal, json_array_get(m->records, i)));
    return journal_sync(m->journal);
}
