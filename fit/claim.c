// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/analysis.h"
#include "fit/fit.h"
#include <math.h>
#include <string.h>

struct places {
    int m, q_G, q_s;
};

static int param_of(const struct law *l, const char *name)
{
    const struct law_param *p;
    const int n = law_params(l, &p);
    for (int k = 0; k < n; k++)
        if (strcmp(p[k].name, name) == 0)
            return k;
    return -1;
}

static void changes(const struct law *l, const double *params, const void *context, double *out)
{
    const struct places *at = context;
    (void)l;
    out[0] = pow(10, params[at->q_G]);
    out[1] = -params[at->q_s] * log(10) / (2 * params[at->m]);
}

// Wald's test with the resamples' covariance: v' S^-1 v is chi-square with two degrees of
// freedom where both are zero, and with one for each alone.
static void wald(const struct law_fit *f, const struct places *at, struct claim *out)
{
    const int p = law_params(f->law, NULL), where[2] = {at->q_G, at->q_s};
    const double v[2] = {f->value[at->q_G], f->value[at->q_s]};
    double mean[2] = {0}, S[2][2] = {{0}};
    int n = 0;
    out->p_G = out->p_s = out->p = (double)NAN;
    for (int b = 0; b < f->n_boot; b++)
        if (isfinite(f->boot[b * p])) {
            n++;
            for (int k = 0; k < 2; k++)
                mean[k] += f->boot[b * p + where[k]];
        }
    if (n < FIT_MIN_BOOT)
        return;
    for (int b = 0; b < f->n_boot; b++)
        for (int k = 0; k < 4 && isfinite(f->boot[b * p]); k++)
            S[k / 2][k % 2] += (f->boot[b * p + where[k / 2]] - mean[k / 2] / n) *
                               (f->boot[b * p + where[k % 2]] - mean[k % 2] / n) / (n - 1);
    const double det = S[0][0] * S[1][1] - S[0][1] * S[1][0];
    const double both =
        (v[0] * v[0] * S[1][1] - 2 * v[0] * v[1] * S[0][1] + v[1] * v[1] * S[0][0]) / det;
    out->p_G = erfc(fabs(v[0]) / sqrt(2 * S[0][0]));
    out->p_s = erfc(fabs(v[1]) / sqrt(2 * S[1][1]));
    out->p = exp(-both / 2);
}

enum err claim_test(const struct law_data *d, const struct law_options *o, struct claim *out)
{
    const struct law *l = law_find("fivefactor_c", 0);
    const struct places at = {param_of(l, "m"), param_of(l, "q_G"), param_of(l, "q_s")};
    struct estimate change[2];
    *out = (struct claim){0};
    TRY(law_fit_run(l, d, o, &out->fit));
    enum err e = analysis_estimate(&out->fit, changes, &at, 2, change);
    if (e != OK) {
        law_fit_free(&out->fit);
        return e;
    }
    out->G_decade = change[0];
    out->s_decade = change[1];
    wald(&out->fit, &at, out);
    return OK;
}
