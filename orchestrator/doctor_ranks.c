// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/json.h"
#include "orchestrator/doctor.h"
#include "orchestrator/link.h"
#include "orchestrator/signals.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TOKEN ".moesweep-doctor-ranks" // a file of rank 0 that the others look for

static const double PATIENCE = 120; // s; each rank asks its trainer and its GPUs
static const double SKEW = 2;       // s between the clocks of two machines

static double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static json_t *rank_facts(int rank, const char *token)
{
    json_t *m = doctor_machine();
    if (!m)
        return NULL;
    json_object_set_new(m, "rank", json_integer(rank));
    json_object_set_new(m, "sees", json_boolean(token && access(token, F_OK) == 0));
    json_object_set_new(m, "sent", json_real(wall()));
    return m;
}

// A worker: one message, then it waits to be let go.
static enum err answer(struct link *l, const char *token)
{
    json_t *facts = rank_facts(link_rank(l), token);
    ENSURE(facts, ERR_FAILED, "out of memory");
    TRY(link_send(l, &(struct link_msg){.kind = LINK_READY, .body = facts}));
    for (double until = signals_clock() + 2 * PATIENCE; signals_clock() < until;) {
        struct link_msg m;
        bool got;
        TRY(link_poll(l, &m, &got));
        if (got) {
            json_decref(m.body);
            if (m.kind == LINK_QUIT)
                return OK;
        }
        link_nap(l);
    }
    return err_set(ERR_FAILED, "doctor: rank 0 is silent");
}

static enum err collect(struct link *l, const char *token, json_t *ranks)
{
    int missing = link_size(l) - 1;
    double until = signals_clock() + PATIENCE;
    json_array_append_new(ranks, rank_facts(0, token));
    while (missing > 0 && signals_clock() < until) {
        struct link_msg m;
        bool got;
        TRY(link_poll(l, &m, &got));
        if (!got) {
            link_nap(l);
            continue;
        }
        json_object_set_new(m.body, "clock", json_num(jnum(m.body, "sent") - wall()));
        json_array_append_new(ranks, m.body);
        missing--;
    }
    ENSURE(missing == 0, ERR_FAILED, "doctor: %d of %d ranks have not answered within %.0f s",
           missing, link_size(l), PATIENCE);
    for (int r = 1; r < link_size(l); r++)
        TRY(link_send(l, &(struct link_msg){.peer = r, .kind = LINK_QUIT}));
    return OK;
}

static bool make_token(const char *token)
{
    unlink(token); // of a doctor that was killed
    int fd = open(token, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

enum err doctor_gather(const char *dir, json_t **ranks)
{
    char path[PATH_MAX] = "", *token = NULL;
    struct link *l = NULL;
    *ranks = NULL;
    TRY(link_open(&l));
    if (dir && snprintf(path, sizeof path, "%s/" TOKEN, dir) < (int)sizeof path)
        token = path;
    bool manages = link_rank(l) == 0, made = manages && token && make_token(token);
    enum err e = link_agree(l, OK); // the file is there before anybody looks
    if (e == OK && manages) {
        *ranks = json_array();
        e = *ranks ? collect(l, token, *ranks) : err_set(ERR_FAILED, "out of memory");
    } else if (e == OK) {
        e = answer(l, token);
    }
    if (made)
        unlink(token);
    if (e != OK) { // a rank may hang: nothing to wait for
        fprintf(stderr, "moesweep: %s\n", err_message());
        _exit((int)e);
    }
    link_close(l, true);
    return OK;
}

// ---- what is wrong with them

static int count_hosts(const json_t *ranks)
{
    int n = 0;
    for (size_t i = 0; i < json_array_size(ranks); i++) {
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = strcmp(jstr(json_array_get(ranks, i), "host"),
                          jstr(json_array_get(ranks, j), "host")) == 0;
        n += !seen;
    }
    return n;
}

// Two workers that see one and the same GPU and no other would train on it together.
static void check_gpus(json_t *f, const json_t *ranks)
{
    size_t n = json_array_size(ranks), with = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *a = json_object_get(json_array_get(ranks, i), "gpus");
        with += json_array_size(a) > 0;
        for (size_t j = 1; j < i && json_array_size(a) == 1; j++) {
            const json_t *b = json_object_get(json_array_get(ranks, j), "gpus");
            if (!json_equal(a, b))
                continue;
            doctor_add(f, "GPUs of ranks", DOCTOR_BAD,
                       "give each worker its own (--gpus-per-task=1 binds them), or all of the "
                       "node's to each",
                       "ranks %zu and %zu share %s", j, i,
                       json_string_value(json_array_get(a, 0)));
            return;
        }
    }
    if (with > 0)
        doctor_add(f, "GPUs of ranks", with < n - 1 ? DOCTOR_WARN : DOCTOR_OK,
                   with < n - 1 ? "workers without a GPU would train on processors" : NULL,
                   "%zu of %zu ranks see GPUs, none is alone with another's", with, n);
}

static void check_alike(json_t *f, const json_t *ranks)
{
    double ahead = 0;
    for (size_t i = 1; i < json_array_size(ranks); i++) {
        const json_t *a = json_array_get(ranks, 0), *b = json_array_get(ranks, i);
        if (strcmp(jstr(a, "isa"), jstr(b, "isa")) != 0) {
            doctor_add(f, "instruction sets", DOCTOR_WARN,
                       "losses then differ in the last bits between nodes: ask for one kind "
                       "(--sbatch=--constraint=..)",
                       "%s has %s, %s has %s", jstr(a, "host"), jstr(a, "isa"), jstr(b, "host"),
                       jstr(b, "isa"));
            break;
        }
        if (fabs(jnum(b, "clock")) > fabs(ahead))
            ahead = jnum(b, "clock");
    }
    doctor_add(f, "clocks of ranks", fabs(ahead) > SKEW ? DOCTOR_NOTE : DOCTOR_OK,
               fabs(ahead) > SKEW ? "times in the report are moved to rank 0's" : NULL,
               "within %.3f s", fabs(ahead));
}

void doctor_check_ranks(json_t *f, const json_t *ranks, const char *dir)
{
    size_t n = json_array_size(ranks), seeing = 0;
    doctor_add(f, "ranks", DOCTOR_OK, NULL, "%zu, on %d machine%s: a manager and %zu workers",
               n, count_hosts(ranks), count_hosts(ranks) == 1 ? "" : "s", n - 1);
    check_gpus(f, ranks);
    check_alike(f, ranks);
    for (size_t i = 0; i < n; i++)
        seeing += jtrue(json_array_get(ranks, i), "sees");
    if (dir)
        doctor_add(f, "folder of ranks", seeing < n ? DOCTOR_BAD : DOCTOR_OK,
                   seeing < n ? "it must exist, and be one that all nodes see under this name"
                              : NULL,
                   "%zu of %zu ranks see a file that rank 0 made in it", seeing, n);
}
