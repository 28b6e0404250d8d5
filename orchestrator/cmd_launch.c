// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/cmd.h"
#include "orchestrator/launch.h"
#include <math.h>

enum err cmd_launch(int argc, char **argv)
{
    struct launch_options opt = {0};
    double ranks = 0, restarts = 5;
    int mixed = 0, extend = 0, requeue = 0;
    struct cmd_list imports = {0};
    const struct cmd_option options[] = {{"SWEEP.cfg", .text = &opt.config, .required = 1},
                                         {"--out", .text = &opt.out},
                                         {"-n", .number = &ranks},
                                         {"--mpirun", .text = &opt.mpirun},
                                         {"--restarts", .number = &restarts},
                                         {"--margin", .number = &opt.margin},
                                         {"--time-limit", .number = &opt.time_limit},
                                         {"--silence", .number = &opt.silence},
                                         {"--progress", .text = &opt.progress},
                                         {"--allow-mixed", .flag = &mixed},
                                         {"--extend", .flag = &extend},
                                         {"--import", .list = &imports},
                                         {"--requeue", .flag = &requeue},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    TRY(cmd_whole("launch", "-n", ranks, 100000, &opt.ranks));
    TRY(cmd_whole("launch", "--restarts", restarts, 1000, &opt.restarts));
    ENSURE(ranks == 0 || ranks >= 2, ERR_INPUT,
           "launch: -n: expected 2 or more ranks (one manages, the others train), found %d",
           opt.ranks);
    opt.allow_mixed = mixed;
    opt.extend = extend;
    opt.imports = &imports;
    opt.requeue = requeue;
    return launch_sweep(&opt);
}
