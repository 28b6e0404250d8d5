// SPDX-License-Identifier: GPL-3.0-or-later
// Learning curves: training loss against compute spent, one chart a scale, coloured by phase.
#include "orchestrator/report/page.h"
#include <math.h>

enum { CURVE_MAX = 70 }; // points drawn of one curve, even in the logarithm of the step

static bool has_curve(const struct run *r)
{
    return json_array_size(r->curve) > 1;
}

static double compute_after(const struct run *r, double step) // FLOPs
{
    const struct steer_job *j = r->job;
    return (double)job_tokens_after(&j->job, (int64_t)step) * (double)j->counts.M;
}

// Rows "compute loss"; points closer than an even logarithmic spacing are left out.
static void curve_rows(struct plot *c, const struct run *r)
{
    const size_t n = json_array_size(r->curve);
    const double first = fmax(1, jnum_at(json_array_get(r->curve, 0), 0));
    const double last = fmax(first, jnum_at(json_array_get(r->curve, n - 1), 0));
    const double apart = pow(last / first, 1.0 / CURVE_MAX);
    double next = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *pt = json_array_get(r->curve, i);
        const double step = jnum_at(pt, 0), loss = jnum_at(pt, 1);
        if (!(step > 0) || !(loss > 0) || (step < next && i + 1 < n))
            continue;
        fprintf(c->set, "%.6g %.6g\n", compute_after(r, step), loss);
        next = step * apart;
    }
    fputs("\n", c->set); // gnuplot: an empty line ends a curve
}

static void hold_curve(double frame[4], const struct run *r)
{
    for (size_t i = 0; i < json_array_size(r->curve); i++) {
        const json_t *pt = json_array_get(r->curve, i);
        if (jnum_at(pt, 0) > 0 && jnum_at(pt, 1) > 0) {
            plot_hold(&frame[0], &frame[1], compute_after(r, jnum_at(pt, 0)));
            plot_hold(&frame[2], &frame[3], jnum_at(pt, 1));
        }
    }
}

static void draw_group(const struct page *p, struct plot *c, int scale, int phase, bool best)
{
    const int data = plot_data(c);
    int n = 0;
    for (int i = 0; i < p->runs.n; i++) {
        const struct run *r = &p->runs.v[i];
        if (r->scale != scale || !has_curve(r) || (best ? !r->best : r->phase_index != phase))
            continue;
        curve_rows(c, r);
        n++;
    }
    plot_data_end(c);
    if (n)
        plot_draw(c, "$d%d using 1:2 with lines linewidth %s linecolor rgb '%s'", data,
                  best ? "2.2" : ".8", best ? COLOUR_INK : colour_phase(phase).s);
}

static enum err learning_chart(struct page *p, int scale)
{
    double frame[4] = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (int i = 0; i < p->runs.n; i++)
        if (p->runs.v[i].scale == scale && has_curve(&p->runs.v[i]))
            hold_curve(frame, &p->runs.v[i]);
    struct plot c;
    TRY(plot_open(&c, 400, 300));
    plot_margin(&frame[0], &frame[1], .02, true);
    plot_margin(&frame[2], &frame[3], .04, true);
    plot_axis(&c, 'x', "compute spent, FLOPs", frame[0], frame[1], true);
    plot_axis(&c, 'y', "training loss, nats per token", frame[2], frame[3], true);
    for (int k = 0; k < p->runs.n_phases; k++)
        draw_group(p, &c, scale, k, false);
    draw_group(p, &c, scale, 0, true);
    char alt[160];
    snprintf(alt, sizeof alt, "Training loss against compute spent, all trainings at C = %s",
             num_round(p->runs.scales[scale]).s);
    return page_chart(p, &c, alt);
}

static void learning_table(const struct page *p)
{
    static const char *const heads[] = {"#C, FLOPs", "#trainings", "#shortest, steps",
                                        "#longest, steps", "#best loss held out"};
    table_begin(p->f, NULL, heads, 5);
    for (int s = 0; s < p->runs.n_scales; s++) {
        double lo = INFINITY, hi = -INFINITY, best = INFINITY;
        int n = 0;
        for (int i = 0; i < p->runs.n; i++) {
            const struct run *r = &p->runs.v[i];
            if (r->scale != s || !r->ok)
                continue;
            n++;
            plot_hold(&lo, &hi, (double)job_steps(&r->job->job));
            best = fmin(best, r->job->result.loss);
        }
        fputs("<tr>", p->f);
        cell_num(p->f, num_round(p->runs.scales[s]));
        cell_num(p->f, num_int(n));
        cell_num(p->f, num_int(lo));
        cell_num(p->f, num_int(hi));
        cell_num(p->f, num_fixed(best, 4));
        fputs("</tr>\n", p->f);
    }
    table_end(p->f);
}

static bool scale_has_curves(const struct page *p, int scale)
{
    for (int i = 0; i < p->runs.n; i++)
        if (p->runs.v[i].scale == scale && has_curve(&p->runs.v[i]))
            return true;
    return false;
}

enum err section_learning(struct page *p)
{
    fputs("<h2 id=\"learning\">Learning curves</h2>\n", p->f);
    if (p->runs.n_ok == 0) {
        fputs("<p class=\"dim\">No training has ended well yet.</p>\n", p->f);
        return OK;
    }
    learning_table(p);
    if (!p->charts)
        return OK;
    fputs("<div class=\"legend\">\n", p->f);
    for (int k = 0; k < p->runs.n_phases; k++)
        page_key(p, "line", colour_phase(k).s,
                 *p->runs.phases[k] ? p->runs.phases[k] : "phase not recorded");
    page_key(p, "line", COLOUR_INK, "best of its scale");
    fputs("</div>\n<div class=\"grid\">\n", p->f);
    for (int s = 0; s < p->runs.n_scales; s++) {
        if (!scale_has_curves(p, s))
            continue;
        fputs("<figure>\n", p->f);
        TRY(learning_chart(p, s));
        fprintf(p->f, "<figcaption><b>C = %s</b></figcaption></figure>\n",
                num_round(p->runs.scales[s]).s);
    }
    fputs("</div>\n", p->f);
    return OK;
}
