// SPDX-License-Identifier: GPL-3.0-or-later
// One chart a variable: the law along it with its interval, over the data's range (shaded
// beyond), and the optimum with its own.
#include "core/json.h"
#include "fit/analysis.h"
#include "orchestrator/analyze.h"
#include "orchestrator/plot_stack.h"
#include "orchestrator/report/style.h"
#include <math.h>
#include <string.h>

enum { HEIGHT = 300, POINTS = 48 };
#define BEYOND 3. // times the data's range is drawn

struct place {
    const double *x;
    int k;
    double at;
};

static void value_at(const struct law *l, const double *params, const void *context,
                     double *out)
{
    const struct place *p = context;
    double x[LAW_MAX_VARS];
    for (int k = 0; k < law_vars(l, NULL); k++)
        x[k] = p->x[k];
    x[p->k] = p->at;
    out[0] = law_value(l, params, x, NULL);
}

// Rows "at value lo hi"; the chart's frame from those inside the data.
static enum err curve(const struct analyze_input *in, int k, const double span[2],
                      struct plot *c, double *lo, double *hi)
{
    const struct fit_file *f = in->file;
    const bool ln = span[0] > 0;
    for (int i = 0; i < POINTS; i++) {
        const double t = i / (POINTS - 1.);
        struct place p = {in->x, k, 0};
        struct estimate e;
        p.at = ln ? span[0] * pow(span[1] / span[0], t) : span[0] + t * (span[1] - span[0]);
        TRY(analysis_estimate(&f->fit, value_at, &p, 1, &e));
        if (!isfinite(e.value))
            continue;
        const bool known = isfinite(e.lo) && isfinite(e.hi);
        fprintf(c->set, "%.9g %.9g %.9g %.9g\n", p.at, e.value, known ? e.lo : e.value,
                known ? e.hi : e.value);
        plot_hold(lo, hi, e.value);
        if (p.at >= f->lo[k] && p.at <= f->hi[k]) {
            plot_hold(lo, hi, e.lo);
            plot_hold(lo, hi, e.hi);
        }
    }
    return OK;
}

static void draw_edge(struct plot *c, double at, double lo, double hi, const char *colour,
                      int width)
{
    const int data = plot_data(c);
    const double inset = 1e-3 * (hi - lo); // gnuplot drops a line whose ends are both outside
    fprintf(c->set, "%.9g %.9g\n%.9g %.9g\n", at, lo + inset, at, hi - inset);
    plot_data_end(c);
    plot_draw(c, "$d%d using 1:2 with lines linewidth %d linecolor rgb '%s'", data, width,
              colour);
}

static void draw_optimum(struct plot *c, const json_t *optimum, double lo, double hi)
{
    const json_t *v = json_object_get(optimum, "optimum");
    const double at = jnum(v, "value"), from = jnum(v, "lo"), to = jnum(v, "hi");
    if (!isfinite(at))
        return;
    draw_edge(c, at, lo, hi, COLOUR_MARK, 2);
    if (isfinite(from))
        draw_edge(c, from, lo, hi, COLOUR_MARK, 1);
    if (isfinite(to))
        draw_edge(c, to, lo, hi, COLOUR_MARK, 1);
}

static const json_t *optimum_of(const json_t *doc, const char *var)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(doc, "optima"), i,
                       v) if (strcmp(jstr(v, "var"), var) == 0) return v;
    return NULL;
}

static enum err chart(const struct analyze_input *in, const json_t *doc, int k, const char *var,
                      struct stack *s)
{
    const struct fit_file *f = in->file;
    const struct law *l = f->fit.law;
    struct along a;
    struct plot c;
    double lo = INFINITY, hi = -INFINITY;
    char label[96], alt[160];
    along_range(l, in->x, k, f->lo[k], f->hi[k], &a);
    double span[2] = {fmax(a.lo, f->lo[k] / BEYOND), fmin(a.hi, f->hi[k] * BEYOND)};
    TRY(plot_open(&c, STACK_WIDTH, HEIGHT));
    const int data = plot_data(&c);
    enum err e = curve(in, k, span, &c, &lo, &hi);
    plot_data_end(&c);
    plot_margin(&lo, &hi, .06, false);
    const bool log = span[0] > 0 && span[1] / span[0] > 6;
    plot_margin(&span[0], &span[1], .02, log);
    snprintf(label, sizeof label, "%s (between the grey lines: the data)", var);
    plot_axis(&c, 'x', label, span[0], span[1], log);
    plot_axis(&c, 'y', law_output(l), lo, hi, false);
    plot_draw(&c,
              "$d%d using 1:3:4 with filledcurves fillstyle solid .25 "
              "linecolor rgb '%s'",
              data, COLOUR_DIM);
    plot_draw(&c, "$d%d using 1:2 with lines linewidth 1.6 linecolor rgb '%s'", data,
              COLOUR_INK);
    draw_edge(&c, f->lo[k], lo, hi, COLOUR_DIM, 1);
    draw_edge(&c, f->hi[k], lo, hi, COLOUR_DIM, 1);
    draw_optimum(&c, optimum_of(doc, var), lo, hi);
    snprintf(alt, sizeof alt, "%s along %s, the other variables held, with its 95 %% interval",
             law_output(l), var);
    const enum err drawn = stack_chart(s, &c, HEIGHT, alt);
    return e != OK ? e : drawn;
}

enum err analyze_plot(const char *path, const struct analyze_input *in, const json_t *doc,
                      const char **why)
{
    struct stack s;
    const char *const *names;
    const int n = law_vars(in->file->fit.law, &names);
    TRY(stack_open(&s, why));
    if (*why)
        return OK;
    enum err e = OK;
    for (int k = 0; k < n && e == OK; k++)
        if (in->file->lo[k] < in->file->hi[k])
            e = chart(in, doc, k, names[k], &s);
    return stack_close(&s, e, path, why);
}
