// SPDX-License-Identifier: GPL-3.0-or-later
// Rank 0: owns the journal, asks the steering what to train, the scheduler where, and the link
// to say so.
#ifndef ORCHESTRATOR_MANAGE_H
#define ORCHESTRATOR_MANAGE_H
#include "orchestrator/link.h"
#include "orchestrator/run.h"

struct manager;

// Everything that can go wrong before anybody trains: configuration, trainer, directory,
// journal, replay. Nothing is written before all of the user's input has been found right. *out
// is for manage_free also after an error (it may be NULL).
enum err manage_open(const char *config_path, const char *out_dir,
                     const struct run_options *opt, struct link *link, struct manager **out);
// Until the sweep is done (OK), stopped (ERR_STOPPED) or cannot go on. *clean: every worker was
// alive at the end and has been told to quit.
enum err manage_run(struct manager *m, bool *clean);
void manage_free(struct manager *m);
#endif
