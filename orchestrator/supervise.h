// SPDX-License-Identifier: GPL-3.0-or-later
// A worker rank: takes jobs from the manager, runs the trainer on one at a time, reports.
#ifndef ORCHESTRATOR_SUPERVISE_H
#define ORCHESTRATOR_SUPERVISE_H
#include "orchestrator/link.h"

// Signs of life: how often a worker gives one (s), after how many times the silence that a
// worker is allowed the manager is taken for gone. It gives one every 5 s, but not during a
// fit, so this is far above the longest fit: only a manager beyond a cut link, or one that died
// on another host, is silent so long.
#define SUPERVISE_BEAT 0.5
#define SUPERVISE_MANAGER_SILENCE 30

// Until the manager says QUIT; silence: that a worker is allowed, s; *clean: every rank is
// alive and will finalise MPI. SIGINT, SIGTERM and SIGUSR1 must be blocked: when one comes, the
// trainer is asked to stop and the manager is told. ERR_FAILED: MPI's own errors, or the
// manager is gone; the trainer is dead in any case.
enum err supervise_run(struct link *l, double silence, bool *clean);
#endif
