// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/origin.h"
#include "core/json.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const KEYS[] = {"source", "build", "isa"};
static const char *const WORDS[] = {"imported from ", "by ", "on "};
enum { N_KEYS = sizeof KEYS / sizeof *KEYS };

json_t *origin_of(const json_t *rec)
{
    json_t *o = NULL;
    for (int i = 0; i < N_KEYS; i++)
        if (json_is_string(json_object_get(rec, KEYS[i]))) {
            o = o ? o : json_object();
            json_object_set(o, KEYS[i], json_object_get(rec, KEYS[i]));
        }
    return o;
}

void origin_mark(json_t *rec, const struct records_identity *journal, const char *build,
                 const char *isa)
{
    if (strcmp(build, journal->build) != 0)
        json_object_set_new(rec, "build", json_string(build));
    if (strcmp(isa, journal->isa) != 0)
        json_object_set_new(rec, "isa", json_string(isa));
}

void origin_words(const json_t *origin, char *buf, size_t size)
{
    buf[0] = '\0';
    for (int i = 0; i < N_KEYS; i++) {
        size_t n = strlen(buf);
        if (*jstr(origin, KEYS[i]))
            snprintf(buf + n, size - n, "%s%s%s", n ? ", " : "", WORDS[i],
                     jstr(origin, KEYS[i]));
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// counts: {text of an origin: runs}
static json_t *sorted(json_t *counts)
{
    size_t n = 0;
    const char *text, **texts = malloc((json_object_size(counts) + 1) * sizeof *texts);
    json_t *runs, *list = json_array();
    if (!texts)
        return list;
    json_object_foreach(counts, text, runs) texts[n++] = text;
    qsort(texts, n, sizeof *texts, by_text);
    for (size_t i = 0; i < n; i++) {
        json_t *o = json_loads(texts[i], 0, NULL);
        json_object_set(o, "runs", json_object_get(counts, texts[i]));
        json_array_append_new(list, o);
    }
    free(texts);
    return list;
}

json_t *origins_of(const struct steer *s)
{
    json_t *counts = json_object(), *list = NULL;
    for (int i = 0; i < steer_n_jobs(s); i++) {
        const struct steer_job *sj = steer_job_at(s, i);
        if (!sj->final || !sj->origin)
            continue;
        char *text = json_dumps(sj->origin, JSON_COMPACT | JSON_SORT_KEYS);
        json_int_t runs = text ? json_integer_value(json_object_get(counts, text)) : 0;
        if (text)
            json_object_set_new(counts, text, json_integer(runs + 1));
        free(text);
    }
    if (json_object_size(counts) > 0)
        list = sorted(counts);
    json_decref(counts);
    return list;
}

json_t *origins_note(const json_t *origins, const json_t *runs)
{
    char text[2048] = "", words[512];
    double results = jnum(runs, "ok") + jnum(runs, "failed") + jnum(runs, "diverged") +
                     json_number_value(json_object_get(runs, "pruned")); // 0 where it is absent
    json_int_t all = 0;
    bool mixed = false;
    size_t i;
    json_t *o;
    json_array_foreach(origins, i, o)
    {
        size_t n = strlen(text);
        origin_words(o, words, sizeof words);
        all += json_integer_value(json_object_get(o, "runs"));
        mixed = mixed || json_object_get(o, "build") || json_object_get(o, "isa");
        snprintf(text + n, sizeof text - n, "%s%d %s", i ? "; " : "",
                 (int)json_integer_value(json_object_get(o, "runs")), words);
    }
    return json_sprintf("%d of %.0f results were not trained in this sweep by its own trainer: "
                        "%s.%s",
                        (int)all, results, text,
                        mixed ? " Losses of several builds or instruction sets are mixed: they "
                                "are not comparable bit for bit."
                              : "");
}

// Runs of the table at scales of the phase that they are points of.
static int used(const struct sweep *cfg)
{
    int n = 0;
    for (int p = 0; p < cfg->n_phases; p++)
        for (int i = 0; i < prior_runs(cfg, p, 0); i++) {
            bool at = false;
            for (int k = 0; k < cfg->phases[p].n_scales; k++)
                at = at || prior_same_scale(cfg->prior.run[i].C, cfg->phases[p].scales[k]);
            n += at;
        }
    return n;
}

json_t *origins_prior(const struct sweep *cfg)
{
    const struct prior *pr = &cfg->prior;
    const char *slash = strrchr(pr->table, '/');
    if (pr->n == 0)
        return NULL;
    return json_pack("{s:s, s:o, s:s, s:s, s:i, s:i}", "table", slash ? slash + 1 : pr->table,
                     "hash", json_sprintf("%016" PRIx64, pr->hash), "phase", pr->phase, "use",
                     pr->use == PRIOR_FIT ? "fit" : "start", "runs", pr->n, "used", used(cfg));
}

json_t *origins_prior_note(const json_t *prior)
{
    if (strcmp(jstr(prior, "use"), "start") == 0)
        return json_sprintf("%.0f runs of %s, which this sweep did not train, gave the value "
                            "that phase %s starts from; they are in no fit.",
                            jnum(prior, "runs"), jstr(prior, "table"), jstr(prior, "phase"));
    return json_sprintf(
        "%.0f of %.0f runs of %s, which this sweep did not train, are points of "
        "the fits of phase %s, with intercepts of their own.",
        jnum(prior, "used"), jnum(prior, "runs"), jstr(prior, "table"), jstr(prior, "phase"));
}
