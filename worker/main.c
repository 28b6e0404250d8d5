// SPDX-License-Identifier: Apache-2.0
// moetrain: trains one model from a job file and prints protocol lines; takes checkpoints to
// and from the format of Hugging Face transformers. Exit codes: core/err.h.
#include "core/job.h"
#include "core/json.h"
#include "kernels/gemm.h"
#include "kernels/gemm_bf16.h"
#include "kernels/ops.h"
#include "worker/export.h"
#include "worker/import.h"
#include "worker/machine.h"
#include "worker/train.h"
#include "worker/upcycle.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void print_help(FILE *f)
{
    fputs("usage: moetrain JOB.json   train the model that the job describes (- reads standard "
          "input)\n"
          "       moetrain --probe    what this machine and build offer, as JSON\n"
          "       moetrain export CHECKPOINT FOLDER   a checkpoint for transformers\n"
          "       moetrain import FOLDER CHECKPOINT_FOLDER   and back\n"
          "       moetrain --version\n"
          "       moetrain --help\n"
          "\n"
          "Prints one JSON object a line: hello, progress, val, checkpoint, result. Everything "
          "else goes\n"
          "to standard error. SIGTERM and SIGINT finish the step, write a checkpoint if the "
          "job names a\n"
          "folder for it, and end with status \"stopped\".\n"
          "Exit codes: 0 a result was printed, diverged, oom and pruned included; 1 the "
          "program or the "
          "machine\n"
          "failed; 2 the job is wrong; 3 stopped early, the same command continues.\n"
          "The job file, the lines and every default: docs/trainer-protocol.md.\n",
          f);
}

// The sub-commands that turn one thing into another.
static const struct command {
    const char *name, *from, *to, *help;
    enum err (*run)(const char *from, const char *to);
} commands[] = {
    {"export", "CHECKPOINT", "FOLDER",
     "Writes a checkpoint (the file, or the folder that holds it) into FOLDER, which must be\n"
     "empty or not there yet, as model.safetensors and config.json, and for byte text\n"
     "symbols.json. Hugging Face transformers loads it with a stock class:\n"
     "AutoModelForCausalLM.from_pretrained(FOLDER). A model that no stock class expresses is\n"
     "refused with the reason. Which does what, and why: docs/checkpoints.md.\n",
     export_run},
    {"import", "FOLDER", "CHECKPOINT_FOLDER",
     "Reads what export wrote, or what transformers' save_pretrained wrote for one of the "
     "same\n"
     "classes (float32, float16 or bfloat16, one file), into CHECKPOINT_FOLDER/checkpoint. "
     "That\n"
     "folder must be empty or not there yet. What is ours comes back bit for bit.\n"
     "Which classes, and what is refused: docs/checkpoints.md.\n",
     import_run},
};

static int run_command(const struct command *c, int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[2], "--help") == 0) {
        printf(
            "usage: moetrain %s %s %s\n\n%s"
            "Exit codes: 0 done; 1 the program or the machine failed; 2 the input is wrong.\n",
            c->name, c->from, c->to, c->help);
        return OK;
    }
    if (argc != 4) {
        fprintf(stderr, "moetrain: %s: expected %s %s\n", c->name, c->from, c->to);
        return ERR_INPUT;
    }
    enum err e = c->run(argv[2], argv[3]);
    if (e == OK && fflush(stdout) != 0)
        e = err_set(ERR_FAILED, "standard output: %s", strerror(errno));
    if (e != OK)
        fprintf(stderr, "moetrain: %s: %s\n", c->name, err_message());
    return (int)e;
}

// Protocol lines get standard output for themselves: whatever a library prints there goes to
// stderr.
static enum err take_stdout(FILE **out)
{
    int fd = dup(STDOUT_FILENO);
    ENSURE(fd >= 0 && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0, ERR_FAILED,
           "standard output: %s", strerror(errno));
    *out = fdopen(fd, "w");
    ENSURE(*out, ERR_FAILED, "standard output: %s", strerror(errno));
    return OK;
}

static enum err train_file(const char *path, FILE *out)
{
    bool from_stdin = strcmp(path, "-") == 0;
    json_t *text = NULL;
    struct job job = {0};
    TRY(json_read_file(from_stdin ? "/dev/stdin" : path, &text));
    enum err e = job_from_json(text, from_stdin ? "standard input" : path, &job);
    json_decref(text);
    if (e == OK) {
        e = upcycle_identify(&job);
        if (e == OK && !job.id[0])
            job_set_id(&job);
        if (e == OK)
            e = train_run(&job, out);
        if (e == ERR_INPUT)
            err_prefix(e, "%s", from_stdin ? "standard input" : path);
        job_free(&job);
    }
    return e;
}

static enum err print_probe(void)
{
    json_t *probe = machine_probe(gemm_backend(), gemm_amx_why(), ops_cuda_probe());
    ENSURE(probe, ERR_FAILED, "out of memory");
    int rc = json_dumpf(probe, stdout, JSON_INDENT(2));
    json_decref(probe);
    ENSURE(rc == 0 && putchar('\n') != EOF && fflush(stdout) == 0, ERR_FAILED,
           "standard output: %s", strerror(errno));
    return OK;
}

static enum err run(const char *arg)
{
    if (strcmp(arg, "--probe") == 0)
        return print_probe();
    FILE *out;
    train_block_signals();
    machine_flush_subnormals();
    TRY(take_stdout(&out));
    enum err e = train_file(arg, out);
    fclose(out);
    return e;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_help(stdout);
        return OK;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("moetrain " MOESWEEP_VERSION);
        return OK;
    }
    for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return run_command(&commands[i], argc, argv);
    bool known =
        argc == 2 && (argv[1][0] != '-' || argv[1][1] == 0 || strcmp(argv[1], "--probe") == 0);
    if (!known) {
        fprintf(stderr, "moetrain: expected one job file, export, import, "
                        "--probe, --version or --help\n");
        return ERR_INPUT;
    }
    enum err e = run(argv[1]);
    if (e != OK && e != ERR_STOPPED)
        fprintf(stderr, "moetrain: %s\n", err_message());
    return (int)e;
}
