// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/plot_stack.h"
#include "core/file.h"
#include <stdlib.h>
#include <string.h>

enum err stack_open(struct stack *s, const char **why)
{
    char version[64];
    *s = (struct stack){0};
    *why = NULL;
    if (!plot_available(version, sizeof version)) {
        *why = "gnuplot cannot be started";
        return OK;
    }
    s->out = open_memstream(&s->body, &s->len);
    ENSURE(s->out, ERR_FAILED, "out of memory for a chart");
    return OK;
}

// gnuplot's <svg> has no place or size of its own.
enum err stack_chart(struct stack *s, struct plot *c, int height, const char *alt)
{
    static const char open[] = "<svg ";
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    ENSURE(f, ERR_FAILED, "out of memory for a chart");
    enum err e = plot_close(c, s->charts++, alt, f);
    if (fclose(f) != 0 && e == OK)
        e = err_set(ERR_FAILED, "out of memory for a chart");
    const bool drawn = e == OK && strncmp(text, open, sizeof open - 1) == 0;
    s->refused = s->refused || !drawn;
    if (drawn)
        fprintf(s->out, "<svg x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\" %s", s->height,
                STACK_WIDTH, height, text + sizeof open - 1);
    free(text);
    s->height += height;
    return e;
}

static enum err write_file(const struct stack *s, const char *path)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    ENSURE(f, ERR_FAILED, "out of memory for a chart");
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" "
            "xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n%s</svg>\n",
            STACK_WIDTH, s->height, STACK_WIDTH, s->height, s->body);
    const bool whole = fclose(f) == 0;
    enum err e = whole ? file_replace(path, text, len)
                       : err_set(ERR_FAILED, "out of memory for a chart");
    free(text);
    return e;
}

enum err stack_close(struct stack *s, enum err e, const char *path, const char **why)
{
    if (fclose(s->out) != 0 && e == OK)
        e = err_set(ERR_FAILED, "out of memory for a chart");
    if (e == OK && s->refused)
        *why = "gnuplot refuses to draw it";
    else if (e == OK)
        e = write_file(s, path);
    free(s->body);
    return e;
}
