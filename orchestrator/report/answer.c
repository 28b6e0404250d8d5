// SPDX-License-Identifier: GPL-3.0-or-later
// The top of the page: what was asked, what came out, how far to trust it; and the recommended
// architecture in full.
#include "orchestrator/report/page.h"
#include <math.h>
#include <string.h>

// " (95 %: lo to hi)" of an object with "lo" and "hi"; nothing when they are missing.
static void write_range(FILE *f, const json_t *o, int digits)
{
    const struct num range = num_range(jnum(o, "lo"), jnum(o, "hi"), digits);
    if (*range.s)
        fprintf(f, " <span class=\"dim\">(95 %%: %s)</span>", range.s);
}

static void extrapolation_badge(const struct page *p)
{
    const double factor = jnum(p->arch, "extrapolation");
    if (!isfinite(factor))
        return;
    if (jtrue(p->arch, "in_range"))
        fputs(" <span class=\"badge good\">inside the range trained</span>", p->f);
    else
        fprintf(p->f,
                " <span class=\"badge warn\">extrapolation: %s × the largest compute "
                "trained</span>",
                num_sig(factor, 2).s);
}

static void answer_architecture(const struct page *p)
{
    FILE *f = p->f;
    const json_t *asked = json_object_get(p->arch, "asked"),
                 *a = json_object_get(p->arch, "arch");
    fprintf(f, "<p><strong>For C = %s FLOPs</strong>", num_round(jnum(p->arch, "C")).s);
    extrapolation_badge(p);
    fputs(": train a model of <strong>M = ", f);
    const json_t *M = json_object_get(asked, "M");
    fprintf(f, "%s</strong> FLOPs per token", num_sig(jnum(M, "value"), 3).s);
    write_range(f, M, 3);
    fprintf(
        f,
        " on <strong>D = %s</strong> tokens: %s dense and %s MoE layers, hidden dimension %s, "
        "%s of %s experts of width %s active per token, %s shared. ",
        num_sig(jnum(json_object_get(p->arch, "train"), "tokens"), 3).s,
        num_int(jnum(a, "L_d")).s, num_int(jnum(a, "L_m")).s, num_int(jnum(a, "d")).s,
        num_int(jnum(a, "K")).s, num_int(jnum(a, "N_e")).s, num_int(jnum(a, "d_m")).s,
        num_int(jnum(a, "n_shared")).s);
    const json_t *loss = json_object_get(p->arch, "loss");
    if (isfinite(jnum(loss, "predicted"))) {
        fprintf(f, "Predicted loss <strong>%s</strong> nats per token",
                num_fixed(jnum(loss, "predicted"), 3).s);
        write_range(f, loss, 4);
        fputs(".", f);
    }
    fputs("</p>\n", f);
}

static void answer_trend(const struct page *p)
{
    const json_t *law = json_object_get(json_object_get(p->law, "laws"), "M");
    if (!jtrue(law, "fitted"))
        return;
    const struct num range = num_range(jnum(law, "p_lo"), jnum(law, "p_hi"), 3);
    fprintf(p->f, "<p>The best M grows as C to the power %s", num_sig(jnum(law, "p"), 3).s);
    if (*range.s)
        fprintf(p->f, " <span class=\"dim\">(95 %%: %s)</span>", range.s);
    fprintf(p->f, ", seen at %s scales from %s to %s FLOPs.</p>\n", num_int(jnum(law, "n")).s,
            num_round(jnum_at(json_object_get(law, "X"), 0)).s,
            num_round(jnum_at(json_object_get(law, "X"), 1)).s);
}

