// SPDX-License-Identifier: GPL-3.0-or-later
// Phase by phase: what was tried along each axis at each scale, what the fit says, what was
// adopted.
#include "orchestrator/report/axis_chart.h"
#include "orchestrator/report/page.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const json_t *cells_of(const struct page *p)
{
    return json_object_get(p->law, "cells");
}

// Where the other coordinates were, and with which of them the optimum moves.
static void write_others(FILE *f, const json_t *fit, const char *axis)
{
    const char *name, *before = ", at ";
    json_t *value;
    json_object_foreach(json_object_get(fit, "at"), name, value)
    {
        if (strcmp(name, axis) == 0 || !json_is_number(value))
            continue;
        fprintf(f, "%s%s = %s", before, name, num_sig(json_number_value(value), 3).s);
        before = ", ";
    }
    before = "; it moves along with ";
    json_object_foreach(json_object_get(fit, "along"), name, value)
    {
        fputs(before, f);
        html_text(f, name);
        before = " and ";
    }
}

static void write_optimum(FILE *f, const json_t *fit)
{
    const char *axis = jstr(fit, "axis");
    const json_t *o = json_object_get(fit, "optimum");
    if (!isfinite(jnum(o, "value")))
        return;
    fputs("Optimum of the fit ", f);
    html_text(f, axis);
    fprintf(f, " = <strong>%s</strong>", num_sig(jnum(o, "value"), 3).s);
    if (*num_range(jnum(o, "lo"), jnum(o, "hi"), 3).s)
        fprintf(f, " (95 %%: %s)", num_range(jnum(o, "lo"), jnum(o, "hi"), 3).s);
    fprintf(f, ", loss %s", num_fixed(jnum(fit, "optimum_loss"), 4).s);
    write_others(f, fit, axis);
    fputs(". ", f);
}

static void write_band(FILE *f, const json_t *fit)
{
    const json_t *band = json_object_get(fit, "band");
    const double lo = jnum(band, "lo"), hi = jnum(band, "hi");
    if (!isfinite(lo) || !isfinite(hi))
        return;
    fprintf(f, "Within %s of it: %s", num_percent(jnum(band, "tolerance"), 2).s,
            num_range(lo, hi, 3).s);
    const bool open_lo = jtrue(band, "lo_open"), open_hi = jtrue(band, "hi_open");
    if (open_lo || open_hi)
        fprintf(f, " (%s open: the band runs out of the values tried)",
                open_lo && open_hi ? "both ends"
                : open_lo          ? "lower end"
                                   : "upper end");
    fputs(". ", f);
}

static void fit_caption(const struct page *p, double C, double round, const json_t *fit)
{
    FILE *f = p->f;
    fprintf(f, "<figcaption><b>C = %s</b> ", num_round(C).s);
    if (round > 0)
        fprintf(f, "round %.0f ", round + 1);
    page_verdict(p, fit);
    fputs("<br/>", f);
    if (strcmp(jstr(fit, "verdict"), "failed") != 0) {
        write_optimum(f, fit);
        write_band(f, fit);
    }
    const json_t *raw = json_object_get(fit, "raw_minimum");
    if (isfinite(jnum(raw, "t")))
        fprintf(f, "Best observed mean: at %s, loss %s. ", num_sig(jnum(raw, "t"), 3).s,
                num_fixed(jnum(raw, "loss"), 4).s);
    if (jnum(fit, "grew") > 0)
        fprintf(f, "The grid grew by %.0f at its edge. ", jnum(fit, "grew"));
    if (isfinite(jnum(fit, "adopted")))
        fprintf(f, "Adopted: <strong>%s</strong>: ", num_sig(jnum(fit, "adopted"), 3).s);
    else
        fputs("Nothing adopted: ", f);
    html_text(f, jstr(fit, "rule"));
    fputs(".", f);
    if (axis_shifted(fit))
        fprintf(f,
                " <span class=\"dim\">Points of %.0f groups, each moved by its own "
                "intercept.</span>",
                jnum(fit, "groups"));
    fputs("</figcaption>\n", f);
}

