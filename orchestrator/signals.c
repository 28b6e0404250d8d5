// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/signals.h"
#include <signal.h>
#include <stddef.h>
#include <time.h>

static sigset_t asked_for(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    return set;
}

void signals_block(void)
{
    sigset_t set = asked_for();
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

int signals_pending(void)
{
    sigset_t set = asked_for();
    struct timespec none = {0};
    int sig = sigtimedwait(&set, NULL, &none);
    return sig > 0 ? sig : 0;
}

const char *signals_name(int sig)
{
    return sig == SIGINT ? "SIGINT" : sig == SIGTERM ? "SIGTERM" : "SIGUSR1";
}

double signals_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
