// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/submit.h"
#include "orchestrator/cmd.h"
#include "orchestrator/config.h"
#include "orchestrator/launch.h"
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEMPLATE_MAX = 1 << 20 };

// What stands for a word between @ in the template.
struct filling {
    const char *name;
    char *text; // owned
};
enum { OPTIONS, FOLDER, MOESWEEP, SWEEP, OUT, RANKS, MARGIN, MPIRUN, N_FILLINGS };

// ---- words

static enum err no_controls(const char *what, const char *text)
{
    for (const char *p = text; *p; p++)
        ENSURE((unsigned char)*p >= ' ' && *p != 0x7f, ERR_INPUT,
               "submit: %s: expected no control characters, found byte 0x%02x", what,
               (unsigned)(unsigned char)*p);
    return OK;
}

enum err submit_quote(const char *word, char **quoted)
{
    TRY(no_controls("a path or command", word));
    char *p = *quoted = malloc(4 * strlen(word) + 3);
    ENSURE(p, ERR_FAILED, "out of memory");
    *p++ = '\'';
    for (; *word; word++) {
        if (*word == '\'') {
            memcpy(p, "'\\''", 4);
            p += 4;
        } else {
            *p++ = *word;
        }
    }
    memcpy(p, "'", 2);
    return OK;
}

// sbatch splits and unquotes its lines itself: only what means nothing there.
static enum err plain(const char *option, const char *value)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        "_.,:=+@%/*[]()|&!-";
    size_t n = strspn(value, allowed);
    ENSURE(*value && !value[n], ERR_INPUT,
           "submit: %s: expected letters, digits and %s, found '%s'", option, allowed + 62,
           no_controls(option, value) == OK ? value : "a control character");
    return OK;
}

double submit_limit(const char *text)
{
    long part[3] = {0}, days = 0;
    int n = 0;
    const char *dash = strchr(text, '-'), *at = text;
    if (!*text || strspn(text, "0123456789:-") != strlen(text) || strlen(text) > 20)
        return NAN;
    if (dash) {
        days = strtol(text, NULL, 10);
        at = dash + 1;
    }
    for (; n < 3 && *at; n++) {
        char *end;
        part[n] = strtol(at, &end, 10);
        if (end == at || (*end && *end != ':') || (*end && !end[1]))
            return NAN;
        at = *end ? end + 1 : end;
    }
    if (*at || n == 0)
        return NAN;
    bool hours = dash || n == 3; // else minutes come first
    long h = hours ? part[0] : 0, m = part[hours], s = hours ? part[2] : part[1];
    return (double)days * 86400 + (double)h * 3600 + (double)m * 60 + (double)s;
}

// ---- the template

static enum err find_template(const struct submit_options *opt, char *path, size_t size)
{
    if (!opt->template)
        return cmd_installed("submit", "slurm/moesweep.sbatch", path, size);
    snprintf(path, size, "%s", opt->template);
    return OK;
}

static enum err read_template(const char *path, char **text)
{
    FILE *f = fopen(path, "re");
    ENSURE(f, ERR_INPUT, "submit: %s: %s", path, strerror(errno));
    char *buf = malloc(TEMPLATE_MAX + 1);
    size_t n = buf ? fread(buf, 1, TEMPLATE_MAX + 1, f) : 0;
    bool bad = ferror(f) != 0;
    fclose(f);
    if (!buf || bad || n > TEMPLATE_MAX || memchr(buf, '\0', n)) {
        free(buf);
        return err_set(buf ? ERR_INPUT : ERR_FAILED,
                       "submit: %s: expected a text of at most %d "
                       "bytes",
                       path, TEMPLATE_MAX);
    }
    buf[n] = '\0';
    *text = buf;
    return OK;
}

// The filling that begins at "@NAME@"; NULL: none.
static const struct filling *filling_at(const char *at, const struct filling *f, size_t *len)
{
    for (int i = 0; i < N_FILLINGS; i++) {
        size_t n = strlen(f[i].name);
        if (at[0] == '@' && strncmp(at + 1, f[i].name, n) == 0 && at[n + 1] == '@') {
            *len = n + 2;
            return &f[i];
        }
    }
    return NULL;
}

static enum err fill(const char *template, const char *path, const struct filling *f, FILE *out)
{
    bool seen[N_FILLINGS] = {0};
    for (const char *at = template; *at;) {
        size_t len = 1;
        if (strncmp(at, "#@", 2) == 0 && (at == template || at[-1] == '\n')) {
            at += strcspn(at, "\n");
            at += *at == '\n';
            continue;
        }
        const struct filling *found = filling_at(at, f, &len);
        if (found) {
            seen[found - f] = true;
            fputs(found->text, out);
        } else {
            fputc(*at, out);
        }
        at += len;
    }
    // Without these a script would run another sweep than was asked for.
    static const int needed[] = {OPTIONS, MOESWEEP, SWEEP, OUT, RANKS};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        ENSURE(seen[needed[i]], ERR_INPUT, "submit: %s: expected @%s@ in it", path,
               f[needed[i]].name);
    return OK;
}

// ---- what is filled in

