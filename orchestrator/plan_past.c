// SPDX-License-Identifier: GPL-3.0-or-later
// Results that a planned sweep would find: the directory's that it extends, other sweeps'.
#include "orchestrator/extend.h"
#include "orchestrator/import.h"
#include "orchestrator/journal.h"
#include "orchestrator/plan.h"
#include "orchestrator/sweepdir.h"

static enum err keep_record(void *ctx, json_t *rec)
{
    return json_array_append(ctx, rec) == 0 ? OK : err_set(ERR_FAILED, "out of memory");
}

static enum err of_extended(const struct sweep *cfg, const char *dir, json_t *records)
{
    char journal[JOB_PATH_MAX + 32];
    struct sweep was;
    TRY(sweepdir_path(dir, "journal", journal, sizeof journal));
    TRY(journal_read(journal, keep_record, records, NULL));
    TRY(extend_was(dir, records, &was));
    enum err e = extend_check(&was, cfg, dir);
    config_free(&was);
    return e;
}

static enum err of_imported(const struct sweep *cfg, const struct cmd_list *dirs,
                            json_t *records)
{
    struct records_identity unknown = {0}; // whose losses are comparable is for the run to say
    struct import im;
    enum err e = import_begin(cfg, &unknown, records, true, &im);
    for (int i = 0; e == OK && i < dirs->n; i++)
        e = import_sweep(&im, dirs->item[i]);
    if (e == OK && json_array_extend(records, im.fresh) != 0)
        e = err_set(ERR_FAILED, "out of memory");
    import_free(&im);
    return e;
}

enum err plan_past(const struct sweep *cfg, const char *extend, const struct cmd_list *imports,
                   json_t **records)
{
    json_t *all = json_array();
    ENSURE(all, ERR_FAILED, "out of memory");
    enum err e = extend ? of_extended(cfg, extend, all) : OK;
    if (e == OK)
        e = of_imported(cfg, imports, all);
    if (e == OK)
        *records = all;
    else
        json_decref(all);
    return e;
}
