// SPDX-License-Identifier: GPL-3.0-or-later
// The commands of moesweep. Each gets its own argv (argv[0] = the command's name), writes data
// to stdout and returns OK or an error that main prints.
#ifndef ORCHESTRATOR_CMD_H
#define ORCHESTRATOR_CMD_H
#include "core/err.h"
#include <jansson.h>

enum err cmd_arch(int argc, char **argv);
enum err cmd_plan(int argc, char **argv);
enum err cmd_simulate(int argc, char **argv);
enum err cmd_run(int argc, char **argv);
enum err cmd_launch(int argc, char **argv);
enum err cmd_submit(int argc, char **argv);
enum err cmd_doctor(int argc, char **argv);
enum err cmd_status(int argc, char **argv);
enum err cmd_replay(int argc, char **argv);
enum err cmd_report(int argc, char **argv);
enum err cmd_export(int argc, char **argv);
enum err cmd_journal(int argc, char **argv);
enum err cmd_recommend(int argc, char **argv);
enum err cmd_why(int argc, char **argv);
enum err cmd_fit(int argc, char **argv);
enum err cmd_predict(int argc, char **argv);
enum err cmd_analyze(int argc, char **argv);
enum err cmd_curve(int argc, char **argv);
enum err cmd_compare(int argc, char **argv);

// ---- reading command lines ----

// What an option that may be repeated collects.
enum { CMD_MAX_LIST = 32 };
struct cmd_list {
    const char *item[CMD_MAX_LIST];
    int n;
};

// One option: flag (value NULL), text, positive number, or a list of texts. Positional
// arguments have a name without dashes.
struct cmd_option {
    const char *name;  // "--out", or "DIR" for the next positional argument
    const char **text; // receives the value; NULL: not a text
    double *number;    // receives a finite positive number
    int *flag;         // set to 1; with number too: --option or --option=NUMBER
    struct cmd_list *list;
    int required;
};
// Parses argv[1..] against options (ended by a zeroed entry). ERR_INPUT with the command's
// name, the argument, and what was expected.
enum err cmd_parse(int argc, char **argv, const struct cmd_option *options);
// A number that must be whole and at most most.
enum err cmd_whole(const char *cmd, const char *option, double v, int most, int *out);
// A file that comes with moesweep ("data/x.jsonl"): in share/moesweep beside the program, where
// cmake --install puts it, else in the sources. ERR_FAILED, beginning with what: neither.
enum err cmd_installed(const char *what, const char *name, char *path, size_t size);
// What option names (NULL: nothing) is not written over unless asked: ERR_INPUT if it exists
// and force is not set.
enum err cmd_new_file(const char *cmd, const char *option, const char *path, int force);
// One JSON document on stdout, newline at the end; ERR_FAILED when stdout cannot be written.
// Takes over j.
enum err cmd_print_json(json_t *j);
#endif
