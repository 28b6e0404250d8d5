// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/link.h"
#include <assert.h>
#include <limits.h>
#include <mpi.h>
#include <sched.h>
#if defined(OPEN_MPI) && OMPI_MAJOR_VERSION >= 5
#include <mpi-ext.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// On the wire: this, the text and a zero byte, the body. All ranks are of one instruction set.
struct head {
    double now, start, end;
    int32_t job, attempt;
    uint32_t n_text, n_body;
    char id[24];
};
static_assert(sizeof((struct link_msg *)0)->id <= sizeof((struct head *)0)->id, "id");

// A message on its way; the buffer must live until MPI is done with it.
struct outgoing {
    struct outgoing *next;
    MPI_Request request;
    char data[];
};

struct link {
    int rank, size, dropped;
    char *inbox;         // LINK_MESSAGE_MAX
    MPI_Request receive; // none while the last message may still be read
    struct outgoing *sending;
    int yields, naps; // since activity; yields start high where they would be in vain
    long nap_ns, waited_ns;
};

enum { YIELDS = 16, NAP_FIRST_NS = 20000, NAP_FIRST_MAX_NS = 250000, NAP_LONGEST_NS = 1000000 };

void link_library(char *buf, size_t size)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "", number[32];
    int n = 0;
    buf[0] = '\0';
    if (MPI_Get_library_version(text, &n) == MPI_SUCCESS &&
        sscanf(text, "Open MPI v%31[0-9.a-z]", number) == 1)
        snprintf(buf, size, "Open MPI %s", number);
}

#if defined(OMPI_HAVE_MPI_EXT_FTMPI)
bool link_ulfm(void)
{
    return true;
}

// A receive from anybody reports each death once; what is known to be dead no longer disturbs
// it. Whose death it was shows by silence, as it does without ULFM.
static bool acknowledge_death(int rc)
{
    int class = MPI_SUCCESS;
    MPI_Error_class(rc, &class);
    if (class != MPIX_ERR_PROC_FAILED && class != MPIX_ERR_PROC_FAILED_PENDING)
        return false;
    return MPIX_Comm_failure_ack(MPI_COMM_WORLD) == MPI_SUCCESS;
}
#else
bool link_ulfm(void)
{
    return false;
}

static bool acknowledge_death(int rc)
{
    (void)rc;
    return false;
}
#endif

static enum err mpi_error(int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    MPI_Error_string(code, text, &n);
    return err_set(ERR_FAILED, "MPI: %s: %s", what, text);
}

static enum err post_receive(struct link *l)
{
    int rc = MPI_Irecv(l->inbox, LINK_MESSAGE_MAX, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG,
                       MPI_COMM_WORLD, &l->receive);
    return rc == MPI_SUCCESS ? OK : mpi_error(rc, "receive");
}

static const char *step_tasks(void)
{
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    return tasks ? tasks : getenv("SLURM_NTASKS");
}

// Whether srun started several tasks and told them nothing about each other. Open MPI would
// abort with a page on how Slurm is built, or believe to be alone.
static bool strangers(void)
{
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    return tasks && atoi(tasks) > 1 && !getenv("PMIX_RANK") && !getenv("PMI_RANK") &&
           !getenv("OMPI_COMM_WORLD_SIZE");
}

static enum err refuse_singleton(void)
{
    // N tasks that do not find each other would each say this: the first one does.
    const char *proc = getenv("SLURM_PROCID"), *tasks = step_tasks();
    if (proc && strcmp(proc, "0") != 0)
        return err_set(ERR_INPUT, "%s", "");
    if (tasks && atoi(tasks) > 1)
        return err_set(
            ERR_INPUT,
            "this is a world of one rank although the Slurm step has %s tasks: srun "
            "started "
            "them without a PMI that this MPI understands, so each believes to be alone. Use "
            "`moesweep launch` or `mpirun moesweep run ..` inside the allocation, or `srun "
            "--mpi=pmix`",
            tasks);
    return err_set(
        ERR_INPUT,
        "expected at least 2 MPI ranks (one manages, the others train), found 1. Use "
        "`moesweep launch`, or `mpirun -np P moesweep run ..` with P = workers + 1. (Plain "
        "`srun` without PMIx also "
        "starts tasks that each believe to be alone.)");
}

