// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/curve_report.h"
#include "core/json.h"
#include "orchestrator/plot_stack.h"
#include "orchestrator/report/style.h"
#include <math.h>
#include <string.h>

enum { HEIGHT = 380, MAX_CURVES = 200 };

// ---- for people

static void print_guess(const json_t *run, const char *key, const char *what)
{
    const json_t *v = json_object_get(run, key);
    if (!isfinite(jnum(v, "value")))
        return;
    printf("    %-52s %.5g", what, jnum(v, "value"));
    if (isfinite(jnum(v, "lo")))
        printf(" (%.5g to %.5g)", jnum(v, "lo"), jnum(v, "hi"));
    if (strcmp(key, "law") == 0 && jnum(run, "beyond") > 1)
        printf(" * beyond the law's data %.3g times", jnum(run, "beyond"));
    putchar('\n');
}

static void print_run(const json_t *run)
{
    printf("  %s, from %.0f %% of its tokens", jstr(run, "run"), 100 * jnum(run, "share"));
    if (isfinite(jnum(run, "final")))
        printf(" (it ended at %.5g)", jnum(run, "final"));
    putchar('\n');
    print_guess(run, "calibrated", "final loss, as the runs that have ended went on");
    print_guess(run, "constant_rate", "if the learning rate stayed what it is");
    print_guess(run, "law", "the law, without the curve");
}

static void print_methods(const json_t *doc)
{
    size_t i;
    json_t *v;
    const json_t *rows = json_object_get(doc, "methods");
    printf(
        "\npredicting the final loss from %.0f %% of a run, each run left out in turn (and the "
        "largest C from smaller ones)\n"
        "  %-7s %5s %8s %9s %10s   %5s %8s %10s\n",
        100 * jnum(doc, "part"), "", "runs", "error, %", "95 %: +-%", "in it, %", "runs",
        "error, %", "in it, %");
    json_array_foreach(rows, i, v)
    {
        if (!(jnum(v, "n") > 0))
            continue;
        printf("  %-7s %5.0f %8.2f %9.2f %10.0f", jstr(v, "method"), jnum(v, "n"),
               100 * jnum(v, "rmse_log"), 100 * jnum(v, "half_width"),
               100 * jnum(v, "covered"));
        if (jnum(v, "n_largest") > 0)
            printf("   %5.0f %8.2f %10.0f", jnum(v, "n_largest"),
                   100 * jnum(v, "rmse_log_largest"), 100 * jnum(v, "covered_largest"));
        printf("%s\n", strcmp(jstr(v, "method"), jstr(doc, "best")) == 0 ? "   used" : "");
    }
}

static void print_law(const json_t *doc)
{
    size_t i;
    json_t *v;
    const json_t *rows = json_object_get(doc, "against_law");
    if (!json_array_size(rows))
        return;
    puts("\nlearning curves (training loss) over the law at the same tokens; a law of final "
         "losses "
         "is meant to hold at the end alone");
    json_array_foreach(rows, i, v) printf(
        "  at %3.0f %% of the run      %+7.2f %%, sd between runs %.2f %% (%.0f runs)\n",
        100 * jnum(v, "share"), 100 * jnum(v, "excess"), 100 * jnum(v, "sd"), jnum(v, "n"));
    v = json_object_get(doc, "final_over_law");
    printf("  the final loss itself  %+7.2f %%, sd between runs %.2f %%\n",
           100 * jnum(v, "excess"), 100 * jnum(v, "sd"));
}

void curve_print(const json_t *doc)
{
    size_t i;
    json_t *v;
    const json_t *open = json_object_get(doc, "open"), *run = json_object_get(doc, "run");
    printf("%s: %.0f runs that have ended, %.0f that have not", jstr(doc, "data"),
           jnum(doc, "ended"), jnum(doc, "not_ended"));
    if (jnum(doc, "rows_left_out") > 0)
        printf("; %.0f rows without numbers left out", jnum(doc, "rows_left_out"));
    putchar('\n');
    if (*jstr(doc, "best"))
        print_methods(doc);
    if (run || json_array_size(open))
        puts("\nruns (95 % intervals)");
    if (run)
        print_run(run);
    json_array_foreach(open, i, v) print_run(v);
    print_law(doc);
    if (json_array_size(json_object_get(doc, "notes")))
        putchar('\n');
    json_array_foreach(json_object_get(doc, "notes"), i, v) puts(json_string_value(v));
}

// ---- drawn

static void draw_flat(struct plot *c, double x0, double y0, double x1, double y1,
                      const char *colour)
{
    const int data = plot_data(c);
    fprintf(c->set, "%.9g %.9g\n%.9g %.9g\n", x0, y0, x1, y1);
    plot_data_end(c);
    plot_draw(c, "$d%d using 1:2 with lines linewidth 1 linecolor rgb '%s'", data, colour);
}

