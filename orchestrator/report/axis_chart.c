// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/report/axis_chart.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const json_t *points_of(const json_t *fit)
{
    return json_object_get(fit, "points");
}

// The fitted curve between its points; NaN when there is none.
static double curve_at(const json_t *fit, double t)
{
    const json_t *curve = json_object_get(fit, "curve");
    const size_t n = json_array_size(curve);
    for (size_t i = 1; i < n; i++) {
        const json_t *a = json_array_get(curve, i - 1), *b = json_array_get(curve, i);
        const double ta = jnum_at(a, 0), tb = jnum_at(b, 0);
        if (t <= tb || i + 1 == n)
            return jnum_at(a, 1) + (t - ta) / (tb - ta) * (jnum_at(b, 1) - jnum_at(a, 1));
    }
    return NAN;
}

bool axis_shifted(const json_t *fit)
{
    return jnum(fit, "groups") > 1 && json_array_size(json_object_get(fit, "curve")) > 1;
}

// A point's height: its loss, or on the reference group's curve when groups differ by an
// intercept.
static double height(const json_t *fit, const json_t *point)
{
    const double moved =
        axis_shifted(fit) ? curve_at(fit, jnum(point, "t")) + jnum(point, "residual") : NAN;
    return isfinite(moved) ? moved : jnum(point, "loss");
}

static bool is_log(const json_t *fit)
{
    const json_t *range = json_object_get(fit, "range");
    const double lo = jnum_at(range, 0), hi = jnum_at(range, 1);
    return lo > 0 && (strcmp(jstr(fit, "form"), "logquad") == 0 || hi / lo > 6);
}

struct frame {
    double t_lo, t_hi, l_lo, l_hi;
};

static void frame_hold(struct frame *f, const json_t *fit)
{
    const json_t *points = points_of(fit), *curve = json_object_get(fit, "curve");
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *pt = json_array_get(points, i);
        plot_hold(&f->t_lo, &f->t_hi, jnum(pt, "t"));
        plot_hold(&f->l_lo, &f->l_hi, height(fit, pt));
    }
    for (size_t i = 0; i < json_array_size(curve); i++)
        plot_hold(&f->l_lo, &f->l_hi, jnum_at(json_array_get(curve, i), 1));
}

static void frame_axes(struct frame *f, struct plot *c, const json_t *fit)
{
    const bool log = is_log(fit) && f->t_lo > 0;
    plot_margin(&f->t_lo, &f->t_hi, .07, log);
    plot_margin(&f->l_lo, &f->l_hi, .08, false);
    plot_axis(c, 'x', quantity_label(jstr(fit, "axis")).s, f->t_lo, f->t_hi, log);
    plot_axis(c, 'y', "loss, nats per token", f->l_lo, f->l_hi, false);
}

// Every seed as a point that links to its training; the outliers among them, or the others.
static int point_data(struct plot *c, const json_t *fit, bool outliers, size_t *n)
{
    const json_t *points = points_of(fit);
    const int data = plot_data(c);
    *n = 0;
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *pt = json_array_get(points, i);
        if (jtrue(pt, "outlier") != outliers)
            continue;
        fprintf(c->set, "%.9g %.9g \"%s seed %.0f, %s %.4g, loss %.4f\"\n", jnum(pt, "t"),
                height(fit, pt),
                json_object_get(pt, "prior") ? "imported" : plain_text(jstr(pt, "job")).s,
                jnum(pt, "seed"), plain_text(jstr(fit, "axis")).s, jnum(pt, "t"),
                jnum(pt, "loss"));
        ++*n;
    }
    plot_data_end(c);
    return data;
}

// Means over what shares axis value and group. Rows: t, mean.
static int mean_data(struct plot *c, const json_t *fit, size_t *n)
{
    const json_t *points = points_of(fit);
    const int data = plot_data(c);
    const size_t all = json_array_size(points);
    *n = 0;
    for (size_t i = 0; i < all; i++) {
        const json_t *a = json_array_get(points, i);
        double sum = 0;
        int count = 0;
        bool first = true;
        for (size_t j = 0; j < all && first; j++) {
            const json_t *b = json_array_get(points, j);
            if (jnum(a, "t") != jnum(b, "t") || jnum(a, "group") != jnum(b, "group"))
                continue;
            first = j >= i;
            sum += height(fit, b);
            count++;
        }
        if (!first || count == 0)
            continue;
        fprintf(c->set, "%.9g %.9g\n", jnum(a, "t"), sum / count);
        ++*n;
    }
    plot_data_end(c);
    return data;
}

