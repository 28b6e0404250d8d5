// SPDX-License-Identifier: GPL-3.0-or-later
// How each adopted quantity moves with compute: its optima and band edges over the scales, as
// power laws, or carried unchanged where nothing supports a trend. The "laws" of law.json.
#ifndef ORCHESTRATOR_LAW_QUANTITY_H
#define ORCHESTRATOR_LAW_QUANTITY_H
#include "orchestrator/steer_state.h"

// Adds one law a quantity (and D = C/M beside M) to laws.
enum err quantity_laws(const struct steer *s, json_t *laws);

struct quantity_held {
    double C, value, lo, hi; // the largest scale and what was found there
    json_t *law;             // through the other scales; caller owns; NULL below three scales
};
enum err quantity_hold_out(const struct steer *s, const char *name, struct quantity_held *out);
#endif
