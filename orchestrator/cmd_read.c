// SPDX-License-Identifier: GPL-3.0-or-later
// Commands that read a sweep's directory: report, export, why.
#include "core/json.h"
#include "orchestrator/cmd.h"
#include "orchestrator/curve_table.h"
#include "orchestrator/origin.h"
#include "orchestrator/outputs.h"
#include "orchestrator/run.h"
#include "orchestrator/versus.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct loaded {
    struct sweep cfg;
    struct steer *steer;
    json_t *records;
};

static enum err load(const char *dir, struct loaded *l)
{
    memset(l, 0, sizeof *l);
    return run_load(dir, &l->cfg, &l->steer, &l->records);
}

static void unload(struct loaded *l)
{
    steer_free(l->steer);
    json_decref(l->records);
    config_free(&l->cfg);
}

// Two sweeps side by side: on standard output, and as a page.
static enum err report_two(const char *dir_a, const char *dir_b, const char *out, int json)
{
    struct loaded a, b;
    json_t *doc = NULL;
    TRY(load(dir_a, &a));
    enum err e = load(dir_b, &b);
    if (e != OK) {
        unload(&a);
        return e;
    }
    e = versus_json(&(struct versus_side){dir_a, &a.cfg, a.steer, a.records},
                    &(struct versus_side){dir_b, &b.cfg, b.steer, b.records}, &doc);
    if (e == OK && out)
        e = versus_page(doc, out);
    if (e == OK && !json)
        versus_print(doc, stdout);
    unload(&a);
    unload(&b);
    if (e == OK && json)
        return cmd_print_json(doc);
    json_decref(doc);
    return e;
}