static enum err chart_predicted(const struct curve_subject *s, struct stack *k)
{
    struct plot c;
    double lo = INFINITY, hi = -INFINITY;
    char label[96];
    TRY(plot_open(&c, STACK_WIDTH, HEIGHT));
    const int data = plot_data(&c);
    enum err e = OK;
    for (int i = 0; i < s->t.n && e == OK; i++) {
        const struct learning_run *r = &s->t.run[i];
        struct learning_guess g;
        if (!isfinite(r->final))
            continue;
        e = learning_predict(s->t.run, s->t.n, s->best, s->part, r, &g);
        if (e != OK || !isfinite(g.value))
            continue;
        fprintf(c.set, "%.9g %.9g %.9g %.9g\n", r->final, g.value, g.lo, g.hi);
        plot_hold(&lo, &hi, r->final);
        plot_hold(&lo, &hi, g.lo);
        plot_hold(&lo, &hi, g.hi);
    }
    plot_data_end(&c);
    plot_margin(&lo, &hi, .04, false);
    plot_axis(&c, 'x', "final loss", lo, hi, false);
    snprintf(label, sizeof label, "predicted from %.0f %% of the run", 100 * s->part);
    plot_axis(&c, 'y', label, lo, hi, false);
    draw_flat(&c, lo, lo, hi, hi, COLOUR_DIM);
    plot_draw(&c,
              "$d%d using 1:2:3:4 with yerrorbars pointtype 7 pointsize .4 linecolor rgb '%s'",
              data, COLOUR_INK);
    const enum err drawn = stack_chart(k, &c, HEIGHT,
                                       "predicted against final losses, each run "
                                       "left out in turn, with 95 % intervals");
    return e != OK ? e : drawn;
}

static enum err chart_excess(const struct curve_subject *s, struct stack *k)
{
    struct plot c;
    double lo = 0, hi = 0;
    TRY(plot_open(&c, STACK_WIDTH, HEIGHT));
    const int data = plot_data(&c), stride = s->t.n / MAX_CURVES + 1;
    for (int i = 0; i < s->t.n; i += stride) {
        const struct learning_run *r = &s->t.run[i];
        for (int j = 0; j < r->n; j++) {
            const double off = 100 * (r->loss[j] / r->law[j] - 1);
            if (!isfinite(off))
                continue;
            fprintf(c.set, "%.9g %.9g\n", r->D[j] / r->D_end, off);
            if (r->D[j] > .15 * r->D_end) // before, the loss is anywhere
                plot_hold(&lo, &hi, off);
        }
        fputs("\n", c.set); // an empty line ends a curve
    }
    plot_data_end(&c);
    plot_margin(&lo, &hi, .05, false);
    plot_axis(&c, 'x', "share of all tokens of a run", 0, 1, false);
    plot_axis(&c, 'y', "loss over the law at the same tokens, %", lo, hi, false);
    plot_draw(&c, "$d%d using 1:2 with lines linewidth .6 linecolor rgb '%s'", data,
              COLOUR_INK);
    draw_flat(&c, 0, 0, 1, 0, COLOUR_MARK);
    return stack_chart(k, &c, HEIGHT, "learning curves over the law by share of the run");
}

static enum err chart_run(const struct curve_subject *s, struct stack *k)
{
    const struct learning_run *r = &s->t.run[s->shown];
    struct learning_guess g = {(double)NAN, (double)NAN, (double)NAN, 0};
    struct plot c;
    double lo = INFINITY, hi = -INFINITY;
    if (s->best < N_LEARNING_METHODS)
        TRY(learning_predict(s->t.run, s->t.n, s->best, fmin(s->part, learning_share(r)), r,
                             &g));
    TRY(plot_open(&c, STACK_WIDTH, HEIGHT));
    const int data = plot_data(&c);
    for (int j = 0; j < r->n; j++) {
        fprintf(c.set, "%.9g %.9g %.9g\n", r->D[j], r->loss[j],
                r->law ? r->law[j] : r->loss[j]);
        if (r->D[j] > .05 * r->D_end)
            plot_hold(&lo, &hi, r->loss[j]);
        if (r->law && r->D[j] > .05 * r->D_end)
            plot_hold(&lo, &hi, r->law[j]);
    }
    plot_data_end(&c);
    plot_hold(&lo, &hi, g.lo);
    plot_hold(&lo, &hi, g.hi);
    plot_margin(&lo, &hi, .05, false);
    char label[96];
    snprintf(label, sizeof label, "tokens of run %s (orange: predicted end; grey: the law)",
             r->name);
    plot_axis(&c, 'x', label, 0, 1.03 * r->D_end, false);
    plot_axis(&c, 'y', "loss", lo, hi, false);
    plot_draw(&c, "$d%d using 1:2 with lines linewidth 1.4 linecolor rgb '%s'", data,
              COLOUR_INK);
    if (r->law)
        plot_draw(&c, "$d%d using 1:3 with lines linewidth 1.4 linecolor rgb '%s'", data,
                  COLOUR_DIM);
    if (isfinite(g.lo))
        draw_flat(&c, r->D_end, g.lo, r->D_end, g.hi, COLOUR_MARK);
    return stack_chart(k, &c, HEIGHT, "a run's learning curve, the law, and the predicted end");
}

enum err curve_plot(const char *path, const struct curve_subject *s, const char **why)
{
    struct stack k;
    TRY(stack_open(&k, why));
    if (*why)
        return OK;
    enum err e = s->shown >= 0 ? chart_run(s, &k) : OK;
    if (e == OK && s->best < N_LEARNING_METHODS)
        e = chart_predicted(s, &k);
    if (e == OK && s->t.law)
        e = chart_excess(s, &k);
    if (e == OK && k.charts == 0)
        e = err_set(ERR_INPUT, "curve: --plot: nothing to draw: expected runs that have ended, "
                               "--law or --run");
    return stack_close(&k, e, path, why);
}
