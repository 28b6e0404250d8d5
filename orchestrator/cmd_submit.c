// SPDX-License-Identifier: GPL-3.0-or-later
// Writes the batch script, shows it or hands it to sbatch. Nothing is overwritten, nothing is
// submitted without consent.
#include "core/file.h"
#include "orchestrator/capture.h"
#include "orchestrator/launch.h"
#include "orchestrator/submit.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const double MARGIN = 120; // s; Slurm may be half a minute late, trainers take 20 s
static const double ANSWER = 120; // s for sbatch

struct todo {
    const char *script;
    int dry_run, yes, force;
};

static bool same_content(const char *path, const char *text)
{
    size_t n = strlen(text);
    char *was = malloc(n + 2);
    FILE *f = fopen(path, "re");
    bool same = was && f && fread(was, 1, n + 1, f) == n && memcmp(was, text, n) == 0;
    if (f)
        fclose(f);
    free(was);
    return same;
}

static enum err write_new(const struct todo *t, const char *path, const char *text)
{
    if (access(path, F_OK) == 0 && same_content(path, text))
        return OK;
    TRY(cmd_new_file("submit", "--script", path, t->force));
    if (t->force)
        return file_replace(path, text, strlen(text));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    ENSURE(fd >= 0, ERR_INPUT, "submit: %s: %s", path, strerror(errno));
    enum err e = file_write(fd, path, text, strlen(text));
    close(fd);
    if (e != OK)
        unlink(path);
    return e;
}

static bool consent(const struct todo *t, const char *path)
{
    char answer[16] = "";
    if (t->yes)
        return true;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return false;
    fprintf(stderr, "Submit %s now? [y/N] ", path);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static enum err hand_over(const char *path)
{
    char job[256], whole[PATH_MAX];
    int code = 0;
    ENSURE(realpath(path, whole), ERR_FAILED, "submit: %s: %s", path, strerror(errno));
    const char *argv[] = {"sbatch", "--parsable", whole, NULL};
    if (capture(argv, ANSWER, 0, job, sizeof job, &code) != OK)
        return err_prefix(ERR_FAILED, "submit: the script is written, but not submitted");
    ENSURE(code == 0, ERR_FAILED, "submit: sbatch refused %s (exit code %d), see above", path,
           code);
    job[strcspn(job, ";\n")] = '\0';
    printf("%s\n", job);
    fprintf(stderr, "submit: %s is job %s\n", path, job);
    return OK;
}

static enum err deal(const struct todo *t, const struct submit_options *opt, const char *text)
{
    char path[PATH_MAX];
    if (t->dry_run) {
        ENSURE(fputs(text, stdout) >= 0 && fflush(stdout) == 0, ERR_FAILED,
               "cannot write to standard output: %s", strerror(errno));
        return OK;
    }
    if (t->script) {
        snprintf(path, sizeof path, "%s", t->script);
    } else {
        TRY(launch_default_out(opt->config, path, sizeof path - 8));
        strcat(path, ".sbatch");
    }
    TRY(write_new(t, path, text));
    if (consent(t, path))
        return hand_over(path);
    fprintf(stderr, "submit: wrote %s; not submitted: look at it, then `sbatch %s`, or --yes\n",
            path, path);
    return OK;
}

static enum err per_node(double workers, double gpus, struct submit_options *opt)
{
    TRY(cmd_whole("submit", "--gpus", gpus, 4096, &opt->gpus));
    TRY(cmd_whole("submit", "--workers", workers > 0 ? workers : gpus, 4096, &opt->workers));
    ENSURE(opt->workers > 0, ERR_INPUT,
           "submit: expected --workers W or --gpus G: trainings at a time on each node");
    ENSURE(!opt->gpus || opt->gpus == opt->workers, ERR_INPUT,
           "submit: --workers %d with --gpus %d: expected one worker a GPU", opt->workers,
           opt->gpus);
    return OK;
}

enum err cmd_submit(int argc, char **argv)
{
    struct cmd_list more = {0};
    struct submit_options opt = {.margin = MARGIN, .more = &more};
    struct todo t = {0};
    double nodes = 1, workers = 0, gpus = 0;
    char *text = NULL;
    const struct cmd_option options[] = {{"SWEEP.cfg", .text = &opt.config, .required = 1},
                                         {"--out", .text = &opt.out},
                                         {"--nodes", .number = &nodes},
                                         {"--workers", .number = &workers},
                                         {"--gpus", .number = &gpus},
                                         {"--time", .text = &opt.time},
                                         {"--account", .text = &opt.account},
                                         {"--partition", .text = &opt.partition},
                                         {"--sbatch", .list = &more},
                                         {"--margin", .number = &opt.margin},
                                         {"--mpirun", .text = &opt.mpirun},
                                         {"--template", .text = &opt.template},
                                         {"--script", .text = &t.script},
                                         {"--dry-run", .flag = &t.dry_run},
                                         {"--yes", .flag = &t.yes},
                                         {"--force", .flag = &t.force},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    TRY(cmd_whole("submit", "--nodes", nodes, 100000, &opt.nodes));
    TRY(per_node(workers, gpus, &opt));
    TRY(submit_script(&opt, &text));
    enum err e = deal(&t, &opt, text);
    free(text);
    return e;
}
