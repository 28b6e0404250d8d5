// SPDX-License-Identifier: GPL-3.0-or-later
// What workers say to the manager. Whatever the bodies are, the manager refuses them or goes on
// with its scheduler intact, and what it journals can be written and read.
//
// An input is lines: a digit (which of three workers), a letter (the kind of message), its
// body.
#include "fit/fit.h"
#include "orchestrator/manage_state.h"
#include "orchestrator/said.h"
#include "tests/orchestrator/fake_link.h"
#include "tests/orchestrator/fuzz/fuzz.h"
#include "tests/orchestrator/fuzz/sweep.h"
#include <math.h>
#include <string.h>

enum { WORKERS = 3, MOST_MESSAGES = 64, HEAD = 4 };

static bool lose(void *ctx, int from, const struct link_msg *m)
{
    (void)ctx, (void)from, (void)m;
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
    m->jobs = calloc((size_t)m->n_sched, sizeof *m->jobs);
    MUST(m->workers && m->steer_of && m->jobs);
    for (int i = 0; i < m->n_sched; i++)
        m->jobs[i].work = runtime_work_of(&steer_job_at(m->steer, i)->job);
}

static void begin(struct manager *m)
{
    m->latest = json_array();
    m->n_finals = m->n_ok = m->n_failed = m->n_crashes = 0;
    m->first_start = m->unsynced_since = m->finals_since = m->drain_since = INFINITY;
    m->busy = m->last_end = 0;
    m->why[0] = '\0';
    runtime_init(&m->runtime, runtime_guess(&m->cfg.base));
    MUST(journal_open(fuzz_file("", 0), NULL, NULL, NULL, &m->journal) == OK);
    MUST(sched_create(WORKERS, 1, &m->sched) == OK && slots_create(WORKERS, &m->slots) == OK);
    m->shared = true;
    m->listened = 0;
    for (int i = 0; i < m->n_sched; i++) {
        const struct steer_job *sj = steer_job_at(m->steer, i);
        m->steer_of[i] = i;
        MUST(sched_add(m->sched, &(struct sched_job){.id = sj->job.id,
                                                     .priority = sj->priority,
                                                     .seconds = i + 1}) == OK);
    }
    for (int w = 0; w < WORKERS; w++)
        m->workers[w] = (struct manage_worker){.offset = INFINITY, .job = -1, .loss = NAN};
}

static enum err count_result(void *ctx, json_t *rec)
{
    int *n = ctx;
    *n += strcmp(json_string_value(json_object_get(rec, "t")), "result") == 0;
    return OK;
}

// After a refusal the run ends: what it was about to record may be missing, and is trained
// again.
static void end(struct manager *m, bool good)
{
    struct sched_counts c = sched_count(m->sched);
    int results = 0;
    MUST(c.queued + c.held + c.final == c.jobs && c.jobs == m->n_sched);
    MUST((m->n_finals == c.final || !good) && journal_sync(m->journal) == OK);
    MUST(journal_again(m->journal, count_result, &results) == OK && results == m->n_finals);
    journal_close(m->journal);
    sched_free(m->sched);
    slots_free(m->slots);
    json_decref(m->latest);
}

// The short reader of results takes nothing that the general one reads otherwise.
static void check_readers(const char *text, size_t n)
{
    struct job_result quick, general;
    if (!said_read_plain(text, n, &quick))
        return;
    json_t *object = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    MUST(object && job_result_from_json(object, "text", &general) == OK);
    json_t *a = job_result_to_json(&quick), *b = job_result_to_json(&general);
    MUST(json_equal(a, b));
    MUST(quick.n_curve == general.n_curve &&
         memcmp(quick.curve, general.curve, sizeof quick.curve) == 0);
    json_decref(a);
    json_decref(b);
    json_decref(object);
}

static bool take(struct manager *m, const char *p, size_t n)
{
    char text[1024] = "";
    if (n < HEAD || n - HEAD >= sizeof text)
        return true;
    memcpy(text, p + HEAD, n - HEAD);
    check_readers(text, n - HEAD);
    struct link_msg msg = {.peer = 1 + (unsigned char)p[0] % WORKERS,
                           .kind = (enum link_kind)((unsigned char)p[1] % N_LINK_KINDS),
                           .job = p[2] - '0',
                           .attempt = p[3] - '0',
                           .now = p[3] == '9' ? (double)NAN : 1,
                           .start = 2,
                           .end = 3,
                           .text = text,
                           .n_text = n - HEAD,
                           .body = json_loadb(text, n - HEAD, 0, NULL)};
    if (!json_is_object(msg.body)) {
        json_decref(msg.body);
        msg.body = NULL;
    }
    enum err e = manage_take(m, &msg);
    json_decref(msg.body);
    struct sched_assign a;
    while (e == OK && sched_next(m->sched, 3, &a))
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
    end(m, good);
    return accepted;
}
