// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/cmd.h"
#include "orchestrator/run.h"
#include <string.h>

static enum err progress_mode(const char *text, enum progress_mode *out)
{
    static const char *const names[] = {"auto", "block", "lines", "none"}; // enum progress_mode
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum progress_mode)i;
            return OK;
        }
    return err_set(ERR_INPUT,
                   "run: --progress: expected auto, block, lines or none, found '%s'", text);
}

enum err cmd_run(int argc, char **argv)
{
    const char *config = NULL, *out = NULL, *progress = "auto";
    int mixed = 0, extend = 0;
    struct cmd_list imports = {0};
    struct run_options opt = {0};
    const struct cmd_option options[] = {{"SWEEP.cfg", .text = &config, .required = 1},
                                         {"--out", .text = &out, .required = 1},
                                         {"--progress", .text = &progress},
                                         {"--time-limit", .number = &opt.time_limit},
                                         {"--silence", .number = &opt.silence},
                                         {"--tell", .text = &opt.tell},
                                         {"--allow-mixed", .flag = &mixed},
                                         {"--extend", .flag = &extend},
                                         {"--import", .list = &imports},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    TRY(progress_mode(progress, &opt.progress));
    opt.allow_mixed = mixed;
    opt.extend = extend;
    opt.imports = &imports;
    return run_sweep(config, out, &opt);
}
