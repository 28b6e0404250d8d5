// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/report/plot.h"
#include "orchestrator/report/style.h"
#include "orchestrator/report/svg.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
    TIME_LIMIT_MS = 60000, // a chart takes some 20 ms; more than this is a hang
    SVG_MAX = 64 << 20
};

// ---- gnuplot as a child: script in, SVG out

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// Reads fd to its end into a fresh NUL-terminated text; NULL on time-out, size or memory.
static char *read_all(int fd)
{
    const int64_t end = now_ms() + TIME_LIMIT_MS;
    size_t used = 0, cap = 1 << 16;
    char *text = malloc(cap);
    while (text) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const int64_t left = end - now_ms();
        const int ready = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (cap - used < 2) {
            char *grown = cap < SVG_MAX ? realloc(text, cap * 2) : NULL;
            if (!grown)
                break;
            text = grown;
            cap *= 2;
        }
        const ssize_t n = ready > 0 ? read(fd, text + used, cap - used - 1) : -1;
        if (n < 0 && ready > 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        if (n == 0) {
            text[used] = '\0';
            return text;
        }
        used += (size_t)n;
    }
    free(text);
    return NULL;
}

static bool spawn(const char *const *argv, int in, int out, int err, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return false;
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    char *args[4] = {NULL}; // posix_spawnp wants them writable
    for (int i = 0; i < 3 && argv[i]; i++)
        args[i] = strdup(argv[i]);
    const bool ok = args[0] && posix_spawnp(pid, args[0], &actions, NULL, args, environ) == 0;
    for (int i = 0; i < 3; i++)
        free(args[i]);
    posix_spawn_file_actions_destroy(&actions);
    return ok;
}

// Runs argv with `in` as its standard input. *text: what it printed (caller frees), NULL if it
// could not be run or did not end well; first line of its complaints in why[size].
static void run_child(const char *const *argv, FILE *in, char **text, char *why, size_t size)
{
    *text = NULL;
    snprintf(why, size, "%s cannot be started", argv[0]);
    FILE *err = tmpfile();
    int fds[2];
    if (!err || pipe2(fds, O_CLOEXEC) != 0) {
        if (err)
            fclose(err);
        return;
    }
    pid_t pid;
    const bool started = spawn(argv, fileno(in), fds[1], fileno(err), &pid);
    close(fds[1]);
    if (started) {
        *text = read_all(fds[0]);
        if (!*text)
            kill(pid, SIGKILL);
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
        if (*text && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
            free(*text);
            *text = NULL;
        }
        if (!*text) {
            char line[160];
            snprintf(why, size, "%s did not finish", argv[0]);
            rewind(err);
            while (fgets(line, sizeof line, err))
                if (strstr(line,
                           "line ")) // gnuplot echoes the place first, then says "line N: .."
                    snprintf(why, size, "%.*s", (int)strcspn(line, "\n"), line);
        }
    }
    close(fds[0]);
    fclose(err);
}

bool plot_available(char *version, size_t size)
{
    static const char *const argv[] = {"gnuplot", "--version", NULL};
    char *text, why[200];
    FILE *in = tmpfile();
    if (!in)
        return false;
    run_child(argv, in, &text, why, sizeof why);
    fclose(in);
    if (!text)
        return false;
    snprintf(version, size, "%.*s", (int)strcspn(text, "\n"), text);
    free(text);
    return true;
}

// ---- the script

enum err plot_open(struct plot *p, int width, int height)
{
    *p = (struct plot){.width = width, .height = height};
    p->set = open_memstream(&p->set_text, &p->set_len);
    p->draw = open_memstream(&p->draw_text, &p->draw_len);
    if (!p->set || !p->draw) {
        if (p->set)
            fclose(p->set);
        if (p->draw)
            fclose(p->draw);
        free(p->set_text);
        free(p->draw_text);
        return err_set(ERR_FAILED, "out of memory for a chart");
    }
    fprintf(p->set,
            "set encoding utf8\n"
            "set terminal svg size %d,%d dynamic noenhanced font 'system-ui,sans-serif,12'\n"
            "set border 3 linecolor rgb '" COLOUR_DIM "'\n"
            "set grid linetype 1 linecolor rgb '" COLOUR_GRID "' linewidth .7\n"
            "set tics nomirror scale .5\nset key off\nset style fill transparent solid .14 "
            "noborder\n"
            "set bars .6\nset offsets 0,0,0,0\nset datafile missing 'NaN'\n",
            width, height);
    return OK;
}