enum err link_open(struct link **out)
{
    if (strangers())
        return refuse_singleton();
    // Where ranks outnumber processors, Open MPI lets others run after every look for messages.
    // We sleep ourselves; with a trainer to watch, that only takes the worker's turn away.
    setenv("OMPI_MCA_mpi_yield_when_idle", "0", 0);
    // Its shared memory would have a small buffer for every peer, and every look for messages
    // would visit them all; one queue serves many workers better (named vader in Open MPI 4).
    setenv("OMPI_MCA_btl_vader_fbox_max", "0", 0);
    setenv("OMPI_MCA_btl_sm_fbox_max", "0", 0);
    int rc = MPI_Init(NULL, NULL);
    ENSURE(rc == MPI_SUCCESS, ERR_FAILED, "MPI_Init failed");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    struct link *l = calloc(1, sizeof *l);
    char *inbox = malloc(LINK_MESSAGE_MAX);
    if (!l || !inbox) {
        free(l);
        free(inbox);
        MPI_Abort(MPI_COMM_WORLD, ERR_FAILED);
        return err_set(ERR_FAILED, "out of memory");
    }
    l->inbox = inbox;
    l->nap_ns = NAP_FIRST_NS;
    l->receive = MPI_REQUEST_NULL;
    MPI_Comm_rank(MPI_COMM_WORLD, &l->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &l->size);
    if (l->size == 1) {
        link_close(l, true);
        return refuse_singleton();
    }
    *out = l;
    return OK;
}

int link_rank(const struct link *l)
{
    return l->rank;
}

int link_size(const struct link *l)
{
    return l->size;
}

int link_dropped(const struct link *l)
{
    return l->dropped;
}

enum err link_agree(struct link *l, enum err code)
{
    int shared = (int)code;
    // Rank 0 may be replaying a long journal: the others nap meanwhile.
    MPI_Request request;
    int rc = MPI_Ibcast(&shared, 1, MPI_INT, 0, MPI_COMM_WORLD, &request), done = 0;
    while (rc == MPI_SUCCESS &&
           (rc = MPI_Test(&request, &done, MPI_STATUS_IGNORE)) == MPI_SUCCESS && !done)
        link_nap(l);
    if (rc != MPI_SUCCESS)
        return mpi_error(rc, "start-up");
    if (shared == OK)
        TRY(post_receive(l));
    return (enum err)shared;
}

