// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/json.h"
#include "orchestrator/cmd.h"
#include "orchestrator/forecast.h"
#include "orchestrator/plan.h"
#include <stdbool.h>
#include <unistd.h>

// Where there is how much room.
static void add_disk(json_t *plan, const char *dir)
{
    char found[JOB_PATH_MAX] = "";
    double room = forecast_free(dir, found, sizeof found);
    json_object_set_new(plan, "disk",
                        json_pack("{s:s, s:o}", "folder", found, "free_bytes", json_num(room)));
}

enum err cmd_plan(int argc, char **argv)
{
    const char *config = NULL, *dir = NULL, *extend = NULL;
    struct cmd_list imports = {0};
    double workers = 0, rate = 0, gpu = 0, price = 0, seconds = 30;
    int as_json = 0, calibrated = 0;
    const struct cmd_option options[] = {
        {"SWEEP.cfg", .text = &config, .required = 1},
        {"--workers", .number = &workers},
        {"--rate", .number = &rate},
        {"--gpu-memory", .number = &gpu},
        {"--extend", .text = &extend},
        {"--import", .list = &imports},
        {"--calibrate", .flag = &calibrated, .number = &seconds},
        {"--price", .number = &price},
        {"--out", .text = &dir},
        {"--json", .flag = &as_json},
        {0}};
    TRY(cmd_parse(argc, argv, options));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const bool given = workers > 0;
    if (!given)
        workers = cores > 0 ? (double)cores : 1;
    ENSURE(workers >= 1 && workers <= 1e6, ERR_INPUT,
           "plan: --workers: expected 1 to 1000000, found %g", workers);
    ENSURE(gpu >= 0 && gpu <= 1e6, ERR_INPUT,
           "plan: --gpu-memory: expected at most 1000000 GB, found %g", gpu);
    struct plan_options opt = {.workers = (int)workers,
                               .rate = rate,
                               .gpu = 1e9 * gpu,
                               .calibrate = calibrated ? seconds : 0};
    struct sweep sweep;
    TRY(config_load(config, &sweep));
    if (price > 0)
        sweep.price_per_hour = price;
    json_t *plan = NULL, *past = NULL;
    enum err e = OK;
    for (int i = 0; i < sweep.n_scales && e == OK && given; i++) {
        double width = rule_at(&sweep.width, sweep.scales[i]);
        if (width > workers)
            e = err_set(
                ERR_INPUT,
                "plan: --workers: expected at least %g, found %g: runs of C = %g take %g",
                width, workers, sweep.scales[i], width);
    }
    if (e == OK)
        e = plan_past(&sweep, extend, &imports, &past);
    opt.past = past;
    if (e == OK)
        e = plan_sweep(&sweep, &opt, &plan);
    json_decref(past);
    config_free(&sweep);
    TRY(e);
    add_disk(plan, dir ? dir : ".");
    if (as_json)
        return cmd_print_json(plan);
    plan_print(plan, stdout);
    json_decref(plan);
    return OK;
}
