// SPDX-License-Identifier: GPL-3.0-or-later
// The record of the sweep: decisions in order, failures and outliers, every training.
#include "orchestrator/report/page.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

// ---- decisions
// ----------------------------------------------------------------------------------------

static void decision_fit(FILE *f, const json_t *fit)
{
    const json_t *o = json_object_get(fit, "optimum");
    fputs("<br/>along ", f);
    html_text(f, jstr(fit, "axis"));
    fputs(" (", f);
    html_text(f, jstr(fit, "form"));
    fprintf(f, ", %s points): <b>", num_int(jnum(fit, "n")).s);
    html_text(f, jstr(fit, "verdict"));
    fputs("</b>", f);
    if (isfinite(jnum(o, "value")) && strcmp(jstr(fit, "verdict"), "failed") != 0) {
        fprintf(f, ", optimum %s", num_sig(jnum(o, "value"), 3).s);
        if (*num_range(jnum(o, "lo"), jnum(o, "hi"), 3).s)
            fprintf(f, " (95 %%: %s)", num_range(jnum(o, "lo"), jnum(o, "hi"), 3).s);
    }
}

static void decision_outcome(FILE *f, const json_t *d)
{
    json_t *adopted = json_object_get(d, "adopted"), *value;
    const char *name;
    fputs("<br/>→ ", f);
    if (*jstr(d, "verdict"))
        html_text(f, jstr(d, "verdict"));
    if (isfinite(jnum(d, "moved")))
        fprintf(f, " (moved by %s times its uncertainty)", num_sig(jnum(d, "moved"), 2).s);
    json_object_foreach(adopted, name, value)
    {
        fputs("; ", f);
        html_text(f, name);
        fprintf(f, " = %s", num_sig(json_number_value(value), 4).s);
    }
}

static void write_decision(FILE *f, const json_t *d)
{
    fputs("<li><b>", f);
    html_text(f, jstr(d, "id"));
    fputs("</b>", f);
    const json_t *fits = json_object_get(d, "fits");
    for (size_t i = 0; i < json_array_size(fits); i++)
        decision_fit(f, json_array_get(fits, i));
    decision_outcome(f, d);
    if (json_array_size(json_object_get(d, "inputs")))
        html_jobs(f, "Decided from", json_object_get(d, "inputs"));
    if (json_array_size(json_object_get(d, "jobs")))
        html_jobs(f, "Led to", json_object_get(d, "jobs"));
    fputs("</li>\n", f);
}

void section_decisions(struct page *p)
{
    fputs("<h2 id=\"decisions\">Decisions, in the order they were taken</h2>\n"
          "<p>A decision is taken when all its trainings are final and reads nothing else; the "
          "same "
          "results always lead to the same decisions.</p>\n<ol>\n",
          p->f);
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(p->records); i++) {
        const json_t *rec = json_array_get(p->records, i);
        if (strcmp(jstr(rec, "t"), "decision") != 0)
            continue;
        write_decision(p->f, rec);
        n++;
    }
    const json_t *cells = json_object_get(p->law, "cells");
    for (size_t i = 0; n == 0 && i < json_array_size(cells); i++)
        write_decision(p->f, json_array_get(cells, i));
    fputs("</ol>\n", p->f);
    if (n == 0 && json_array_size(cells) == 0)
        fputs("<p class=\"dim\">None yet.</p>\n", p->f);
}

// ---- failures and outliers
// ----------------------------------------------------------------------------

static void failure_row(FILE *f, const struct run *r)
{
    fputs("<tr><td>", f);
    html_job(f, r->job->job.id);
    fputs("</td>", f);
    cell_text(f, r->phase);
    cell_num(f, num_round(r->job->C));
    cell_text(f, r->ok ? "outlier" : job_status_name(r->job->result.status));
    cell_num(f, num_fixed(r->job->result.loss, 4));
    cell_text(f, r->ok ? "far from the fitted curve: weighted down in the fit, not dropped"
                       : r->job->result.cause);
    fputs("</tr>\n", f);
}

