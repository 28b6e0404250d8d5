// SPDX-License-Identifier: GPL-3.0-or-later
// One case a law: true parameters and the grid on which noise-free data are made. Published
// coefficients where there are any that work (reference: the entry's source); the others are
// stated here and chosen for losses between 1.5 and 5 nats.
#ifndef TESTS_FIT_LAW_CASES_H
#define TESTS_FIT_LAW_CASES_H
#include "fit/law.h"
#include <math.h>
#include <stdlib.h>

struct axis { // n levels from lo to hi, equal in the logarithm (step: in the number)
    double lo, hi;
    int n;
    bool step;
};
struct law_case {
    const char *law;
    int columns; // of powersum
    double truth[LAW_MAX_PARAMS];
    struct axis axis[LAW_MAX_VARS];
    const char *unidentified; // parameters that such data cannot fix
};

#define AXIS_N                                                                                 \
    {                                                                                          \
        5e7, 2e10, 7, false                                                                    \
    }
#define AXIS_D                                                                                 \
    {                                                                                          \
        1e9, 1e12, 7, false                                                                    \
    }
static const struct law_case law_cases[] = {
    {"chinchilla", 0, {1.8172, 482.01, 2085.43, .3478, .3658}, {AXIS_N, AXIS_D}, ""},
    {"kaplan", 0, {8.8e13, .076, 5.4e13, .095}, {AXIS_N, AXIS_D}, ""},
    {"routed", 0, {-.082, -.108, .009, 1.104, 1.847, 314.5}, {AXIS_N, {1, 512, 10, false}}, ""},
    {"finegrained",
     0,
     {.47, 2.1, .58, 18.1, .115, 30.8, .147},
     {AXIS_N, AXIS_D, {1, 32, 6, false}},
     ""},
    {"jointmoe",
     0,
     {35.91, -.2285, -.1889, .0098, 35.98, .5529, -.1775, -.0259, 1.3637, 2.07, 290.45},
     {AXIS_N, AXIS_D, {1, 256, 9, false}},
     ""},
    {"fivefactor",
     0,
     {.1577, 7.2446, 5.1395, -3.2363, .0013, .0450, 38.051, .2383, 27129.05, .4694, 31.096,
      1.8182},
     {AXIS_N, {1e9, 1e12, 4, false}, {2e7, 2e9, 5, false}, {1, 20, 4, false}, {0, .6, 4, true}},
     ""},
    {"allocation",
     0,
     {420, .35, 1500, .36, 30, .4, .25, .05, 1.7},
     {AXIS_N, AXIS_D, {.8, .98, 4, true}, {.2, 1.5, 4, false}},
     ""},
    {"allocation_q",
     0,
     {420, .35, 1500, .36, 30, .4, .25, .05, 1.7, .6},
     {AXIS_N, AXIS_D, {.8, .98, 4, true}, {.2, 1.5, 4, false}},
     ""},
    {"wang", 0, {420, .35, .12, 1500, .36, 1.7}, {AXIS_N, AXIS_D, {1, 256, 5, false}}, ""},
    {"abnar",
     0,
     {420, .35, 1500, .36, .05, .3, 40, -.25, .25, 1.6},
     {AXIS_N, AXIS_D, {0, .98, 6, true}},
     ""},
    {"upcycling",
     0,
     {16.3, .043, .085, 7.98e-4, 8.53, .112, .165},
     {{1e9, 1e12, 6, false}, {1e9, 1e12, 6, false}, {5e7, 2e10, 6, false}},
     ""},
    {"leverage",
     0,
     {1.23, -7.61e-2, 1.67e-2, -1.17e-1, 1.63e-2, 5.28e16},
     {{.008, 1, 8, false}, {2, 16, 4, false}, {1e18, 1e22, 5, false}},
     "A_max"},
    {"r_star", 0, {6.7e-5, -1.23, .24, .21}, {{1e18, 1e21, 6, false}, {.8, .98, 5, true}}, ""},
    {"density", 0, {.4, .01, 2.1}, {{7, 17, 11, true}}, ""},
    {"expansion", 0, {.5, .3, 2.1}, {{5, 30, 12, true}, {32.111, 32.111, 1, false}}, ""},
    {"width", 0, {6, -1.1, .075}, {{256, 4096, 20, false}}, ""},
    {"width_q", 0, {2.6, -2e-4, 6e-8}, {{256, 4096, 20, false}}, ""},
    {"power", 0, {.04368, .5437}, {{1e18, 3e20, 6, false}}, ""},
    {"power_offset", 0, {2085.43, -.3658, 1.8172}, {{1e8, 1e12, 12, false}}, ""},
    {"cmd", 0, {22.8929, .4563}, {{1e18, 3e20, 6, false}}, ""},
    {"powersum",
     3,
     {1.4, 60, .55, 2.5, .7, 900, .34},
     {{128, 4096, 6, false}, {3, 80, 6, false}, {1e9, 1e12, 6, false}},
     ""},
    {"fivefactor_c",
     0,
     {.1577, 7.2446, 5.1395, -3.2363, .0013, .0450, 38.051, .2383, 27129.05, .4694, 31.096,
      1.8182, .02, -.15},
     {{5e7, 2e10, 4, false},
      {1e9, 1e12, 3, false},
      {2e7, 2e9, 4, false},
      {1, 20, 4, false},
      {0, .6, 3, true}},
     ""},
};
enum { N_LAW_CASES = sizeof law_cases / sizeof *law_cases };

static inline double axis_at(const struct axis *a, int k)
{
    if (a->n == 1)
        return a->lo;
    double part = (double)k / (a->n - 1);
    return a->step ? a->lo + (a->hi - a->lo) * part : a->lo * pow(a->hi / a->lo, part);
}

// All rows of the grid, x and y owned by the caller.
static inline struct law_data law_case_data(const struct law_case *c, const struct law *l)
{
    int v = law_vars(l, NULL), n = 1;
    for (int j = 0; j < v; j++)
        n *= c->axis[j].n;
    double *x = malloc((size_t)n * (size_t)v * sizeof *x), *y = malloc((size_t)n * sizeof *y);
    if (!x || !y)
        exit(1);
    for (int i = 0; i < n; i++) {
        int rest = i;
        for (int j = 0; j < v; j++) {
            x[i * v + j] = axis_at(&c->axis[j], rest % c->axis[j].n);
            rest /= c->axis[j].n;
        }
        y[i] = law_value(l, c->truth, x + i * v, NULL);
    }
    return (struct law_data){.n = n, .x = x, .y = y};
}
#endif
