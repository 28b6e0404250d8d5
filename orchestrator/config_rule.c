// SPDX-License-Identifier: GPL-3.0-or-later
// Rules: numbers that follow a scale's compute (and, for lr and batch_tokens, a run's N and D).
#include "orchestrator/config.h"
#include <math.h>

double rule_at(const struct rule *r, double C)
{
    if (r->N_exp != 0 || r->D_exp != 0)
        return NAN;
    return rule_at_run(r, C, 1, 1);
}

double rule_at_run(const struct rule *r, double C, double N, double D)
{
    if (r->n_steps > 0) {
        int i = 0;
        while (i < r->n_steps && C >= r->breaks[i])
            i++;
        return r->values[i];
    }
    double v = r->value;
    if (r->at > 0)
        v *= pow(C / r->at, r->exponent);
    if (r->N_exp != 0)
        v *= pow(N, r->N_exp);
    if (r->D_exp != 0)
        v *= pow(D, r->D_exp);
    return v;
}
