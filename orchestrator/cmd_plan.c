// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/cmd.h"
#include "orchestrator/plan.h"
#include <stdbool.h>
#include <unistd.h>

enum err cmd_plan(int argc, char **argv)
{
    const char *config = NULL, *extend = NULL;
    struct cmd_list imports = {0};
    double workers = 0, rate = 0, gpu = 0;
    int as_json = 0;
    const struct cmd_option options[] = {{"SWEEP.cfg", .text = &config, .required = 1},
                                         {"--workers", .number = &workers},
                                         {"--rate", .number = &rate},
                                         {"--gpu-memory", .number = &gpu},
                                         {"--extend", .text = &extend},
                                         {"--import", .list = &imports},
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
    struct plan_options opt = {(int)workers, rate, 1e9 * gpu, NULL};
    struct sweep sweep;
    TRY(config_load(config, &sweep));
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
    if (as_json)
        return cmd_print_json(plan);
    plan_print(plan, stdout);
    json_decref(plan);
    return OK;
}
