// SPDX-License-Identifier: GPL-3.0-or-later
// How fast this machine trains: the sweep's trainer on short pieces of a few of its jobs, as
// many at a time as would run here, in a temporary folder.
#ifndef ORCHESTRATOR_CALIBRATE_H
#define ORCHESTRATOR_CALIBRATE_H
#include "orchestrator/forecast.h"

// Fits b's runtime to what is measured within about `seconds`; report (may be NULL) gets
// [{"d","M","tokens","at_a_time","seconds","predicted"}]. s as forecast_json. SIGINT and
// SIGTERM: ERR_STOPPED. ERR_FAILED: no run ended in time, or the trainer failed (with its
// cause).
enum err calibrate(const struct sweep *cfg, const struct steer *s, double seconds,
                   struct forecast_basis *b, json_t *report);
#endif
