// SPDX-License-Identifier: GPL-3.0-or-later
// A recommendation for people.
#include "core/json.h"
#include "core/solve.h"
#include "orchestrator/recommend.h"
#include <math.h>
#include <stdio.h>

static void print_row(FILE *f, const json_t *doc, const char *name, const char *what,
                      double got)
{
    const json_t *a = json_object_get(json_object_get(doc, "asked"), name);
    fprintf(f, "  %-4s %-34s %12.5g", name, what, got);
    if (isfinite(jnum(a, "lo")) && isfinite(jnum(a, "hi")))
        fprintf(f, "   law %.4g, 95 %% %.4g to %.4g", jnum(a, "value"), jnum(a, "lo"),
                jnum(a, "hi"));
    else if (isfinite(jnum(a, "value")))
        fprintf(f, "   law %.4g, no interval", jnum(a, "value"));
    fputc('\n', f);
}

static void print_head(FILE *f, const json_t *doc)
{
    double ratio = jnum(doc, "extrapolation");
    fprintf(f, "Recommended architecture for C = %.4g FLOPs", jnum(doc, "C"));
    if (json_object_get(doc, "law"))
        fprintf(f, ", by the law %s", jstr(doc, "law"));
    if (ratio > 1)
        fprintf(f, " -- EXTRAPOLATION, %.3g times the largest budget trained\n", ratio);
    else
        fputs(jtrue(doc, "in_range") ? " (inside the range trained)\n" : "\n", f);
}

static void print_sizes(FILE *f, const json_t *doc)
{
    static const struct {
        const char *name, *what;
    } rows[] = {{"M", "FLOPs per token"},  {"N_a", "active parameters"},
                {"N", "total parameters"}, {"x", "M/N_a, compute density"},
                {"y", "N/N_a, expansion"}, {"r", "feed-forward / attention FLOPs"}};
    const json_t *c = json_object_get(doc, "counts");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        print_row(f, doc, rows[i].name, rows[i].what, jnum(c, rows[i].name));
    print_row(f, doc, "D", "training tokens", jnum(json_object_get(doc, "train"), "tokens"));
    print_row(f, doc, "d", "hidden dimension", jnum(json_object_get(doc, "arch"), "d"));
}

static void print_structure(FILE *f, const json_t *doc)
{
    const json_t *dims = json_object_get(doc, "arch"), *train = json_object_get(doc, "train"),
                 *loss = json_object_get(doc, "loss"), *memory = json_object_get(doc, "memory");
    fputs("  structure:", f);
    for (int i = 0; i < N_DIMS; i++) {
        const char *name = arch_dim_name((enum arch_dim)i);
        fprintf(f, " %s=%.0f", name, jnum(dims, name));
    }
    fputc('\n', f);
    if (isfinite(jnum(train, "lr")))
        fprintf(f, "  training: lr %.3g, batch %.6g tokens\n", jnum(train, "lr"),
                jnum(train, "batch_tokens"));
    fprintf(f,
            "  memory: %.4g GB a GPU on %.0f (%.0f bytes a parameter; without activations)\n",
            jnum(memory, "bytes_per_gpu") / 1e9, jnum(memory, "gpus"),
            jnum(memory, "bytes_per_param"));
    if (isfinite(jnum(loss, "predicted")))
        fprintf(f, "  predicted loss %.4g nats per token", jnum(loss, "predicted"));
    else
        fputs("  no law of the loss", f);
    if (isfinite(jnum(loss, "lo")))
        fprintf(f, ", 95 %% %.4g to %.4g", jnum(loss, "lo"), jnum(loss, "hi"));
    fputc('\n', f);
}

// In percent, without a sign before nothing.
static double percent(double share)
{
    const double shown = 5e-6;
    return fabs(share) < shown ? 0 : 100 * share;
}

