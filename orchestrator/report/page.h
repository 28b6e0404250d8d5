// SPDX-License-Identifier: GPL-3.0-or-later
// The page under construction, and its sections in the order they stand. Each section writes
// itself, or nothing when it has nothing to say.
#ifndef ORCHESTRATOR_REPORT_PAGE_H
#define ORCHESTRATOR_REPORT_PAGE_H
#include "orchestrator/report/html.h"
#include "orchestrator/report/plot.h"
#include "orchestrator/report/runs.h"
#include "orchestrator/report/style.h"

struct page {
    FILE *f;
    const json_t *law, *arch, *records; // borrowed; any may be NULL
    struct runs runs;
    bool charts;      // gnuplot can be started
    char gnuplot[64]; // its version
    int n_charts;     // drawn so far; numbers their ids
};

// The colour of a scale.
struct colour page_colour(const struct page *p, double C);
// Finishes a chart: <svg>, numbered. alt describes it to those who cannot see it.
enum err page_chart(struct page *p, struct plot *chart, const char *alt);
// How a fit came out, as a badge: "inside the values tried", ..
void page_verdict(const struct page *p, const json_t *fit);
// A small sample of a mark for a legend: shape "dot", "ring", "diamond", "line", "dash",
// "fill", "box", "mark", "square".
void page_key(const struct page *p, const char *shape, const char *colour, const char *what);

void section_head(struct page *p); // answer.c: title, question, answer, figures, caveats
void section_architecture(struct page *p); // answer.c
enum err section_laws(struct page *p);     // laws.c
enum err section_phases(struct page *p);   // axes.c
enum err section_checks(struct page *p);   // checks.c
void section_decisions(struct page *p);    // tables.c
enum err section_learning(struct page *p); // learning.c
void section_time(struct page *p);         // timeline.c
void section_failures(struct page *p);     // tables.c
void section_words(struct page *p);        // words.c
void section_runs(struct page *p);         // tables.c
#endif
