// SPDX-License-Identifier: GPL-3.0-or-later
// Across scales: the optima and their bands as powers of C, and the loss itself.
#include "orchestrator/report/page.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GRID = 48 }; // points of a drawn line

#define COLOUR_LAW "#0072b2" // the first of colour_phase's, known to the style sheet

struct view {
    double X_lo, X_hi; // drawn
    double X_top;      // largest trained: extrapolation begins here
    double budget;     // NaN: none
};

static struct view view_of(const struct page *p)
{
    struct view v = {1, 10, 10, jnum(p->arch, "C")};
    const struct runs *r = &p->runs;
    if (r->n_scales) {
        v.X_lo = r->scales[0];
        v.X_top = r->scales[r->n_scales - 1];
    }
    v.X_hi = isfinite(v.budget) ? fmax(v.X_top, v.budget) : v.X_top;
    const double f = fmax(1.3, pow(v.X_hi / v.X_lo, .06));
    v.X_lo /= f;
    v.X_hi *= f;
    return v;
}

static double view_x(const struct view *v, int i)
{
    return v->X_lo * pow(v->X_hi / v->X_lo, i / (double)(GRID - 1));
}

static double law_at(const json_t *law, double X)
{
    return jnum(law, "k") * pow(X, jnum(law, "p"));
}

// Quantiles 2.5, 25, 75 and 97.5 % of the bootstrapped laws at X; false without a bootstrap.
static bool fan_at(const json_t *law, double X, double q[4])
{
    static const double at[4] = {.025, .25, .75, .975};
    const json_t *boot = json_object_get(law, "boot");
    const size_t n = json_array_size(boot);
    double *v = n ? malloc(n * sizeof *v) : NULL;
    size_t m = 0;
    for (size_t i = 0; v && i < n; i++) {
        const json_t *b = json_array_get(boot, i);
        const double value = exp(jnum_at(b, 0) + jnum_at(b, 1) * log(X));
        if (isfinite(value))
            v[m++] = value;
    }
    if (m > 0)
        qsort(v, m, sizeof *v, num_compare);
    for (int i = 0; m > 0 && i < 4; i++)
        q[i] = v[(size_t)(at[i] * (double)(m - 1) + .5)];
    free(v);
    return m > 0;
}

static void draw_extrapolation(struct plot *c, const struct view *v)
{
    if (v->X_hi <= v->X_top * 1.5)
        return;
    fprintf(c->set,
            "set object rectangle from first %.9g, graph 0 to first %.9g, graph 1 behind "
            "fillcolor rgb '" COLOUR_GRID "' fillstyle transparent pattern 5 noborder\n",
            v->X_top, v->X_hi);
    plot_word(c, "extrapolation", COLOUR_DIM, "first %.9g, graph .04 left offset 1,0",
              v->X_top);
}

// Two lines from rows "X a b": what lies between them is filled.
static void draw_between(struct plot *c, int data, int a, int b, const char *colour,
                         double solid)
{
    plot_draw(c,
              "$d%d using 1:%d:%d with filledcurves fillstyle transparent solid %.2f noborder "
              "fillcolor rgb '%s'",
              data, a, b, solid, colour);
}

static void draw_fan(struct plot *c, const json_t *law, const struct view *v)
{
    double q[4];
    const int data = plot_data(c);
    int rows = 0;
    for (int i = 0; i < GRID; i++) {
        const double X = view_x(v, i);
        if (!fan_at(law, X, q))
            continue;
        fprintf(c->set, "%.9g %.9g %.9g %.9g %.9g\n", X, q[0], q[1], q[2], q[3]);
        rows++;
    }
    const json_t *constant = json_object_get(law, "constant");
    const double lo = jnum(constant, "lo"), hi = jnum(constant, "hi");
    if (rows == 0 && isfinite(lo) && isfinite(hi))
        for (; rows < 2; rows++) {
            const double X = rows ? v->X_hi : v->X_lo, scale = pow(X, jnum(law, "p"));
            fprintf(c->set, "%.9g %.9g %.9g %.9g %.9g\n", X, lo * scale, NAN, NAN, hi * scale);
        }
    plot_data_end(c);
    if (rows == 0)
        return;
    draw_between(c, data, 2, 5, COLOUR_LAW, .15);
    if (!constant)
        draw_between(c, data, 3, 4, COLOUR_LAW, .2);
}

