// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/outputs.h"
#include "core/json.h"
#include "orchestrator/recommend.h"
#include "orchestrator/report/report.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum err write_all(const char *dir, const struct steer *s, const json_t *records,
                          json_t *law, const char **why)
{
    char path[JOB_PATH_MAX + 32];
    json_t *arch = NULL;
    snprintf(path, sizeof path, "%s/law.json", dir);
    TRY(json_write_file(path, law));
    enum err e = recommend_sweep(law, path, &(struct ask){0}, &arch);
    if (e == ERR_INPUT) {
        *why = err_message();
        arch = NULL;
    } else if (e != OK) {
        return e;
    }
    snprintf(path, sizeof path, "%s/architecture.json", dir);
    e = OK;
    if (arch)
        e = json_write_file(path, arch);
    else if (unlink(path) != 0 && errno != ENOENT) // one of an earlier law would mislead
        e = err_set(ERR_FAILED, "%s: cannot be removed: %s", path, strerror(errno));
    if (e == OK)
        e = report_write(dir, law, arch, s, records);
    json_decref(arch);
    return e;
}

enum err outputs_write(const char *dir, const struct steer *s, const json_t *records,
                       const char **why)
{
    const char *unused;
    why = why ? why : &unused;
    *why = "";
    json_t *law;
    TRY(steer_law(s, &law));
    enum err e = write_all(dir, s, records, law, why);
    json_decref(law);
    return e;
}
