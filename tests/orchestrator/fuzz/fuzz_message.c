// SPDX-License-Identifier: GPL-3.0-or-later
// What workers say to the manager. Whatever the bodies are, the manager refuses them or goes on
// with its scheduler intact, and what it journals can be written and read.
//
// An input is lines: a digit (which of three workers), a letter (the kind of message), its
// body.
#include "fit/fit.h"
#include "orchestrator/manage_state.h"
#include "tests/orchestrator/fake_link.h"
#include "tests/orchestrator/fuzz/fuzz.h"
#include "tests/orchestrator/fuzz/sweep.h"
#include <math.h>
#include <string.h>

enum { WORKERS = 3, MOST_MESSAGES = 64 };

static bool lose(void *ctx, int from, int to, enum link_kind kind, const json_t *body)
{
    (void)ctx, (void)from, (void)to, (void)kind, (void)body;
    return false;
}

static struct manager manager;

// What no message changes.
void fuzz_prepare(void)
{
    struct manager *m = &manager;
    struct fake_net *net = fake_net_create(WORKERS + 1, lose, NULL);
    FILE *nowhere = fopen("/dev/null", "w");
    m->cfg = *fuzz_sweep();
    m->link = fake_net_link(net, 0);
    MUST(nowhere && progress_open(PROGRESS_NONE, nowhere, &m->progress) == OK);
    MUST(steer_create(&m->cfg, &m->steer) == OK && steer_advance(m->steer) == OK);
    snprintf(m->identity.isa, sizeof m->identity.isa, "i");
    m->workers = calloc(WORKERS, sizeof *m->workers);
    m->n_workers = WORKERS;
    m->n_sched = steer_n_jobs(m->steer);
    m->steer_of = calloc((size_t)m->n_sched, sizeof *m->steer_of);
    MUST(m->workers && m->steer_of);
}

static void begin(struct manager *m)
{
    m->records = json_array();
    m->latest = json_array();
    m->n_finals = m->n_ok = m->n_failed = m->n_crashes = 0;
    m->first_start = m->unsynced_since = m->drain_since = INFINITY;
    m->busy = m->last_end = 0;
    m->why[0] = '\0';
    runtime_init(&m->runtime, runtime_guess(&m->cfg.base));
    MUST(journal_open(fuzz_file("", 0), NULL, NULL, NULL, &m->journal) == OK);
    MUST(sched_create(WORKERS, 1, &m->sched) == OK);
    for (int i = 0; i < m->n_sched; i++) {
        const struct steer_job *sj = steer_job_at(m->steer, i);
        m->steer_of[i] = i;
        MUST(sched_add(m->sched, sj->job.id, sj->priority, i, 0, 0) == OK);
    }
    for (int w = 0; w < WORKERS; w++)
        m->workers[w] = (struct manage_worker){.offset = INFINITY, .job = -1, .loss = NAN};
}

static void end(struct manager *m)
{
    struct sched_counts c = sched_count(m->sched);
    MUST(c.queued + c.held + c.final == c.jobs && c.jobs == m->n_sched);
    MUST(m->n_finals == c.final);
    json_t *rec;
    size_t i;
    json_array_foreach(m->records, i, rec)
    {
        char *text = json_dumps(rec, JSON_COMPACT);
        json_t *back = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
        MUST(back);
        json_decref(back);
        free(text);
    }
    journal_close(m->journal);
    sched_free(m->sched);
    json_decref(m->records);
    json_decref(m->latest);
}

static bool take(struct manager *m, const char *p, size_t n)
{
    if (n < 2)
        return true;
    struct link_msg msg = {.peer = 1 + (unsigned char)p[0] % WORKERS,
                           .kind = (enum link_kind)((unsigned char)p[1] % N_LINK_KINDS),
                           .body = json_loadb(p + 2, n - 2, 0, NULL)};
    enum err e = OK;
    if (json_is_object(msg.body))
        e = manage_take(m, &msg);
    json_decref(msg.body);
    struct sched_assign a;
    while (e == OK && sched_next(m->sched, &a))
        MUST(a.job >= 0 && a.job < m->n_sched && a.worker >= 0 && a.worker < WORKERS);
    return e == OK;
}

bool fuzz_one(const uint8_t *in, size_t size)
{
    struct manager *m = &manager;
    const char *p = (const char *)in, *stop = p + size;
    bool good = true;
    begin(m);
    for (int i = 0; i < MOST_MESSAGES && p < stop && good; i++) {
        const char *nl = memchr(p, '\n', (size_t)(stop - p));
        size_t n = (size_t)((nl ? nl : stop) - p);
        good = take(m, p, n);
        p += n + (nl != NULL);
    }
    bool accepted = good && m->n_finals > 0;
    end(m);
    return accepted;
}