static bool left(struct outgoing *o)
{
    int done = 0;
    return MPI_Test(&o->request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || done;
}

// Frees what has left.
static void sweep_sent(struct link *l)
{
    for (struct outgoing **at = &l->sending; *at;) {
        struct outgoing *o = *at;
        if (!left(o)) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        free(o);
    }
}

static void fill(char *data, const struct link_msg *m, const char *body, size_t n_body)
{
    struct head h = {.now = m->now,
                     .start = m->start,
                     .end = m->end,
                     .job = m->job,
                     .attempt = m->attempt,
                     .n_text = (uint32_t)m->n_text,
                     .n_body = (uint32_t)n_body};
    memcpy(h.id, m->id, sizeof m->id);
    memcpy(data, &h, sizeof h);
    data += sizeof h;
    if (m->n_text > 0)
        memcpy(data, m->text, m->n_text);
    data[m->n_text] = '\0';
    if (n_body > 0)
        memcpy(data + m->n_text + 1, body, n_body);
}

static enum err post(struct link *l, const struct link_msg *m, const char *body)
{
    size_t n_body = body ? strlen(body) : 0, n = sizeof(struct head) + m->n_text + 1 + n_body;
    ENSURE(m->n_text <= LINK_MESSAGE_MAX && n <= LINK_MESSAGE_MAX, ERR_FAILED,
           "a %s message of %zu bytes, at most %d can be sent", link_kind_name(m->kind), n,
           LINK_MESSAGE_MAX);
    struct outgoing *o = malloc(sizeof *o + n);
    ENSURE(o, ERR_FAILED, "out of memory");
    fill(o->data, m, body, n_body);
    int rc = MPI_Isend(o->data, (int)n, MPI_BYTE, m->peer, (int)m->kind, MPI_COMM_WORLD,
                       &o->request);
    if (rc != MPI_SUCCESS) {
        free(o);
        return mpi_error(rc, "send");
    }
    if (left(o)) { // as nearly all do at once
        free(o);
        return OK;
    }
    o->next = l->sending;
    l->sending = o;
    return OK;
}

enum err link_send(struct link *l, const struct link_msg *m)
{
    ASSERT(m->peer >= 0 && m->peer < l->size && m->peer != l->rank);
    char *body = m->body ? json_dumps(m->body, JSON_COMPACT) : NULL;
    bool written = !m->body || body;
    json_decref(m->body);
    ENSURE(written, ERR_FAILED, "a %s message cannot be written as JSON",
           link_kind_name(m->kind));
    enum err e = post(l, m, body);
    free(body);
    return e;
}

// Of n bytes in the inbox; false: this is none of ours.
static bool read_message(const struct link *l, int n, struct link_msg *m)
{
    struct head h;
    if (n <= (int)sizeof h)
        return false;
    memcpy(&h, l->inbox, sizeof h);
    size_t rest = (size_t)n - sizeof h - 1;
    const char *text = l->inbox + sizeof h;
    if (h.n_text > rest || h.n_body != rest - h.n_text || text[h.n_text] != '\0')
        return false;
    m->now = h.now;
    m->start = h.start;
    m->end = h.end;
    m->job = h.job;
    m->attempt = h.attempt;
    memcpy(m->id, h.id, sizeof m->id);
    m->id[sizeof m->id - 1] = '\0';
    m->text = text;
    m->n_text = h.n_text;
    m->body = h.n_body ? json_loadb(text + h.n_text + 1, h.n_body, 0, NULL) : NULL;
    if (h.n_body == 0 || json_is_object(m->body))
        return true;
    json_decref(m->body);
    return false;
}

enum err link_poll(struct link *l, struct link_msg *out, bool *got)
{
    *got = false;
    sweep_sent(l);
    if (l->receive == MPI_REQUEST_NULL)
        TRY(post_receive(l));
    int done = 0, n = 0;
    MPI_Status status;
    int rc = MPI_Test(&l->receive, &done, &status);
    if (rc != MPI_SUCCESS && acknowledge_death(rc))
        return OK;
    if (rc != MPI_SUCCESS)
        return mpi_error(rc, "receive");
    if (!done)
        return OK;
    MPI_Get_count(&status, MPI_BYTE, &n);
    *out = (struct link_msg){.peer = status.MPI_SOURCE, .kind = (enum link_kind)status.MPI_TAG};
    *got = status.MPI_TAG >= 0 && status.MPI_TAG < N_LINK_KINDS && read_message(l, n, out);
    l->dropped += !*got;
    link_active(l);
    return OK;
}

void link_nap(struct link *l)
{
    if (l->yields < YIELDS) {
        l->yields++;
        sched_yield();
        return;
    }
    nanosleep(&(struct timespec){.tv_nsec = l->nap_ns}, NULL);
    l->naps++;
    l->waited_ns += l->nap_ns;
    l->nap_ns = l->nap_ns * 2 < NAP_LONGEST_NS ? l->nap_ns * 2 : NAP_LONGEST_NS;
}

// The next wait will be like this one: where it took several naps, the next begins with one of
// half its length instead of many looks in vain.
void link_active(struct link *l)
{
    bool longer = l->naps > 1;
    long half = l->waited_ns / 2 < NAP_FIRST_MAX_NS ? l->waited_ns / 2 : NAP_FIRST_MAX_NS;
    l->yields = longer ? YIELDS : 0;
    l->nap_ns = longer ? half : NAP_FIRST_NS;
    l->naps = 0;
    l->waited_ns = 0;
}

// turns: naps of a millisecond at most.
static void wait_sent(struct link *l, long turns)
{
    for (; sweep_sent(l), l->sending && turns > 0; turns--)
        link_nap(l);
}

void link_close(struct link *l, bool clean)
{
    wait_sent(l, clean ? LONG_MAX : 1000);
    if (!clean)
        return; // MPI still owns the buffers; the process is about to end
    if (l->receive != MPI_REQUEST_NULL) {
        MPI_Cancel(&l->receive);
        MPI_Wait(&l->receive, MPI_STATUS_IGNORE);
    }
    MPI_Finalize();
    free(l->inbox);
    free(l);
}