// How the fitted optima came out, counted over all cells.
static void answer_verdicts(const struct page *p)
{
    static const struct {
        const char *verdict, *text;
    } kinds[] = {{"interior", "inside the values tried"},
                 {"edge_low", "at the lower edge or with an interval that reaches it"},
                 {"edge_high", "at the upper edge or with an interval that reaches it"},
                 {"unresolved", "hidden by the noise"},
                 {"failed", "not to be fitted"}};
    int count[5] = {0}, all = 0;
    const json_t *cells = json_object_get(p->law, "cells");
    for (size_t c = 0; c < json_array_size(cells); c++) {
        const json_t *fits = json_object_get(json_array_get(cells, c), "fits");
        for (size_t i = 0; i < json_array_size(fits); i++)
            for (int k = 0; k < 5; k++)
                if (strcmp(jstr(json_array_get(fits, i), "verdict"), kinds[k].verdict) == 0) {
                    count[k]++;
                    all++;
                }
    }
    if (all == 0)
        return;
    fprintf(p->f, "<p>Of %d fitted optim%s, ", all, all == 1 ? "um" : "a");
    bool comma = false;
    for (int k = 0; k < 5; k++)
        if (count[k]) {
            fprintf(p->f, "%s%d %s %s", comma ? ", " : "", count[k],
                    count[k] == 1 ? "is" : "are", kinds[k].text);
            comma = true;
        }
    fputs(".</p>\n", p->f);
}

static void answer(const struct page *p)
{
    fputs("<section class=\"answer\" aria-label=\"Answer\">\n", p->f);
    if (json_is_object(json_object_get(p->arch, "arch")))
        answer_architecture(p);
    else if (p->runs.n_ok == 0)
        fprintf(p->f,
                "<p><strong>No answer yet:</strong> none of %d known trainings has ended "
                "well.</p>\n",
                p->runs.n);
    else
        fprintf(p->f,
                "<p><strong>No architecture can be recommended yet:</strong> %d of %d known "
                "trainings have ended well.</p>\n",
                p->runs.n_ok, p->runs.n);
    answer_trend(p);
    answer_verdicts(p);
    fputs("</section>\n", p->f);
}

static void tile(FILE *f, const char *figure, const char *what)
{
    fprintf(f, "<div class=\"tile\"><b>%s</b><span>%s</span></div>\n", figure, what);
}

static void tiles(const struct page *p)
{
    const struct runs *r = &p->runs;
    char text[200];
    fputs("<div class=\"tiles\">\n", p->f);
    snprintf(text, sizeof text, "trainings ended well, of %d known", r->n);
    tile(p->f, num_int(r->n_ok).s, text);
    if (r->n_failed)
        tile(p->f, num_int(r->n_failed).s, "<a href=\"#failures\">failed or diverged</a>");
    if (r->n_pruned)
        tile(p->f, num_int(r->n_pruned).s, "<a href=\"#failures\">stopped early</a>");
    if (r->n_open)
        tile(p->f, num_int(r->n_open).s, "not finished");
    if (r->n_scales) {
        snprintf(text, sizeof text, "scale%s: %.40s to %.40s FLOPs",
                 r->n_scales == 1 ? "" : "s", num_round(r->scales[0]).s,
                 num_round(r->scales[r->n_scales - 1]).s);
        tile(p->f, num_int(r->n_scales).s, text);
    }
    double flops = 0, best = INFINITY;
    for (int i = 0; i < r->n; i++)
        if (r->v[i].ok) {
            flops += r->v[i].job->C;
            best = fmin(best, r->v[i].job->result.loss);
        }
    if (r->n_ok) {
        tile(p->f, num_sig(flops, 3).s, "FLOPs spent on them (sum of C)");
        tile(p->f, num_fixed(best, 4).s, "lowest loss, nats per token");
    }
    const struct usage u = runs_usage(r);
    if (u.capacity > 0) {
        snprintf(text, sizeof text, "from first dispatch to last result, %.0f worker%s",
                 u.workers, u.workers == 1 ? "" : "s");
        tile(p->f, num_time(u.span).s, text);
        tile(p->f, num_percent(u.training / u.capacity, 3).s,
             "of that time the workers trained");
    }
    fputs("</div>\n", p->f);
}

static void note_list(FILE *f, const json_t *notes)
{
    for (size_t i = 0; i < json_array_size(notes); i++) {
        fputs("<li>", f);
        html_text(f, json_string_value(json_array_get(notes, i)));
        fputs("</li>\n", f);
    }
}