static int curve_data(struct plot *c, const json_t *fit, size_t *n)
{
    const json_t *curve = json_object_get(fit, "curve");
    const int data = plot_data(c);
    for (size_t i = 0; i < json_array_size(curve); i++)
        fprintf(c->set, "%.9g %.9g\n", jnum_at(json_array_get(curve, i), 0),
                jnum_at(json_array_get(curve, i), 1));
    plot_data_end(c);
    *n = json_array_size(curve);
    return data;
}

static bool has_optimum(const json_t *fit)
{
    return isfinite(jnum(json_object_get(fit, "optimum"), "value")) &&
           isfinite(jnum(fit, "optimum_loss")) && strcmp(jstr(fit, "verdict"), "failed") != 0;
}

// Row: optimum, its loss, interval; without an interval it is a point.
static void optimum_row(struct plot *c, const json_t *fit)
{
    const json_t *o = json_object_get(fit, "optimum");
    const double v = jnum(o, "value"), lo = jnum(o, "lo"), hi = jnum(o, "hi");
    fprintf(c->set, "%.9g %.9g %.9g %.9g\n", v, jnum(fit, "optimum_loss"),
            isfinite(lo) ? lo : v, isfinite(hi) ? hi : v);
}

// The near-optimal band over the chart's height, and the intervals of its edges along its foot.
static void draw_band(struct plot *c, const json_t *fit, const struct frame *f,
                      const char *colour)
{
    const json_t *band = json_object_get(fit, "band");
    const double lo = jnum(band, "lo"), hi = jnum(band, "hi");
    if (!(lo <= hi) || strcmp(jstr(fit, "verdict"), "failed") == 0)
        return;
    fprintf(c->set,
            "set object rectangle from first %.9g, graph 0 to first %.9g, graph 1 behind "
            "fillcolor rgb '%s' fillstyle transparent solid .13 noborder\n",
            lo, hi, colour);
    const int data = plot_data(c);
    const char *const edges[] = {"lo_ci", "hi_ci"};
    int rows = 0;
    for (int e = 0; e < 2; e++) {
        const json_t *ci = json_object_get(band, edges[e]);
        const bool open = jtrue(band, e ? "hi_open" : "lo_open");
        if (open || !(jnum_at(ci, 0) < jnum_at(ci, 1)))
            continue;
        fprintf(c->set, "%.9g %.9g %.9g %.9g\n", e ? hi : lo,
                f->l_lo + .03 * (f->l_hi - f->l_lo), jnum_at(ci, 0), jnum_at(ci, 1));
        rows++;
    }
    plot_data_end(c);
    if (rows)
        plot_draw(
            c,
            "$d%d using 1:2:3:4 with xerrorbars pointtype 0 linewidth 1.2 linecolor rgb '%s'",
            data, colour);
}

static void draw_points(struct plot *c, const json_t *fit, const char *colour)
{
    size_t n;
    int data = point_data(c, fit, false, &n);
    if (n)
        plot_draw(c,
                  "$d%d using 1:2:3 with labels hypertext point pointtype 7 pointsize .35 "
                  "linecolor rgb '%s'",
                  data, colour);
    data = point_data(c, fit, true, &n);
    if (n) {
        plot_draw(
            c,
            "$d%d using 1:2 with points pointtype 6 pointsize 1 linecolor rgb '" COLOUR_INK "'",
            data);
        plot_draw(c,
                  "$d%d using 1:2:3 with labels hypertext point pointtype 7 pointsize .35 "
                  "linecolor rgb '%s'",
                  data, colour);
    }
}

static void draw_means(struct plot *c, const json_t *fit, const char *colour)
{
    size_t n;
    const int data = mean_data(c, fit, &n);
    if (n)
        plot_draw(c, "$d%d using 1:2 with points pointtype 13 pointsize .8 linecolor rgb '%s'",
                  data, colour);
}

static void draw_curve(struct plot *c, const json_t *fit, const char *colour)
{
    size_t n;
    const int data = curve_data(c, fit, &n);
    if (n > 1)
        plot_draw(c, "$d%d using 1:2 with lines linewidth 2 linecolor rgb '%s'", data, colour);
}

static void draw_optimum(struct plot *c, const json_t *fit)
{
    if (!has_optimum(fit))
        return;
    const int data = plot_data(c);
    optimum_row(c, fit);
    plot_data_end(c);
    plot_draw(c,
              "$d%d using 1:2:3:4 with xerrorbars pointtype 11 pointsize 1.2 linewidth 1.6 "
              "linecolor rgb '" COLOUR_MARK "'",
              data);
}

