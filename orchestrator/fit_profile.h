// SPDX-License-Identifier: GPL-3.0-or-later
// Profile intervals of a fit, for its report: what `fit --profile` adds.
#ifndef ORCHESTRATOR_FIT_PROFILE_H
#define ORCHESTRATOR_FIT_PROFILE_H
#include "fit/law.h"
#include <jansson.h>

// "alpha,beta", or "exponents": the parameters without a unit; as bits of their places.
enum err fit_profile_parse(const char *text, const struct law *l, uint32_t *params);
// Adds "profile": {name: {"lo","hi","curve":[[value, rise],..]}} to the report, and a note
// where a profile finds a lower objective than the fit.
enum err fit_profile_add(const struct law_fit *f, const struct law_data *d, uint32_t params,
                         json_t *report);
#endif