// Attempts that ended badly although a later one of the same job may have done well.
static int lost_attempts(const struct page *p)
{
    int n = 0;
    for (size_t i = 0; i < json_array_size(p->records); i++) {
        const json_t *rec = json_array_get(p->records, i);
        if (strcmp(jstr(rec, "t"), "result") != 0 || strcmp(jstr(rec, "status"), "ok") == 0)
            continue;
        const int k = runs_find(&p->runs, jstr(rec, "id"));
        n += k >= 0 && p->runs.v[k].ok;
    }
    return n;
}

void section_failures(struct page *p)
{
    static const char *const heads[] = {"training", "phase", "#C, FLOPs",
                                        "what",     "#loss", "cause"};
    int rows = 0;
    fputs("<h2 id=\"failures\">Failures and outliers</h2>\n", p->f);
    for (int i = 0; i < p->runs.n; i++) {
        const struct run *r = &p->runs.v[i];
        if (!r->outlier && (r->ok || !r->job->final))
            continue;
        if (rows++ == 0)
            table_begin(p->f, NULL, heads, 6);
        failure_row(p->f, r);
    }
    if (rows)
        table_end(p->f);
    else
        fputs("<p>None: every training that ended, ended well, and no fit flagged an "
              "outlier.</p>\n",
              p->f);
    const int lost = lost_attempts(p);
    if (lost)
        fprintf(p->f, "<p>%d attempt%s ended badly and %s made good by another.</p>\n", lost,
                lost == 1 ? "" : "s", lost == 1 ? "was" : "were");
}

// ---- every training
// ------------------------------------------------------------------------------------

static void run_row(const struct page *p, const struct run *r)
{
    FILE *f = p->f;
    const struct job *j = &r->job->job;
    const struct counts *c = &r->job->counts;
    const struct job_result *res = &r->job->result;
    fputs("<tr id=\"run-", f);
    html_text(f, j->id);
    fputs("\"><td class=\"id\">", f);
    html_text(f, j->id);
    fputs("</td>", f);
    cell_text(f, r->phase);
    cell_num(f, num_round(r->job->C));
    cell_num(f, num_int((double)c->M));
    cell_num(f, num_sig(c->x, 3));
    cell_num(f, num_sig(c->y, 3));
    cell_num(f, num_int((double)j->arch.d));
    fprintf(f,
            "<td>%" PRId64 "+%" PRId64 " layers, %" PRId64 "/%" PRId64 " experts × %" PRId64
            " + %" PRId64 " shared, %" PRId64 "/%" PRId64 " heads × %" PRId64 "</td>",
            j->arch.L_d, j->arch.L_m, j->arch.K, j->arch.N_e, j->arch.d_m, j->arch.n_shared,
            j->arch.N_q, j->arch.N_kv, j->arch.d_qkv);
    cell_num(f, num_int((double)j->train.tokens));
    cell_num(f, num_sig(j->train.lr, 3));
    cell_num(f, num_int((double)j->train.batch_tokens));
    cell_num(f, num_int((double)j->train.seed));
    cell_num(f, r->job->final ? num_fixed(res->loss, 4) : num_fixed(NAN, 0));
    cell_num(f, r->job->final ? num_fixed(res->seconds, 2) : num_fixed(NAN, 0));
    cell_text(f, !r->job->final ? "not finished"
                 : r->best      ? "ok, best of its scale"
                 : r->outlier   ? "ok, outlier"
                                : job_status_name(res->status));
    fputs("</tr>\n", f);
}

void section_runs(struct page *p)
{
    static const char *const heads[] = {
        "training", "phase",    "#C, FLOPs", "#M",    "#x",    "#y",       "#d",    "structure",
        "#D",       "#peak lr", "#batch",    "#seed", "#loss", "#seconds", "status"};
    fputs("<h2 id=\"runs\">All trainings</h2>\n", p->f);
    if (p->runs.n == 0) {
        fputs("<p class=\"dim\">None are known yet.</p>\n", p->f);
        return;
    }
    fputs("<p>M, x and y are the paper's counts of the structure that was trained; D and batch "
          "are "
          "tokens; loss is nats per token on held-out text; layers are dense + MoE.</p>\n",
          p->f);
    table_begin(p->f, NULL, heads, sizeof heads / sizeof *heads);
    for (int i = 0; i < p->runs.n; i++)
        run_row(p, &p->runs.v[i]);
    table_end(p->f);
}
