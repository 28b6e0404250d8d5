// SPDX-License-Identifier: GPL-3.0-or-later
// orchestrator/link.h without MPI: ranks are threads of one process, messages wait in memory.
// A program that links fake_link.c has it in link.c's place.
#ifndef TESTS_ORCHESTRATOR_FAKE_LINK_H
#define TESTS_ORCHESTRATOR_FAKE_LINK_H
#include "orchestrator/link.h"

struct fake_net;

// Called in the sender's thread for every message before it is queued; false: it is lost on the
// way. It may call everything below.
typedef bool fake_on_message(void *ctx, int from, const struct link_msg *m);

struct fake_net *fake_net_create(int size, fake_on_message *on_message, void *ctx);
// When no rank uses it any more.
void fake_net_free(struct fake_net *net);
// A rank's end; the net's. link_close leaves it alone.
struct link *fake_net_link(struct fake_net *net, int rank);
// While a rank is paused its link_poll does not return, as if the process had been stopped.
void fake_net_pause(struct fake_net *net, int rank, bool paused);
// From now on the rank's link_poll and link_send fail, as if its process were gone.
void fake_net_kill(struct fake_net *net, int rank);
// A message from nowhere, copied; takes the reference of its body.
void fake_net_inject(struct fake_net *net, int from, const struct link_msg *m);
#endif