static enum err batch_options(const struct submit_options *opt, const struct sweep *cfg,
                              FILE *f)
{
    const char *const named[][2] = {
        {"--account", opt->account}, {"--partition", opt->partition}, {"--time", opt->time}};
    TRY(plain("name of the sweep", cfg->name));
    fprintf(f, "#SBATCH --job-name=%s\n#SBATCH --output=%s-%%j.log\n", cfg->name, cfg->name);
    fprintf(f, "#SBATCH --nodes=%d\n#SBATCH --ntasks-per-node=%d\n", opt->nodes, opt->workers);
    fprintf(f, "#SBATCH --cpus-per-task=%d\n", cfg->base.threads);
    if (opt->gpus > 0)
        fprintf(f, "#SBATCH --gpus-per-node=%d\n", opt->gpus);
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (named[i][1]) {
            TRY(plain(named[i][0], named[i][1]));
            fprintf(f, "#SBATCH %s=%s\n", named[i][0], named[i][1]);
        }
    for (int i = 0; opt->more && i < opt->more->n; i++) {
        const char *o = opt->more->item[i];
        TRY(plain("--sbatch", o));
        ENSURE(strncmp(o, "--", 2) == 0, ERR_INPUT,
               "submit: --sbatch: expected --NAME or --NAME=VALUE, found '%s'", o);
        fprintf(f, "#SBATCH %s\n", o);
    }
    return OK;
}

static enum err options_text(const struct submit_options *opt, const struct sweep *cfg,
                             char **text)
{
    size_t size = 0;
    FILE *f = open_memstream(text, &size);
    ENSURE(f, ERR_FAILED, "out of memory");
    enum err e = batch_options(opt, cfg, f);
    ENSURE(fclose(f) == 0, ERR_FAILED, "out of memory");
    if (e == OK && size > 0)
        (*text)[size - 1] = '\0'; // the template ends the line
    return e;
}

static enum err number_text(double v, char **text)
{
    ENSURE(asprintf(text, "%.0f", v) > 0, ERR_FAILED, "out of memory");
    return OK;
}

// An absolute path, so that the job finds it wherever it starts; it need not exist yet.
static enum err quote_path(const char *path, char **quoted)
{
    char here[PATH_MAX], whole[2 * PATH_MAX];
    ENSURE(getcwd(here, sizeof here), ERR_FAILED, "the current folder: %s", strerror(errno));
    int n = *path == '/' ? snprintf(whole, sizeof whole, "%s", path)
                         : snprintf(whole, sizeof whole, "%s/%s", here, path);
    ENSURE(n > 0 && n < PATH_MAX, ERR_INPUT, "submit: %s: the path is too long", path);
    return submit_quote(whole, quoted);
}

static enum err fillings(const struct submit_options *opt, const struct sweep *cfg,
                         struct filling *f)
{
    char out[PATH_MAX], self[PATH_MAX], here[PATH_MAX], *mpirun = NULL;
    if (opt->out)
        snprintf(out, sizeof out, "%s", opt->out);
    else
        TRY(launch_default_out(opt->config, out, sizeof out));
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    ENSURE(n > 0 && getcwd(here, sizeof here), ERR_FAILED, "submit: %s", strerror(errno));
    self[n] = '\0';
    TRY(options_text(opt, cfg, &f[OPTIONS].text));
    TRY(submit_quote(here, &f[FOLDER].text));
    TRY(submit_quote(self, &f[MOESWEEP].text));
    TRY(quote_path(opt->config, &f[SWEEP].text));
    TRY(quote_path(out, &f[OUT].text));
    // The manager shares a processor with a worker: it sleeps nearly always.
    TRY(number_text((double)opt->nodes * opt->workers + 1, &f[RANKS].text));
    TRY(number_text(opt->margin, &f[MARGIN].text));
    if (opt->mpirun)
        TRY(submit_quote(opt->mpirun, &mpirun));
    int len =
        asprintf(&f[MPIRUN].text, "%s%s", mpirun ? " --mpirun " : "", mpirun ? mpirun : "");
    free(mpirun);
    ENSURE(len >= 0, ERR_FAILED, "out of memory");
    return OK;
}

static enum err check_limit(const struct submit_options *opt)
{
    if (!opt->time)
        return OK;
    double limit = submit_limit(opt->time);
    ENSURE(limit > 0, ERR_INPUT,
           "submit: --time: expected MINUTES, H:MM:SS or D-HH:MM:SS, found '%s'", opt->time);
    ENSURE(opt->margin <= limit / 2, ERR_INPUT,
           "submit: --margin: %.0f s before the end of a job of %.0f s leave it no time to "
           "train; give at most half",
           opt->margin, limit);
    return OK;
}

static enum err write_script(const struct submit_options *opt, const struct sweep *cfg,
                             FILE *out)
{
    struct filling f[N_FILLINGS] = {{"OPTIONS", NULL}, {"FOLDER", NULL}, {"MOESWEEP", NULL},
                                    {"SWEEP", NULL},   {"OUT", NULL},    {"RANKS", NULL},
                                    {"MARGIN", NULL},  {"MPIRUN", NULL}};
    char path[PATH_MAX], *template = NULL;
    TRY(find_template(opt, path, sizeof path));
    TRY(read_template(path, &template));
    enum err e = fillings(opt, cfg, f);
    if (e == OK)
        e = fill(template, path, f, out);
    free(template);
    for (int i = 0; i < N_FILLINGS; i++)
        free(f[i].text);
    return e;
}

enum err submit_script(const struct submit_options *opt, char **text)
{
    struct sweep cfg;
    TRY(check_limit(opt));
    TRY(config_load(opt->config, &cfg)); // a wrong one must not wait in a queue to say so
    size_t size = 0;
    *text = NULL;
    FILE *f = open_memstream(text, &size);
    enum err e = f ? write_script(opt, &cfg, f) : err_set(ERR_FAILED, "out of memory");
    if (f && fclose(f) != 0 && e == OK)
        e = err_set(ERR_FAILED, "out of memory");
    config_free(&cfg);
    if (e != OK) {
        free(*text);
        *text = NULL;
    }
    return e;
}