static void print_band(FILE *f, const json_t *b)
{
    fprintf(f, "  %-8s %11.5g %11.5g", jstr(b, "name"), jnum(b, "built"), jnum(b, "best"));
    if (isfinite(jnum(b, "cost")))
        fprintf(f, "   %s%.4g to %.4g%s   %+.3f %%\n", jtrue(b, "lo_open") ? "(" : "",
                jnum(b, "lo"), jnum(b, "hi"), jtrue(b, "hi_open") ? ")" : "",
                percent(jnum(b, "cost")));
    else
        fputs("   not resolved\n", f);
}

static void print_bands(FILE *f, const json_t *doc)
{
    size_t i;
    json_t *b, *list = json_object_get(doc, "bands");
    double lo = INFINITY, hi = 0;
    bool open = false;
    json_array_foreach(list, i, b)
    {
        if (isfinite(jnum(b, "cost"))) {
            lo = fmin(lo, jnum(b, "tolerance"));
            hi = fmax(hi, jnum(b, "tolerance"));
            open = open || jtrue(b, "lo_open") || jtrue(b, "hi_open");
        }
    }
    if (json_array_size(list) == 0)
        return;
    fprintf(f, "\n  %-8s %11s %11s   near-optimal", "", "built", "optimum");
    if (hi > 0)
        fprintf(f, hi > lo ? " (loss within %.2g to %.2g %%)" : " (loss within %.2g %%)",
                100 * lo, 100 * hi);
    fputs(", cost of what is built\n", f);
    json_array_foreach(list, i, b) print_band(f, b);
    if (open)
        fputs("  (a parenthesis: the band goes on where nothing was tried)\n", f);
}

// One constraint that binds: what it costs, and what would be there without it.
static void print_cost(FILE *f, const json_t *doc, const json_t *c)
{
    const json_t *cost = json_object_get(c, "cost");
    const char *name, *comma = ": ";
    json_t *v;
    fprintf(f, "  %s\n      %+.3f %%", jstr(c, "name"), percent(jnum(cost, "value")));
    if (isfinite(jnum(cost, "lo")))
        fprintf(f, " (95 %% %+.3f to %+.3f)", percent(jnum(cost, "lo")),
                percent(jnum(cost, "hi")));
    json_object_foreach(json_object_get(c, "without"), name, v)
    {
        fprintf(f, "%s%s = %.0f instead of %lld", comma, name,
                jnum(json_object_get(doc, "arch"), name), (long long)json_integer_value(v));
        comma = ", ";
    }
    fputc('\n', f);
}

static void print_constraints(FILE *f, const json_t *doc)
{
    size_t i;
    json_t *c, *list = json_object_get(doc, "constraints");
    bool binding = false, slack = false;
    json_array_foreach(list, i, c)
    {
        binding = binding || jtrue(c, "binds");
        slack = slack || !jtrue(c, "binds");
    }
    if (binding)
        fputs("\n  what each constraint costs in predicted loss\n", f);
    json_array_foreach(list, i, c) if (jtrue(c, "binds")) print_cost(f, doc, c);
    if (slack)
        fputs("\n  constraints that change nothing\n", f);
    json_array_foreach(list, i, c) if (!jtrue(c, "binds"))
        fprintf(f, "  %s\n", jstr(c, "name"));
}

enum err recommend_text(const json_t *doc, char **out)
{
    size_t size, i;
    json_t *v;
    FILE *f = open_memstream(out, &size);
    ENSURE(f, ERR_FAILED, "out of memory");
    print_head(f, doc);
    print_sizes(f, doc);
    print_structure(f, doc);
    print_bands(f, doc);
    print_constraints(f, doc);
    json_array_foreach(json_object_get(doc, "notes"), i, v)
        fprintf(f, "%s  note: %s\n", i ? "" : "\n", json_string_value(v));
    bool ok = fclose(f) == 0;
    ENSURE(ok, ERR_FAILED, "out of memory");
    return OK;
}