// The best observed mean, an open square; with several groups its height is not comparable.
static void draw_raw(struct plot *c, const json_t *fit)
{
    const json_t *raw = json_object_get(fit, "raw_minimum");
    if (axis_shifted(fit) || !isfinite(jnum(raw, "t")) || !isfinite(jnum(raw, "loss")))
        return;
    const int data = plot_data(c);
    fprintf(c->set, "%.9g %.9g\n", jnum(raw, "t"), jnum(raw, "loss"));
    plot_data_end(c);
    plot_draw(c,
              "$d%d using 1:2 with points pointtype 4 pointsize 1.3 linewidth 1.2 linecolor "
              "rgb '" COLOUR_INK "'",
              data);
}

static void draw_adopted(struct plot *c, const json_t *fit)
{
    const double v = jnum(fit, "adopted");
    if (isfinite(v))
        fprintf(c->set,
                "set arrow from first %.9g, graph 0 to first %.9g, graph 1 nohead linetype 1 "
                "dashtype 2 "
                "linecolor rgb '" COLOUR_DIM "'\n",
                v, v);
}

enum err axis_chart(struct page *p, double C, const json_t *fit)
{
    const struct colour colour = page_colour(p, C);
    struct plot c;
    TRY(plot_open(&c, 400, 290));
    struct frame f = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    frame_hold(&f, fit);
    frame_axes(&f, &c, fit);
    draw_band(&c, fit, &f, colour.s);
    draw_adopted(&c, fit);
    draw_curve(&c, fit, colour.s);
    draw_means(&c, fit, colour.s);
    draw_points(&c, fit, colour.s);
    draw_raw(&c, fit);
    draw_optimum(&c, fit);
    char alt[800];
    snprintf(alt, sizeof alt,
             "Loss against %s at C = %s: %.0f trainings, verdict %s, optimum %s",
             quantity_label(jstr(fit, "axis")).s, num_round(C).s, jnum(fit, "n"),
             plain_text(jstr(fit, "verdict")).s,
             num_value(jstr(fit, "axis"), jnum(json_object_get(fit, "optimum"), "value")).s);
    return page_chart(p, &c, alt);
}

enum err axis_overview(struct page *p, const json_t *const *fits, const double *C, int n)
{
    struct plot c;
    TRY(plot_open(&c, 620, 400));
    struct frame f = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (int i = 0; i < n; i++)
        frame_hold(&f, fits[i]);
    if (f.t_lo > 0 && f.t_hi > f.t_lo) // room for the names of the curves
        f.t_hi *= pow(f.t_hi / f.t_lo, .15);
    frame_axes(&f, &c, fits[0]);
    for (int i = 0; i < n; i++) {
        const struct colour colour = page_colour(p, C[i]);
        draw_curve(&c, fits[i], colour.s);
        draw_points(&c, fits[i], colour.s);
        const json_t *curve = json_object_get(fits[i], "curve");
        const size_t last = json_array_size(curve);
        if (last > 1) {
            const json_t *end = json_array_get(curve, last - 1);
            char text[110];
            snprintf(text, sizeof text, "C = %s", num_round(C[i]).s);
            plot_word(&c, text, colour.s, "first %.9g, first %.9g left offset .6,0",
                      jnum_at(end, 0), jnum_at(end, 1));
        }
    }
    const int joined = plot_data(&c);
    int rows = 0;
    for (int i = 0; i < n; i++)
        if (has_optimum(fits[i])) {
            optimum_row(&c, fits[i]);
            rows++;
        }
    plot_data_end(&c);
    if (rows > 1)
        plot_draw(&c, "$d%d using 1:2 with lines dashtype 3 linecolor rgb '" COLOUR_MARK "'",
                  joined);
    for (int i = 0; i < n; i++)
        draw_optimum(&c, fits[i]);
    char alt[300];
    snprintf(alt, sizeof alt, "Loss against %s at %d scales, with the optimum of each",
             quantity_label(jstr(fits[0], "axis")).s, n);
    return page_chart(p, &c, alt);
}

void axis_legend(const struct page *p)
{
    const struct colour c = colour_scale(0, p->runs.n_scales);
    fputs("<div class=\"legend\">\n", p->f);
    page_key(p, "dot", c.s, "one training");
    page_key(p, "diamond", c.s, "mean over seeds");
    page_key(p, "ring", COLOUR_INK, "outlier (weighted down, never dropped)");
    page_key(p, "line", c.s, "fitted curve");
    page_key(p, "mark", COLOUR_MARK, "optimum of the fit with its 95 % interval");
    page_key(p, "square", COLOUR_INK, "best observed mean");
    page_key(p, "fill", c.s, "near-optimal band, bars at its foot: 95 % of its edges");
    page_key(p, "dash", COLOUR_DIM, "value adopted");
    fputs("</div>\n", p->f);
}
