// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/orchestrator/html_check.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 64, NAME = 32, IDS = 20000 };

struct checker {
    const char *page, *at;
    char open[DEPTH][NAME];
    int depth;
    const char **ids, **links; // starts of attribute values
    int n_ids, n_links;
    char *why;
    size_t size;
};

static bool fail(struct checker *c, const char *what)
{
    int line = 1;
    for (const char *p = c->page; p < c->at; p++)
        line += *p == '\n';
    snprintf(c->why, c->size, "line %d: %s at '%.60s'", line, what, c->at);
    return false;
}

static bool entity(struct checker *c)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(c->at, known[i], strlen(known[i])) == 0) {
            c->at += strlen(known[i]);
            return true;
        }
    return fail(c, "unknown entity or bare &");
}

static size_t name_length(const char *s)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '-' || s[n] == ':')
        n++;
    return n;
}

static bool attribute(struct checker *c)
{
    const char *name = c->at;
    const size_t n = name_length(name);
    if (n == 0)
        return fail(c, "attribute name expected");
    c->at += n;
    while (isspace((unsigned char)*c->at)) // gnuplot writes "fill = '..'"
        c->at++;
    if (*c->at++ != '=')
        return fail(c, "attribute without a value");
    while (isspace((unsigned char)*c->at))
        c->at++;
    const char quote = *c->at++;
    if (quote != '"' && quote != '\'')
        return fail(c, "attribute value without quotes");
    const char *value = c->at;
    while (*c->at && *c->at != quote) {
        if (*c->at == '<')
            return fail(c, "< in an attribute");
        if (*c->at != '&')
            c->at++;
        else if (!entity(c))
            return false;
    }
    if (*c->at++ != quote)
        return fail(c, "attribute value not closed");
    if (n == 2 && strncmp(name, "id", 2) == 0 && c->n_ids < IDS)
        c->ids[c->n_ids++] = value;
    if (n >= 4 && strncmp(name + n - 4, "href", 4) == 0 && *value == '#' && c->n_links < IDS)
        c->links[c->n_links++] = value + 1;
    if (n > 2 && strncmp(name, "on", 2) == 0)
        return fail(c, "event handler");
    return true;
}

static bool closing_tag(struct checker *c)
{
    const char *name = c->at + 2;
    const size_t n = name_length(name);
    if (c->depth == 0 || strlen(c->open[c->depth - 1]) != n ||
        strncmp(c->open[c->depth - 1], name, n) != 0)
        return fail(c, c->depth ? "closes what is not innermost" : "closes what is not open");
    c->depth--;
    c->at = name + n;
    while (isspace((unsigned char)*c->at))
        c->at++;
    return *c->at++ == '>' || fail(c, "> expected");
}

static bool tag(struct checker *c)
{
    if (c->at[1] == '/')
        return closing_tag(c);
    const char *name = c->at + 1;
    const size_t n = name_length(name);
    if (n == 0 || n >= NAME || c->depth == DEPTH)
        return fail(c, "bare <, or tags too deep");
    c->at += 1 + n;
    for (;;) {
        const char *end = c->at;
        while (isspace((unsigned char)*c->at))
            c->at++;
        if (*c->at == '>')
            break;
        if (c->at[0] == '/' && c->at[1] == '>') {
            c->at += 2;
            return true;
        }
        if (c->at == end)
            return fail(c, "attributes without a space between");
        if (!attribute(c))
            return false;
    }
    c->at++;
    snprintf(c->open[c->depth++], NAME, "%.*s", (int)n, name);
    if (n == 5 && strncmp(name, "style", 5) == 0) { // raw text up to its end
        const char *end = strstr(c->at, "</style>");
        if (!end)
            return fail(c, "style not closed");
        c->at = end;
    }
    return true;
}

static bool same_value(const char *a, const char *b)
{
    const size_t n = strcspn(a, "\"'");
    return n == strcspn(b, "\"'") && strncmp(a, b, n) == 0;
}

static bool links_answered(struct checker *c)
{
    for (int i = 0; i < c->n_ids; i++)
        for (int j = 0; j < i; j++)
            if (same_value(c->ids[i], c->ids[j])) {
                c->at = c->ids[i];
                return fail(c, "id twice");
            }
    for (int i = 0; i < c->n_links; i++) {
        bool found = false;
        for (int j = 0; j < c->n_ids && !found; j++)
            found = same_value(c->links[i], c->ids[j]);
        if (!found) {
            c->at = c->links[i];
            return fail(c, "link to nowhere");
        }
    }
    return true;
}

static bool walk(struct checker *c)
{
    if (strncmp(c->at, "<!DOCTYPE html>", 15) != 0)
        return fail(c, "doctype expected");
    c->at += 15;
    while (*c->at) {
        if (*c->at == '<' ? !tag(c) : *c->at == '&' ? !entity(c) : (c->at++, false))
            return false;
    }
    if (c->depth)
        return fail(c, "not everything is closed");
    return links_answered(c);
}

bool html_check(const char *page, char *why, size_t size)
{
    struct checker c = {.page = page, .at = page, .why = why, .size = size};
    c.ids = malloc(IDS * sizeof *c.ids);
    c.links = malloc(IDS * sizeof *c.links);
    *why = '\0';
    const bool ok = c.ids && c.links && walk(&c);
    free(c.ids);
    free(c.links);
    return ok;
}

int count_of(const char *page, const char *needle)
{
    int n = 0;
    for (const char *p = page; (p = strstr(p, needle)); p += strlen(needle))
        n++;
    return n;
}