static void caveats(const struct page *p)
{
    fputs("<section class=\"caveats\"><h2>What this sweep can and cannot say</h2>\n<ul>\n",
          p->f);
    if (!p->law)
        fputs(
            "<li>No law is written yet: nothing has been decided from these trainings.</li>\n",
            p->f);
    note_list(p->f, json_object_get(p->law, "notes"));
    note_list(p->f, json_object_get(p->arch, "notes"));
    if (p->runs.n_open)
        fprintf(p->f,
                "<li>%d training%s not finished; what stands here rests on the others.</li>\n",
                p->runs.n_open, p->runs.n_open == 1 ? " is" : "s are");
    if (!p->charts)
        fputs("<li>This page has tables but no charts: gnuplot was not found when it was "
              "written. "
              "Install it and write the report again.</li>\n",
              p->f);
    fputs("</ul></section>\n", p->f);
}

static void contents(const struct page *p)
{
    static const struct {
        const char *id, *title;
    } all[] = {{"architecture", "Recommended architecture"},
               {"laws", "Laws across scales"},
               {"phases", "Loss along each axis"},
               {"checks", "Checks"},
               {"decisions", "Decisions"},
               {"learning", "Learning curves"},
               {"time", "Who worked when"},
               {"failures", "Failures and outliers"},
               {"words", "What the words mean"},
               {"runs", "All trainings"}};
    fputs("<nav aria-label=\"Contents\">\n", p->f);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        fprintf(p->f, "<a href=\"#%s\">%s</a>\n", all[i].id, all[i].title);
    fputs("</nav>\n", p->f);
}

void section_head(struct page *p)
{
    fputs("<header>\n<div class=\"kicker\">moesweep report</div>\n<h1>", p->f);
    html_text(p->f, *jstr(p->law, "sweep") ? jstr(p->law, "sweep") : "A sweep");
    fputs("</h1>\n<p class=\"question\">", p->f);
    html_text(p->f, jstr(p->law, "question"));
    fputs("</p>\n</header>\n", p->f);
    answer(p);
    tiles(p);
    caveats(p);
    contents(p);
}

// ---- the architecture in full

static double built_value(const struct page *p, const char *name)
{
    const json_t *train = json_object_get(p->arch, "train");
    if (strcmp(name, "D") == 0)
        return jnum(train, "tokens");
    const double v = jnum(json_object_get(p->arch, "counts"), name);
    return isfinite(v) ? v : jnum(train, name);
}

static void asked_row(const struct page *p, const char *name)
{
    const json_t *asked = json_object_get(p->arch, "asked"), *q = json_object_get(asked, name);
    const double want = jnum(q, "value"), built = built_value(p, name);
    if (!isfinite(want) && !isfinite(built))
        return;
    char edge[64];
    snprintf(edge, sizeof edge, "%.40s.band_lo", name);
    const double band_lo = jnum(json_object_get(asked, edge), "value");
    snprintf(edge, sizeof edge, "%.40s.band_hi", name);
    const double band_hi = jnum(json_object_get(asked, edge), "value");
    fprintf(p->f, "<tr><th scope=\"row\">%s</th>", quantity_label(name).s);
    cell_num(p->f, num_sig(want, 4));
    cell_num(p->f, num_range(jnum(q, "lo"), jnum(q, "hi"), 3));
    cell_num(p->f, num_range(band_lo, band_hi, 3));
    cell_num(p->f, num_sig(built, 4));
    cell_num(p->f, num_percent(built / want - 1, 2));
    fputs("</tr>\n", p->f);
}

static void asked_table(const struct page *p)
{
    static const char *const names[] = {"M", "D", "x", "y", "d"};
    static const char *const heads[] = {"quantity",           "#laws ask for", "#95 %",
                                        "#near-optimal band", "#built",        "#off by"};
    table_begin(p->f, "What the laws ask for, and the integer structure nearest to it", heads,
                6);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        asked_row(p, names[i]);
    json_t *asked = json_object_get(p->arch, "asked"), *value;
    const char *name;
    json_object_foreach(asked, name, value)
    {
        bool shown = strchr(name, '.') != NULL; // a band's edge: in its quantity's row
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            shown = shown || strcmp(names[i], name) == 0;
        if (!shown)
            asked_row(p, name);
    }
    table_end(p->f);
}

