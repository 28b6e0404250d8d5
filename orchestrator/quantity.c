// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/quantity.h"
#include <string.h>

const char *quantity_name(int q)
{
    static const char *const more[] = {
#define X(name, what) #name,
        QUANTITIES(X)
#undef X
    };
    ASSERT(q >= 0 && q < N_QUANTITIES);
    if (q < N_DIMS)
        return arch_dim_name((enum arch_dim)q);
    return q <= QUANTITY_BEFORE ? coord_name((enum coord)(q - N_DIMS))
                                : more[q - QUANTITY_BEFORE - 1];
}

int quantity_find(const char *name)
{
    for (int q = 0; q < N_QUANTITIES; q++)
        if (strcmp(quantity_name(q), name) == 0)
            return q;
    return -1;
}

// What the tensor table adds up to (core/tensor.h), in closed form: this is asked a million
// times.
static double stored(const struct arch *a, const struct job_model *model, double N)
{
    double L = (double)(a->L_d + a->L_m), d = (double)a->d;
    double router = (double)a->L_m * (double)a->N_e * d;
    double norms = (2 * L + 1) * d + (model->qk_norm ? 2 * L * (double)a->d_qkv : 0);
    return N + router + norms + (model->tied ? 1 : 2) * (double)a->V * d;
}

void quantity_all(const struct arch *a, const struct job_model *model, double C,
                  enum token_cost per_token, double out[N_QUANTITIES])
{
    struct counts c = arch_counts(a);
    for (int i = 0; i < N_DIMS; i++)
        out[i] = (double)arch_dim_get(a, (enum arch_dim)i);
    for (int i = 0; i < N_COORDS; i++)
        out[N_DIMS + i] = coord_of(&c, (enum coord)i);
    out[QUANTITY_C] = C;
    out[QUANTITY_D] = C / (double)(per_token == TOKEN_M ? c.M : 6 * c.N_a);
    out[QUANTITY_E] = (double)a->N_e;
    out[QUANTITY_A] = 1 - c.z;
    out[QUANTITY_L] = (double)(a->L_d + a->L_m);
    out[QUANTITY_params] = stored(a, model, (double)c.N);
    out[QUANTITY_forward] = (double)c.M / 3;
    out[QUANTITY_aspect] = (double)a->d / out[QUANTITY_L];
    out[QUANTITY_width] = c.G * (double)a->d_m / (double)a->d;
}
