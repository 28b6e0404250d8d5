// SPDX-License-Identifier: GPL-3.0-or-later
// Works line by line on what gnuplot's svg terminal prints. An unknown line is copied as it is,
// so a newer gnuplot costs niceties (links, dark colours), not the chart.
#include "orchestrator/report/svg.h"
#include "orchestrator/report/html.h"
#include <string.h>

static const char *starts(const char *s, const char *prefix)
{
    const size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

// "rgb(  1,  20,255)" of any spacing; the characters read, 0 when it is none.
static int read_rgb(const char *s, unsigned rgb[3])
{
    int n = 0;
    return sscanf(s, "rgb( %3u , %3u , %3u )%n", &rgb[0], &rgb[1], &rgb[2], &n) == 3 ? n : 0;
}

// Copies a line's text: colours as #rrggbb, ids of markers and patterns made the chart's own,
// and inline colour styles as attributes, which the style sheet can override.
static void copy_line(const char *s, int chart, FILE *out)
{
    while (*s) {
        unsigned rgb[3];
        const char *rest;
        const int n = *s == 'r' ? read_rgb(s, rgb) : 0;
        if (n > 0) {
            fprintf(out, "#%02x%02x%02x", rgb[0] & 255, rgb[1] & 255, rgb[2] & 255);
            s += n;
        } else if ((rest = starts(s, "style='fill:none; stroke:"))) {
            fputs("fill='none' stroke='", out);
            s = rest;
        } else if ((rest = starts(s, "gpPat")) || (rest = starts(s, "gpPt")) ||
                   (rest = starts(s, "gpDot"))) {
            fprintf(out, "c%d%.*s", chart, (int)(rest - s - 2), s + 2);
            s = rest;
        } else {
            fputc(*s++, out);
        }
    }
    fputc('\n', out);
}

// The hovering text of a point, NULL when the line opens none; ends it at its closing quote.
static char *hover_text(char *line)
{
    static const char mark[] = "gnuplot_svg.showHypertext(evt,'";
    char *at = strstr(line, mark);
    if (!at)
        return NULL;
    at += sizeof mark - 1;
    char *end = strchr(at, '\'');
    if (!end)
        return NULL;
    *end = '\0';
    return at;
}

// The first word is the training's id, and where the link leads.
static void open_link(const char *text, FILE *out)
{
    const int id = (int)strcspn(text, " ");
    fprintf(out, "<a href=\"#run-%.*s\"><title>%s</title>\n", id, text, text);
}

// Copies the last line inside a link: its "</g>" becomes "</a>".
static void close_link(char *line, int chart, FILE *out)
{
    char *end = strstr(line, "</g>");
    if (end)
        *end = '\0';
    copy_line(line, chart, out);
    fputs("</a>\n", out);
}

struct copier {
    int chart, in_link, in_filter;
    const char *held; // an opened group that may turn out to be empty
    FILE *out;
};

static void flush_held(struct copier *c)
{
    if (c->held)
        copy_line(c->held, c->chart, c->out);
    c->held = NULL;
}

static void body_line(struct copier *c, char *line)
{
    char *text = line + strspn(line, " \t");
    if (starts(text, "<filter"))
        c->in_filter = 1;
    if (c->in_filter || !*text || starts(text, "<title>") || starts(text, "<desc>")) {
        c->in_filter = c->in_filter && !starts(text, "</filter>");
        return;
    }
    if (c->held && strcmp(text, "</g>") == 0) {
        c->held = NULL;
        return;
    }
    flush_held(c);
    char *hover = hover_text(text);
    if (hover) {
        open_link(hover, c->out);
        c->in_link = 1;
    } else if (c->in_link && strstr(text, "</g>")) {
        close_link(text, c->chart, c->out);
        c->in_link = 0;
    } else if (starts(text, "<g id=")) {
        fputs("<g>\n", c->out);
    } else if (starts(text, "<g fill=")) {
        c->held = text;
    } else {
        copy_line(text, c->chart, c->out);
    }
}

int svg_inline(char *svg, int chart, const char *alt, FILE *out)
{
    char *start = strstr(svg, "<svg");
    if (!start)
        return 0;
    fputs("<svg class=\"plot\" role=\"img\" aria-label=\"", out);
    html_text(out, alt);
    fputs("\"\n", out);
    struct copier c = {.chart = chart, .out = out};
    char *next = start + strlen("<svg");
    for (char *line = next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        body_line(&c, line);
    }
    flush_held(&c);
    return 1;
}
