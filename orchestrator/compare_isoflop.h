// SPDX-License-Identifier: GPL-3.0-or-later
// IsoFLOP parabolas beside the fitted law: what both say of a budget, and by how much parabolas
// would be wrong on these very rows if the law were true and runs had no noise.
#ifndef ORCHESTRATOR_COMPARE_ISOFLOP_H
#define ORCHESTRATOR_COMPARE_ISOFLOP_H
#include "fit/dataset.h"

// ERR_INPUT: no N and D, or no two scales with a parabola. The caller owns *out.
enum err compare_isoflop(const struct dataset *d, const struct law_options *o, double C,
                         json_t **out);
void compare_isoflop_print(const json_t *doc);
#endif