static void draw_line(struct plot *c, double (*value)(const json_t *, double),
                      const json_t *law, const struct view *v, const char *colour)
{
    for (int beyond = 0; beyond < 2; beyond++) {
        const int data = plot_data(c);
        const double from = beyond ? v->X_top : v->X_lo, to = beyond ? v->X_hi : v->X_top;
        for (int i = 0; i < GRID; i++) {
            const double X = from * pow(to / from, i / (double)(GRID - 1));
            fprintf(c->set, "%.9g %.9g\n", X, value(law, X));
        }
        plot_data_end(c);
        plot_draw(c, "$d%d using 1:2 with lines linewidth 2 dashtype %d linecolor rgb '%s'",
                  data, beyond ? 2 : 1, colour);
    }
}

// The near-optimal band: its two edges' laws over the range trained, dashed beyond.
static void draw_edges(struct plot *c, const json_t *lo, const json_t *hi, const struct view *v)
{
    const json_t *const edges[] = {lo, hi};
    for (int e = 0; e < 2; e++) {
        const int data = plot_data(c);
        for (int i = 0; edges[e] && i < GRID; i++)
            fprintf(c->set, "%.9g %.9g\n", view_x(v, i), law_at(edges[e], view_x(v, i)));
        plot_data_end(c);
        if (edges[e])
            plot_draw(
                c,
                "$d%d using 1:2 with lines linewidth 1.2 dashtype 4 linecolor rgb '" COLOUR_DIM
                "'",
                data);
    }
}

// One scale's value in its colour: filled when the optimum was interior, open otherwise.
static void draw_law_points(const struct page *p, struct plot *c, const json_t *law)
{
    const json_t *points = json_object_get(law, "points");
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *pt = json_array_get(points, i);
        const double value = jnum(pt, "value"), lo = jnum(pt, "lo"), hi = jnum(pt, "hi");
        if (!isfinite(value))
            continue;
        const int data = plot_data(c);
        fprintf(c->set, "%.9g %.9g %.9g %.9g\n", jnum(pt, "C"), value,
                isfinite(lo) ? lo : value, isfinite(hi) ? hi : value);
        plot_data_end(c);
        plot_draw(c,
                  "$d%d using 1:2:3:4 with yerrorbars pointtype %d pointsize .9 linewidth 1.5 "
                  "linecolor rgb '%s'",
                  data, strcmp(jstr(pt, "verdict"), "interior") == 0 ? 7 : 6,
                  page_colour(p, jnum(pt, "C")).s);
    }
}

static void draw_prediction(struct plot *c, double X, double value, double lo, double hi)
{
    if (!isfinite(X) || !isfinite(value))
        return;
    const int data = plot_data(c);
    fprintf(c->set, "%.9g %.9g %.9g %.9g\n", X, value, isfinite(lo) ? lo : value,
            isfinite(hi) ? hi : value);
    plot_data_end(c);
    plot_draw(c,
              "$d%d using 1:2:3:4 with yerrorbars pointtype 11 pointsize 1.2 linewidth 1.6 "
              "linecolor rgb '" COLOUR_MARK "'",
              data);
}

static void hold_law(double *lo, double *hi, const json_t *law, const struct view *v)
{
    const json_t *points = json_object_get(law, "points");
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *pt = json_array_get(points, i);
        plot_hold(lo, hi, jnum(pt, "value"));
        plot_hold(lo, hi, jnum(pt, "lo"));
        plot_hold(lo, hi, jnum(pt, "hi"));
    }
    plot_hold(lo, hi, law_at(law, v->X_lo));
    plot_hold(lo, hi, law_at(law, v->X_hi));
}

