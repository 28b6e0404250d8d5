// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/orchestrator/fake_link.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct message {
    struct message *next;
    struct link_msg m; // peer: from whom
    char *text, *body; // as JSON; NULL: none
};

struct link {
    struct fake_net *net;
    int rank, dropped;
    bool paused, killed;
    struct message *first, **last; // waiting to be polled
    char *text;                    // of the message polled last
};

struct fake_net {
    int size;
    fake_on_message *on_message;
    void *ctx;
    pthread_mutex_t lock; // of everything below
    struct link *links;
};

struct fake_net *fake_net_create(int size, fake_on_message *on_message, void *ctx)
{
    struct fake_net *net = calloc(1, sizeof *net);
    struct link *links = calloc((size_t)size, sizeof *links);
    ASSERT(net && links);
    *net = (struct fake_net){.size = size, .on_message = on_message, .ctx = ctx};
    pthread_mutex_init(&net->lock, NULL);
    net->links = links;
    for (int i = 0; i < size; i++) {
        links[i] = (struct link){.net = net, .rank = i};
        links[i].last = &links[i].first;
    }
    return net;
}

void fake_net_free(struct fake_net *net)
{
    for (int i = 0; i < net->size; i++) {
        for (struct message *m = net->links[i].first, *next; m; m = next) {
            next = m->next;
            free(m->text);
            free(m->body);
            free(m);
        }
        free(net->links[i].text);
    }
    pthread_mutex_destroy(&net->lock);
    free(net->links);
    free(net);
}

struct link *fake_net_link(struct fake_net *net, int rank)
{
    return &net->links[rank];
}

void fake_net_pause(struct fake_net *net, int rank, bool paused)
{
    pthread_mutex_lock(&net->lock);
    net->links[rank].paused = paused;
    pthread_mutex_unlock(&net->lock);
}

void fake_net_kill(struct fake_net *net, int rank)
{
    pthread_mutex_lock(&net->lock);
    net->links[rank].killed = true;
    pthread_mutex_unlock(&net->lock);
}

void fake_net_inject(struct fake_net *net, int from, const struct link_msg *what)
{
    struct message *m = calloc(1, sizeof *m);
    ASSERT(m);
    m->m = *what;
    m->m.peer = from;
    m->text = malloc(what->n_text + 1);
    m->body = what->body ? json_dumps(what->body, JSON_COMPACT) : NULL;
    ASSERT(m->text && (m->body || !what->body));
    memcpy(m->text, what->n_text ? what->text : "", what->n_text);
    m->text[what->n_text] = '\0';
    json_decref(what->body);
    pthread_mutex_lock(&net->lock);
    struct link *l = &net->links[what->peer];
    *l->last = m;
    l->last = &m->next;
    pthread_mutex_unlock(&net->lock);
}

// ---- link.h

void link_library(char *buf, size_t size)
{
    if (size > 0)
        buf[0] = '\0';
}

bool link_ulfm(void)
{
    return false;
}

enum err link_open(struct link **out)
{
    *out = NULL;
    return err_set(ERR_FAILED, "no MPI here");
}

int link_rank(const struct link *l)
{
    return l->rank;
}

int link_size(const struct link *l)
{
    return l->net->size;
}

enum err link_agree(struct link *l, enum err code)
{
    (void)l;
    return code;
}

static bool killed(const struct link *l)
{
    pthread_mutex_lock(&l->net->lock);
    bool is = l->killed;
    pthread_mutex_unlock(&l->net->lock);
    return is;
}

enum err link_send(struct link *l, const struct link_msg *m)
{
    ASSERT(m->peer >= 0 && m->peer < l->net->size && m->peer != l->rank);
    if (killed(l)) {
        json_decref(m->body);
        return err_set(ERR_FAILED, "rank %d is gone", l->rank);
    }
    if (!l->net->on_message || l->net->on_message(l->net->ctx, l->rank, m))
        fake_net_inject(l->net, l->rank, m);
    else
        json_decref(m->body);
    return OK;
}

enum err link_poll(struct link *l, struct link_msg *out, bool *got)
{
    *got = false;
    pthread_mutex_lock(&l->net->lock);
    while (l->paused && !l->killed) {
        pthread_mutex_unlock(&l->net->lock);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        pthread_mutex_lock(&l->net->lock);
    }
    bool gone = l->killed;
    struct message *m = gone ? NULL : l->first;
    if (m) {
        l->first = m->next;
        if (!l->first)
            l->last = &l->first;
    }
    pthread_mutex_unlock(&l->net->lock);
    if (gone)
        return err_set(ERR_FAILED, "rank %d is gone", l->rank);
    if (!m)
        return OK;
    free(l->text);
    l->text = m->text;
    *out = m->m;
    out->text = m->text;
    out->body = m->body ? json_loads(m->body, 0, NULL) : NULL;
    *got = !m->body || json_is_object(out->body);
    if (!*got) {
        json_decref(out->body);
        l->dropped++;
    }
    free(m->body);
    free(m);
    return OK;
}

int link_dropped(const struct link *l)
{
    return l->dropped;
}

void link_nap(struct link *l)
{
    (void)l;
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

void link_active(struct link *l)
{
    (void)l;
}

void link_close(struct link *l, bool clean)
{
    (void)l, (void)clean;
}
