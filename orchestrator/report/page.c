// SPDX-License-Identifier: GPL-3.0-or-later
// Composition: the order of sections.
#include "orchestrator/report/page.h"
#include "core/file.h"
#include "orchestrator/report/report.h"
#include "orchestrator/sweepdir.h"
#include <stdlib.h>
#include <string.h>

struct colour page_colour(const struct page *p, double C)
{
    return colour_scale(runs_scale(&p->runs, C), p->runs.n_scales);
}

enum err page_chart(struct page *p, struct plot *chart, const char *alt)
{
    return plot_close(chart, ++p->n_charts, alt, p->f);
}

void page_key(const struct page *p, const char *shape, const char *colour, const char *what)
{
    static const struct {
        const char *shape, *mark; // %c: the colour
    } marks[] = {
        {"dot", "<circle cx=\"12\" cy=\"8\" r=\"3\" fill=\"%c\"/>"},
        {"ring", "<circle cx=\"12\" cy=\"8\" r=\"5.5\" fill=\"none\" stroke=\"%c\"/>"},
        {"diamond", "<path d=\"M12 3l5 5-5 5-5-5z\" fill=\"%c\"/>"},
        {"line", "<path d=\"M2 8h20\" stroke=\"%c\" stroke-width=\"2.2\"/>"},
        {"dash", "<path d=\"M2 8h20\" stroke=\"%c\" stroke-width=\"1.8\" "
                 "stroke-dasharray=\"4 3\"/>"},
        {"fill", "<path d=\"M2 2h20v12H2z\" fill=\"%c\" fill-opacity=\".25\"/>"},
        {"box", "<path d=\"M6 3h11v11H6z\" fill=\"%c\"/>"},
        {"mark", "<path d=\"M12 13l-5-9h10z\" fill=\"%c\"/>"},
        {"square", "<path d=\"M7.5 3.5h9v9h-9z\" fill=\"none\" stroke=\"%c\"/>"},
    };
    fputs("<span><svg class=\"key\" width=\"24\" height=\"16\" viewBox=\"0 0 24 16\" "
          "aria-hidden=\"true\">",
          p->f);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (strcmp(marks[i].shape, shape) != 0)
            continue;
        for (const char *c = marks[i].mark; *c; c++)
            if (c[0] == '%' && c[1] == 'c') {
                fputs(colour, p->f);
                c++;
            } else {
                fputc(*c, p->f);
            }
    }
    fputs("</svg> ", p->f);
    html_text(p->f, what);
    fputs("</span>\n", p->f);
}

void page_verdict(const struct page *p, const json_t *fit)
{
    static const struct {
        const char *verdict, *kind, *text;
    } known[] = {{"interior", " good", "inside the values tried"},
                 {"edge_low", " warn", "lower edge"},
                 {"edge_high", " warn", "upper edge"},
                 {"unresolved", "", "unresolved: hidden by the noise"},
                 {"failed", " bad", "no fit"}};
    const char *verdict = jstr(fit, "verdict");
    const json_t *range = json_object_get(fit, "range");
    const double optimum = jnum(json_object_get(fit, "optimum"), "value");
    // An edge verdict may mean the optimum itself or only an end of its interval.
    const char *how =
        strncmp(verdict, "edge", 4) != 0 ? ""
        : optimum > jnum_at(range, 0) * (1 + 1e-6) && optimum < jnum_at(range, 1) * (1 - 1e-6)
            ? "interval reaches the "
            : "at the ";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].verdict, verdict) == 0)
            fprintf(p->f, "<span class=\"badge%s\">%s%s</span>", known[i].kind, how,
                    known[i].text);
}

static void open_page(struct page *p)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>",
          p->f);
    html_text(p->f, *jstr(p->law, "sweep") ? jstr(p->law, "sweep") : "sweep");
    fputs(" · moesweep report</title>\n<style>\n", p->f);
    style_write(p->f, p->runs.n_scales);
    fputs("</style>\n</head>\n<body>\n", p->f);
}

static void close_page(struct page *p)
{
    fputs("<footer><p>moesweep " MOESWEEP_VERSION, p->f);
    if (*jstr(p->law, "config")) {
        fputs(" · configuration <code>", p->f);
        html_text(p->f, jstr(p->law, "config"));
        fputs("</code>", p->f);
    }
    if (p->charts) {
        fputs(" · charts by ", p->f);
        html_text(p->f, p->gnuplot);
    }
    fputs(". Every id links to its row in the table of all trainings.</p></footer>\n"
          "</body>\n</html>\n",
          p->f);
}

static enum err write_sections(struct page *p)
{
    open_page(p);
    section_head(p);
    section_architecture(p);
    TRY(section_laws(p));
    TRY(section_phases(p));
    TRY(section_checks(p));
    section_decisions(p);
    TRY(section_learning(p));
    section_time(p);
    section_failures(p);
    section_words(p);
    section_runs(p);
    close_page(p);
    return OK;
}

enum err report_write_jobs(const char *dir, const json_t *law, const json_t *arch,
                           const struct steer_job *const *jobs, int n_jobs,
                           const json_t *records)
{
    char path[JOB_PATH_MAX + 32], *text = NULL;
    size_t size = 0;
    TRY(sweepdir_path(dir, "report.html", path, sizeof path));
    struct page p = {.law = law, .arch = arch, .records = records};
    TRY(runs_collect(jobs, n_jobs, law, records, &p.runs));
    p.charts = plot_available(p.gnuplot, sizeof p.gnuplot);
    p.f = open_memstream(&text, &size);
    enum err e = p.f ? write_sections(&p) : err_set(ERR_FAILED, "%s: out of memory", path);
    if (p.f && fclose(p.f) != 0 && e == OK)
        e = err_set(ERR_FAILED, "%s: out of memory", path);
    if (e == OK)
        e = file_replace(path, text, size);
    free(text);
    runs_free(&p.runs);
    return e;
}
