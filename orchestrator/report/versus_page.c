// SPDX-License-Identifier: GPL-3.0-or-later
// Two sweeps side by side as a page, in the report's style.
#include "core/file.h"
#include "orchestrator/report/html.h"
#include "orchestrator/report/style.h"
#include "orchestrator/versus.h"
#include <math.h>
#include <stdlib.h>

static void badge(FILE *f, const json_t *agree)
{
    fputs("<td>", f);
    if (json_is_true(agree))
        fputs("<span class=\"badge good\">agree</span>", f);
    else if (json_is_false(agree))
        fputs("<span class=\"badge bad\">differ</span>", f);
    else
        fputs("<span class=\"badge\">no interval</span>", f);
    fputs("</td>", f);
}

static void interval_cell(FILE *f, const json_t *i)
{
    fprintf(f, "<td class=\"n\">%s", num_sig(jnum(i, "value"), 3).s);
    if (*num_range(jnum(i, "lo"), jnum(i, "hi"), 3).s)
        fprintf(f, " <span class=\"dim\">(%s)</span>",
                num_range(jnum(i, "lo"), jnum(i, "hi"), 3).s);
    fputs("</td>", f);
}

static void head(FILE *f, const json_t *a, const json_t *b)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>",
          f);
    html_text(f, jstr(a, "sweep"));
    fputs(" and ", f);
    html_text(f, jstr(b, "sweep"));
    fputs(" · moesweep report</title>\n<style>\n", f);
    style_write(f, 1);
    fputs("</style>\n</head>\n<body>\n<header>\n<div class=\"kicker\">moesweep report: two "
          "sweeps</div>\n<h1>A: ",
          f);
    html_text(f, jstr(a, "sweep"));
    fputs("<br/>B: ", f);
    html_text(f, jstr(b, "sweep"));
    fputs("</h1>\n</header>\n", f);
}

static void cost_row(FILE *f, const char *letter, const json_t *s)
{
    fprintf(f, "<tr><th scope=\"row\">%s</th>", letter);
    cell_text(f, jstr(s, "dir"));
    cell_num(f, num_int(jnum(s, "runs")));
    cell_num(f, num_int(jnum(s, "ok")));
    cell_num(f, num_int(jnum(s, "pruned")));
    cell_num(f, num_int(jnum(s, "failed")));
    cell_num(f, num_sig(jnum(s, "flops"), 3));
    cell_num(f, num_time(jnum(s, "worker_s")));
    cell_num(f, num_time(jnum(s, "span_s")));
    cell_num(f, num_fixed(jnum(s, "best_loss"), 4));
    fputs("</tr>\n", f);
}

static void section_cost(FILE *f, const json_t *doc)
{
    static const char *const heads[] = {"",
                                        "directory",
                                        "#runs",
                                        "#ok",
                                        "#stopped early",
                                        "#failed",
                                        "#FLOPs",
                                        "#of workers",
                                        "#from first to last",
                                        "#lowest loss"};
    fputs("<h2 id=\"cost\">What they took</h2>\n", f);
    table_begin(f, NULL, heads, 10);
    cost_row(f, "A", json_object_get(doc, "a"));
    cost_row(f, "B", json_object_get(doc, "b"));
    table_end(f);
}

static void section_keys(FILE *f, const json_t *doc)
{
    static const char *const heads[] = {"key", "A", "B"};
    const json_t *keys = json_object_get(doc, "keys");
    size_t i;
    json_t *k;
    fputs("<h2 id=\"keys\">What was asked differently</h2>\n", f);
    if (json_array_size(keys) == 0) {
        fputs("<p>Nothing: the configurations are the same.</p>\n", f);
        return;
    }
    table_begin(f, NULL, heads, 3);
    json_array_foreach(keys, i, k)
    {
        fputs("<tr>", f);
        cell_text(f, jstr(k, "key"));
        cell_text(f, *jstr(k, "a") ? jstr(k, "a") : "not set");
        cell_text(f, *jstr(k, "b") ? jstr(k, "b") : "not set");
        fputs("</tr>\n", f);
    }
    table_end(f);
}

static void section_optima(FILE *f, const json_t *doc)
{
    static const char *const heads[] = {"phase", "#C", "axis", "#A (95 %)", "#B (95 %)", ""};
    const json_t *optima = json_object_get(doc, "optima");
    size_t i;
    json_t *o;
    fputs("<h2 id=\"optima\">Optima at the scales that both have</h2>\n<p>They agree if they "
          "differ by no more than their intervals explain, in quadrature.</p>\n",
          f);
    if (json_array_size(optima) == 0)
        fputs("<p class=\"dim\">None: no phase is decided at the same scale in both.</p>\n", f);
    else
        table_begin(f, NULL, heads, 6);
    json_array_foreach(optima, i, o)
    {
        fputs("<tr>", f);
        cell_text(f, jstr(o, "phase"));
        cell_num(f, num_round(jnum(o, "C")));
        cell_text(f, jstr(o, "axis"));
        interval_cell(f, json_object_get(o, "a"));
        interval_cell(f, json_object_get(o, "b"));
        badge(f, json_object_get(o, "agree"));
        fputs("</tr>\n", f);
    }
    if (json_array_size(optima) > 0)
        table_end(f);
}

