// SPDX-License-Identifier: GPL-3.0-or-later
// The allocation optimum of a table of real trainings, if one is given: MOESWEEP_PILOT names a
// CSV with columns C, M, N_a, N, S, N_e, val_loss, tag (others ignored).
#include "fit/curve.h"
#include "fit/fit.h"
#include "fit/power.h"
#include "tests/test.h"

enum { MAX_ROWS = 4000, MAX_COLUMNS = 64, LINE = 4096 };
struct run {
    double C, M, N_a, N, S, N_e, loss;
    char tag[40];
};

// Cuts line at its commas; returns the number of fields.
static int split(char *line, char *field[MAX_COLUMNS])
{
    int n = 0;
    line[strcspn(line, "\r\n")] = 0;
    for (char *at = line; at && n < MAX_COLUMNS;) {
        field[n++] = at;
        at = strchr(at, ',');
        if (at)
            *at++ = 0;
    }
    return n;
}

static int read_runs(const char *path, struct run *runs)
{
    static const char *const names[8] = {"C", "M", "N_a", "N", "S", "N_e", "val_loss", "tag"};
    FILE *in = fopen(path, "r");
    char line[LINE], *field[MAX_COLUMNS];
    int at[8], n = 0;
    if (!in || !fgets(line, sizeof line, in))
        SKIP("MOESWEEP_PILOT cannot be read");
    int columns = split(line, field);
    for (int k = 0; k < 8; k++) {
        for (at[k] = 0; at[k] < columns && strcmp(field[at[k]], names[k]) != 0;)
            at[k]++;
        if (at[k] == columns)
            SKIP("MOESWEEP_PILOT lacks a column");
    }
    while (n < MAX_ROWS && fgets(line, sizeof line, in)) {
        if (split(line, field) < columns)
            continue;
        double v[7];
        for (int k = 0; k < 7; k++)
            v[k] = strtod(field[at[k]], NULL);
        runs[n] = (struct run){v[0], v[1], v[2], v[3], v[4], v[5], v[6], ""};
        snprintf(runs[n++].tag, sizeof runs[0].tag, "%s", field[at[7]]);
    }
    fclose(in);
    return n;
}

// The runs of one tag at one scale, all shapes (demo: the allocation cells, which have N_e = 16
// and x near 7.5); S = 64. M* within 30 % of `want`.
static struct curve_fit allocation(const struct run *runs, int n, const char *tag, double C,
                                   double want)
{
    struct curve_obs obs[400];
    struct curve_options opt = {.band = .001, .n_boot = 400, .seed = 1};
    int m = 0;
    for (int i = 0; i < n && m < 400; i++) {
        const struct run *r = &runs[i];
        double x = r->M / r->N_a;
        if (r->S != 64 || fabs(log(r->C / C)) > .05 || strcmp(r->tag, tag) != 0)
            continue;
        if (strncmp(tag, "demo", 4) == 0 && (r->N_e != 16 || x < 7.2 || x > 8.6))
            continue;
        obs[m++] = (struct curve_obs){r->M, r->loss, 0, {0}, 0};
    }
    struct curve_fit f;
    if (curve_fit_run(CURVE_logquad, obs, m, &opt, &f) != OK)
        exit(1);
    printf("%-10s C %.0e: n %2d %-10s M* %.3g [%.3g, %.3g] wanted %.3g; sigma %.2f %%, band "
           "%.2f %%\n",
           tag, C, m, curve_verdict_name(f.verdict), f.opt, f.opt_lo, f.opt_hi, want,
           100 * f.sigma / f.opt_loss, 100 * f.band_tol);
    // Five sizes that lie off the parabola by up to 1.8 %, seeds of one .2 to 1 % apart: mean
    // square of lack of fit 24 times that of the seeds (P = .003), on two degrees of freedom.
    bool zigzag = strcmp(tag, "demo2_201") == 0 && C == 1e11;
    CHECK(f.verdict == (zigzag ? CURVE_UNRESOLVED : CURVE_INTERIOR));
    CHECK_NEAR(log(f.opt / want), 0, log(1.3));
    return f;
}

static void scales(const struct run *runs, int n, const char *tag, const double *want,
                   int n_scales)
{
    static const double C[4] = {3e10, 1e11, 3e11, 1e12};
    struct curve_fit f[4];
    struct power_point pts[4];
    for (int i = 0; i < n_scales; i++) {
        f[i] = allocation(runs, n, tag, C[i], want[i]);
        pts[i] = (struct power_point){C[i], f[i].opt, f[i].boot_opt, f[i].n_boot};
    }
    struct power_fit p;
    if (power_fit_run(pts, n_scales, 1, &p) != OK)
        exit(1);
    printf("%-10s M* = %.3g C^%.3f, exponent [%.3f, %.3f]\n", tag, p.k, p.p, p.p_lo, p.p_hi);
    CHECK(p.p > .3 && p.p < .5);
    power_fit_free(&p);
    for (int i = 0; i < n_scales; i++)
        curve_fit_free(&f[i]);
}

int main(void)
{
    const char *path = getenv("MOESWEEP_PILOT");
    if (!path || !*path)
        SKIP("MOESWEEP_PILOT names no table of trainings");
    fit_init();
    struct run *runs = calloc(MAX_ROWS, sizeof *runs);
    if (!runs)
        return 1;
    int n = read_runs(path, runs);
    scales(runs, n, "alloc", (const double[]){5.9e4, 9.0e4, 1.62e5, 2.28e5}, 4);
    scales(runs, n, "demo2_101", (const double[]){4.9e4, 7.5e4, 1.19e5}, 3);
    scales(runs, n, "demo2_201", (const double[]){4.5e4, 7.9e4, 1.21e5}, 3);
    free(runs);
    return test_summary();
}
