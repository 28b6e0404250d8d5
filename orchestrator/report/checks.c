// SPDX-License-Identifier: GPL-3.0-or-later
// What the sweep tested about itself: noise, the held-out scale, rank preservation, fairness.
#include "orchestrator/report/page.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void noise_table(const struct page *p)
{
    static const char *const heads[] = {"#C, FLOPs", "#sd of ln loss", "#degrees of freedom"};
    const json_t *noise = json_object_get(p->law, "noise");
    fputs("<h3>Noise between seeds</h3>\n", p->f);
    if (json_array_size(noise) == 0) {
        fputs("<p class=\"dim\">Not known yet.</p>\n", p->f);
        return;
    }
    fputs("<p>Initialisation and data order together: how much two trainings of one structure "
          "differ. A difference well below this says nothing.</p>\n",
          p->f);
    table_begin(p->f, NULL, heads, 3);
    for (size_t i = 0; i < json_array_size(noise); i++) {
        const json_t *row = json_array_get(noise, i);
        fputs("<tr>", p->f);
        cell_num(p->f, num_round(jnum(row, "C")));
        cell_num(p->f, num_percent(jnum(row, "sd_ln"), 2));
        cell_num(p->f, num_int(jnum(row, "n")));
        fputs("</tr>\n", p->f);
    }
    table_end(p->f);
}

static void holdout_table(const struct page *p)
{
    static const char *const heads[] = {"quantity",  "#predicted", "#95 %",
                                        "#measured", "#95 %",      "#ratio"};
    const json_t *h = json_object_get(p->law, "holdout");
    fputs("<h3>Hold-out: the largest scale predicted from the others</h3>\n", p->f);
    if (!json_is_object(h)) {
        fputs("<p class=\"dim\">Not done: it takes an optimum of M at three scales or "
              "more.</p>\n",
              p->f);
        return;
    }
    const json_t *M = json_object_get(h, "M"), *loss = json_object_get(h, "loss");
    fprintf(p->f,
            "<p>All laws were fitted once more without C = %s and held against what was "
            "measured there.</p>\n",
            num_round(jnum(h, "C")).s);
    table_begin(p->f, NULL, heads, 6);
    fprintf(p->f, "<tr><th scope=\"row\">%s</th>", quantity_label("M").s);
    cell_num(p->f, num_sig(jnum(M, "predicted"), 4));
    cell_num(p->f, num_range(jnum(M, "lo"), jnum(M, "hi"), 3));
    cell_num(p->f, num_sig(jnum(M, "measured"), 4));
    cell_num(p->f, num_range(jnum(M, "measured_lo"), jnum(M, "measured_hi"), 3));
    cell_num(p->f, num_sig(jnum(M, "measured") / jnum(M, "predicted"), 3));
    fputs("</tr>\n<tr><th scope=\"row\">loss, nats per token</th>", p->f);
    cell_num(p->f, num_fixed(jnum(loss, "predicted"), 4));
    fputs("<td></td>", p->f);
    cell_num(p->f, num_fixed(jnum(loss, "measured"), 4));
    fputs("<td></td>", p->f);
    cell_num(p->f, num_sig(jnum(loss, "measured") / jnum(loss, "predicted"), 3));
    fputs("</tr>\n", p->f);
    table_end(p->f);
}

// ---- rank preservation

static enum err rank_chart(struct page *p, const json_t *pairs)
{
    double lo = INFINITY, hi = -INFINITY;
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        plot_hold(&lo, &hi, jnum(json_array_get(pairs, i), "median"));
        plot_hold(&lo, &hi, jnum(json_array_get(pairs, i), "best"));
    }
    plot_margin(&lo, &hi, .06, false);
    struct plot c;
    TRY(plot_open(&c, 400, 370));
    plot_axis(&c, 'x', "loss at the median feasible d, nats per token", lo, hi, false);
    plot_axis(&c, 'y', "lowest loss over d, nats per token", lo, hi, false);
    fprintf(c.set,
            "set arrow from first %.9g, first %.9g to first %.9g, first %.9g nohead linetype 1 "
            "dashtype 2 "
            "linecolor rgb '" COLOUR_DIM "'\n",
            lo, lo, hi, hi);
    for (int s = 0; s < p->runs.n_scales; s++) {
        const int data = plot_data(&c);
        int rows = 0;
        for (size_t i = 0; i < json_array_size(pairs); i++) {
            const json_t *pair = json_array_get(pairs, i);
            if (runs_scale(&p->runs, jnum(pair, "C")) != s || !isfinite(jnum(pair, "best")))
                continue;
            fprintf(c.set, "%.9g %.9g\n", jnum(pair, "median"), jnum(pair, "best"));
            rows++;
        }
        plot_data_end(&c);
        if (rows)
            plot_draw(&c,
                      "$d%d using 1:2 with points pointtype 7 pointsize .9 linecolor rgb '%s'",
                      data, colour_scale(s, p->runs.n_scales).s);
    }
    return page_chart(p, &c,
                      "Loss at the median d against the lowest loss over d, one point a triad");
}