static enum err law_chart(struct page *p, const char *name, const json_t *law)
{
    const struct view v = view_of(p);
    const json_t *laws = json_object_get(p->law, "laws");
    char edge[64];
    snprintf(edge, sizeof edge, "%.40s.band_lo", name);
    const json_t *band_lo = json_object_get(laws, edge);
    snprintf(edge, sizeof edge, "%.40s.band_hi", name);
    const json_t *band_hi = json_object_get(laws, edge);
    const json_t *asked = json_object_get(json_object_get(p->arch, "asked"), name);
    double lo = INFINITY, hi = -INFINITY, q[4];
    hold_law(&lo, &hi, law, &v);
    for (int i = 0; i < 2; i++)
        if (fan_at(law, i ? v.X_hi : v.X_lo, q)) {
            plot_hold(&lo, &hi, q[0]);
            plot_hold(&lo, &hi, q[3]);
        }
    if (band_lo)
        hold_law(&lo, &hi, band_lo, &v);
    if (band_hi)
        hold_law(&lo, &hi, band_hi, &v);
    struct plot c;
    TRY(plot_open(&c, 480, 350));
    const bool log = lo > 0;
    plot_margin(&lo, &hi, .06, log);
    plot_axis(&c, 'x', "C, training compute in FLOPs", v.X_lo, v.X_hi, true);
    plot_axis(&c, 'y', quantity_label(name).s, lo, hi, log);
    draw_extrapolation(&c, &v);
    if (!isfinite(jnum(law, "fraction"))) { // else no value but a position in a list is carried
        draw_fan(&c, law, &v);
        draw_line(&c, law_at, law, &v, COLOUR_LAW);
    }
    draw_edges(&c, band_lo, band_hi, &v);
    draw_law_points(p, &c, law);
    draw_prediction(&c, v.budget, jnum(asked, "value"), jnum(asked, "lo"), jnum(asked, "hi"));
    char alt[300];
    snprintf(alt, sizeof alt, "%s against compute: %s", quantity_label(name).s,
             jtrue(law, "fitted") ? "points with intervals, fitted power law and its bootstrap"
                                  : "points with intervals, no trend claimed");
    return page_chart(p, &c, alt);
}

// The trainings behind a law: those of the cell that adopted the quantity at each scale.
static void law_sources(const struct page *p, const char *name, const json_t *law)
{
    static const char *const heads[] = {"#C, FLOPs", "#value", "#95 %", "verdict", "read from"};
    const char *source = strcmp(name, "D") == 0 ? "M" : name; // D = C/M
    const json_t *points = json_object_get(law, "points"),
                 *cells = json_object_get(p->law, "cells");
    fprintf(p->f, "<details%s><summary>Numbers and ids</summary>\n",
            p->charts ? "" : " open=\"open\"");
    table_begin(p->f, NULL, heads, 5);
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *pt = json_array_get(points, i), *from = NULL;
        for (size_t k = 0; k < json_array_size(cells); k++) {
            const json_t *cell = json_array_get(cells, k);
            if (jnum(cell, "C") == jnum(pt, "C") &&
                json_object_get(json_object_get(cell, "adopted"), source))
                from = cell; // the last one holds
        }
        fputs("<tr>", p->f);
        cell_num(p->f, num_round(jnum(pt, "C")));
        cell_num(p->f, num_sig(jnum(pt, "value"), 4));
        cell_num(p->f, num_range(jnum(pt, "lo"), jnum(pt, "hi"), 3));
        cell_text(p->f, jstr(pt, "verdict"));
        fputs("<td>", p->f);
        if (from) {
            html_text(p->f, jstr(from, "id"));
            html_jobs(p->f, "inputs", json_object_get(from, "inputs"));
        }
        fputs("</td></tr>\n", p->f);
    }
    table_end(p->f);
    fputs("</details>\n", p->f);
}

