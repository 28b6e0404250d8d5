// SPDX-License-Identifier: GPL-3.0-or-later
// Who worked when: one row a worker, one bar an attempt, coloured by phase. Bars are plain
// rectangles, so this chart is written here and needs no gnuplot.
#include "orchestrator/report/page.h"
#include <math.h>
#include <stdlib.h>

enum { LEFT = 84, WIDTH = 1000, ROW = 24, TOP = 6 };

// The distinct workers, ascending, in a fresh array; NULL when memory is short.
static double *workers_of(const struct runs *r, int *n)
{
    double *w = malloc(((size_t)r->n_spans + 1) * sizeof *w);
    *n = 0;
    if (!w)
        return NULL;
    for (int i = 0; i < r->n_spans; i++)
        w[i] = r->spans[i].worker;
    qsort(w, (size_t)r->n_spans, sizeof *w, num_compare);
    for (int i = 0; i < r->n_spans; i++)
        if (*n == 0 || w[*n - 1] != w[i])
            w[(*n)++] = w[i];
    return w;
}

// A round step that gives 4 to 10 ticks over the span.
static double tick_step(double span)
{
    static const double steps[] = {1, 2, 5, 10};
    const double decade = pow(10, floor(log10(span / 5)));
    for (int i = 0; i < 4; i++)
        if (span / (steps[i] * decade) <= 10)
            return steps[i] * decade;
    return 10 * decade;
}

static double place(double t, double span)
{
    return LEFT + t / span * (WIDTH - LEFT - 10);
}

static struct num tick_text(double t)
{
    struct num r;
    snprintf(r.s, sizeof r.s, "%.3g s", t);
    return t < 300 ? r : num_time(t);
}

static void time_axis(FILE *f, double span, int bottom)
{
    const double step = tick_step(span);
    for (double t = 0; t <= span * 1.0001; t += step) {
        const double x = place(t, span);
        fprintf(f,
                "<path d=\"M%.1f %d V%d\" stroke=\"" COLOUR_GRID "\"/>"
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" fill=\"" COLOUR_DIM
                "\">%s</text>\n",
                x, TOP, bottom, x, bottom + 15, tick_text(t).s);
    }
}

static void bar(const struct page *p, const struct span *s, double span, int row)
{
    const double x = place(s->t0, span), w = fmax(.8, place(s->t1, span) - x - .6);
    const struct run *r = s->run >= 0 ? &p->runs.v[s->run] : NULL;
    const char *colour = r ? colour_phase(r->phase_index).s : COLOUR_DIM;
    fputs("<a", p->f);
    if (r) {
        fputs(" href=\"#run-", p->f);
        html_text(p->f, r->job->job.id);
        fputs("\"", p->f);
    }
    fputs("><title>", p->f);
    html_text(p->f, r ? r->job->job.id : "unknown job");
    if (r)
        fprintf(p->f, " at C = %s: ", num_round(r->job->C).s);
    fprintf(p->f, "%s to %s%s", num_time(s->t0).s, num_time(s->t1).s,
            s->lost ? ", lost and tried again" : "");
    fprintf(p->f,
            "</title><rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"1.5\" "
            "fill=\"%s\" stroke=\"%s\"/></a>\n",
            x, TOP + row * ROW + 4, w, ROW - 8, s->lost ? "none" : colour,
            s->lost ? COLOUR_MARK : "none");
}

// Where a session ended and a later one took over.
static void resume_lines(const struct page *p, double span, int bottom)
{
    for (int k = 0; k < p->runs.n_sessions; k++) {
        const struct session *s = &p->runs.sessions[k];
        if (s->first <= s->last && s->first > 0)
            fprintf(p->f,
                    "<path d=\"M%.1f %d V%d\" stroke=\"" COLOUR_INK
                    "\" stroke-dasharray=\"4 3\"><title>resumed here</title></path>\n",
                    place(s->first, span), TOP - 4, bottom + 2);
    }
}