enum err cmd_report(int argc, char **argv)
{
    const char *dir = NULL, *other = NULL, *out = NULL, *why = "";
    int two = 0, json = 0, force = 0;
    const struct cmd_option options[] = {{"DIR", .text = &dir, .required = 1},
                                         {"DIR", .text = &other},
                                         {"--compare", .flag = &two},
                                         {"--out", .text = &out},
                                         {"--force", .flag = &force},
                                         {"--json", .flag = &json},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    ENSURE(!two == !other, ERR_INPUT, "report: --compare: expected two directories, found %s",
           two ? "one" : "two without it");
    ENSURE(two || (!out && !json && !force), ERR_INPUT,
           "report: --out, --force and --json: expected with --compare");
    TRY(cmd_new_file("report", "--out", out, force));
    if (two)
        return report_two(dir, other, out, json);
    struct loaded l;
    TRY(load(dir, &l));
    enum err e = outputs_write(dir, l.steer, l.records, &why);
    if (e == OK && *why)
        fprintf(stderr, "no architecture.json: %s\n", why);
    if (e == OK)
        printf("%s/report.html\n", dir);
    unload(&l);
    return e;
}

// ---- export

// A text, in quotes where it needs them.
static void csv_text(FILE *f, const char *text)
{
    if (!strpbrk(text, ",\"\n")) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

// One run as a row: the columns of the CSV, the keys of a JSON line; null where there is no
// number.
static json_t *run_row(const struct sweep *cfg, const struct steer_job *sj)
{
    const struct job *j = &sj->job;
    const struct counts *c = &sj->counts;
    const struct job_result *r = &sj->result;
    json_t *row = json_pack("{s:s, s:s, s:f, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}",
                            "job", j->id, "phase", cfg->phases[sj->phase].name, "C", sj->C, "M",
                            (json_int_t)c->M, "N_a", (json_int_t)c->N_a, "N", (json_int_t)c->N,
                            "D", (json_int_t)j->train.tokens, "x", json_num(c->x), "y",
                            json_num(c->y), "r", json_num(c->r), "G", json_num(c->G), "s",
                            json_num(c->s), "z", json_num(c->z));
    for (int i = 0; i < N_DIMS; i++)
        json_object_set_new(row, arch_dim_name((enum arch_dim)i),
                            json_integer(arch_dim_get(&j->arch, (enum arch_dim)i)));
    bool ok = sj->final && isfinite(r->loss), trained = ok || steer_job_pruned(sj);
    json_t *rest = json_pack(
        "{s:f, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "lr", j->train.lr,
        "batch_tokens", (json_int_t)j->train.batch_tokens, "seed", (json_int_t)j->train.seed,
        "status", sj->final ? job_status_name(r->status) : "open", "loss",
        json_num(ok ? r->loss : NAN), "loss_per_byte", json_num(ok ? r->loss_per_byte : NAN),
        "seconds", json_num(trained ? r->seconds : NAN), "flops",
        json_num(trained ? r->flops : NAN), "peak_bytes",
        trained ? json_integer(r->peak_bytes) : json_null(), "balance",
        json_num(ok ? r->balance : NAN), "epochs", json_num(trained ? r->epochs : NAN), "D1",
        sj->final ? json_integer(r->init_tokens) : json_null());
    json_object_update(row, rest);
    static const char *const keys[] = {"source", "build", "isa"};
    for (int i = 0; i < 3; i++)
        json_object_set_new(row, keys[i],
                            json_string(sj->final ? jstr(sj->origin, keys[i]) : ""));
    json_decref(rest);
    return row;
}

static void csv_value(FILE *f, const json_t *v)
{
    if (json_is_string(v))
        csv_text(f, json_string_value(v));
    else if (json_is_integer(v))
        fprintf(f, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        fprintf(f, "%.17g", json_real_value(v));
}

static void csv_line(FILE *f, json_t *row, bool names)
{
    const char *name, *comma = "";
    json_t *v;
    json_object_foreach(row, name, v)
    {
        fputs(comma, f);
        comma = ",";
        if (names)
            fputs(name, f);
        else
            csv_value(f, v);
    }
    fputc('\n', f);
}

enum table { TABLE_CSV, TABLE_JSONL, TABLE_CURVES, N_TABLES };
static const char *const table_options[N_TABLES] = {"--csv", "--jsonl", "--curves"};

static enum err runs_write(FILE *f, const struct loaded *l, enum table kind)
{
    struct steer_job none = {0};
    json_t *row = kind == TABLE_CSV ? run_row(&l->cfg, &none) : NULL;
    if (row)
        csv_line(f, row, true);
    json_decref(row);
    for (int i = 0; i < steer_n_jobs(l->steer); i++) {
        row = run_row(&l->cfg, steer_job_at(l->steer, i));
        ENSURE(row, ERR_FAILED, "export: out of memory");
        if (kind == TABLE_CSV)
            csv_line(f, row, false);
        else if (json_dumpf(row, f, JSON_COMPACT) == 0)
            fputc('\n', f);
        json_decref(row);
    }
    return OK;
}

static enum err table_write(FILE *f, const struct loaded *l, enum table kind, const char *path)
{
    TRY(kind == TABLE_CURVES ? curve_table_write(f, l->steer, l->records)
                             : runs_write(f, l, kind));
    ENSURE(fflush(f) == 0 && !ferror(f), ERR_FAILED, "export: cannot write %s: %s", path,
           strerror(errno));
    return OK;
}

static enum err table_file(const struct loaded *l, enum table kind, const char *path)
{
    if (strcmp(path, "-") == 0)
        return table_write(stdout, l, kind, "standard output");
    FILE *f = fopen(path, "wx");
    ENSURE(f, ERR_INPUT, "export: %s %s: %s", table_options[kind], path,
           errno == EEXIST ? "exists already; expected a new file" : strerror(errno));
    enum err e = table_write(f, l, kind, path);
    if (fclose(f) != 0 && e == OK)
        e = err_set(ERR_FAILED, "export: cannot write %s: %s", path, strerror(errno));
    return e;
}

enum err cmd_export(int argc, char **argv)
{
    const char *dir = NULL, *path[N_TABLES] = {NULL};
    const struct cmd_option options[] = {{"DIR", .text = &dir, .required = 1},
                                         {"--csv", .text = &path[TABLE_CSV]},
                                         {"--jsonl", .text = &path[TABLE_JSONL]},
                                         {"--curves", .text = &path[TABLE_CURVES]},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    ENSURE(path[TABLE_CSV] || path[TABLE_JSONL] || path[TABLE_CURVES], ERR_INPUT,
           "export: expected --csv OUT, --jsonl OUT or --curves OUT");
    struct loaded l;
    TRY(load(dir, &l));
    enum err e = OK;
    for (int kind = 0; kind < N_TABLES && e == OK; kind++)
        if (path[kind])
            e = table_file(&l, (enum table)kind, path[kind]);
    unload(&l);
    return e;
}

// ---- why

static bool lists(const json_t *decision, const char *key, const char *id)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(decision, key), i, v)
    {
        const char *text = json_string_value(v);
        if (text && strcmp(text, id) == 0)
            return true;
    }
    return false;
}

static void print_decision(const json_t *d)
{
    const char *against = jstr(d, "stopped_against");
    printf("  %s: %s; from %zu runs%s%s\n", json_string_value(json_object_get(d, "id")),
           json_string_value(json_object_get(d, "verdict")),
           json_array_size(json_object_get(d, "inputs")),
           *against ? ", compared on the way with " : "", against);
    size_t i;
    json_t *f;
    json_array_foreach(json_object_get(d, "fits"), i, f)
    {
        const json_t *opt = json_object_get(f, "optimum");
        char range[96] = "no optimum";
        if (json_is_number(json_object_get(opt, "lo")))
            snprintf(range, sizeof range, "optimum %.5g (95 %% %.5g to %.5g)",
                     jnum(opt, "value"), jnum(opt, "lo"), jnum(opt, "hi"));
        else if (json_is_number(json_object_get(opt, "value")))
            snprintf(range, sizeof range, "optimum %.5g", jnum(opt, "value"));
        printf("    %s along %s: %s, %s; %s\n", json_string_value(json_object_get(f, "form")),
               json_string_value(json_object_get(f, "axis")),
               json_string_value(json_object_get(f, "verdict")), range,
               json_string_value(json_object_get(f, "rule")));
    }
}

static bool same_phase(const json_t *decision, const char *name)
{
    const char *phase = json_string_value(json_object_get(decision, "phase"));
    return phase && strcmp(phase, name) == 0;
}

static void explain(const struct loaded *l, const struct steer_job *sj)
{
    const struct phase *ph = &l->cfg.phases[sj->phase];
    const struct counts *c = &sj->counts;
    printf("%s: phase %s, C = %.4g, M = %lld, x = %.4g, y = %.4g, d = %lld, seed %lld\n",
           sj->job.id, ph->name, sj->C, (long long)c->M, c->x, c->y, (long long)sj->job.arch.d,
           (long long)sj->job.train.seed);
    if (!sj->final)
        puts("result: none yet");
    else if (sj->result.status == JOB_OK)
        printf("result: loss %.6f nats per token after %lld tokens\n", sj->result.loss,
               (long long)sj->result.tokens);
    else
        printf("result: %s %s\n", job_status_name(sj->result.status), sj->result.cause);
    for (int i = 0; i < sj->job.n_stop; i++)
        printf("  stopped if its training loss is above %.5g at step %lld of %lld\n",
               sj->job.stop[i].loss, (long long)sj->job.stop[i].step,
               (long long)job_steps(&sj->job));
    char words[512];
    origin_words(sj->final ? sj->origin : NULL, words, sizeof words);
    if (*words)
        printf("  %s\n", words);
    puts("asked for by:");
    bool grown = false;
    for (int i = 0; i < steer_n_decisions(l->steer); i++)
        if (lists(steer_decision_at(l->steer, i), "jobs", sj->job.id)) {
            print_decision(steer_decision_at(l->steer, i));
            grown = true;
        }
    if (!grown)
        printf("  the grid of phase %s\n", ph->name);
    for (int k = 0; !grown && k < ph->n_after; k++)
        for (int i = 0; i < steer_n_decisions(l->steer); i++) {
            const json_t *d = steer_decision_at(l->steer, i);
            if (same_phase(d, l->cfg.phases[ph->after[k]].name) &&
                json_number_value(json_object_get(d, "C")) == sj->C)
                print_decision(d);
        }
    puts("read by:");
    for (int i = 0; i < steer_n_decisions(l->steer); i++)
        if (lists(steer_decision_at(l->steer, i), "inputs", sj->job.id))
            print_decision(steer_decision_at(l->steer, i));
}

enum err cmd_why(int argc, char **argv)
{
    const char *dir = NULL, *id = NULL;
    const struct cmd_option options[] = {
        {"DIR", .text = &dir, .required = 1}, {"JOB", .text = &id, .required = 1}, {0}};
    TRY(cmd_parse(argc, argv, options));
    struct loaded l;
    TRY(load(dir, &l));
    const struct steer_job *found = NULL;
    int n = 0;
    for (int i = 0; i < steer_n_jobs(l.steer); i++)
        if (strncmp(steer_job_at(l.steer, i)->job.id, id, strlen(id)) == 0) {
            found = steer_job_at(l.steer, i);
            n++;
        }
    enum err e = OK;
    if (n == 1)
        explain(&l, found);
    else
        e = err_set(ERR_INPUT, "why: %d jobs of %s begin with '%s', expected one", n, dir, id);
    unload(&l);
    return e;
}
