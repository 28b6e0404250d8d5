// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/progress.h"
#include "orchestrator/signals.h"
#include "orchestrator/status.h"
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BLOCK_WORKERS = 16, WIDTH_DEFAULT = 80 };
static const double LINE_EVERY = 10; // s

struct progress {
    FILE *out;
    enum progress_mode mode;
    char terminal[64]; // to ask its width; "" = out itself
    int drawn;         // lines of the block that stand on the terminal
    double last;       // when a line was printed
};

// mpirun hands a rank pipes and copies them to its own stderr, which may well be a terminal.
static bool launcher_terminal(char *path, size_t size)
{
    char name[64], link[64] = "", comm[64] = "";
    static const char *const launchers[] = {"mpirun", "mpiexec", "orterun", "prterun"};
    snprintf(name, sizeof name, "/proc/%ld/comm", (long)getppid());
    FILE *f = fopen(name, "re");
    bool launched = false;
    if (f && fscanf(f, "%63s", comm) == 1)
        for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++)
            launched = launched || strcmp(comm, launchers[i]) == 0;
    if (f)
        fclose(f);
    snprintf(name, sizeof name, "/proc/%ld/fd/2", (long)getppid());
    ssize_t n = launched ? readlink(name, link, sizeof link - 1) : -1;
    if (n <= 0)
        return false;
    link[n] = '\0';
    if (strncmp(link, "/dev/pts/", 9) != 0 && strncmp(link, "/dev/tty", 8) != 0)
        return false;
    snprintf(path, size, "%s", link);
    return true;
}

enum err progress_open(enum progress_mode mode, FILE *out, struct progress **p)
{
    *p = calloc(1, sizeof **p);
    ENSURE(*p, ERR_FAILED, "out of memory");
    bool terminal = isatty(fileno(out));
    const char *term = getenv("TERM");
    if (!terminal && mode != PROGRESS_LINES)
        terminal = launcher_terminal((*p)->terminal, sizeof(*p)->terminal);
    if (mode == PROGRESS_AUTO)
        mode = terminal && term && strcmp(term, "dumb") != 0 ? PROGRESS_BLOCK : PROGRESS_LINES;
    (*p)->out = out;
    (*p)->mode = mode;
    (*p)->last = signals_clock();
    return OK;
}

static int width(const struct progress *p)
{
    struct winsize w = {0};
    int fd = p->terminal[0] ? open(p->terminal, O_RDONLY | O_NOCTTY | O_CLOEXEC) : -1;
    int rc = ioctl(fd >= 0 ? fd : fileno(p->out), TIOCGWINSZ, &w);
    if (fd >= 0)
        close(fd);
    return rc == 0 && w.ws_col > 0 ? w.ws_col : WIDTH_DEFAULT;
}

// Everything that is shown passes here: text of trainers must not steer the terminal.
static void put(const struct progress *p, const char *text, int columns)
{
    for (int i = 0; text[i] && i < columns; i++) {
        unsigned char c = (unsigned char)text[i];
        putc(c < ' ' || c == 0x7f ? ' ' : c, p->out);
    }
}

static void erase(struct progress *p)
{
    if (p->drawn > 0)
        fprintf(p->out, "\033[%dA\r\033[J", p->drawn);
    p->drawn = 0;
}

static void block_line(struct progress *p, const char *text, int columns)
{
    put(p, text, columns - 1); // a full line would wrap
    putc('\n', p->out);
    p->drawn++;
}

static void draw(struct progress *p, const json_t *status)
{
    char text[512];
    int columns = width(p);
    erase(p);
    status_line(status, text, sizeof text);
    block_line(p, text, columns);
    const json_t *workers = json_object_get(status, "workers");
    size_t n = json_array_size(workers);
    for (size_t i = 0; i < n && i < BLOCK_WORKERS; i++) {
        status_worker_line(json_array_get(workers, i), text, sizeof text);
        block_line(p, text, columns);
    }
    if (n > BLOCK_WORKERS) {
        snprintf(text, sizeof text, "       and %zu more workers", n - BLOCK_WORKERS);
        block_line(p, text, columns);
    }
    fflush(p->out);
}

void progress_say(struct progress *p, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    erase(p);
    put(p, text, INT_MAX);
    putc('\n', p->out);
    fflush(p->out);
}

void progress_show(struct progress *p, const json_t *status)
{
    if (p->mode == PROGRESS_NONE)
        return;
    if (p->mode == PROGRESS_BLOCK) {
        draw(p, status);
        return;
    }
    double now = signals_clock();
    if (now - p->last < LINE_EVERY)
        return;
    p->last = now;
    char text[512];
    status_line(status, text, sizeof text);
    progress_say(p, "%s", text);
}

void progress_close(struct progress *p)
{
    if (!p)
        return;
    fflush(p->out);
    free(p);
}