// Ticks of a log axis as people write them: the roundest first, others where there is room.
static void log_ticks(struct plot *p, char axis, double lo, double hi)
{
    static const double round[] = {1, 2, 5, 3, 7, 1.5, 4, 6, 8, 9}; // roundest first
    enum { MANTISSAS = 10, MAX_TICKS = 24 };
    double ticks[MAX_TICKS];
    int n = 0;
    const bool wide = axis == 'x' && (hi >= 1e4 || lo < .01); // "5 × 10⁴"
    const int room_px = axis == 'y' ? 26 : wide ? 60 : 30;    // a label and some air
    const int axis_px = axis == 'y' ? p->height - 60 : p->width - 90;
    const double apart = (double)room_px / axis_px * log(hi / lo);
    const int first = (int)floor(log10(lo)), last = (int)ceil(log10(hi));
    for (int i = 0; i < MANTISSAS; i++)
        for (int e = first; e <= last && n < MAX_TICKS; e++) {
            const double v = round[i] * pow(10, e);
            bool room = v >= lo * .9999 && v <= hi * 1.0001;
            for (int k = 0; k < n; k++)
                room = room && fabs(log(v / ticks[k])) >= apart;
            if (room)
                ticks[n++] = v;
        }
    fprintf(p->set, "set %ctics (", axis);
    for (int k = 0; k < n; k++)
        fprintf(p->set, "%s'%s' %.10g", k ? ", " : "", num_round(ticks[k]).s, ticks[k]);
    fputs(")\n", p->set);
}

void plot_axis(struct plot *p, char axis, const char *label, double lo, double hi, bool log)
{
    log = log && lo > 0 && isfinite(hi); // a chart of nothing has no scale
    if (log)
        fprintf(p->set, "set logscale %c\n", axis);
    fprintf(p->set, "set %crange [%.10g:%.10g]\n", axis, lo, hi);
    fprintf(p->set, "set %clabel '%s' textcolor rgb '" COLOUR_DIM "'\n", axis, label);
    if (log)
        log_ticks(p, axis, lo, hi);
}

int plot_data(struct plot *p)
{
    fprintf(p->set, "$d%d << EOD\n", p->n_data);
    return p->n_data++;
}

void plot_data_end(struct plot *p)
{
    fputs("EOD\n", p->set);
}

void plot_draw(struct plot *p, const char *fmt, ...)
{
    fputs(p->n_drawn++ ? ", " : "plot ", p->draw);
    va_list ap;
    va_start(ap, fmt);
    vfprintf(p->draw, fmt, ap);
    va_end(ap);
}

void plot_word(struct plot *p, const char *text, const char *colour, const char *fmt, ...)
{
    fprintf(p->set, "set label '%s' font ',11' textcolor rgb '%s' front at ", text, colour);
    va_list ap;
    va_start(ap, fmt);
    vfprintf(p->set, fmt, ap);
    va_end(ap);
    fputc('\n', p->set);
}

enum err plot_close(struct plot *p, int chart, const char *alt, FILE *out)
{
    static const char *const argv[] = {"gnuplot", "-d", "-", NULL};
    const int closed_set = fclose(p->set), closed_draw = fclose(p->draw);
    const bool sound = closed_set == 0 && closed_draw == 0;
    char *svg = NULL, why[200] = "no temporary file can be made";
    FILE *script = sound && p->n_drawn ? tmpfile() : NULL;
    if (script) {
        fwrite(p->set_text, 1, p->set_len, script);
        fwrite(p->draw_text, 1, p->draw_len, script);
        fputc('\n', script);
        if (fflush(script) == 0 && lseek(fileno(script), 0, SEEK_SET) == 0)
            run_child(argv, script, &svg, why, sizeof why);
        fclose(script);
    }
    free(p->set_text);
    free(p->draw_text);
    if (!sound) {
        free(svg);
        return err_set(ERR_FAILED, "out of memory for a chart");
    }
    if (!svg || !svg_inline(svg, chart, alt, out)) {
        fputs("<p class=\"noplot\">This chart could not be drawn: ", out);
        html_text(out, why);
        fputs(". Its numbers are in the table.</p>\n", out);
    }
    free(svg);
    return OK;
}

// ---- small help

void plot_hold(double *lo, double *hi, double v)
{
    if (!isfinite(v))
        return;
    *lo = fmin(*lo, v);
    *hi = fmax(*hi, v);
}

void plot_margin(double *lo, double *hi, double fraction, bool log)
{
    if (!(*lo <= *hi)) {
        *lo = 1;
        *hi = 10;
    } else if (log && *lo > 0) {
        const double f = *lo < *hi ? pow(*hi / *lo, fraction) : 1.2;
        *lo /= f;
        *hi *= f;
    } else {
        const double f = *lo < *hi ? fraction * (*hi - *lo) : .1 * fabs(*lo) + 1e-9;
        *lo -= f;
        *hi += f;
    }
}
