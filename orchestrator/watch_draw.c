// SPDX-License-Identifier: GPL-3.0-or-later
// A watch's document as lines for a terminal of 80 columns or more.
#include "core/json.h"
#include "orchestrator/origin.h"
#include "orchestrator/screen.h"
#include "orchestrator/signals.h"
#include "orchestrator/status.h"
#include "orchestrator/watch.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>

struct pen {
    int columns, left; // lines that still fit
    watch_say *say;
    void *ctx;
};

enum { QUIET = 60 }; // s
enum { LINE = 512, BAR = 50, LATEST = 3, CAUSES = 4, WORKERS = 64 };

static void line(struct pen *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void line(struct pen *p, const char *fmt, ...)
{
    char text[LINE];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t end = (size_t)(n < 0 ? 0 : n < LINE ? n : LINE - 1);
    if (p->columns > 0 && end > (size_t)p->columns)
        end = (size_t)p->columns;
    while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
        end--; // not within a character
    while (end > 0 && text[end - 1] == ' ')
        end--;
    text[end] = '\0';
    p->left--;
    p->say(p->ctx, text);
}

struct word {
    char s[32];
};

// 12.3k, 4.5M; a dash where there is no number
static struct word si(double v)
{
    static const char units[] = " kMGTPE";
    struct word w = {"-"};
    int u = 0;
    if (!isfinite(v))
        return w;
    for (; v >= 999.5 && u < 6; u++)
        v /= 1000;
    snprintf(w.s, sizeof w.s, u ? "%.3g%c" : "%.3g", v, units[u]);
    return w;
}

static struct word time_of(double s)
{
    struct word w = {"-"};
    if (isfinite(s))
        status_duration(fmax(0, s), w.s, sizeof w.s);
    return w;
}

static struct word whole(double v)
{
    struct word w = {"-"};
    if (isfinite(v))
        snprintf(w.s, sizeof w.s, "%.0f", v);
    return w;
}

// "M = 9.1e+04 [8.2e+04, 1.1e+05]"; ~ where it may still change
static int interval(char *buf, size_t size, const char *name, const json_t *v, bool settled)
{
    if (!isfinite(jnum(v, "value")))
        return snprintf(buf, size, "%s %s", name, jstr(v, "verdict"));
    int n = snprintf(buf, size, "%s %c %.3g", name, settled ? '=' : '~', jnum(v, "value"));
    if (n > 0 && (size_t)n < size && isfinite(jnum(v, "lo")) && isfinite(jnum(v, "hi")))
        n += snprintf(buf + n, size - (size_t)n, " [%.3g, %.3g]", jnum(v, "lo"), jnum(v, "hi"));
    return n;
}

// Counts and the time left.
static void draw_counts(struct pen *p, const json_t *doc)
{
    const json_t *jobs = json_object_get(doc, "jobs");
    char eta[128] = "", pruned[48] = "";
    if (isfinite(jnum(doc, "eta_hi_s")))
        snprintf(eta, sizeof eta, "; %s left (%s to %s)", time_of(jnum(doc, "eta_s")).s,
                 time_of(jnum(doc, "eta_lo_s")).s, time_of(jnum(doc, "eta_hi_s")).s);
    else if (isfinite(jnum(doc, "eta_s")))
        snprintf(eta, sizeof eta, "; about %s left", time_of(jnum(doc, "eta_s")).s);
    if (jnum(jobs, "pruned") > 0)
        snprintf(pruned, sizeof pruned, " %.0f stopped early,", jnum(jobs, "pruned"));
    line(p, "%.0f of %s%.0f jobs, %.0f failed,%s %.0f running%s", jnum(jobs, "done"),
         jnum(doc, "expected") > jnum(doc, "known") ? "about " : "", jnum(doc, "expected"),
         jnum(jobs, "failed"), pruned, jnum(jobs, "running"), eta);
}

static void draw_head(struct pen *p, const json_t *doc)
{
    double done = jnum(json_object_get(doc, "jobs"), "done"),
           of = fmax(1, jnum(doc, "expected"));
    bool stopped = strcmp(jstr(doc, "state"), "stopped") == 0;
    char bar[BAR + 1], quiet[64] = "";
    if (jnum(doc, "quiet_s") > QUIET)
        snprintf(quiet, sizeof quiet, "; last heard of %s ago",
                 time_of(jnum(doc, "quiet_s")).s);
    line(p, "%s: %s%s%s%s, %s, %.0f workers, session %.0f%s", jstr(doc, "sweep"),
         jstr(doc, "state"), stopped ? " (" : "", stopped ? jstr(doc, "why") : "",
         stopped ? ")" : "", time_of(jnum(doc, "elapsed_s")).s, jnum(doc, "session_workers"),
         jnum(doc, "sessions"), quiet);
    if (*jstr(doc, "question"))
        line(p, "%s", jstr(doc, "question"));
    draw_counts(p, doc);
    for (int i = 0; i < BAR; i++)
        bar[i] = i < done / of * BAR ? '#' : '.';
    bar[BAR] = '\0';
    line(p, "[%s] %.0f %%", bar, fmin(100, 100 * done / of));
}

static void draw_cell(struct pen *p, const json_t *c)
{
    char text[LINE] = "";
    size_t i, n = 0;
    json_t *o;
    if (jnum(c, "failed") > 0)
        n += (size_t)snprintf(text, sizeof text, "%.0f failed  ", jnum(c, "failed"));
    if (jnum(c, "pruned") > 0)
        n += (size_t)snprintf(text + n, sizeof text - n, "%.0f stopped early  ",
                              jnum(c, "pruned"));
    json_array_foreach(json_object_get(c, "optima"), i, o)
    {
        int used = interval(text + n, sizeof text - n, jstr(o, "axis"), o, jtrue(c, "decided"));
        n = used > 0 && n + (size_t)used + 3 < sizeof text ? n + (size_t)used : n;
        snprintf(text + n, sizeof text - n, "  ");
        n += 2;
    }
    line(p, "  %-16.16s %8.3g %5.0f/%-5.0f %s", jstr(c, "phase"), jnum(c, "C"),
         jnum(c, "ok") + jnum(c, "pruned") + jnum(c, "failed"), jnum(c, "expected"), text);
}

// Under way: what an eye wants to see where not all fit.
static bool active(const json_t *c)
{
    return !jtrue(c, "decided") && jnum(c, "known") > 0;
}

static void draw_phases(struct pen *p, const json_t *doc, int most)
{
    const json_t *phases = json_object_get(doc, "phases");
    size_t n = json_array_size(phases), i;
    bool all = most <= 0 || n <= (size_t)most;
    int shown = 0;
    json_t *c;
    line(p, "  %-16s %8s %11s optima and their 95 %% intervals (~: so far)", "phase", "C",
         "done/of  ");
    json_array_foreach(phases, i, c)
    {
        if (!all && (!active(c) || shown >= most))
            continue;
        draw_cell(p, c);
        shown++;
    }
    if ((size_t)shown < n)
        line(p, "  and %zu more, decided or not begun", n - (size_t)shown);
}

static void draw_workers(struct pen *p, const json_t *doc, int most)
{
    const json_t *workers = json_object_get(doc, "workers");
    size_t n = json_array_size(workers), i;
    int shown = 0;
    json_t *w;
    if (n == 0)
        return;
    line(p, "  rank trains   phase           C       since     step/of      tok/s  ends in%s",
         p->columns >= 100 ? "    loss" : "");
    json_array_foreach(workers, i, w)
    {
        if (shown >= most)
            break;
        shown++;
        if (!json_object_get(w, "job")) {
            line(p, "  %4.0f %s", jnum(w, "rank"), jstr(w, "state"));
            continue;
        }
        char step[80], loss[16] = "";
        snprintf(step, sizeof step, "%s%s/%s", jtrue(w, "guessed") ? "~" : "",
                 whole(jnum(w, "step")).s, whole(jnum(w, "steps")).s);
        if (p->columns >= 100 && isfinite(jnum(w, "loss")))
            snprintf(loss, sizeof loss, "  %6.3f", jnum(w, "loss"));
        line(p, "  %4.0f %-8.8s %-12.12s %6.2g %11s %11s %8s %10s%s", jnum(w, "rank"),
             jstr(w, "job"), jstr(w, "phase"), jnum(w, "C"), time_of(jnum(w, "seconds")).s,
             step, si(jnum(w, "tokens_per_s")).s, time_of(jnum(w, "left_s")).s, loss);
    }
    if ((size_t)shown < n)
        line(p, "       and %zu more workers", n - (size_t)shown);
}

static void draw_laws(struct pen *p, const json_t *doc)
{
    size_t i;
    json_t *l;
    json_array_foreach(json_object_get(doc, "laws"), i, l)
    {
        char text[128], power[64] = "";
        const json_t *e = json_object_get(l, "p");
        interval(text, sizeof text, jstr(l, "name"), l,
                 strcmp(jstr(doc, "state"), "done") == 0);
        if (jtrue(l, "fitted") && isfinite(jnum(e, "lo")))
            snprintf(power, sizeof power, ", as C^%.3g [%.3g, %.3g]", jnum(e, "value"),
                     jnum(e, "lo"), jnum(e, "hi"));
        line(p, "  at C = %.3g: %s%s", jnum(l, "C"), text, power);
    }
}

static void draw_throughput(struct pen *p, const json_t *doc)
{
    const json_t *t = json_object_get(doc, "throughput");
    char share[64] = "";
    if (isfinite(jnum(doc, "training_share")))
        snprintf(share, sizeof share, "; workers train %.0f %%",
                 100 * jnum(doc, "training_share"));
    if (isfinite(jnum(t, "ratio")))
        line(p, "  %.0f runs took %.2f x the predicted time; %s tok/s, %s FLOP/s a worker%s",
             jnum(t, "runs"), jnum(t, "ratio"), si(jnum(t, "tokens_per_s")).s,
             si(jnum(t, "flops_per_s")).s, share);
}

static void draw_failures(struct pen *p, const json_t *doc)
{
    const char *cause;
    json_t *n;
    int shown = 0;
    json_object_foreach(json_object_get(doc, "causes"), cause, n) if (shown++ < CAUSES)
        line(p, "  %.0f x %s", json_number_value(n), cause);
    if (shown > CAUSES)
        line(p, "  and %d more causes", shown - CAUSES);
}

// Results that come from elsewhere.
static void draw_origins(struct pen *p, const json_t *doc)
{
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(doc, "origins"), i, o)
    {
        char words[512];
        origin_words(o, words, sizeof words);
        line(p, "  %.0f results %s", jnum(o, "runs"), words);
    }
}