static void law_caption(const struct page *p, const char *name, const json_t *law)
{
    FILE *f = p->f;
    fputs("<figcaption><b>", f);
    fputs(quantity_label(name).s, f);
    fputs("</b><br/>", f);
    if (jtrue(law, "fitted")) {
        html_text(f, name);
        fprintf(f, " = %s C<sup>%s</sup>", num_sig(jnum(law, "k"), 3).s,
                num_sig(jnum(law, "p"), 3).s);
        if (*num_range(jnum(law, "p_lo"), jnum(law, "p_hi"), 2).s)
            fprintf(f, ", exponent 95 %%: %s",
                    num_range(jnum(law, "p_lo"), jnum(law, "p_hi"), 2).s);
        if (jnum(law, "n") > 2) // a line through two points has none
            fprintf(f, "; scatter %s", num_percent(jnum(law, "rmse_log"), 2).s);
        fputs(". Rule: ", f);
    } else {
        fputs("<span class=\"badge\">no trend claimed</span> ", f);
        if (isfinite(jnum(law, "fraction")))
            fprintf(f, "value %s, position %s in the list of feasible ones. Rule: ",
                    num_sig(jnum(law, "k"), 3).s, num_sig(jnum(law, "fraction"), 2).s);
        else
            fprintf(f, "value carried: %s. Rule: ", num_sig(jnum(law, "k"), 3).s);
    }
    html_text(f, jstr(law, "rule"));
    fputs(".</figcaption>\n", f);
}

// ---- the loss

static double loss_at(const json_t *loss, double X)
{
    if (jtrue(loss, "converged"))
        return jnum(json_object_get(loss, "E"), "value") +
               jnum(json_object_get(loss, "A"), "value") *
                   pow(X, -jnum(json_object_get(loss, "p"), "value"));
    return law_at(json_object_get(loss, "power"), X);
}

static void draw_all_losses(const struct page *p, struct plot *c)
{
    for (int s = 0; s < p->runs.n_scales; s++) {
        const int data = plot_data(c);
        int rows = 0;
        for (int i = 0; i < p->runs.n; i++) {
            const struct run *r = &p->runs.v[i];
            if (r->scale != s || !r->ok)
                continue;
            fprintf(c->set, "%.9g %.9g \"%s loss %.4f\"\n", r->job->C, r->job->result.loss,
                    plain_text(r->job->job.id).s, r->job->result.loss);
            rows++;
        }
        plot_data_end(c);
        if (rows)
            plot_draw(c,
                      "$d%d using 1:2:3 with labels hypertext point pointtype 7 pointsize .3 "
                      "linecolor rgb '%s'",
                      data, colour_scale(s, p->runs.n_scales).s);
    }
}

static enum err loss_chart(struct page *p, const json_t *loss)
{
    const struct view v = view_of(p);
    const json_t *predicted = json_object_get(p->arch, "loss");
    double lo = INFINITY, hi = -INFINITY;
    for (int i = 0; i < p->runs.n; i++)
        if (p->runs.v[i].ok)
            plot_hold(&lo, &hi, p->runs.v[i].job->result.loss);
    plot_hold(&lo, &hi, loss_at(loss, v.X_hi));
    plot_hold(&lo, &hi, jnum(predicted, "lo"));
    struct plot c;
    TRY(plot_open(&c, 480, 350));
    plot_margin(&lo, &hi, .06, true);
    plot_axis(&c, 'x', "C, training compute in FLOPs", v.X_lo, v.X_hi, true);
    plot_axis(&c, 'y', "loss, nats per token", lo, hi, true);
    draw_extrapolation(&c, &v);
    draw_all_losses(p, &c);
    if (isfinite(loss_at(loss, v.X_top)))
        draw_line(&c, loss_at, loss, &v, COLOUR_LAW);
    const json_t *points = json_object_get(loss, "points");
    const int data = plot_data(&c);
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *pt = json_array_get(points, i);
        fprintf(c.set, "%.9g %.9g\n", jnum(pt, "C"), jnum(pt, "loss"));
    }
    plot_data_end(&c);
    if (json_array_size(points))
        plot_draw(
            &c,
            "$d%d using 1:2 with points pointtype 13 pointsize 1.1 linecolor rgb '" COLOUR_INK
            "'",
            data);
    draw_prediction(&c, v.budget, jnum(predicted, "predicted"), jnum(predicted, "lo"),
                    jnum(predicted, "hi"));
    return page_chart(p, &c,
                      "Loss of every training against compute, best per scale and its law");
}