static void section_laws(FILE *f, const json_t *doc)
{
    static const char *const heads[] = {"quantity",        "#at C", "#A (95 %)",
                                        "#B (95 %)",       "",      "#A's power of C",
                                        "#B's power of C", ""};
    const json_t *laws = json_object_get(doc, "laws");
    size_t i;
    json_t *l;
    if (json_array_size(laws) == 0)
        return;
    fputs("<h2 id=\"laws\">Laws</h2>\n", f);
    table_begin(f, NULL, heads, 8);
    json_array_foreach(laws, i, l)
    {
        fputs("<tr>", f);
        cell_text(f, quantity_label(jstr(l, "name")).s);
        cell_num(f, num_round(jnum(l, "C")));
        interval_cell(f, json_object_get(l, "a"));
        interval_cell(f, json_object_get(l, "b"));
        badge(f, json_object_get(l, "agree"));
        interval_cell(f, json_object_get(l, "p_a"));
        interval_cell(f, json_object_get(l, "p_b"));
        badge(f, json_object_get(l, "p_agree"));
        fputs("</tr>\n", f);
    }
    table_end(f);
}

static void section_losses(FILE *f, const json_t *doc)
{
    static const char *const heads[] = {"#C",    "#M",         "#x",    "#y",
                                        "#d",    "#loss of A", "#runs", "#loss of B",
                                        "#runs", "#B over A"};
    const json_t *runs = json_object_get(doc, "runs"), *s = json_object_get(doc, "structures");
    size_t i;
    json_t *r;
    fputs("<h2 id=\"losses\">Losses of what both trained</h2>\n", f);
    if (jnum(runs, "same") > 0)
        fprintf(f,
                "<p>%s runs are the same in both: %s have the same loss to the last bit, the "
                "others differ by up to %s.</p>\n",
                num_int(jnum(runs, "same")).s, num_int(jnum(runs, "equal")).s,
                num_percent(jnum(runs, "largest"), 2).s);
    if (!(jnum(s, "n") > 0)) {
        fputs("<p class=\"dim\">No structure was trained on as many tokens in both.</p>\n", f);
        return;
    }
    fprintf(f,
            "<p>%s structures are in both, means over seeds: B's losses are %s away from A's",
            num_int(jnum(s, "n")).s, num_percent(jnum(s, "mean"), 2).s);
    if (isfinite(jnum(s, "lo")))
        fprintf(f, " (95 %%: %s to %s)", num_percent(jnum(s, "lo"), 2).s,
                num_percent(jnum(s, "hi"), 2).s);
    fputs(".</p>\n", f);
    table_begin(f, NULL, heads, 10);
    json_array_foreach(json_object_get(s, "rows"), i, r)
    {
        fputs("<tr>", f);
        cell_num(f, num_round(jnum(r, "C")));
        cell_num(f, num_sig(jnum(r, "M"), 4));
        cell_num(f, num_sig(jnum(r, "x"), 3));
        cell_num(f, num_sig(jnum(r, "y"), 3));
        cell_num(f, num_int(jnum(r, "d")));
        cell_num(f, num_fixed(jnum(r, "a"), 4));
        cell_num(f, num_int(jnum(r, "n_a")));
        cell_num(f, num_fixed(jnum(r, "b"), 4));
        cell_num(f, num_int(jnum(r, "n_b")));
        cell_num(f, num_percent(jnum(r, "difference"), 2));
        fputs("</tr>\n", f);
    }
    table_end(f);
}

enum err versus_page(const json_t *doc, const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    ENSURE(f, ERR_FAILED, "%s: out of memory", path);
    head(f, json_object_get(doc, "a"), json_object_get(doc, "b"));
    section_cost(f, doc);
    section_keys(f, doc);
    section_optima(f, doc);
    section_laws(f, doc);
    section_losses(f, doc);
    fputs("<footer><p>moesweep " MOESWEEP_VERSION "</p></footer>\n</body>\n</html>\n", f);
    enum err e = fclose(f) == 0 ? file_replace(path, text, size)
                                : err_set(ERR_FAILED, "%s: out of memory", path);
    free(text);
    return e;
}
