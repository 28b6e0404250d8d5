// SPDX-License-Identifier: GPL-3.0-or-later
// Signals without handlers, and the clock that never jumps.
#ifndef ORCHESTRATOR_SIGNALS_H
#define ORCHESTRATOR_SIGNALS_H

// Blocks SIGINT, SIGTERM, SIGUSR1 (asked for with signals_pending) and SIGPIPE (a write to a
// reader that is gone fails with EPIPE). Before MPI_Init, so that threads of the MPI library
// inherit it.
void signals_block(void);
// One of the three that has come since the last call, 0 if none.
int signals_pending(void);
const char *signals_name(int sig);
// Monotonic seconds.
double signals_clock(void);
#endif
