// SPDX-License-Identifier: GPL-3.0-or-later
// Is the search thorough? Every law on noisy subsets of its case's grid, one in four with
// outliers: the objective of a cold fit against that of 4,500 starts with 64 polished.
// Argument: number of data sets a law (default 8).
#include "core/rng.h"
#include "fit/fit.h"
#include "fit/law_search.h"
#include "tests/fit/law_cases.h"
#include "tests/test.h"

// Rows of the case, all or about half, with sd .02 or .005 in ln y.
static void draw(const struct law_case *c, const struct law *l, int set, struct law_problem *p)
{
    struct law_data d = law_case_data(c, l);
    struct law_options o = {0};
    struct rng r;
    rng_seed(&r, (uint64_t)set, rng_hash(c->law, strlen(c->law), RNG_HASH_START));
    CHECK(law_problem_create(p, l, d.n, &o) == OK);
    for (int64_t i = 0; i < d.n; i++) {
        double t[LAW_MAX_VARS], e = (set % 2 ? .005 : .02) * rng_normal(&r);
        bool skip = set % 3 && rng_uniform(&r) < .5 && d.n - i > l->n_params + 4;
        if (set % 4 == 3 && rng_uniform(&r) < .05)
            e *= 10;
        law_transform(l, d.x + i * l->n_vars, t);
        if (!skip)
            law_problem_add(p, t, d.y[i] * exp(e), 1);
    }
    free((void *)(uintptr_t)d.x);
    free((void *)(uintptr_t)d.y);
}

int main(int argc, char **argv)
{
    fit_init();
    int sets = argc > 1 ? atoi(argv[1]) : 8;
    printf("%-13s %6s %14s %14s\n", "law", "worse", "at most by", "not converged");
    for (int k = 0; k < N_LAW_CASES; k++) {
        const struct law_case *c = &law_cases[k];
        const struct law *l = law_find(c->law, c->columns);
        int worse = 0, failed = 0;
        double most = 0;
        for (int set = 0; set < sets; set++) {
            struct law_problem p;
            struct law_minima own, many;
            draw(c, l, set, &p);
            struct polish_work *w = polish_alloc(p.n, l->n_params);
            CHECK(law_search(&p, w, law_effort_cold(l), 0, NULL, true, &own) == OK);
            CHECK(law_search(&p, w, (struct law_effort){4500, 64}, .37, NULL, true, &many) ==
                  OK);
            double by = own.at[0].objective / many.at[0].objective - 1;
            worse += by > 1e-6; // as near as two minima count as one
            most = fmax(most, by);
            failed += !own.at[0].converged;
            polish_free(w);
            law_problem_free(&p);
        }
        printf("%-13s %6d %14.1e %14d\n", c->law, worse, most, failed);
        fflush(stdout);
        // Ten parameters on noise may have a better minimum in a corner; not often, not by
        // much.
        CHECK(worse <= sets / 8 && most <= .05);
        CHECK(failed == 0); // abnar, set 6: a coefficient that is zero
    }
    return test_summary();
}
