// SPDX-License-Identifier: GPL-3.0-or-later
// The record of the sweep: decisions in order, failures and outliers, every training.
#include "orchestrator/report/page.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

// ---- decisions

static void decision_fit(const struct page *p, const json_t *fit)
{
    FILE *f = p->f;
    const json_t *o = json_object_get(fit, "optimum");
    fputs("<br/>", f);
    html_text(f, jstr(fit, "axis"));
    fprintf(f, ", %s trainings, form ", num_int(jnum(fit, "n")).s);
    html_text(f, jstr(fit, "form"));
    if (isfinite(jnum(o, "value")) && strcmp(jstr(fit, "verdict"), "failed") != 0) {
        fprintf(f, ": optimum %s", num_sig(jnum(o, "value"), 3).s);
        if (*num_range(jnum(o, "lo"), jnum(o, "hi"), 3).s)
            fprintf(f, " <span class=\"dim\">(95 %%: %s)</span>",
                    num_range(jnum(o, "lo"), jnum(o, "hi"), 3).s);
    }
    fputc(' ', f);
    page_verdict(p, fit);
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

static void write_decision(const struct page *p, const json_t *d)
{
    FILE *f = p->f;
    fputs("<li><b>", f);
    html_text(f, jstr(d, "id"));
    fputs("</b>", f);
    const json_t *fits = json_object_get(d, "fits");
    for (size_t i = 0; i < json_array_size(fits); i++)
        decision_fit(p, json_array_get(fits, i));
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
        write_decision(p, rec);
        n++;
    }
    const json_t *cells = json_object_get(p->law, "cells");
    for (size_t i = 0; n == 0 && i < json_array_size(cells); i++)
        write_decision(p, json_array_get(cells, i));
    fputs("</ol>\n", p->f);
    if (n == 0 && json_array_size(cells) == 0)
        fputs("<p class=\"dim\">None yet.</p>\n", p->f);
}

// ---- failures and outliers

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

// Attempts that crashed and were tried again, with the trainer's last words.
static void lost_attempts(const struct page *p)
{
    static const char *const heads[] = {"training", "#attempt", "status", "cause",
                                        "last words"};
    int n = 0;
    for (size_t i = 0; i < json_array_size(p->records); i++) {
        const json_t *rec = json_array_get(p->records, i);
        if (strcmp(jstr(rec, "t"), "failure") != 0)
            continue;
        if (n++ == 0)
            table_begin(p->f, "Attempts that were lost and tried again", heads, 5);
        fputs("<tr><td>", p->f);
        if (runs_find(&p->runs, jstr(rec, "id")) >= 0)
            html_job(p->f, jstr(rec, "id"));
        else
            html_text(p->f, jstr(rec, "id"));
        fputs("</td>", p->f);
        cell_num(p->f, num_int(jnum(rec, "attempt")));
        cell_text(p->f, jstr(rec, "status"));
        cell_text(p->f, jstr(rec, "cause"));
        fputs("<td><details><summary>stderr</summary><pre>", p->f);
        html_lines(p->f, jstr(rec, "stderr"));
        fputs("</pre></details></td></tr>\n", p->f);
    }
    if (n)
        table_end(p->f);
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
    lost_attempts(p);
}

// ---- every training

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
    const struct arch *a = &j->arch;
    fprintf(f,
            "<td class=\"n\">%" PRId64 " + %" PRId64 "</td><td class=\"n\">%" PRId64 "/%" PRId64
            " × %" PRId64 "</td><td class=\"n\">%" PRId64 "/%" PRId64 " + %" PRId64
            "</td><td class=\"n\">%" PRId64 "</td>",
            a->L_d, a->L_m, a->N_q, a->N_kv, a->d_qkv, a->K, a->N_e, a->n_shared, a->d_m);
    cell_num(f, num_int((double)j->train.tokens));
    cell_num(f, num_sig(j->train.lr, 3));
    cell_num(f, num_int((double)j->train.batch_tokens));
    cell_num(f, num_int((double)j->train.seed));
    cell_num(f, r->job->final ? num_fixed(res->loss, 4) : num_fixed(NAN, 0));
    cell_num(f, r->job->final ? num_fixed(res->seconds, 2) : num_fixed(NAN, 0));
    cell_text(f, !r->job->final ? "not finished"
                 : r->best      ? "ok, best"
                 : r->outlier   ? "ok, outlier"
                                : job_status_name(res->status));
    fputs("</tr>\n", f);
}

void section_runs(struct page *p)
{
    static const char *const heads[] = {
        "training", "phase",   "#C, FLOPs", "#M",       "#x",       "#y",
        "#d",       "#layers", "#heads",    "#experts", "#d_m",     "#D",
        "#peak lr", "#batch",  "#seed",     "#loss",    "#seconds", "status"};
    fputs("<h2 id=\"runs\">All trainings</h2>\n", p->f);
    if (p->runs.n == 0) {
        fputs("<p class=\"dim\">None are known yet.</p>\n", p->f);
        return;
    }
    fputs("<p>M, x and y are the paper's counts of the structure that was trained; D and batch "
          "are "
          "tokens; loss is nats per token on held-out text. Layers: dense + MoE. Heads: "
          "query/key-value "
          "× width. Experts: active/routed + shared.</p>\n",
          p->f);
    fputs("<div class=\"tight\">", p->f);
    table_begin(p->f, NULL, heads, sizeof heads / sizeof *heads);
    for (int i = 0; i < p->runs.n; i++)
        run_row(p, &p->runs.v[i]);
    table_end(p->f);
    fputs("</div>\n", p->f);
}
