// SPDX-License-Identifier: GPL-3.0-or-later
// moesweep recommend: a complete architecture for a budget, from a sweep or from a fitted law.
#include "core/file.h"
#include "core/json.h"
#include "core/stock.h"
#include "orchestrator/cmd.h"
#include "orchestrator/megatron.h"
#include "orchestrator/recommend.h"
#include "orchestrator/run.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct outputs {
    const char *hf, *megatron;
    int json, force;
};

// The law of a sweep's directory, from its journal.
static enum err sweep_law(const char *dir, json_t **law)
{
    struct sweep cfg;
    struct steer *steer;
    json_t *records;
    TRY(run_load(dir, &cfg, &steer, &records));
    enum err e = steer_law(steer, law);
    steer_free(steer);
    json_decref(records);
    config_free(&cfg);
    return e;
}

static enum err from_fit(const char *path, const struct ask *ask, json_t **doc)
{
    struct fit_file f;
    TRY(fit_file_read(path, &f));
    enum err e = recommend_fit(&f, path, ask, doc);
    fit_file_free(&f);
    return e;
}

// A directory, the law.json of one, or a law that moesweep fit wrote.
static enum err recommend(const char *path, const struct ask *ask, json_t **doc)
{
    struct stat st;
    json_t *law;
    ENSURE(stat(path, &st) == 0, ERR_INPUT, "recommend: %s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        TRY(sweep_law(path, &law));
    else
        TRY(json_read_file(path, &law));
    bool sweep =
        json_object_get(law, "sweep") != NULL || json_object_get(law, "params") == NULL;
    enum err e = OK;
    if (!sweep)
        e = from_fit(path, ask, doc);
    else if (ask->map || ask->extrapolate || ask->scores)
        e = err_set(ERR_INPUT,
                    "recommend: --%s: expected beside a law of moesweep fit alone, "
                    "found the sweep %s",
                    ask->map      ? "map"
                    : ask->scores ? "scores"
                                  : "extrapolate",
                    path);
    else
        e = recommend_sweep(law, path, ask, doc);
    json_decref(law);
    return e;
}

static enum err write_hf(const char *path, const struct arch *a, const struct job_model *model)
{
    enum stock_class class;
    ENSURE(a->V > 0, ERR_INPUT,
           "recommend: --hf: the vocabulary is not known; expected --set V=.. beside it");
    enum err e = stock_choose(a, model, &class);
    if (e != OK)
        return err_prefix(e, "recommend: --hf");
    json_t *config = stock_config(class, a, model, false);
    ENSURE(config, ERR_FAILED, "out of memory");
    e = json_write_file(path, config);
    json_decref(config);
    return e;
}

static enum err write_megatron(const char *path, const struct arch *a,
                               const struct job_model *model)
{
    char *text;
    TRY(megatron_arguments(a, model, &text));
    enum err e = OK;
    if (strcmp(path, "-") == 0)
        fputs(text, stdout);
    else
        e = file_replace(path, text, strlen(text));
    free(text);
    return e;
}

static enum err print(json_t *doc, const struct outputs *o)
{
    char *text;
    if (o->json)
        return cmd_print_json(json_incref(doc));
    if (o->megatron && strcmp(o->megatron, "-") == 0)
        return OK; // stdout is taken
    TRY(recommend_text(doc, &text));
    fputs(text, stdout);
    free(text);
    return OK;
}

static enum err write_all(json_t *doc, const struct outputs *o)
{
    struct arch a;
    struct job_model model;
    TRY(recommend_structure(doc, &a, &model));
    if (o->hf)
        TRY(write_hf(o->hf, &a, &model));
    if (o->megatron)
        TRY(write_megatron(o->megatron, &a, &model));
    return print(doc, o);
}

enum err cmd_recommend(int argc, char **argv)
{
    const char *path = NULL;
    struct ask ask = {0};
    struct outputs o = {0};
    const struct cmd_option options[] = {
        {"DIR|LAW.json", .text = &path, .required = 1},
        {"--compute", .number = &ask.C},
        {"--max-total-params", .number = &ask.max_total_params},
        {"--max-active-params", .number = &ask.max_active_params},
        {"--max-inference-flops", .number = &ask.max_inference_flops},
        {"--max-expansion", .number = &ask.max_expansion},
        {"--memory", .number = &ask.memory},
        {"--gpus", .number = &ask.gpus},
        {"--gpu", .flag = &ask.gpu},
        {"--multiple", .text = &ask.multiple},
        {"--experts", .text = &ask.experts},
        {"--set", .text = &ask.set},
        {"--free", .text = &ask.free},
        {"--model", .text = &ask.model},
        {"--map", .text = &ask.map},
        {"--extrapolate", .flag = &ask.extrapolate},
        {"--scores", .flag = &ask.scores},
        {"--tolerance", .number = &ask.tolerance},
        {"--hf", .text = &o.hf},
        {"--megatron", .text = &o.megatron},
        {"--force", .flag = &o.force},
        {"--json", .flag = &o.json},
        {0}};
    TRY(cmd_parse(argc, argv, options));
    bool megatron_file = o.megatron && strcmp(o.megatron, "-") != 0;
    ENSURE(!o.json || !o.megatron || megatron_file, ERR_INPUT,
           "recommend: --megatron -: standard output is taken by --json; expected a file");
    ENSURE(!(ask.tolerance > 1), ERR_INPUT,
           "recommend: --tolerance: expected a share of the loss, at most 1, found %g",
           ask.tolerance);
    TRY(cmd_new_file("recommend", "--hf", o.hf, o.force));
    TRY(cmd_new_file("recommend", "--megatron", megatron_file ? o.megatron : NULL, o.force));
    json_t *doc = NULL;
    TRY(recommend(path, &ask, &doc));
    enum err e = write_all(doc, &o);
    json_decref(doc);
    return e;
}
