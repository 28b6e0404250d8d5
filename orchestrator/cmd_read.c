// SPDX-License-Identifier: GPL-3.0-or-later
// Commands that read a sweep's directory: report, export, why.
#include "core/json.h"
#include "orchestrator/cmd.h"
#include "orchestrator/curve_table.h"
#include "orchestrator/origin.h"
#include "orchestrator/outputs.h"
#include "orchestrator/run.h"
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

enum err cmd_report(int argc, char **argv)
{
    const char *dir = NULL, *why = "";
    const struct cmd_option options[] = {{"DIR", .text = &dir, .required = 1}, {0}};
    TRY(cmd_parse(argc, argv, options));
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

// A field that is empty where there is no number.
static void csv_number(FILE *f, double v, int digits)
{
    if (isfinite(v))
        fprintf(f, ",%.*g", digits, v);
    else
        fputc(',', f);
}

// A text, in quotes where it needs them.
static void csv_text(FILE *f, const char *text)
{
    fputc(',', f);
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

static void csv_row(FILE *f, const struct sweep *cfg, const struct steer_job *sj)
{
    const struct job *j = &sj->job;
    const struct counts *c = &sj->counts;
    const struct job_result *r = &sj->result;
    fprintf(f, "%s,%s,%.17g,%lld,%lld,%lld,%lld,%.17g,%.17g,%.17g,%.17g,%.17g,%.17g", j->id,
            cfg->phases[sj->phase].name, sj->C, (long long)c->M, (long long)c->N_a,
            (long long)c->N, (long long)j->train.tokens, c->x, c->y, c->r, c->G, c->s, c->z);
    for (int i = 0; i < N_DIMS; i++)
        fprintf(f, ",%lld", (long long)arch_dim_get(&j->arch, (enum arch_dim)i));
    fprintf(f, ",%.17g,%lld,%lld,%s", j->train.lr, (long long)j->train.batch_tokens,
            (long long)j->train.seed, sj->final ? job_status_name(r->status) : "open");
    bool ok = sj->final && isfinite(r->loss);
    csv_number(f, ok ? r->loss : NAN, 17);
    csv_number(f, ok ? r->loss_per_byte : NAN, 17);
    csv_number(f, ok ? r->seconds : NAN, 6);
    csv_number(f, ok ? r->flops : NAN, 6);
    csv_number(f, ok ? (double)r->peak_bytes : NAN, 17);
    csv_number(f, ok ? r->balance : NAN, 6);
    csv_number(f, ok ? r->epochs : NAN, 6);
    csv_number(f, sj->final ? (double)r->init_tokens : NAN, 17);
    static const char *const keys[] = {"source", "build", "isa"};
    for (int i = 0; i < 3; i++)
        csv_text(f, sj->final ? jstr(sj->origin, keys[i]) : "");
    fputc('\n', f);
}

static enum err csv_jobs(FILE *f, const struct loaded *l)
{
    fputs("job,phase,C,M,N_a,N,D,x,y,r,G,s,z", f);
    for (int i = 0; i < N_DIMS; i++)
        fprintf(f, ",%s", arch_dim_name((enum arch_dim)i));
    fputs(",lr,batch_tokens,seed,status,loss,loss_per_byte,seconds,flops,peak_bytes,balance,"
          "epochs,D1,source,build,isa\n",
          f);
    for (int i = 0; i < steer_n_jobs(l->steer); i++)
        csv_row(f, &l->cfg, steer_job_at(l->steer, i));
    return OK;
}

static enum err csv_write(FILE *f, const struct loaded *l, bool curves, const char *path)
{
    TRY(curves ? curve_table_write(f, l->steer, l->records) : csv_jobs(f, l));
    ENSURE(fflush(f) == 0 && !ferror(f), ERR_FAILED, "export: cannot write %s: %s", path,
           strerror(errno));
    return OK;
}

static enum err csv_file(const struct loaded *l, bool curves, const char *path)
{
    if (strcmp(path, "-") == 0)
        return csv_write(stdout, l, curves, "standard output");
    FILE *f = fopen(path, "wx");
    ENSURE(f, ERR_INPUT, "export: %s %s: %s", curves ? "--curves" : "--csv", path,
           errno == EEXIST ? "exists already; expected a new file" : strerror(errno));
    enum err e = csv_write(f, l, curves, path);
    if (fclose(f) != 0 && e == OK)
        e = err_set(ERR_FAILED, "export: cannot write %s: %s", path, strerror(errno));
    return e;
}

enum err cmd_export(int argc, char **argv)
{
    const char *dir = NULL, *path = NULL, *curves = NULL;
    const struct cmd_option options[] = {{"DIR", .text = &dir, .required = 1},
                                         {"--csv", .text = &path},
                                         {"--curves", .text = &curves},
                                         {0}};
    TRY(cmd_parse(argc, argv, options));
    ENSURE(path || curves, ERR_INPUT, "export: expected --csv OUT or --curves OUT");
    struct loaded l;
    TRY(load(dir, &l));
    enum err e = path ? csv_file(&l, false, path) : OK;
    if (e == OK && curves)
        e = csv_file(&l, true, curves);
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
    printf("  %s: %s; from %zu runs\n", json_string_value(json_object_get(d, "id")),
           json_string_value(json_object_get(d, "verdict")),
           json_array_size(json_object_get(d, "inputs")));
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
