// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/json.h"
#include "orchestrator/status.h"
#include "orchestrator/versus.h"
#include <math.h>
#include <string.h>

static const char *verdict(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_true(v) ? "agree" : json_is_false(v) ? "DIFFER" : "-";
}

static void interval(const json_t *i, char *buf, size_t size)
{
    if (!isfinite(jnum(i, "value")))
        snprintf(buf, size, "-");
    else if (isfinite(jnum(i, "lo")))
        snprintf(buf, size, "%.4g [%.3g, %.3g]", jnum(i, "value"), jnum(i, "lo"),
                 jnum(i, "hi"));
    else
        snprintf(buf, size, "%.4g", jnum(i, "value"));
}

static void pair(FILE *f, const char *what, const json_t *a, const json_t *b, const char *word)
{
    char x[64], y[64];
    interval(a, x, sizeof x);
    interval(b, y, sizeof y);
    fprintf(f, "  %-18.18s %-28s %-28s %s\n", what, x, y, word);
}

static void print_side(FILE *f, const char *letter, const json_t *s)
{
    char work[64], span[64], pruned[48] = "";
    status_duration(jnum(s, "worker_s"), work, sizeof work);
    status_duration(jnum(s, "span_s"), span, sizeof span);
    if (jnum(s, "pruned") > 0)
        snprintf(pruned, sizeof pruned, "%.0f stopped early, ", jnum(s, "pruned"));
    fprintf(f,
            "%s: %s (%s): %.0f of %.0f runs, %s%.0f failed, %.3g FLOPs, %s of workers in %s\n",
            letter, jstr(s, "sweep"), jstr(s, "dir"), jnum(s, "ok"), jnum(s, "runs"), pruned,
            jnum(s, "failed"), jnum(s, "flops"), work, span);
}

static void print_losses(FILE *f, const json_t *doc)
{
    const json_t *runs = json_object_get(doc, "runs"), *s = json_object_get(doc, "structures");
    if (jnum(runs, "same") > 0)
        fprintf(
            f,
            "\n%.0f runs are the same in both: %.0f have the same loss to the last bit, the "
            "others differ by up to %.3g %%\n",
            jnum(runs, "same"), jnum(runs, "equal"), 100 * jnum(runs, "largest"));
    if (jnum(s, "n") > 0)
        fprintf(f, "%.0f structures are in both: B's losses are %+.3g %% of A's", jnum(s, "n"),
                100 * jnum(s, "mean"));
    else
        fputs("\nno structure was trained on as many tokens in both", f);
    if (isfinite(jnum(s, "lo")))
        fprintf(f, " (95 %%: %+.3g to %+.3g %%)", 100 * jnum(s, "lo"), 100 * jnum(s, "hi"));
    fputc('\n', f);
}

void versus_print(const json_t *doc, FILE *f)
{
    size_t i;
    json_t *o;
    char what[64];
    print_side(f, "A", json_object_get(doc, "a"));
    print_side(f, "B", json_object_get(doc, "b"));
    const json_t *keys = json_object_get(doc, "keys");
    fprintf(f, "\nconfigurations: %s\n", json_array_size(keys) ? "" : "the same");
    json_array_foreach(keys, i, o) fprintf(f, "  %-30.30s %s | %s\n", jstr(o, "key"),
                                           *jstr(o, "a") ? jstr(o, "a") : "not set",
                                           *jstr(o, "b") ? jstr(o, "b") : "not set");
    fprintf(f, "\n  %-18s %-28s %s\n", "optimum", "A", "B");
    json_array_foreach(json_object_get(doc, "optima"), i, o)
    {
        snprintf(what, sizeof what, "%s at %.3g", jstr(o, "axis"), jnum(o, "C"));
        pair(f, what, json_object_get(o, "a"), json_object_get(o, "b"), verdict(o, "agree"));
    }
    fprintf(f, "\n  %-18s %-28s %s\n", "law", "A", "B");
    json_array_foreach(json_object_get(doc, "laws"), i, o)
    {
        snprintf(what, sizeof what, "%s at %.3g", jstr(o, "name"), jnum(o, "C"));
        pair(f, what, json_object_get(o, "a"), json_object_get(o, "b"), verdict(o, "agree"));
        snprintf(what, sizeof what, "%s's power of C", jstr(o, "name"));
        pair(f, what, json_object_get(o, "p_a"), json_object_get(o, "p_b"),
             verdict(o, "p_agree"));
    }
    print_losses(f, doc);
}