static void rank_tables(const struct page *p, const json_t *rank)
{
    static const struct {
        const char *key, *what;
    } stats[] = {{"pearson", "Pearson correlation"},
                 {"spearman", "Spearman rank correlation"},
                 {"kendall", "Kendall tau-b"},
                 {"r2", "R² of the straight line"}};
    static const char *const heads[] = {"statistic", "#value", "#95 %"};
    static const char *const pair_heads[] = {
        "#C", "#M", "#x", "#y", "#loss at median d", "#lowest loss over d"};
    table_begin(p->f, NULL, heads, 3);
    for (size_t i = 0; i < sizeof stats / sizeof *stats; i++) {
        const json_t *s = json_object_get(rank, stats[i].key);
        fprintf(p->f, "<tr><th scope=\"row\">%s</th>", stats[i].what);
        cell_num(p->f, num_fixed(jnum(s, "value"), 3));
        cell_num(p->f, num_range(jnum(s, "lo"), jnum(s, "hi"), 3));
        fputs("</tr>\n", p->f);
    }
    table_end(p->f);
    const json_t *pairs = json_object_get(rank, "pairs");
    fprintf(p->f, "<details%s><summary>The %zu triads</summary>\n",
            p->charts ? "" : " open=\"open\"", json_array_size(pairs));
    table_begin(p->f, NULL, pair_heads, 6);
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        const json_t *pair = json_array_get(pairs, i);
        fputs("<tr>", p->f);
        cell_num(p->f, num_round(jnum(pair, "C")));
        cell_num(p->f, num_sig(jnum(pair, "M"), 4));
        cell_num(p->f, num_sig(jnum(pair, "x"), 4));
        cell_num(p->f, num_sig(jnum(pair, "y"), 4));
        cell_num(p->f, num_fixed(jnum(pair, "median"), 4));
        cell_num(p->f, num_fixed(jnum(pair, "best"), 4));
        fputs("</tr>\n", p->f);
    }
    table_end(p->f);
    fputs("</details>\n", p->f);
}

// The trainings of a check's cell.
static void cell_jobs(const struct page *p, const json_t *check)
{
    const json_t *cells = json_object_get(p->law, "cells");
    for (size_t i = 0; i < json_array_size(cells); i++) {
        const json_t *cell = json_array_get(cells, i);
        if (strcmp(jstr(cell, "phase"), jstr(check, "phase")) == 0 &&
            !(jnum(cell, "C") < jnum(check, "C")) && !(jnum(cell, "C") > jnum(check, "C")))
            html_jobs(p->f, "Rests on", json_object_get(cell, "inputs"));
    }
}

static enum err rank_at_scale(struct page *p, const json_t *rank)
{
    fprintf(p->f, "<h4>C = %s: %s triads, phase ", num_round(jnum(rank, "C")).s,
            num_int(jnum(rank, "n")).s);
    html_text(p->f, jstr(rank, "phase"));
    fputs("</h4>\n<div class=\"cols\"><figure>\n", p->f);
    if (p->charts && json_array_size(json_object_get(rank, "pairs")))
        TRY(rank_chart(p, json_object_get(rank, "pairs")));
    fputs("</figure><div>\n", p->f);
    rank_tables(p, rank);
    cell_jobs(p, rank);
    fputs("</div></div>\n", p->f);
    return OK;
}

static enum err rank_preservation(struct page *p)
{
    const json_t *ranks = json_object_get(p->law, "rank_preservation");
    fputs("<h3>Rank preservation over d</h3>\n", p->f);
    if (json_array_size(ranks) == 0) {
        fputs("<p class=\"dim\">Not tested: this sweep has no phase for it.</p>\n", p->f);
        return OK;
    }
    fputs("<p>Does the ranking of (M, M/N_a, N/N_a) by loss at the median feasible d stand for "
          "the ranking at the best d?</p>\n",
          p->f);
    for (size_t i = 0; i < json_array_size(ranks); i++)
        TRY(rank_at_scale(p, json_array_get(ranks, i)));
    return OK;
}

// ---- fairness

