// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/extend.h"
#include "core/json.h"
#include "orchestrator/records.h"
#include "orchestrator/sweepdir.h"
#include <string.h>
#include <unistd.h>

int extend_number(const json_t *records)
{
    int n = 1;
    for (size_t i = 0; i < json_array_size(records); i++)
        n += strcmp(jstr(json_array_get(records, i), "t"), "extend") == 0;
    return n;
}

enum err extend_kept_path(const char *dir, int number, char *buf, size_t size)
{
    char name[64];
    snprintf(name, sizeof name, "config.resolved.%d.cfg", number);
    return sweepdir_path(dir, name, buf, size);
}

enum err extend_was(const char *dir, const json_t *records, struct sweep *was)
{
    char journal[JOB_PATH_MAX + 64], path[JOB_PATH_MAX + 64];
    struct records_identity id;
    TRY(sweepdir_path(dir, "journal", journal, sizeof journal));
    TRY(records_head(records, journal, &id));
    TRY(sweepdir_path(dir, "config.resolved.cfg", path, sizeof path));
    // An extension that was cut short has already put it aside.
    if (access(path, F_OK) != 0)
        TRY(extend_kept_path(dir, extend_number(records), path, sizeof path));
    TRY(config_load(path, was));
    if (was->hash == id.hash)
        return OK;
    config_free(was);
    return err_set(ERR_INPUT,
                   "%s: expected the configuration that %s was written with (is its data "
                   "another now?), found another one",
                   path, journal);
}

enum err extend_check(const struct sweep *was, const struct sweep *is, const char *dir)
{
    char keys[1024];
    config_fixed_differences(was, is, keys, sizeof keys);
    ENSURE(!*keys, ERR_INPUT,
           "%s cannot extend %s: its results were made otherwise (%s). Scales, phases, "
           "max_epochs, band, bootstrap and recommend may change; nothing was changed",
           is->path, dir, keys);
    return OK;
}
