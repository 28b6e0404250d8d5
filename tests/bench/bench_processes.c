// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of bench_spawn: what starting processes costs alone, and the whole path with them.
#include "bench_dispatch.h"
#include "orchestrator/command.h"
#include "orchestrator/config.h"
#include "orchestrator/signals.h"
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// posix_spawn of the sweep's trainer, its lines read from a pipe to their end, waitpid.
static void one_child(const char *path, char **argv)
{
    char buf[4096];
    posix_spawn_file_actions_t acts;
    pid_t pid;
    int p[2];
    bench_check(pipe(p) == 0 ? OK : err_set(ERR_FAILED, "pipe"));
    posix_spawn_file_actions_init(&acts);
    posix_spawn_file_actions_adddup2(&acts, p[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&acts, p[0]);
    posix_spawn_file_actions_addclose(&acts, p[1]);
    bench_check(posix_spawn(&pid, path, &acts, NULL, argv, environ) == 0
                    ? OK
                    : err_set(ERR_FAILED, "posix_spawn %s", path));
    posix_spawn_file_actions_destroy(&acts);
    close(p[1]);
    while (read(p[0], buf, sizeof buf) > 0)
        ;
    close(p[0]);
    waitpid(pid, NULL, 0);
}

static double spawn_alone(struct bench *b)
{
    struct sweep cfg;
    char path[PATH_MAX], **argv;
    long done = 0, all = 0;
    bench_check(config_load(b->config, &cfg));
    bench_check(command_split(cfg.trainer, "", 1, &argv));
    bench_check(command_find(argv[0], path, sizeof path));
    config_free(&cfg);
    bench_meet(b);
    double spent = bench_processor_time(), began = signals_clock();
    for (; b->rank > 0 && signals_clock() - began < b->seconds; done++)
        one_child(path, argv);
    free(argv);
    bench_meet(b);
    MPI_Reduce(&done, &all, 1, MPI_LONG, MPI_SUM, 0, b->raw);
    bench_cost(b, (double)all, spent);
    return (double)all / b->seconds;
}

const struct bench_part bench_parts[] = {
    {"posix_spawn alone", spawn_alone},
    {"the whole path, processes", bench_whole},
};
const int bench_n_parts = sizeof bench_parts / sizeof *bench_parts;