// Groups in a row, each training a point: what is left of the spread once the triad is fixed.
static enum err fairness_chart(struct page *p, const json_t *rows)
{
    const size_t n = json_array_size(rows);
    double lo = INFINITY, hi = -INFINITY, top = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        plot_hold(&lo, &hi, jnum(json_array_get(rows, i), "loss"));
        top = fmax(top, jnum(json_array_get(rows, i), "group"));
    }
    plot_margin(&lo, &hi, .07, false);
    struct plot c;
    TRY(plot_open(&c, 480, 350));
    plot_axis(&c, 'x', "triad (number of the group)", -.6, fmax(top, 0) + .6, false);
    plot_axis(&c, 'y', "loss, nats per token", lo, hi, false);
    const int data = plot_data(&c);
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(rows, i);
        fprintf(c.set, "%.9g %.9g \"%s M %.4g, x %.3g, y %.3g, d %.0f, loss %.4f\"\n",
                jnum(row, "group"), jnum(row, "loss"), plain_text(jstr(row, "job")).s,
                jnum(row, "M"), jnum(row, "x"), jnum(row, "y"), jnum(row, "d"),
                jnum(row, "loss"));
    }
    plot_data_end(&c);
    plot_draw(&c,
              "$d%d using 1:2:3 with labels hypertext point pointtype 7 pointsize .5 "
              "linecolor rgb '%s'",
              data, colour_phase(0).s);
    return page_chart(p, &c, "Loss of every training, grouped by triad");
}

static void fairness_tables(const struct page *p, const json_t *fair)
{
    static const char *const heads[] = {"spread of losses at equal M (sd of ln loss)", "#value",
                                        "#95 %"};
    static const char *const row_heads[] = {"training", "#group", "#M",   "#x",
                                            "#y",       "#d",     "#loss"};
    const struct {
        const char *what;
        const json_t *o;
    } stats[] = {{"over everything", json_object_get(fair, "before")},
                 {"inside equal triads", json_object_get(fair, "after")}};
    table_begin(p->f, NULL, heads, 3);
    for (int i = 0; i < 2; i++) {
        fprintf(p->f, "<tr><th scope=\"row\">%s</th>", stats[i].what);
        cell_num(p->f, num_percent(jnum(stats[i].o, "value"), 2));
        cell_num(p->f,
                 num_range(100 * jnum(stats[i].o, "lo"), 100 * jnum(stats[i].o, "hi"), 2));
        fputs("</tr>\n", p->f);
    }
    fputs("<tr><th scope=\"row\">noise between seeds</th>", p->f);
    cell_num(p->f, num_percent(jnum(fair, "noise"), 2));
    fputs("<td></td></tr>\n", p->f);
    table_end(p->f);
    const json_t *rows = json_object_get(fair, "rows");
    fprintf(p->f, "<details%s><summary>The %zu trainings</summary>\n",
            p->charts ? "" : " open=\"open\"", json_array_size(rows));
    table_begin(p->f, NULL, row_heads, 7);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        fputs("<tr><td>", p->f);
        html_job(p->f, jstr(row, "job"));
        fputs("</td>", p->f);
        cell_num(p->f, num_int(jnum(row, "group")));
        cell_num(p->f, num_sig(jnum(row, "M"), 4));
        cell_num(p->f, num_sig(jnum(row, "x"), 4));
        cell_num(p->f, num_sig(jnum(row, "y"), 4));
        cell_num(p->f, num_int(jnum(row, "d")));
        cell_num(p->f, num_fixed(jnum(row, "loss"), 4));
        fputs("</tr>\n", p->f);
    }
    table_end(p->f);
    fputs("</details>\n", p->f);
}

static enum err fairness_at_scale(struct page *p, const json_t *fair)
{
    fprintf(p->f, "<h4>C = %s: %s trainings in %s triads, phase ", num_round(jnum(fair, "C")).s,
            num_int(jnum(fair, "n")).s, num_int(jnum(fair, "groups")).s);
    html_text(p->f, jstr(fair, "phase"));
    fputs("</h4>\n<div class=\"cols\"><figure>\n", p->f);
    if (p->charts && json_array_size(json_object_get(fair, "rows")))
        TRY(fairness_chart(p, json_object_get(fair, "rows")));
    fputs("</figure><div>\n", p->f);
    fairness_tables(p, fair);
    fputs("</div></div>\n", p->f);
    return OK;
}

static enum err fairness(struct page *p)
{
    const json_t *fair = json_object_get(p->law, "fairness");
    fputs("<h3>Fairness: is M alone a fair metric?</h3>\n", p->f);
    if (json_array_size(fair) == 0) {
        fputs("<p class=\"dim\">Not tested: this sweep has no phase for it.</p>\n", p->f);
        return OK;
    }
    fputs("<p>How far losses spread among structures of equal M, and how far once the whole "
          "triad (M, M/N_a, N/N_a) is equal.</p>\n",
          p->f);
    for (size_t i = 0; i < json_array_size(fair); i++)
        TRY(fairness_at_scale(p, json_array_get(fair, i)));
    return OK;
}

enum err section_checks(struct page *p)
{
    fputs("<h2 id=\"checks\">Checks</h2>\n", p->f);
    noise_table(p);
    holdout_table(p);
    TRY(rank_preservation(p));
    return fairness(p);
}