static void chart(const struct page *p, const double *workers, int n, double span)
{
    FILE *f = p->f;
    const struct runs *r = &p->runs;
    const int bottom = TOP + n * ROW;
    fprintf(f,
            "<figure class=\"wide\"><svg class=\"plot\" viewBox=\"0 0 %d %d\" role=\"img\" "
            "aria-label=\"Time chart: which worker trained what when\" font-size=\"12\" "
            "font-family=\"system-ui,sans-serif\">\n",
            WIDTH, bottom + 22);
    time_axis(f, span, bottom);
    for (int w = 0; w < n; w++) {
        fprintf(f,
                "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" fill=\"" COLOUR_DIM
                "\">worker %.0f</text>\n",
                LEFT - 8, TOP + w * ROW + ROW / 2 + 4, workers[w]);
        for (int i = 0; i < r->n_spans; i++)
            if (r->spans[i].worker == workers[w])
                bar(p, &r->spans[i], span, w);
    }
    resume_lines(p, span, bottom);
    fputs("</svg></figure>\n", f);
}

static void worker_table(const struct page *p, const double *workers, int n, double span)
{
    static const char *const heads[] = {"worker", "#attempts", "#trainer running", "#training",
                                        "#training, share of the span"};
    fprintf(p->f, "<details%s><summary>Per worker</summary>\n", n <= 4 ? " open=\"open\"" : "");
    table_begin(p->f, NULL, heads, 5);
    for (int w = 0; w < n; w++) {
        double busy = 0, training = 0;
        int attempts = 0;
        for (int i = 0; i < p->runs.n_spans; i++) {
            const struct span *s = &p->runs.spans[i];
            if (s->worker != workers[w])
                continue;
            attempts++;
            busy += s->t1 - s->t0;
            training += s->training;
        }
        fprintf(p->f, "<tr><td>%.0f</td>", workers[w]);
        cell_num(p->f, num_int(attempts));
        cell_num(p->f, num_time(busy));
        cell_num(p->f, num_time(training));
        cell_num(p->f, num_percent(training / span, 3));
        fputs("</tr>\n", p->f);
    }
    table_end(p->f);
    fputs("</details>\n", p->f);
}

void section_time(struct page *p)
{
    fputs("<h2 id=\"time\">Who worked when</h2>\n", p->f);
    const struct usage u = runs_usage(&p->runs);
    int n;
    double *workers = workers_of(&p->runs, &n);
    if (!workers || n == 0 || !(u.capacity > 0)) {
        fputs("<p class=\"dim\">The journal holds no times.</p>\n", p->f);
        free(workers);
        return;
    }
    fprintf(
        p->f,
        "<p>From the first dispatch to the last result: <strong>%s</strong> on %.0f worker%s. "
        "Training: <strong>%s</strong> of the workers' time (trainers running, with start-up "
        "and validation: %s).",
        num_time(u.span).s, u.workers, u.workers == 1 ? "" : "s",
        num_percent(u.training / u.capacity, 3).s, num_percent(u.busy / u.capacity, 3).s);
    int sessions = 0;
    for (int k = 0; k < p->runs.n_sessions; k++)
        sessions += p->runs.sessions[k].first <= p->runs.sessions[k].last;
    if (sessions > 1)
        fprintf(p->f, " The sweep was resumed %d time%s; the pauses are left out.",
                sessions - 1, sessions == 2 ? "" : "s");
    fputs("</p>\n", p->f);
    fputs("<div class=\"legend\">\n", p->f);
    for (int k = 0; k < p->runs.n_phases; k++)
        page_key(p, "box", colour_phase(k).s,
                 *p->runs.phases[k] ? p->runs.phases[k] : "phase not recorded");
    fputs("</div>\n", p->f);
    chart(p, workers, n, u.span);
    worker_table(p, workers, n, u.span);
    free(workers);
}