// The numbers behind a chart, each with its training.
static void fit_table(const struct page *p, const json_t *fit)
{
    static const char *const heads[] = {"training", "#axis value", "#loss", "#seed",
                                        "#group",   "#residual",   "remark"};
    const json_t *points = json_object_get(fit, "points");
    const size_t n = json_array_size(points);
    fprintf(p->f, "<details%s><summary>Numbers and ids: %zu training%s</summary>\n",
            p->charts ? "" : " open=\"open\"", n, n == 1 ? "" : "s");
    fputs("<p>Form ", p->f);
    html_text(p->f, jstr(fit, "form"));
    const json_t *coef = json_object_get(fit, "coef");
    fprintf(p->f,
            ": coefficients %s and %s, intercept %s; residual sd %s nats, condition %s.</p>\n",
            num_sig(jnum_at(coef, 0), 4).s, num_sig(jnum_at(coef, 1), 4).s,
            num_sig(jnum(fit, "intercept"), 5).s, num_sig(jnum(fit, "sigma"), 2).s,
            num_sig(jnum(fit, "condition"), 2).s);
    table_begin(p->f, NULL, heads, 7);
    for (size_t i = 0; i < n; i++) {
        const json_t *pt = json_array_get(points, i);
        fputs("<tr><td>", p->f);
        if (json_object_get(pt, "prior"))
            fprintf(p->f, "imported, line %.0f", jnum(pt, "prior"));
        else
            html_job(p->f, jstr(pt, "job"));
        fputs("</td>", p->f);
        cell_num(p->f, num_sig(jnum(pt, "t"), 5));
        cell_num(p->f, num_fixed(jnum(pt, "loss"), 4));
        cell_num(p->f, num_int(jnum(pt, "seed")));
        cell_num(p->f, num_int(jnum(pt, "group")));
        cell_num(p->f, num_fixed(jnum(pt, "residual"), 4));
        cell_text(p->f, jtrue(pt, "outlier") ? "outlier" : "");
        fputs("</tr>\n", p->f);
    }
    table_end(p->f);
    fputs("</details>\n", p->f);
}

static const json_t *fit_on(const json_t *cell, const char *axis)
{
    const json_t *fits = json_object_get(cell, "fits");
    for (size_t i = 0; i < json_array_size(fits); i++)
        if (strcmp(jstr(json_array_get(fits, i), "axis"), axis) == 0)
            return json_array_get(fits, i);
    return NULL;
}

// Is this cell the last round of its phase and scale?
static bool is_last_round(const struct page *p, const json_t *cell)
{
    for (size_t i = 0; i < json_array_size(cells_of(p)); i++) {
        const json_t *other = json_array_get(cells_of(p), i);
        if (strcmp(jstr(other, "phase"), jstr(cell, "phase")) == 0 &&
            jnum(other, "C") == jnum(cell, "C") && jnum(other, "round") > jnum(cell, "round"))
            return false;
    }
    return true;
}

static enum err overview(struct page *p, const char *phase, const char *axis)
{
    const size_t n_cells = json_array_size(cells_of(p));
    const json_t **fits = calloc(n_cells + 1, sizeof *fits);
    double *C = calloc(n_cells + 1, sizeof *C);
    int n = 0;
    for (size_t i = 0; fits && C && i < n_cells; i++) {
        const json_t *cell = json_array_get(cells_of(p), i);
        const json_t *fit = fit_on(cell, axis);
        if (!fit || strcmp(jstr(cell, "phase"), phase) != 0 || !is_last_round(p, cell) ||
            json_array_size(json_object_get(fit, "points")) == 0)
            continue;
        fits[n] = fit;
        C[n++] = jnum(cell, "C");
    }
    enum err e = fits && C ? OK : err_set(ERR_FAILED, "out of memory");
    if (e == OK && n > 1) {
        fputs("<figure class=\"big\">\n", p->f);
        e = axis_overview(p, fits, C, n);
        fprintf(p->f, "<figcaption>The %d scales%s together.</figcaption></figure>\n", n,
                n == p->runs.n_scales ? "" : " at which this axis was tried");
    }
    free(fits);
    free(C);
    return e;
}

static enum err axis_figures(struct page *p, const char *phase, const char *axis)
{
    fprintf(p->f, "<h4>%s</h4>\n", quantity_label(axis).s);
    if (p->charts)
        TRY(overview(p, phase, axis));
    fputs("<div class=\"grid\">\n", p->f);
    for (size_t i = 0; i < json_array_size(cells_of(p)); i++) {
        const json_t *cell = json_array_get(cells_of(p), i), *fit = fit_on(cell, axis);
        if (!fit || strcmp(jstr(cell, "phase"), phase) != 0)
            continue;
        fputs("<figure>\n", p->f);
        if (p->charts && json_array_size(json_object_get(fit, "points")) > 0)
            TRY(axis_chart(p, jnum(cell, "C"), fit));
        fit_caption(p, jnum(cell, "C"), jnum(cell, "round"), fit);
        fit_table(p, fit);
        fputs("</figure>\n", p->f);
    }
    fputs("</div>\n", p->f);
    return OK;
}

