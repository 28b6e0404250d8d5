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

// Twice the share of resamples on the other side of no change than the fit, the fit itself
// counted among them. By sign and not by spread, for s* is a ratio whose resamples have long
// tails; nor of q_s alone, which together with e, f, m and n may be any number of times larger,
// k and h making up for it.
static void p_values(const struct law_fit *f, const struct places *at, struct claim *out)
{
    const int p = law_params(f->law, NULL);
    int n = 0, above[2] = {0};
    for (int b = 0; b < f->n_boot; b++) {
        double v[2];
        changes(f->law, f->boot + (int64_t)b * p, at, v);
        if (!isfinite(v[0]) || !isfinite(v[1]))
            continue;
        n++;
        above[0] += v[0] > 1;
        above[1] += v[1] > 0;
    }
    double each[2];
    for (int k = 0; k < 2; k++) {
        const int less = above[k] < n - above[k] ? above[k] : n - above[k];
        each[k] = n >= FIT_MIN_BOOT ? fmin(1, 2. * (less + 1) / (n + 1)) : (double)NAN;
    }
    out->p_G = each[0];
    out->p_s = each[1];
    out->p = fmin(1, 2 * fmin(each[0], each[1]));
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
    p_values(&out->fit, &at, out);
    return OK;
}
