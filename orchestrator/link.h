// SPDX-License-Identifier: GPL-3.0-or-later
// Messages between the manager (rank 0) and the workers; the one place that includes mpi.h.
// Nothing here blocks after the start-up: sends are posted and tested, one receive is always
// posted, and nobody waits for a rank that may be dead. What every message has are numbers;
// what is long goes through as text that nobody on the way parses; the rest is a JSON object.
// At most LINK_MESSAGE_MAX bytes in all.
#ifndef ORCHESTRATOR_LINK_H
#define ORCHESTRATOR_LINK_H
#include "core/job.h"
#include <jansson.h>
#include <stdbool.h>

#define LINK_MESSAGE_MAX (1 << 20)

//    kind     from     numbers; text; body
#define LINK_KINDS(X)                                                                          \
    X(READY, "worker", "body: host, pid, isa, what place.h tells: it can take jobs")           \
    X(BEAT, "worker", "body: progress of the running job; both: a sign of life")               \
    X(STARTED, "worker", "job, attempt, start; unless the end comes first")                    \
    X(RESULT, "worker", "job, attempt, start (0: never), end; text: records.h's of a result")  \
    X(UNFIT, "worker", "body: why: it cannot start trainers, and gives its jobs back")         \
    X(JOB, "manager", "job, attempt, id; text: job.json; body: terms, if not those before")    \
    X(STOP, "manager", "stop what runs, give back what waits")                                 \
    X(DROP, "manager", "kill what runs and forget it, nobody waits for it")                    \
    X(QUIT, "manager", "body: clean: end; not clean: a rank is lost, leave without it")
enum link_kind {
#define X(name, from, body) LINK_##name,
    LINK_KINDS(X)
#undef X
        N_LINK_KINDS
};
static inline const char *link_kind_name(enum link_kind k)
{
    static const char *const names[] = {
#define X(name, from, body) #name,
        LINK_KINDS(X)
#undef X
    };
    return names[k];
}
// The MPI library, "Open MPI 4.1.4", without starting it; "" if it has another kind of name.
void link_library(char *buf, size_t size);
// Whether it can tell of dead ranks (ULFM: Open MPI 5 under mpirun --with-ft ulfm).
bool link_ulfm(void);

struct link;
struct link_msg {
    int peer; // to whom, from whom
    enum link_kind kind;
    int job, attempt;
    char id[JOB_ID_LEN];
    double now, start, end; // s on the sender's clock
    // Terminated, not NULL in a message that came; there it stays until the next link_poll.
    const char *text;
    size_t n_text;
    json_t *body; // an object; NULL: none
};

// Initialises MPI. A world of one rank is ERR_INPUT: there would be nobody to train.
enum err link_open(struct link **out);
int link_rank(const struct link *l);
int link_size(const struct link *l);
// Start-up's one collective: rank 0's code on every rank.
enum err link_agree(struct link *l, enum err code);
// Posts a copy of a message; takes the reference of its body, also after an error. ERR_FAILED:
// larger than LINK_MESSAGE_MAX, no memory.
enum err link_send(struct link *l, const struct link_msg *m);
// Takes one message if one has come; its body is the caller's. ERR_FAILED only for MPI's own
// errors; what is not a message of a known kind is dropped and counted.
enum err link_poll(struct link *l, struct link_msg *out, bool *got);
int link_dropped(const struct link *l);
// Waits a little: right after activity it only lets others run, then it sleeps 20 us, doubling
// up to 1 ms while nothing comes (a blocked receive would burn a core). link_active starts
// over.
void link_nap(struct link *l);
void link_active(struct link *l);
// Clean: every message got through, every rank is alive; finalises MPI. Otherwise a rank may be
// dead and MPI_Finalize might wait for it for ever: gives the last messages a second, and the
// caller leaves by _exit.
void link_close(struct link *l, bool clean);
#endif