static void draw_latest(struct pen *p, const json_t *doc)
{
    const json_t *latest = json_object_get(doc, "latest");
    size_t n = json_array_size(latest);
    for (size_t i = n > LATEST ? n - LATEST : 0; i < n; i++)
        line(p, "  %s", json_string_value(json_array_get(latest, i)));
}

void watch_draw(const json_t *doc, int columns, int rows, watch_say *say, void *ctx)
{
    struct pen p = {columns, rows > 0 ? rows : 10000, say, ctx};
    size_t causes = json_object_size(json_object_get(doc, "causes"));
    int after = (int)json_array_size(json_object_get(doc, "laws")) + 1 + LATEST +
                (causes > CAUSES ? CAUSES + 1 : (int)causes);
    draw_head(&p, doc);
    int room = p.left - after - 3; // for phases and workers
    int workers = (int)json_array_size(json_object_get(doc, "workers"));
    int cells = rows > 0 ? room - (workers < room / 2 ? workers : room / 2) : 0;
    draw_phases(&p, doc, rows > 0 && cells < 3 ? 3 : cells);
    draw_laws(&p, doc);
    int most = p.left - after - 2 + (int)json_array_size(json_object_get(doc, "laws"));
    draw_workers(&p, doc, most < 1 ? 1 : most > WORKERS ? WORKERS : most);
    draw_throughput(&p, doc);
    draw_failures(&p, doc);
    draw_origins(&p, doc);
    draw_latest(&p, doc);
}

static void print_line(void *ctx, const char *text)
{
    const struct screen *s = ctx;
    screen_text(s, text, LINE);
    fputc('\n', s->out);
}

static void draw_line(void *ctx, const char *text)
{
    screen_line(ctx, text);
}

void watch_show(struct screen *s, const json_t *doc, bool moving, bool last)
{
    int columns, rows;
    double now = signals_clock();
    screen_size(s, &columns, &rows);
    if (s->terminal && moving) {
        screen_erase(s);
        watch_draw(doc, columns - 1, rows - 1, draw_line, s);
    } else if (last || s->spoken == 0) {
        watch_draw(doc, s->terminal ? columns - 1 : 0, 0, print_line, s);
        s->spoken = now;
    } else if (now - s->spoken >= 10) {
        struct pen p = {0, 1, print_line, s};
        draw_counts(&p, doc);
        s->spoken = now;
    }
    fflush(s->out);
}
