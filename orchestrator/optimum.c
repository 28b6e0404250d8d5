// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/optimum.h"
#include "fit/isoflop.h"
#include <math.h>
#include <string.h>

enum err optimum_vars(const struct law *l, int *size, int *tokens)
{
    const char *const *names;
    const int n = law_vars(l, &names), N = law_var_find(l, "N"), a = law_var_find(l, "N_a");
    *tokens = law_var_find(l, "D");
    *size = a >= 0 ? a : N;
    // With total parameters or experts among the variables, N alone does not say what a token
    // costs.
    const bool holds = a >= 0 ? N < 0 : N >= 0 && n == 2;
    ENSURE(*tokens >= 0 && holds, ERR_INPUT,
           "predict: --compute: expected a law of size and tokens for which C = 6 N D "
           "(chinchilla, "
           "kaplan, jointmoe), found %s; --at evaluates it",
           law_name(l));
    return OK;
}

static double at(const struct law *l, const double *params, double C, int size, int tokens,
                 double ln, double *x)
{
    x[size] = exp(ln);
    x[tokens] = C / 6 / x[size];
    return law_value(l, params, x, NULL);
}

void optimum_search(const struct law *l, const double *params, double C, int size, int tokens,
                    double *x)
{
    const double g = (sqrt(5) - 1) / 2, from = 0, to = log(C / 6);
    double a = from, b = to, c = b - g * (b - a), d = a + g * (b - a);
    double fc = at(l, params, C, size, tokens, c, x), fd = at(l, params, C, size, tokens, d, x);
    // A minimum is flat: half the digits of ln N are there to be found.
    while (b - a > 1e-9 * to) {
        if (fc < fd) {
            b = d;
            d = c;
            fd = fc;
            c = b - g * (b - a);
            fc = at(l, params, C, size, tokens, c, x);
        } else {
            a = c;
            c = d;
            fc = fd;
            d = a + g * (b - a);
            fd = at(l, params, C, size, tokens, d, x);
        }
    }
    const double ln = (a + b) / 2;
    at(l, params, C, size, tokens, ln, x);
    if (!(ln - from > 1e-6 * to && to - ln > 1e-6 * to))
        x[size] = x[tokens] = (double)NAN; // an end is no minimum
}

void optimum_find(const struct law *l, const double *params, double C, double *x)
{
    int size, tokens;
    if (optimum_vars(l, &size, &tokens) != OK)
        return;
    if (strcmp(law_name(l), "chinchilla") != 0) {
        optimum_search(l, params, C, size, tokens, x);
        return;
    }
    double L;
    chinchilla_optimum(params, C, &x[size], &x[tokens], &L);
}