static void loss_caption(const struct page *p, const json_t *loss)
{
    FILE *f = p->f;
    const json_t *E = json_object_get(loss, "E"), *e = json_object_get(loss, "p");
    fputs("<figcaption><b>loss, nats per token</b><br/>", f);
    if (jtrue(loss, "converged")) {
        fprintf(f, "L = E + A C<sup>−p</sup> with E = %s", num_sig(jnum(E, "value"), 3).s);
        if (*num_range(jnum(E, "lo"), jnum(E, "hi"), 3).s)
            fprintf(f, " (95 %%: %s)", num_range(jnum(E, "lo"), jnum(E, "hi"), 3).s);
        fprintf(f, ", p = %s", num_sig(jnum(e, "value"), 3).s);
        if (*num_range(jnum(e, "lo"), jnum(e, "hi"), 2).s)
            fprintf(f, " (95 %%: %s)", num_range(jnum(e, "lo"), jnum(e, "hi"), 2).s);
        fprintf(f, "; scatter %s. ", num_percent(jnum(loss, "rmse_log"), 2).s);
    } else {
        const json_t *power = json_object_get(loss, "power");
        fputs("<span class=\"badge warn\">E cannot be identified</span> ", f);
        if (isfinite(jnum(power, "k")))
            fprintf(f, "Drawn: L = %s C<sup>%s</sup>; ", num_sig(jnum(power, "k"), 3).s,
                    num_sig(jnum(power, "p"), 3).s);
        html_text(f, jstr(power, "rule"));
        fputs(". ", f);
    }
    fputs("Diamonds: the best structure of each scale, mean over its seeds.</figcaption>\n", f);
}

static void loss_sources(const struct page *p, const json_t *loss)
{
    static const char *const heads[] = {"#C, FLOPs", "#best loss", "training"};
    const json_t *points = json_object_get(loss, "points");
    fprintf(p->f, "<details%s><summary>Numbers and ids</summary>\n",
            p->charts ? "" : " open=\"open\"");
    table_begin(p->f, NULL, heads, 3);
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *pt = json_array_get(points, i);
        fputs("<tr>", p->f);
        cell_num(p->f, num_round(jnum(pt, "C")));
        cell_num(p->f, num_fixed(jnum(pt, "loss"), 4));
        fputs("<td>", p->f);
        html_job(p->f, jstr(pt, "job"));
        fputs("</td></tr>\n", p->f);
    }
    table_end(p->f);
    fputs("</details>\n", p->f);
}

// ---- the section

static void legend(const struct page *p)
{
    const struct colour c = colour_scale(0, p->runs.n_scales);
    fputs("<div class=\"legend\">\n", p->f);
    page_key(p, "dot", c.s, "optimum inside the values tried, with its 95 % interval");
    page_key(p, "ring", c.s, "optimum at an edge or unresolved");
    page_key(p, "line", COLOUR_LAW, "law");
    page_key(p, "dash", COLOUR_LAW, "law, extrapolated");
    page_key(p, "fill", COLOUR_LAW, "50 and 95 % of bootstrapped laws");
    page_key(p, "dash", COLOUR_DIM, "edges of the near-optimal band");
    page_key(p, "mark", COLOUR_MARK, "the recommendation");
    fputs("</div>\n", p->f);
}

enum err section_laws(struct page *p)
{
    json_t *laws = json_object_get(p->law, "laws"), *law;
    const json_t *loss = json_object_get(p->law, "loss");
    const char *name;
    fputs("<h2 id=\"laws\">Laws across scales</h2>\n", p->f);
    const bool has_loss = json_array_size(json_object_get(loss, "points")) > 0;
    if (json_object_size(laws) == 0 && !has_loss) {
        fputs("<p class=\"dim\">None yet: no optimum has been adopted at any scale.</p>\n",
              p->f);
        return OK;
    }
    if (p->charts)
        legend(p);
    fputs("<div class=\"grid two\">\n", p->f);
    json_object_foreach(laws, name, law)
    {
        if (strchr(name, '.')) // a band's edge: drawn with its quantity
            continue;
        fputs("<figure>\n", p->f);
        if (p->charts)
            TRY(law_chart(p, name, law));
        law_caption(p, name, law);
        law_sources(p, name, law);
        fputs("</figure>\n", p->f);
    }
    if (has_loss) {
        fputs("<figure>\n", p->f);
        if (p->charts)
            TRY(loss_chart(p, loss));
        loss_caption(p, loss);
        loss_sources(p, loss);
        fputs("</figure>\n", p->f);
    }
    fputs("</div>\n", p->f);
    return OK;
}
