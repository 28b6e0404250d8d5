// SPDX-License-Identifier: GPL-3.0-or-later
// A sweep as the user wrote it: read, typed, range-checked and resolved once. libconfig is
// included in config_tree.c alone. Every key is documented in docs/configuration.md, which a
// test holds against the reader. (config_load, not config_read: libconfig exports a function of
// that name.)
#ifndef ORCHESTRATOR_CONFIG_H
#define ORCHESTRATOR_CONFIG_H
#include "core/job.h"
#include "core/solve.h"
#include "fit/curve.h"

#define CONFIG_NAME 32
#define CONFIG_MAX_SCALES 16
#define CONFIG_MAX_PHASES 16
#define CONFIG_MAX_AXES 4
#define CONFIG_MAX_POINTS 64
#define CONFIG_MAX_SEEDS 16
#define CONFIG_MAX_SETTINGS (N_DIMS + N_COORDS)

// A number, or a power rule: value (C/at)^exponent N^N_exp D^D_exp in the scale's compute, a
// structure's total parameters and its training tokens; or steps in C.
struct rule {
    double value, at, exponent; // at = 0: constant in C
    double N_exp, D_exp;        // 0 but in rules for lr and batch_tokens
    int n_steps;                // steps: values[i] where C < breaks[i], last otherwise
    double breaks[8], values[9];
};
// Of a rule in C alone; NaN for one that needs N or D.
double rule_at(const struct rule *r, double C);
// Of any rule: what a run of a structure with N total parameters on D tokens at scale C takes.
double rule_at_run(const struct rule *r, double C, double N, double D);

// What an axis moves: a coordinate, a dimension, or a training hyper-parameter.
enum var_kind { VAR_COORD, VAR_DIM, VAR_LR, VAR_BATCH, VAR_D_FRACTION };
struct var {
    enum var_kind kind;
    int index;     // enum coord or enum arch_dim
    char name[16]; // as written: "M", "x", "N_e", "lr", "d"
};

// What may stand as an axis or a setting: a coordinate, a dimension other than V, lr or
// batch_tokens; false for an unknown name.
bool var_find(const char *name, struct var *out);

enum axis_source {
    AXIS_VALUES,   // values = [..]: absolute
    AXIS_AROUND,   // around = "adopted" or a rule: center factor^(i - (points - 1)/2)
    AXIS_FRACTIONS // d alone: places in the feasible list of d, 0 narrowest, 1 widest
};
struct axis {
    struct var var;
    enum axis_source source;
    int n;
    double values[CONFIG_MAX_POINTS];
    bool around_adopted;
    struct rule center;
    double factor;
};

struct fit_spec {
    int axis; // index into the phase's axes
    enum curve_form form;
    int grow;   // points that may be added at an edge, at most
    bool adopt; // the optimum becomes the scale's value
};

struct setting { // set = { x = 6.8; N_e = 16; } of a phase or of start
    struct var var;
    struct rule rule;
};

// Runs of the phase end at a share `at` of their steps if their training loss there is above
// (1 + margin) times that of the best run of the phases before (docs/method.md).
struct early_stop {
    int n; // 0: off
    double at[JOB_MAX_STOPS];
    double margin;
};

enum phase_analysis { ANALYSIS_NONE, ANALYSIS_RANK, ANALYSIS_FAIRNESS };
struct phase {
    char name[CONFIG_NAME];
    int n_axes, n_fits, n_scales, n_after, n_set;
    struct axis axes[CONFIG_MAX_AXES];
    struct fit_spec fits[CONFIG_MAX_AXES];
    double scales[CONFIG_MAX_SCALES]; // subset of the sweep's
    int after[CONFIG_MAX_PHASES];     // phases that must be decided first (at the same scale)
    struct setting set[CONFIG_MAX_SETTINGS]; // overrides for this phase alone
    int seeds;                               // replicates, seeds 1..seeds
    int rounds; // iterate: repeat at most so often while the law moves
    enum phase_analysis analysis;
    struct early_stop stop;
};

// Runs of other programs, from a table: for the start value of the variable of one phase's
// first fit, or as further points of that fit.
enum prior_use { PRIOR_START, PRIOR_FIT };
struct prior_run {
    double C, t, loss;
    int group; // runs that share everything but t, numbered from 0
    long line; // in the table
};
struct prior {
    char table[JOB_PATH_MAX], map[1024], phase[CONFIG_NAME];
    uint64_t hash; // of the table's content
    enum prior_use use;
    int n;
    struct prior_run *run; // owned; in the table's order
};
// Do two runs have the same compute? D is rounded where people write tables.
bool prior_same_scale(double C, double D);

struct sweep {
    char name[CONFIG_NAME];
    char question[512];      // what the sweep answers
    char path[JOB_PATH_MAX]; // of the configuration, for messages
    int n_scales, n_phases, n_start;
    double scales[CONFIG_MAX_SCALES]; // C, ascending
    struct phase phases[CONFIG_MAX_PHASES];
    // Coordinates, and dimensions of `arch` given by a rule in C, before anything is adopted.
    // "d" may be absent: the median feasible one.
    struct setting start[CONFIG_MAX_SETTINGS];
    struct prior prior;
    struct solve_spec solve;      // base dimensions, free ones, tolerances
    struct job base;              // everything of a job that no phase moves
    struct rule lr, batch_tokens; // take them with rule_at_run: they may need N and D
    struct rule aux;
    struct rule width;          // workers that a job of the scale takes
    bool checkpoints;           // a stopped run goes on where it was
    char trainer[JOB_PATH_MAX]; // command; {job} stands for the job file
    double band;                // near-optimal band, relative
    int n_boot;
    uint64_t seed;
    struct {
        double budget_factor, max_total_params;
    } recommend;                       // budget = factor x largest scale
    double price_per_hour;             // of one worker, for plan; 0: none given
    double memory_limit;               // GB of a trainer; 0: need.h
    bool pin;                          // trainers are bound to parts of a machine
    int retries;                       // of a crashed job
    double trainer_silence_s;          // after which a trainer is taken to hang; 0: never
    double max_epochs;                 // a run may see the training text at most so often
    int64_t corpus_train, corpus_held; // tokens
    int64_t corpus_bytes;              // of its files; external: 0
    uint64_t corpus_hash;              // of the bytes; of the declared size if external
    // Of everything that decides which runs there are and what they give: not the folder of the
    // data, the price, retries, checkpoint interval, question.
    uint64_t hash;
};

// Whether some phase stops runs early: which jobs there are then depends on learning curves.
bool sweep_stops_early(const struct sweep *s);

// How many runs of the table are for phase p's fit f; 0: none.
int prior_runs(const struct sweep *s, int p, int f);

// Reads and checks everything, the corpus included (V, sizes; tokens of external data are as
// declared). Relative paths are relative to the configuration's folder. ERR_INPUT: "file:line:
// key: expected .., found ..".
enum err config_load(const char *path, struct sweep *out);
void config_free(struct sweep *s);
// The fully resolved configuration as text that config_load reads back to the same sweep (data
// paths absolute, every default written out); caller frees.
enum err config_resolved(const struct sweep *s, char **text);
// The keys in which two sweeps with different hashes differ, "key: was .., is .." separated by
// "; ".
void config_differences(const struct sweep *was, const struct sweep *is, char *buf,
                        size_t size);
// The same, of the keys alone that an extension must leave as they are: "" when `is` may extend
// `was`.
void config_fixed_differences(const struct sweep *was, const struct sweep *is, char *buf,
                              size_t size);
// The tables of all keys as docs/configuration.md holds them (Markdown); caller frees.
enum err config_key_tables(char **text);
#endif
