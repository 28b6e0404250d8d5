// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/command.h"
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What stands for a word in braces.
struct filling {
    const char *job_file;
    char width[16];
};

// The text that takes the place of a word in braces at p, whose length is *len; NULL: none.
static const char *fill(const char *p, const struct filling *f, size_t *len)
{
    static const char job[] = "{job}", width[] = "{width}";
    if (*p != '{')
        return NULL;
    bool is_job = strncmp(p, job, *len = sizeof job - 1) == 0;
    if (is_job)
        return f->job_file;
    return strncmp(p, width, *len = sizeof width - 1) == 0 ? f->width : NULL;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// Copies one word from *at to *to; false if a quote is never closed. A NULL to only counts.
static bool take_word(const char **at, const struct filling *f, char *to, size_t *len)
{
    char quote = 0;
    size_t n = 0, braces;
    const char *p = *at;
    for (; *p && (quote || !blank(*p)); p++) {
        const char *piece = p;
        const char *filled = fill(p, f, &braces);
        size_t piece_len = 1;
        if (quote ? *p == quote : *p == '\'' || *p == '"') {
            quote = quote ? 0 : *p;
            continue;
        }
        if (*p == '\\' && quote != '\'' && p[1])
            piece = ++p;
        else if (filled) {
            piece = filled;
            piece_len = strlen(filled);
            p += braces - 1;
        }
        if (to)
            memcpy(to + n, piece, piece_len);
        n += piece_len;
    }
    if (to)
        to[n] = '\0';
    *len = n;
    *at = p;
    return !quote;
}

// All words; argv and text may be NULL to count them (words, bytes with terminators).
static bool take_words(const char *command, const struct filling *f, char **argv, char *text,
                       size_t *n_words, size_t *n_bytes)
{
    *n_words = *n_bytes = 0;
    for (const char *p = command;;) {
        while (blank(*p))
            p++;
        if (!*p)
            return true;
        size_t len;
        if (!take_word(&p, f, text ? text + *n_bytes : NULL, &len))
            return false;
        if (argv)
            argv[*n_words] = text + *n_bytes;
        ++*n_words;
        *n_bytes += len + 1;
    }
}

enum err command_split(const char *command, const char *job_file, int width, char ***argv)
{
    size_t words, bytes;
    struct filling f = {.job_file = job_file};
    snprintf(f.width, sizeof f.width, "%d", width);
    ENSURE(take_words(command, &f, NULL, NULL, &words, &bytes), ERR_INPUT,
           "trainer: expected every quote closed, found \"%s\"", command);
    ENSURE(words > 0, ERR_INPUT, "trainer: expected a command, found none");
    char **block = malloc((words + 1) * sizeof *block + bytes);
    ENSURE(block, ERR_FAILED, "out of memory");
    take_words(command, &f, block, (char *)(block + words + 1), &words, &bytes);
    block[words] = NULL;
    *argv = block;
    return OK;
}

static bool executable(const char *path)
{
    return access(path, X_OK) == 0;
}

// The folder of the running program, with a slash; "" if nobody knows. Asked once: trainers are
// many, and the file may be replaced while it runs.
static const char *our_folder(void)
{
    static _Thread_local char self[PATH_MAX];
    static _Thread_local bool asked;
    if (!asked) {
        asked = true;
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        self[n > 0 ? n : 0] = '\0';
        char *slash = strrchr(self, '/');
        self[slash ? slash + 1 - self : 0] = '\0';
    }
    return self;
}

static bool beside_us(const char *program, char *path, size_t size)
{
    const char *self = our_folder();
    if (!*self)
        return false;
    int len = snprintf(path, size, "%s%s", self, program);
    return len > 0 && (size_t)len < size && executable(path);
}

enum err command_find(const char *program, char *path, size_t size)
{
    if (strchr(program, '/')) {
        int len = snprintf(path, size, "%s", program);
        ENSURE(len > 0 && (size_t)len < size && executable(path), ERR_INPUT,
               "trainer: expected an executable program, found %s", program);
        return OK;
    }
    if (beside_us(program, path, size))
        return OK;
    const char *at = getenv("PATH");
    while (at && *at) {
        size_t n = strcspn(at, ":");
        int len = n ? snprintf(path, size, "%.*s/%s", (int)n, at, program)
                    : snprintf(path, size, "./%s", program);
        if (len > 0 && (size_t)len < size && executable(path))
            return OK;
        at += n + (at[n] == ':');
    }
    return err_set(ERR_INPUT, "trainer: %s is neither beside moesweep nor in $PATH", program);
}

static bool of_mpi(const char *variable)
{
    static const char *const prefixes[] = {"OMPI_", "PMIX_", "PRTE_",
                                           "PMI_",  "MPI",   "OMP_NUM_THREADS="};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t n = 0;
        while (prefixes[i][n] && prefixes[i][n] == variable[n])
            n++;
        if (!prefixes[i][n])
            return true;
    }
    return false;
}

enum err command_environment(int threads, const char *gpus, char ***envp)
{
    static const char visible[] = "CUDA_VISIBLE_DEVICES=";
    size_t n = 0;
    while (environ[n])
        n++;
    const size_t text = 32, list = sizeof visible + (gpus ? strlen(gpus) : 0);
    char **block = malloc((n + 3) * sizeof *block + text + list);
    ENSURE(block, ERR_FAILED, "out of memory");
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!of_mpi(environ[i]) &&
            !(gpus && strncmp(environ[i], visible, sizeof visible - 1) == 0))
            block[kept++] = environ[i];
    char *own = (char *)(block + n + 3);
    snprintf(own, text, "OMP_NUM_THREADS=%d", threads > 0 ? threads : 1);
    block[kept++] = own;
    if (gpus) {
        snprintf(own + text, list, "%s%s", visible, gpus);
        block[kept++] = own + text;
    }
    block[kept] = NULL;
    *envp = block;
    return OK;
}