static void dimension_table(const struct page *p)
{
    static const char *const heads[] = {"dimension", "#value", "what it is"};
    const json_t *a = json_object_get(p->arch, "arch");
    table_begin(p->f, "Structure", heads, 3);
    for (int i = 0; i < N_DIMS; i++) {
        const char *name = arch_dim_name((enum arch_dim)i);
        fprintf(p->f, "<tr><th scope=\"row\">%s</th>", name);
        cell_num(p->f, num_int(jnum(a, name)));
        cell_text(p->f, arch_dim_what((enum arch_dim)i));
        fputs("</tr>\n", p->f);
    }
    table_end(p->f);
}

static void count_row(FILE *f, const char *what, struct num paper, struct num executed)
{
    fprintf(f, "<tr><th scope=\"row\">%s</th>", what);
    cell_num(f, paper);
    cell_num(f, executed);
    fputs("</tr>\n", f);
}

static void counts_table(const struct page *p)
{
    static const char *const heads[] = {"count", "#paper's", "#executed"};
    const json_t *c = json_object_get(p->arch, "counts"), *e = json_object_get(c, "executed");
    table_begin(p->f,
                "Counts: the paper's leave out embedding, router, norms and unembedding; the "
                "executed ones hold everything that is stored and run",
                heads, 3);
    count_row(p->f, "active parameters", num_int(jnum(c, "N_a")),
              num_int(jnum(e, "active_params")));
    count_row(p->f, "total parameters", num_int(jnum(c, "N")), num_int(jnum(e, "params")));
    count_row(p->f, "FLOPs per token", num_int(jnum(c, "M")),
              num_int(jnum(e, "flops_per_token")));
    table_end(p->f);
}

static void training_table(const struct page *p)
{
    static const char *const heads[] = {"training", "#value"};
    const json_t *t = json_object_get(p->arch, "train");
    const double tokens = jnum(t, "tokens"), batch = jnum(t, "batch_tokens");
    const struct {
        const char *what;
        struct num v;
    } rows[] = {{"tokens, D", num_int(tokens)},
                {"tokens per step", num_int(batch)},
                {"steps", num_int(round(tokens / batch))},
                {"peak learning rate", num_sig(jnum(t, "lr"), 3)}};
    table_begin(p->f, "Training", heads, 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fprintf(p->f, "<tr><th scope=\"row\">%s</th>", rows[i].what);
        cell_num(p->f, rows[i].v);
        fputs("</tr>\n", p->f);
    }
    const json_t *loss = json_object_get(p->arch, "loss");
    fprintf(p->f, "<tr><th scope=\"row\">predicted loss, nats per token</th><td class=\"n\">%s",
            num_sig(jnum(loss, "predicted"), 4).s);
    write_range(p->f, loss, 4);
    fputs("</td></tr>\n", p->f);
    table_end(p->f);
}

// The structure as a command line, so that it can be counted again or changed.
static void arch_command(const struct page *p)
{
    const json_t *a = json_object_get(p->arch, "arch");
    fputs("<p>The same structure on the command line:</p>\n<pre>moesweep arch --set ", p->f);
    for (int i = 0; i < N_DIMS; i++)
        fprintf(p->f, "%s%s=%.0f", i ? "," : "", arch_dim_name((enum arch_dim)i),
                jnum(a, arch_dim_name((enum arch_dim)i)));
    fputs("</pre>\n", p->f);
}

void section_architecture(struct page *p)
{
    fputs("<h2 id=\"architecture\">Recommended architecture</h2>\n", p->f);
    if (!json_is_object(json_object_get(p->arch, "arch"))) {
        fputs("<p class=\"dim\">None: the laws it would follow from are not there yet.</p>\n",
              p->f);
        return;
    }
    fprintf(p->f, "<p>For a training budget of C = %s FLOPs.", num_round(jnum(p->arch, "C")).s);
    extrapolation_badge(p);
    fputs("</p>\n", p->f);
    asked_table(p);
    fputs("<div class=\"cols\"><div>\n", p->f);
    dimension_table(p);
    fputs("</div><div>\n", p->f);
    training_table(p);
    counts_table(p);
    fputs("</div></div>\n", p->f);
    arch_command(p);
}
