// SPDX-License-Identifier: GPL-3.0-or-later
// The fault campaign: many small sweeps, each disturbed in one way at moments that follow from
// the seed; each has to end with every job exactly once and with the undisturbed sweep's law.
// docs/development.md.
#include "core/err.h"
#include "tests/faults/chance.h"
#include "tests/faults/kinds.h"
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// s on an idle machine
static const double START_UP = 2, SILENCE = 2.5;
enum { PARALLEL_MOST = 64, SKIPPED = 77, MISSED = 78, TRIES = 3 };

struct options {
    const char *bin, *source, *library, *kind; // kind NULL: all
    int runs, jobs, only;                      // only < 0: all
    double seconds;                            // an undisturbed sweep's, about
    uint64_t seed;
    bool keep;          // folders of good runs too
    bool planted, real; // which trainings
};

struct tally {
    int runs, good, failed, skipped, struck, real;
    double seconds;
};

struct campaign {
    struct options o;
    char work[PATH_MAX - 256];
    struct setup planted, real;
    const char *why_not[64]; // by kind
    struct tally tallies[64];
    struct {
        pid_t pid;
        int number, tries;
        double began;
    } running[PARALLEL_MOST];
    int n_failed;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void remove_folder(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_folder(const char *path)
{
    if (mkdir(path, 0777) != 0) {
        fprintf(stderr, "campaign: %s: %s\n", path, strerror(errno));
        exit(1);
    }
}

// ---- the sweeps

static char *read_whole(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = calloc(1, 1 << 20);
    if (!f || !text || fread(text, 1, (1 << 20) - 1, f) == 0) {
        fprintf(stderr, "campaign: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    fclose(f);
    return text;
}

// tests/data/tiny.cfg as it is, and the trainer; and how it ends undisturbed.
static void set_up(struct campaign *c, struct setup *s, const char *name, const char *trainer,
                   int trainer_silence)
{
    char path[PATH_MAX], *text;
    struct run r = {.setup = s, .bin = c->o.bin, .net = -1, .uts = -1, .began = now()};
    s->name = name;
    s->workers = WORKERS;
    s->silence = 60;
    s->seconds = 60;
    snprintf(path, sizeof path, "%s/tests/data/tiny.cfg", c->o.source);
    text = read_whole(path);
    snprintf(s->config, sizeof s->config, "%s/%s.cfg", c->work, name);
    FILE *f = fopen(s->config, "we");
    if (!f ||
        fprintf(f, "%s\nretries = %d;\ntrainer_silence_s = %d;\ntrainer = \"%s\";\n", text,
                RETRIES, trainer_silence, trainer) < 0 ||
        fclose(f) != 0)
        exit(1);
    free(text);
    snprintf(r.dir, sizeof r.dir, "%s/%s", c->work, name);
    snprintf(r.out, sizeof r.out, "%.4000s/out", r.dir);
    snprintf(s->reference, sizeof s->reference, "%s", r.out);
    snprintf(path, sizeof path, "%.4000s/tmp", r.dir);
    make_folder(r.dir);
    make_folder(path);
    int code = sweep_wait(&r, sweep_start(&r, NULL));
    s->jobs = records(&r, "result");
    s->seconds = now() - r.began;
    // On a machine that is busy with others everybody is silent for longer.
    double slow = s->seconds / (c->o.seconds + START_UP);
    s->silence = SILENCE * fmax(1, slow);
    printf("%s: undisturbed: %d jobs, %d workers, %.1f s; silence %.1f s\n", name, s->jobs,
           s->workers, s->seconds, s->silence);
    if (code != 0 || s->jobs < 36) {
        fprintf(stderr, "campaign: the undisturbed sweep ended with code %d, see %s/log\n",
                code, r.dir);
        exit(1);
    }
}

static void set_up_all(struct campaign *c, bool real)
{
    char from[PATH_MAX], to[PATH_MAX], trainer[3 * PATH_MAX];
    snprintf(from, sizeof from, "%s/tests/data/tiny.txt", c->o.source);
    snprintf(to, sizeof to, "%s/tiny.txt", c->work);
    if (symlink(from, to) != 0)
        exit(1);
    // At 1e10 FLOPs; the 44 jobs have 9.1e11 FLOPs together, shared by the workers.
    snprintf(trainer, sizeof trainer,
             "%s/bad_trainer {job} %s/planted_trainer {job} %s/tests/data/truth_demo.json %.3f",
             c->o.bin, c->o.bin, c->o.source, c->o.seconds * WORKERS / 91);
    set_up(c, &c->planted, "planted", trainer, 4);
    snprintf(trainer, sizeof trainer, "%s/bad_trainer {job} %s/moetrain {job}", c->o.bin,
             c->o.bin);
    if (real)
        set_up(c, &c->real, "real", trainer, 60);
}

// ---- one run

// Kinds take turns; of the second round of each those that can train for real.
static int kind_of(const struct campaign *c, int number)
{
    for (int k = 0; c->o.kind && k < n_kinds; k++)
        if (strcmp(kinds[k].name, c->o.kind) == 0)
            return k;
    return number % n_kinds;
}

static bool is_real(const struct campaign *c, int number)
{
    return c->o.real && kinds[kind_of(c, number)].real && number / n_kinds == 1;
}

static bool wanted(const struct campaign *c, int number)
{
    return c->o.planted || is_real(c, number);
}

// In a process of its own, which everything below becomes a child of.
static int run(const struct campaign *c, int number, int tries)
{
    char path[PATH_MAX];
    const struct kind *kind = &kinds[kind_of(c, number)];
    struct run r = {
        .setup = is_real(c, number) ? &c->real : &c->planted,
        .bin = c->o.bin,
        .library = c->o.library,
        .net = -1,
        .uts = -1,
        .random = chance_mix(c->o.seed ^ chance_mix((uint64_t)number * 16 + (uint64_t)tries)),
        .began = now()};
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(r.dir, sizeof r.dir, "%s/run-%d", c->work, number);
    snprintf(r.out, sizeof r.out, "%.4000s/out", r.dir);
    snprintf(path, sizeof path, "%.4000s/tmp", r.dir);
    make_folder(r.dir);
    make_folder(path);
    snprintf(path, sizeof path, "%.4000s/report", r.dir);
    if (!freopen(path, "w", stdout))
        return 1;
    kind->run(&r);
    sweep_verify(&r);
    printf("    struck %d, launches %d, %.1f s\n", r.struck, r.launches, now() - r.began);
    fflush(stdout);
    return r.failures ? 1 : r.struck == 0 ? MISSED : 0;
}

static void start(struct campaign *c, int slot, int number, int tries)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(run(c, number, tries));
    c->running[slot].pid = pid;
    c->running[slot].number = number;
    c->running[slot].tries = tries;
    c->running[slot].began = now();
}

static void print_report(const char *dir)
{
    char path[PATH_MAX], line[1024];
    snprintf(path, sizeof path, "%.4000s/report", dir);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        fputs(line, stdout);
    if (f)
        fclose(f);
}

static int struck_in(const char *dir)
{
    char path[PATH_MAX], line[1024];
    int n = 0;
    snprintf(path, sizeof path, "%.4000s/report", dir);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "    struck %d,", &n);
    if (f)
        fclose(f);
    return n;
}

// A run has ended; true if it has to be tried again because the sweep was over before the
// fault.
static bool take(struct campaign *c, int slot, int status)
{
    char dir[PATH_MAX];
    int number = c->running[slot].number, k = kind_of(c, number);
    struct tally *t = &c->tallies[k];
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    snprintf(dir, sizeof dir, "%s/run-%d", c->work, number);
    t->seconds += now() - c->running[slot].began;
    if (code == MISSED && c->running[slot].tries + 1 < TRIES) {
        remove_folder(dir);
        return true;
    }
    t->runs++;
    t->real += is_real(c, number);
    t->struck += struck_in(dir);
    if (code == 0) {
        t->good++;
        if (!c->o.keep)
            remove_folder(dir);
        return false;
    }
    t->failed++;
    c->n_failed++;
    printf("run %d (%s%s, seed %llu): %s; kept: %s\n", number, kinds[k].name,
           is_real(c, number) ? ", real" : "", (unsigned long long)c->o.seed,
           code == MISSED ? "the sweep was always over before the fault"
           : code == 1    ? "failed"
                          : "broke off",
           dir);
    print_report(dir);
    printf("    alone: campaign --seed %llu --seconds %g --only %d\n",
           (unsigned long long)c->o.seed, c->o.seconds, number);
    return false;
}

static void run_all(struct campaign *c)
{
    int next = c->o.only >= 0 ? c->o.only : 0, end = c->o.only >= 0 ? next + 1 : c->o.runs;
    int n_running = 0;
    while (next < end || n_running > 0) {
        for (int s = 0; s < c->o.jobs && next < end; s++) {
            int k = kind_of(c, next);
            if (c->running[s].pid != 0)
                continue;
            if (!wanted(c, next)) {
                // a part of the campaign
            } else if (c->why_not[k]) {
                c->tallies[k].skipped++;
            } else {
                start(c, s, next, 0);
                n_running++;
            }
            next++;
        }
        int status;
        pid_t pid = n_running > 0 ? wait(&status) : 0;
        for (int s = 0; s < c->o.jobs; s++) {
            if (pid <= 0 || c->running[s].pid != pid)
                continue;
            c->running[s].pid = 0;
            n_running--;
            if (take(c, s, status)) {
                start(c, s, c->running[s].number, c->running[s].tries + 1);
                n_running++;
            }
        }
    }
}

static void print_table(const struct campaign *c, double began)
{
    struct tally all = {0};
    printf("\n%-26s %5s %5s %5s %7s %6s %7s %8s\n", "kind", "runs", "good", "bad", "skipped",
           "real", "faults", "s a run");
    for (int k = 0; k < n_kinds; k++) {
        const struct tally *t = &c->tallies[k];
        if (t->runs + t->skipped == 0)
            continue;
        printf("%-26s %5d %5d %5d %7d %6d %7d %8.1f\n", kinds[k].name, t->runs, t->good,
               t->failed, t->skipped, t->real, t->struck, t->runs ? t->seconds / t->runs : 0);
        if (t->skipped)
            printf("    skipped: %s\n", c->why_not[k]);
        all.runs += t->runs;
        all.good += t->good;
        all.failed += t->failed;
        all.skipped += t->skipped;
        all.real += t->real;
        all.struck += t->struck;
    }
    printf("%-26s %5d %5d %5d %7d %6d %7d   %.0f s in all, seed %llu\n", "all", all.runs,
           all.good, all.failed, all.skipped, all.real, all.struck, now() - began,
           (unsigned long long)c->o.seed);
}

// ---- the command line

static int usage(void)
{
    fprintf(
        stderr,
        "usage: campaign --bin DIR --source DIR --library FILE [--runs N] [--seed S] [--jobs "
        "J] [--seconds T] [--kind NAME] [--only NUMBER] [--keep 1] [--trainer "
        "planted|moetrain]\n"
        "  --runs     27, one of each kind\n"
        "  --jobs     sweeps at a time: 8\n"
        "  --seconds  that an undisturbed sweep takes, about: 2\n"
        "  --trainer  only the runs that train with it; without, both\n"
        "  --keep 1   the folders of good runs stay, too\n"
        "Exit codes: 0 all good, 1 a run failed, 2 bad usage.\n");
    return 2;
}

static bool parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){.runs = n_kinds,
                          .jobs = 8,
                          .only = -1,
                          .seconds = 2,
                          .seed = 1,
                          .planted = true,
                          .real = true};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *key = argv[i], *value = argv[i + 1];
        if (strcmp(key, "--bin") == 0)
            o->bin = value;
        else if (strcmp(key, "--source") == 0)
            o->source = value;
        else if (strcmp(key, "--library") == 0)
            o->library = value;
        else if (strcmp(key, "--kind") == 0)
            o->kind = value;
        else if (strcmp(key, "--runs") == 0)
            o->runs = atoi(value);
        else if (strcmp(key, "--jobs") == 0)
            o->jobs = atoi(value);
        else if (strcmp(key, "--only") == 0)
            o->only = atoi(value);
        else if (strcmp(key, "--seconds") == 0)
            o->seconds = atof(value);
        else if (strcmp(key, "--trainer") == 0) {
            o->planted = strcmp(value, "moetrain") != 0;
            o->real = strcmp(value, "planted") != 0;
        } else if (strcmp(key, "--keep") == 0)
            o->keep = atoi(value) != 0;
        else if (strcmp(key, "--seed") == 0)
            o->seed = strtoull(value, NULL, 10);
        else
            return false;
    }
    return argc % 2 == 1 && o->bin && o->source && o->library && o->jobs > 0 &&
           o->jobs <= PARALLEL_MOST && o->seconds > 0;
}

int main(int argc, char **argv)
{
    static struct campaign c;
    double began = now();
    if (!parse(argc, argv, &c.o))
        return usage();
    setvbuf(stdout, NULL, _IOLBF, 0);
    setenv("OMP_NUM_THREADS", "1", 1);
    snprintf(c.work, sizeof c.work, "/tmp/moesweep-faults-XXXXXX");
    if (!mkdtemp(c.work)) {
        perror(c.work);
        return 1;
    }
    bool real = false;
    int last = c.o.only >= 0 ? c.o.only + 1 : c.o.runs;
    for (int i = c.o.only >= 0 ? c.o.only : 0; i < last; i++)
        real = real || is_real(&c, i);
    for (int k = 0; k < n_kinds; k++)
        c.why_not[k] = kinds[k].why_not ? kinds[k].why_not() : NULL;
    set_up_all(&c, real);
    run_all(&c);
    print_table(&c, began);
    if (c.n_failed == 0 && !c.o.keep)
        remove_folder(c.work);
    else
        printf("kept: %s\n", c.work);
    return c.n_failed ? 1 : 0;
}
