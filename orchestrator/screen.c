// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/screen.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

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

void screen_open(struct screen *s, FILE *out, bool launched)
{
    const char *term = getenv("TERM");
    *s = (struct screen){.out = out};
    s->terminal =
        isatty(fileno(out)) || (launched && launcher_terminal(s->asked, sizeof s->asked));
    s->terminal = s->terminal && term && strcmp(term, "dumb") != 0;
}

void screen_size(const struct screen *s, int *columns, int *rows)
{
    struct winsize w = {0};
    int fd = s->asked[0] ? open(s->asked, O_RDONLY | O_NOCTTY | O_CLOEXEC) : -1;
    int rc = ioctl(fd >= 0 ? fd : fileno(s->out), TIOCGWINSZ, &w);
    if (fd >= 0)
        close(fd);
    *columns = rc == 0 && w.ws_col > 0 ? w.ws_col : 80;
    *rows = rc == 0 && w.ws_row > 0 ? w.ws_row : 24;
}

void screen_text(const struct screen *s, const char *text, int columns)
{
    for (int i = 0, used = 0; text[i]; i++) {
        unsigned char c = (unsigned char)text[i];
        used += (c & 0xc0) != 0x80; // not the middle of a character
        if (used > columns)
            return;
        putc(c < ' ' || c == 0x7f ? ' ' : c, s->out);
    }
}

void screen_erase(struct screen *s)
{
    if (s->drawn > 0)
        fprintf(s->out, "\033[%dA\r\033[J", s->drawn);
    s->drawn = 0;
}

void screen_line(struct screen *s, const char *text)
{
    int columns, rows;
    screen_size(s, &columns, &rows);
    if (s->drawn >= rows - 1)
        return;                        // what scrolls away cannot be erased
    screen_text(s, text, columns - 1); // a full line would wrap
    putc('\n', s->out);
    s->drawn++;
}