static void write_adopted(FILE *f, json_t *adopted)
{
    const char *name;
    json_t *value;
    bool any = false;
    json_object_foreach(adopted, name, value)
    {
        if (any)
            fputs(", ", f);
        html_text(f, name);
        fprintf(f, " = %s", num_sig(json_number_value(value), 3).s);
        any = true;
    }
    if (!any)
        fputs("–", f);
}

// "n: reason" lists that open: excluded trainings, points that could not be built.
static void write_reasons(FILE *f, const json_t *list, const char *key)
{
    const size_t n = json_array_size(list);
    if (n == 0) {
        fputs("none", f);
        return;
    }
    fprintf(f, "<details><summary>%zu</summary><ul>", n);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        fputs("<li>", f);
        if (strcmp(key, "job") == 0)
            html_job(f, jstr(item, key));
        else
            html_text(f, jstr(item, key));
        fputs(": ", f);
        html_text(f, jstr(item, "why"));
        fputs("</li>", f);
    }
    fputs("</ul></details>", f);
}

static void phase_table(const struct page *p, const char *phase)
{
    static const char *const heads[] = {"cell",      "#C, FLOPs", "adopted",
                                        "read from", "excluded",  "could not be built"};
    table_begin(p->f, NULL, heads, 6);
    for (size_t i = 0; i < json_array_size(cells_of(p)); i++) {
        const json_t *cell = json_array_get(cells_of(p), i);
        if (strcmp(jstr(cell, "phase"), phase) != 0)
            continue;
        fputs("<tr>", p->f);
        cell_text(p->f, jstr(cell, "id"));
        cell_num(p->f, num_round(jnum(cell, "C")));
        fputs("<td>", p->f);
        write_adopted(p->f, json_object_get(cell, "adopted"));
        fputs("</td><td>", p->f);
        html_jobs(p->f, "inputs", json_object_get(cell, "inputs"));
        fputs("</td><td>", p->f);
        write_reasons(p->f, json_object_get(cell, "excluded"), "job");
        fputs("</td><td>", p->f);
        write_reasons(p->f, json_object_get(cell, "infeasible"), "point");
        fputs("</td></tr>\n", p->f);
    }
    table_end(p->f);
}

// Is item i of the cells' list the first with its phase?
static bool first_of_phase(const struct page *p, size_t i)
{
    const char *phase = jstr(json_array_get(cells_of(p), i), "phase");
    for (size_t j = 0; j < i; j++)
        if (strcmp(jstr(json_array_get(cells_of(p), j), "phase"), phase) == 0)
            return false;
    return true;
}

static enum err write_phase(struct page *p, const char *phase)
{
    fputs("<h3>Phase ", p->f);
    html_text(p->f, phase);
    fputs("</h3>\n", p->f);
    // Every cell of a phase has the same axes: the first tells their order.
    for (size_t i = 0; i < json_array_size(cells_of(p)); i++) {
        const json_t *cell = json_array_get(cells_of(p), i);
        if (strcmp(jstr(cell, "phase"), phase) != 0)
            continue;
        const json_t *fits = json_object_get(cell, "fits");
        if (json_array_size(fits) == 0)
            fputs("<p class=\"dim\">No curve is fitted in this phase: its trainings serve the "
                  "checks below.</p>\n",
                  p->f);
        for (size_t k = 0; k < json_array_size(fits); k++)
            TRY(axis_figures(p, phase, jstr(json_array_get(fits, k), "axis")));
        break;
    }
    phase_table(p, phase);
    return OK;
}

enum err section_phases(struct page *p)
{
    fputs("<h2 id=\"phases\">Loss along each axis</h2>\n", p->f);
    if (json_array_size(cells_of(p)) == 0) {
        fputs("<p class=\"dim\">Nothing has been fitted yet.</p>\n", p->f);
        return OK;
    }
    fputs("<p>Lower is better. Losses are nats per token on held-out text. A band is where the "
          "fitted loss stays within the stated tolerance of its minimum: the one asked for, or "
          "what the noise between seeds can resolve, whichever is larger.</p>\n",
          p->f);
    if (p->charts)
        axis_legend(p);
    for (size_t i = 0; i < json_array_size(cells_of(p)); i++)
        if (first_of_phase(p, i))
            TRY(write_phase(p, jstr(json_array_get(cells_of(p), i), "phase")));
    return OK;
}
