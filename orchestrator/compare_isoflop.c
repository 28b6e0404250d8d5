// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/compare_isoflop.h"
#include "core/json.h"
#include "fit/isoflop.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// dataset_scales' gap between budgets.
static const double together = 1.25;

static enum err fit_chinchilla(const struct dataset *d, const struct law_options *o, double C,
                               struct law_fit *f, struct optimum *best)
{
    struct law_options with = *o;
    with.n_boot = 200;
    const struct law *l = law_find("chinchilla", 2);
    double *x = dataset_x(d, l);
    ENSURE(x, ERR_FAILED, "out of memory");
    struct law_data ld = {.n = d->n, .x = x, .y = d->y};
    enum err e = law_fit_run(l, &ld, &with, f);
    free(x);
    TRY(e);
    e = chinchilla_optimum_fit(f, C, best);
    if (e != OK)
        law_fit_free(f);
    return e;
}

static json_t *budgets_json(const struct isoflop_fit *iso)
{
    json_t *all = json_array();
    for (int i = 0; i < iso->n_budgets; i++) {
        const struct isoflop_budget *b = &iso->budget[i];
        json_t *one = json_object();
        json_object_set_new(one, "C", json_num(b->C));
        json_object_set_new(one, "n", json_integer(b->n));
        json_object_set_new(one, "N", json_num(b->N));
        json_object_set_new(one, "D", json_num(b->D));
        json_object_set_new(one, "loss", json_num(b->L));
        json_object_set_new(one, "inside", json_boolean(b->ok && b->inside));
        json_array_append_new(all, one);
    }
    return all;
}

enum err compare_isoflop(const struct dataset *d, const struct law_options *o, double C,
                         json_t **out)
{
    const int kN = dataset_find(d, "N"), kD = dataset_find(d, "D");
    ENSURE(kN >= 0 && kD >= 0, ERR_INPUT,
           "compare: --isoflop: expected a law of N and D among --laws");
    const double *N = d->x[kN], *D = d->x[kD];
    struct isoflop_fit iso;
    TRY(isoflop_run(N, D, d->y, (int)d->n, together, &iso));
    ENSURE(iso.n_ok >= 2, ERR_INPUT,
           "compare: --isoflop: expected two or more budgets with three sizes and a minimum, "
           "found %d",
           iso.n_ok);
    struct law_fit f;
    struct optimum best;
    double bias, iso_N, iso_D;
    TRY(fit_chinchilla(d, o, C, &f, &best));
    enum err e = isoflop_bias(f.value, N, D, (int)d->n, together, C, &bias);
    law_fit_free(&f);
    TRY(e);
    isoflop_optimum(&iso, C, &iso_N, &iso_D);
    json_t *doc = json_object(), *law = json_object(), *parabolas = json_object();
    json_object_set_new(law, "N", json_interval(best.N, best.N_lo, best.N_hi));
    json_object_set_new(law, "D", json_interval(best.D, best.D_lo, best.D_hi));
    json_object_set_new(parabolas, "N", json_num(iso_N));
    json_object_set_new(parabolas, "D", json_num(iso_D));
    json_object_set_new(parabolas, "bias_D", json_num(bias));
    json_object_set_new(parabolas, "budgets", budgets_json(&iso));
    json_object_set_new(doc, "C", json_num(C));
    json_object_set_new(doc, "chinchilla", law);
    json_object_set_new(doc, "parabolas", parabolas);
    *out = doc;
    return OK;
}

void compare_isoflop_print(const json_t *doc)
{
    const json_t *law = json_object_get(doc, "chinchilla"), *N = json_object_get(law, "N"),
                 *D = json_object_get(law, "D"), *par = json_object_get(doc, "parabolas"),
                 *all = json_object_get(par, "budgets");
    puts("\nisoFLOP parabolas");
    size_t i;
    json_t *b;
    json_array_foreach(all, i, b)
    {
        if (isfinite(jnum(b, "N")))
            printf("  C = %.3g, %g runs: best at N = %.4g%s\n", jnum(b, "C"), jnum(b, "n"),
                   jnum(b, "N"), jtrue(b, "inside") ? "" : " (outside the sizes run)");
        else
            printf("  C = %.3g, %g runs: no minimum\n", jnum(b, "C"), jnum(b, "n"));
    }
    printf("for C = %.4g\n  parabolas   N = %.4g, D = %.4g\n", jnum(doc, "C"), jnum(par, "N"),
           jnum(par, "D"));
    printf("  chinchilla  N = %.4g (95 %%: %.4g to %.4g), D = %.4g (%.4g to %.4g)\n",
           jnum(N, "value"), jnum(N, "lo"), jnum(N, "hi"), jnum(D, "value"), jnum(D, "lo"),
           jnum(D, "hi"));
    printf(
        "Parabolas are biased: on these rows, without any noise, they would put D off by %+.2f "
        "%% if chinchilla were true.\n",
        100 * jnum(par, "bias_D"));
}
