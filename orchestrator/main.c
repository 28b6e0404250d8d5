// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/fit.h"
#include "orchestrator/cmd.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct command {
    const char *name, *arguments, *what, *help;
    enum err (*run)(int argc, char **argv); // NULL: comes with a later version
};

static const struct command commands[] = {
    {"arch", "--set NAME=VALUE,.. | --triad M=..,x=..,y=..[,d=..] [--set ..]",
     "counts of an architecture, or the integer structure nearest to a triad",
     "  --set NAME=VALUE,..     structural dimensions (L_d L_m d d_qkv d_d d_m N_q N_kv S N_e "
     "K n_shared V);\n"
     "                          defaults: d_d = 3 d, N_kv = N_q/2, n_shared = 1, V = 0 (not "
     "counted)\n"
     "  --triad NAME=VALUE,..   M (FLOPs per token), x = M/N_a, y = N/N_a, and d (the median "
     "feasible one\n"
     "                          if absent); also N_a, N, r, G, s, z, g. Unless set, S = 8192, "
     "K = 8 and\n"
     "                          N_e = 288 as in the holistic paper; d_qkv and N_q must be set\n"
     "  --free NAME=LO:HI:STEP,..  the dimensions that may move; default those of L_d, L_m, "
     "d_m and d that\n"
     "                          are not set\n"
     "  --batch-tokens N        for the memory of activations; default one sequence\n"
     "  --tied                  unembedding = embedding\n"
     "  --json                  one JSON document\n",
     cmd_arch},
    {"plan", "SWEEP.cfg", "what a sweep would run, take and cost, with intervals",
     "  --workers N             for the predicted time; default: the cores of this machine\n"
     "  --rate FLOPS            executed FLOP/s of one worker; default: a stated guess\n"
     "  --calibrate[=SECONDS]   runs short pieces of its jobs on this machine for so long "
     "(30), and "
     "plans\n"
     "                          from their speed; elsewhere than in the sweep's directory\n"
     "  --price P               of a worker's hour, in place of the configuration's\n"
     "  --out DIR               where the sweep would go: is there room? Default: here\n"
     "  --extend DIR            as an extension of the sweep in DIR: what is left to train\n"
     "  --import DIR            with the results of the sweep in DIR; may repeat\n"
     "  --gpu-memory GB         names the runs that do not fit one GPU of so many 1e9 bytes\n"
     "  --json                  one JSON document\n",
     cmd_plan},
    {"simulate", "SWEEP.cfg --truth FILE | --jobs N",
     "a sweep on simulated workers and a known loss surface",
     "  --truth FILE            the surface (docs/simulate.md): the sweep is steered as `run` "
     "would\n"
     "  --sweeps N              so many with other noise: how often do intervals hold what is "
     "planted?\n"
     "  --jobs N                instead, N jobs drawn from the sweep's plan, all known at "
     "once\n"
     "  --workers N             default: the cores of this machine\n"
     "  --rate FLOPS            executed FLOP/s of one worker; default: a stated guess\n"
     "  --spread S              sd of the logarithm of times about their prediction; default "
     "0.15\n"
     "  --mtbf SECONDS          between deaths of some worker; default: none\n"
     "  --repair SECONDS        until a dead worker is back; default 60\n"
     "  --service SECONDS       of the manager for one message; default 2e-5\n"
     "  --speeds A,B,..         of the workers, in turn; with --jobs also what not knowing "
     "them "
     "would cost\n"
     "  --seed N                default 1\n"
     "  --json                  one JSON document\n",
     cmd_simulate},
    {"run", "SWEEP.cfg --out DIR",
     "runs a sweep under mpirun, or resumes what DIR's journal holds",
     "  mpirun -np P moesweep run SWEEP.cfg --out DIR: rank 0 manages, P - 1 ranks supervise "
     "trainers\n"
     "  --out DIR               journal, law.json, architecture.json, report.html\n"
     "  --time-limit SECONDS    drain to a resumable state after so long (exit code 3)\n"
     "  --progress MODE         auto, block, lines or none; default auto\n"
     "  --silence SECONDS       a worker without a sign of life for so long is lost; default "
     "60\n"
     "  --extend                DIR's sweep goes on with more scales, seeds, values or "
     "phases;\n"
     "                          what is trained already is not trained again "
     "(docs/extend.md)\n"
     "  --import DIR            takes over results of the same jobs in another sweep; may "
     "repeat\n"
     "  --allow-mixed           resume or import although build or instruction set differ; "
     "such\n"
     "                          results are marked\n"
     "  --tell FILE             where rank 0 says its process and exit code, for moesweep "
     "launch\n"
     "  SIGINT, SIGTERM and SIGUSR1 drain: trainers write checkpoints, the same command "
     "resumes\n",
     cmd_run},
    {"launch", "SWEEP.cfg [-n P] [--out DIR]",
     "mpirun moesweep run with the right flags, again when the manager dies",
     "  -n P                    ranks: one manages, P - 1 train; default: the tasks of the "
     "Slurm job,\n"
     "                          else the processors of this machine, and one\n"
     "  --out DIR               default: the configuration's name without .cfg\n"
     "  --mpirun COMMAND        in place of mpirun, with words of your own\n"
     "  --restarts N            after so many deaths in a row without a new result it gives "
     "up; default 5\n"
     "  --margin SECONDS        drains so long before the Slurm job's time limit; default 90\n"
     "  --requeue               then queues the job again, unless this run got nowhere\n"
     "  --time-limit, --silence, --progress, --extend, --import, --allow-mixed   as moesweep "
     "run has\n"
     "                          them\n"
     "  SIGINT, SIGTERM, SIGHUP and SIGUSR1 drain; a second one stops at once\n",
     cmd_launch},
    {"status", "DIR", "how a sweep stands, from its directory alone",
     "  --watch                 again every second, until it has ended; in place on a "
     "terminal\n"
     "  --json                  one JSON document\n",
     cmd_status},
    {"replay", "DIR [--speed X]",
     "the sweep once more, from its journal, as status --watch shows it",
     "  --speed X               seconds of the sweep a second, 0: as fast as possible; default "
     "60\n"
     "  --json                  one JSON document, of the end\n",
     cmd_replay},
    {"report", "DIR | --compare A B [--out FILE.html]",
     "writes DIR/report.html (and law.json, architecture.json) anew; or sets two sweeps side "
     "by "
     "side",
     "  --compare A B           two directories: what was asked differently, optima and laws "
     "and "
     "whether\n"
     "                          they agree, losses of what both trained, cost\n"
     "  --out FILE.html         that as a page too\n"
     "  --force                 write over what --out names\n"
     "  --json                  that as one JSON document\n",
     cmd_report},
    {"export", "DIR --csv OUT | --jsonl OUT | --curves OUT",
     "all results, or learning curves, as a table (OUT: a file, or - for standard output)",
     "  --csv OUT               a line a job; an existing file is not overwritten\n"
     "  --jsonl OUT             the same as JSON Lines\n"
     "  --curves OUT            a line a point of a learning curve, for moesweep curve\n",
     cmd_export},
    {"journal", "check|dump|repair DIR [--dry-run]",
     "whether a journal is intact; its records as JSON Lines; what is intact saved",
     "  check                   counts its records; a damaged one is named with line and byte, "
     "exit code 2\n"
     "  dump                    every record up to a damaged one, one JSON object a line\n"
     "  repair                  keeps every intact record that follows from those before it, "
     "says "
     "what is\n"
     "                          dropped and which jobs are trained again; the damaged file "
     "stays "
     "as\n"
     "                          journal.damaged-1, -2, ..; on the machine that ran the sweep\n"
     "  --dry-run               says it, writes nothing\n",
     cmd_journal},
    {"recommend", "DIR|LAW.json [--compute C] [constraints] [outputs]",
     "a complete architecture for a budget, within constraints, and what each of them costs",
     "  DIR|LAW.json            a sweep's directory or its law.json, or a law of moesweep fit\n"
     "  --compute C             training FLOPs; default: the budget of the sweep's "
     "configuration\n"
     "constraints\n"
     "  --max-total-params N    --max-active-params N    --max-expansion Y (N/N_a)\n"
     "  --max-inference-flops F a token's forward pass, M/3\n"
     "  --memory BYTES          a GPU, of --gpus G (default 1): 18 bytes a parameter, evenly "
     "spread\n"
     "  --multiple NAME=n,..    dimensions in multiples; --gpu: d, d_d and d_m in multiples of "
     "128\n"
     "  --experts RULE          N_e: pow2, divisor:G, or divisor (of --gpus)\n"
     "  --set NAME=VALUE,..     dimensions as they must be (V: the vocabulary)\n"
     "  --free NAME=LO:HI:STEP,..  dimensions that may move\n"
     "  --model NAME=VALUE,..   router=softmax|sigmoid_bias, norm_topk, qk_norm, "
     "tied=true|false,\n"
     "                          rope_base\n"
     "with a law of moesweep fit\n"
     "  --map VARIABLE=EXPR,..  what its variables are of an architecture (E=N_e/K, X1=d, ..)\n"
     "  --extrapolate           proportions beyond the data and conventions\n"
     "  --scores                attention scores count in C: D = C/M instead of C/(6 N_a)\n"
     "outputs\n"
     "  --tolerance T           of the near-optimal bands; default 0.001, or a sweep's own\n"
     "  --hf FILE               config.json of the stock transformers class\n"
     "  --megatron FILE         Megatron-LM arguments, one a line (-: standard output)\n"
     "  --force                 write over what --hf and --megatron name\n"
     "  --json                  one JSON document (as architecture.json)\n",
     cmd_recommend},
    {"why", "DIR JOB", "which decisions led to a job, and which used it",
     "  JOB                     a job's id, or the first digits of it\n", cmd_why},
    {"fit", "DATA --law NAME [--map 'N=params,D=flops/(6*params),loss=final_loss'] ..",
     "fits a law to a table of anyone's runs, with intervals",
     "  DATA                    CSV with a header, or JSON Lines; - for standard input\n"
     "  --law NAME              one of moesweep fit --list\n"
     "  --map NAME=EXPR,..      variables and loss from columns: + - * / ^, parentheses, ln "
     "log2\n"
     "                          log10 exp sqrt, \"quoted names\"; default: columns of that "
     "name\n"
     "  --where 'EXPR = VALUE'  only such rows (= != < <= > >=); may repeat\n"
     "  --bootstrap B           resamples for the intervals, 0 or at least 40; default 200\n"
     "  --boot KIND             cases, residuals or scales (of compute); default cases\n"
     "  --objective KIND        huber (in ln loss), log, plain or asymmetric; default huber\n"
     "  --corner R              of huber; default 0.001\n"
     "  --seed S, --threads N   same seed, same intervals, whatever the threads\n"
     "  --profile A,B|exponents  profile intervals of these parameters too\n"
     "  --plot FILE.svg         data against the law, and residuals by variable\n"
     "  --save LAW.json         for moesweep predict\n"
     "  --force                 write over what --plot and --save name\n"
     "  --next N=..,D=..        which runs would sharpen the prediction there most per FLOP;\n"
     "  --budget C              and what they may cost together\n"
     "  --json                  one JSON document\n"
     "  moesweep fit --list     all laws with their formulas\n"
     "  moesweep fit --demo     a published data set, about a second\n",
     cmd_fit},
    {"predict", "LAW.json --at N=..,D=.. | --compute C",
     "evaluates a fitted law, with intervals, and says where it extrapolates",
     "  LAW.json                written by moesweep fit --save\n"
     "  --at NAME=VALUE,..      a value for each of the law's variables\n"
     "  --compute C             the best size and tokens for C = 6 N D training FLOPs; --at "
     "then\n"
     "                          gives what else the law depends on\n"
     "  --json                  one JSON document\n",
     cmd_predict},
    {"analyze", "LAW.json | DATA --law NAME [--map ..] [--where ..] [--at N=..,..] ..",
     "what a law says: effects, optima, budgets, against dense models, claims of papers",
     "  LAW.json                written by moesweep fit --save; or\n"
     "  DATA --law NAME         a table: the law is fitted first, as moesweep fit does; --map, "
     "--where,\n"
     "                          --objective, --bootstrap and --seed as there. Raw minima and "
     "the test of\n"
     "                          the five-factor law's claim need the table\n"
     "  --at NAME=VALUE,..      where the other variables are held; default: the middle of the "
     "data\n"
     "  --compute C,..          budgets; default: over the data's range and ten times beyond\n"
     "  --tolerance T           of the ranges around optima, relative; default 0.001\n"
     "  --plot FILE.svg         the law along each variable, with intervals and optima\n"
     "  --force                 write over what --plot names\n"
     "  --json                  one JSON document\n",
     cmd_analyze},
    {"curve", "CURVES [--part S] [--law LAW.json] [--run NAME] ..",
     "final losses from the first part of learning curves; curves against a law",
     "  CURVES                  a line a point: run, D (tokens so far), loss, D_end (of the "
     "whole "
     "run),\n"
     "                          final (empty: not ended), C; moesweep export DIR --curves "
     "CURVES\n"
     "  --part S                the share of a run's tokens that is looked at; default 0.5\n"
     "  --law LAW.json          a law of D: its other variables are columns too\n"
     "  --map NAME=EXPR,..      as moesweep fit has it; run must be a column\n"
     "  --run NAME              this run's prediction, whether it has ended or not\n"
     "  --plot FILE.svg         predicted against final losses, curves over the law, the run\n"
     "  --force                 write over what --plot names\n"
     "  --json                  one JSON document\n",
     cmd_curve},
    {"compare", "DATA --laws A,B,.. [--map ..] [--where ..] [--holdout ..]",
     "compares laws on the same rows by held-out error and AICc",
     "  DATA, --map, --where, --objective, --threads   as moesweep fit has them\n"
     "  --holdout largest:F     the share F of rows with the largest compute; default "
     "largest:.1\n"
     "  --holdout scales        each scale of compute in turn\n"
     "  --holdout 'EXPR = VALUE'  the rows that it takes, as --where\n"
     "  --isoflop C             also what isoFLOP parabolas say of C, and how biased they are "
     "here\n"
     "  --json                  one JSON document\n",
     cmd_compare},
    {"submit", "SWEEP.cfg --workers W | --gpus G ..",
     "a Slurm batch script that survives its time limit, and sbatch",
     "  --nodes N               default 1\n"
     "  --workers W             trainings at a time on each node, `threads` processors each\n"
     "  --gpus G                GPUs of each node, a worker for each\n"
     "  --out DIR               default: the configuration's name without .cfg\n"
     "  --time LIMIT            as sbatch takes it: MINUTES, H:MM:SS, D-HH:MM:SS\n"
     "  --account A, --partition P, --sbatch=--OPTION[=VALUE]   for sbatch; the last may "
     "repeat\n"
     "  --margin SECONDS        drains so long before the limit and queues the job again; "
     "default 120\n"
     "  --mpirun COMMAND        as moesweep launch has it\n"
     "  --template FILE         in place of slurm/moesweep.sbatch\n"
     "  --script FILE           where it is written; default: the configuration's name with "
     ".sbatch\n"
     "  --dry-run               prints it, writes nothing\n"
     "  --yes                   submits it without asking; the job's number goes to stdout\n"
     "  --force                 write over a script that is there\n",
     cmd_submit},
    {"doctor", "[--out DIR] [--trainer COMMAND]",
     "what this machine, allocation or trainer offers, and what is wrong",
     "  mpirun -np P moesweep doctor --out DIR   in an allocation: ranks, GPUs, folder on all "
     "nodes\n"
     "  --out DIR               the folder of results that is looked at; default: this one\n"
     "  --mpirun COMMAND        in place of mpirun\n"
     "  --trainer COMMAND       instead: holds a trainer of your own against the protocol\n"
     "                          ({job} stands for the job file, as in `trainer`)\n"
     "  --json                  one JSON document\n"
     "  exit code 1 if something is bad\n",
     cmd_doctor},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void usage(FILE *f)
{
    fprintf(
        f,
        "moesweep %s: plans, runs and reads sweeps over Mixture-of-Experts architectures\n\n",
        MOESWEEP_VERSION);
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(f, "  moesweep %-10s %s%s\n", commands[i].name, commands[i].what,
                commands[i].run ? "" : " (a later version)");
    fputs("\n  moesweep COMMAND --help    arguments of a command\n"
          "  moesweep --version\n\n"
          "exit codes: 0 done, 1 failure, 2 wrong input, 3 stopped early but resumable\n",
          f);
}

static int run_command(const struct command *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            printf("moesweep %s %s\n%s.\n\n%s", c->name, c->arguments, c->what, c->help);
            return OK;
        }
    if (!c->run) {
        fprintf(stderr, "moesweep %s: not in this version (%s); it comes with a later one\n",
                c->name, MOESWEEP_VERSION);
        return ERR_INPUT;
    }
    fit_init();
    enum err e = c->run(argc, argv);
    if (e != OK && err_message()[0])
        fprintf(stderr, "moesweep: %s\n", err_message());
    return (int)e;
}

// Files that are opened later must not become standard input or output, ours or a trainer's.
static void open_standard_files(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    open_standard_files();
    if (argc < 2) {
        usage(stderr);
        return ERR_INPUT;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("moesweep %s\n", MOESWEEP_VERSION);
        return OK;
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return run_command(&commands[i], argc - 1, argv + 1);
    fprintf(stderr, "moesweep: '%s' is no command (moesweep --help lists them)\n", argv[1]);
    return ERR_INPUT;
}
