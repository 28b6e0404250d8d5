// SPDX-License-Identifier: GPL-3.0-or-later
// Single curves: exact recovery, published optima, bands, verdicts, outliers, bad input.
#include "fit/curve.h"
#include "fit/fit.h"
#include "tests/test.h"
#include <time.h>

static const struct curve_options usual = {.band = .001, .n_boot = 400, .seed = 1};

static struct curve_fit fit(enum curve_form form, const struct curve_obs *obs, int n,
                            const struct curve_options *opt)
{
    struct curve_fit f;
    if (curve_fit_run(form, obs, n, opt, &f) != OK) {
        fprintf(stderr, "%s\n", err_message());
        exit(1);
    }
    return f;
}

// Two seeds at each t; loss = c0 + c1 (ln t/t0)^2 + noise sd, reproducible from stream.
static int bowl(struct curve_obs *obs, const double *t, int n_t, double c0, double c1,
                double t0, double sd, uint64_t stream)
{
    struct rng r;
    rng_seed(&r, 2026, stream);
    for (int i = 0; i < 2 * n_t; i++) {
        double u = log(t[i / 2] / t0);
        obs[i] = (struct curve_obs){t[i / 2], c0 + c1 * u * u + sd * rng_normal(&r), 0, {0}, 0};
    }
    return 2 * n_t;
}

static const double five[5] = {2.1e4, 3.4e4, 5.5e4, 8.8e4, 1.4e5}; // a factor 1.6 apart

// Each form from its own coefficients, two groups of unequal size, no noise: everything to
// 1e-9, the accuracy asked; rounding is near 1e-16 times a condition number below 1e4.
static void exact_recovery(enum curve_form form, const double t[6], double c, double a,
                           double b, double want, double t_max_form)
{
    struct curve_obs obs[10];
    int n = 0;
    struct curve_options opt = usual;
    opt.t_max_form = t_max_form;
    for (int g = 0; g < 2; g++)
        for (int i = 0; i < (g == 0 ? 4 : 6); i++) {
            double x = t[g == 0 ? i + 1 : i], b0 = 0, b1 = 0;
            switch (form) {
            case CURVE_logquad:
                b0 = log(x), b1 = b0 * b0;
                break;
            case CURVE_quad:
                b0 = x, b1 = x * x;
                break;
            case CURVE_density:
                b0 = 1 / (x - 6), b1 = x;
                break;
            default:
                b0 = 1 / (x - 1), b1 = 1 / (t_max_form - x);
            }
            obs[n++] =
                (struct curve_obs){x, c + (g == 0 ? .25 : 0) + a * b0 + b * b1, g + 5, {0}, 0};
        }
    struct curve_fit f = fit(form, obs, n, &opt);
    CHECK(f.verdict == CURVE_INTERIOR);
    CHECK_REL(f.opt, want, 1e-9);
    CHECK_REL(f.opt_lo, want, 1e-9);
    CHECK_REL(f.opt_hi, want, 1e-9);
    CHECK_REL(f.coef[0], a, 1e-9);
    CHECK_REL(f.coef[1], b, 1e-9);
    CHECK_REL(f.intercept, c, 1e-9); // group 6 is larger: the reference
    CHECK(f.n_groups == 2 && f.n_used == 10 && f.n == 10);
    CHECK_REL(curve_fit_value(&f, t[2]), obs[6].loss, 1e-9);
    CHECK_NEAR(f.sigma, 0, 1e-9);
    CHECK(f.band_tol == .001); // nothing to widen it
    if (!f.band_lo_open)
        CHECK_REL(curve_fit_value(&f, f.band_lo), f.opt_loss * 1.001, 1e-9);
    if (!f.band_hi_open)
        CHECK_REL(curve_fit_value(&f, f.band_hi), f.opt_loss * 1.001, 1e-9);
    CHECK(!(f.band_lo_open && f.band_hi_open));
    CHECK(f.band_lo < f.opt && f.opt < f.band_hi);
    for (int i = 0; i < n; i++) {
        CHECK_NEAR(f.residual[i], 0, 1e-9);
        CHECK(!f.outlier[i]);
    }
    curve_fit_free(&f);
}

// arXiv 2603.21862: grids of its phase 1; y* as published; x* derived from its tables; y_max =
// (288 + 1) / (8 + 1). Coefficients chosen to put the optimum there, by the closed forms
// x* - 6 = sqrt(a/b) and (y* - 1) / (y_max - y*) = sqrt(a/b).
static void test_published(void)
{
    static const double x_grid[6] = {7, 8, 9, 11, 14, 17}, y_grid[6] = {12, 16, 20, 22, 26, 30};
    static const double x_opt[6] = {10.88, 9.80, 9.23, 8.79, 8.35, 8.21};
    static const double y_opt[6] = {19.23, 19.33, 20.69, 20.78, 21.29, 22.07};
    double y_max = 289. / 9;
    for (int i = 0; i < 6; i++) {
        double dx = x_opt[i] - 6, dy = (y_opt[i] - 1) / (y_max - y_opt[i]);
        exact_recovery(CURVE_density, x_grid, 1.5, .02 * dx * dx, .02, x_opt[i], 0);
        exact_recovery(CURVE_expansion, y_grid, 1.5, .3 * dy * dy, .3, y_opt[i], y_max);
    }
    // arXiv 2509.23678: e G + f/G with e .1577, f 7.2446 has its optimum at 6.78; here G = t -
    // 6, so a = f, b = e and the optimum is 12.78.
    exact_recovery(CURVE_density, x_grid, 1.5, 7.2446, .1577, 6 + sqrt(7.2446 / .1577), 0);
    CHECK_NEAR(sqrt(7.2446 / .1577), 6.78, .005);
    static const double t[6] = {2.1e4, 3.4e4, 5.5e4, 8.8e4, 1.4e5, 2e5},
                        d[6] = {8, 10, 12, 16, 18, 24};
    exact_recovery(CURVE_logquad, t, 1.5 + .05 * log(6e4) * log(6e4), -2 * .05 * log(6e4), .05,
                   6e4, 0);
    exact_recovery(CURVE_quad, d, 1.5 + .002 * 225, -2 * .002 * 15, .002, 15, 0);
}

static void test_band(void)
{
    // loss 2 + .1 u^2 at +-5 %: half width in u = sqrt(.05 * 2 / .1) = 1, beyond the low end.
    static const double t[] = {.5, .8, 1.25, 2, 3.2};
    struct curve_obs obs[10];
    struct curve_options opt = usual;
    opt.band = .05;
    struct curve_fit f = fit(CURVE_logquad, obs, bowl(obs, t, 5, 2, .1, 1, 0, 0), &opt);
    CHECK(f.verdict == CURVE_INTERIOR);
    CHECK(f.band_lo_open && f.band_lo == .5);
    CHECK(!f.band_hi_open);
    CHECK_REL(f.band_hi, exp(1), 1e-9);
    CHECK_REL(f.band_hi_ci[0], exp(1), 1e-9);
    CHECK(f.raw_min_t == .8 || f.raw_min_t == 1.25); // equally far from 1
    CHECK_REL(f.raw_min_loss, 2 + .1 * log(1.25) * log(1.25), 1e-12);
    curve_fit_free(&f);

    // Noise of 1 % cannot resolve .1 %: the tolerance is widened to several standard errors.
    f = fit(CURVE_logquad, obs, bowl(obs, five, 5, 1.8, .09, 5.5e4, .018, 3), &usual);
    CHECK(f.band_tol > .002 && f.band_tol < .03);
    CHECK(f.band_lo < f.opt_lo && f.band_hi > f.opt_hi); // it covers where the optimum may be
    curve_fit_free(&f);
}

static void test_verdicts(void)
{
    struct curve_obs obs[10];
    // Monotone within the range, clearly: an edge, on the right side, whichever the curvature.
    for (int k = 0; k < 4; k++) {
        double t0 = k % 2 ? 1e6 : 4e3, curvature = k < 2 ? .03 : -.03;
        int n = bowl(obs, five, 5, 1.8, curvature, t0, .01, (uint64_t)k);
        struct curve_fit f = fit(CURVE_logquad, obs, n, &usual);
        CHECK(f.verdict == ((k % 2) ^ (k >= 2) ? CURVE_EDGE_HIGH : CURVE_EDGE_LOW));
        CHECK(f.opt == (f.verdict == CURVE_EDGE_LOW ? five[0] : five[4]));
        CHECK(f.opt_lo <= f.opt && f.opt <= f.opt_hi);
        curve_fit_free(&f);
    }
    // No slope, no curvature, no noise: nothing to say, even though rounding makes some sign.
    struct curve_fit f = fit(CURVE_logquad, obs, bowl(obs, five, 5, 1.8, 0, 1, 0, 0), &usual);
    CHECK(f.verdict == CURVE_UNRESOLVED);
    CHECK(f.band_lo_open && f.band_hi_open && f.band_lo == five[0] && f.band_hi == five[4]);
    curve_fit_free(&f);
    // A bowl whose two ends are 1 % up under a noise of 3 %.
    f = fit(CURVE_logquad, obs, bowl(obs, five, 5, 1.8, .02, 5.5e4, .054, 1), &usual);
    CHECK(f.verdict == CURVE_UNRESOLVED);
    CHECK(f.band_lo_open && f.band_hi_open);
    curve_fit_free(&f);
    // Without resamples the fitted optimum alone decides, and there is no interval.
    struct curve_options quick = usual;
    quick.n_boot = 0;
    f = fit(CURVE_logquad, obs, bowl(obs, five, 5, 1.8, .09, 5.5e4, .01, 1), &quick);
    CHECK(f.verdict == CURVE_INTERIOR && isnan(f.opt_lo) && f.n_boot == 0);
    curve_fit_free(&f);
}

// One run 8 % off its siblings at every place of ten noise draws: flagged, and the optimum
// moves by no more than its own sd (a quarter of the interval) in root mean square. Least
// squares moves by 2.9.
static void test_outlier(void)
{
    double moved = 0;
    int flagged = 0, others = 0, tried = 0;
    for (uint64_t stream = 0; stream < 10; stream++) {
        struct curve_obs obs[10];
        int n = bowl(obs, five, 5, 1.8, .15, 5.5e4, .0126, 40 + stream);
        struct curve_fit clean = fit(CURVE_logquad, obs, n, &usual);
        double sd = log(clean.opt_hi / clean.opt_lo) / 4;
        for (int i = 0; i < n; i++) {
            struct curve_obs bad[10];
            memcpy(bad, obs, sizeof bad);
            bad[i].loss *= 1.08;
            struct curve_fit f = fit(CURVE_logquad, bad, n, &usual);
            double by = log(f.opt / clean.opt) / sd;
            moved += by * by;
            tried++;
            for (int j = 0; j < n; j++)
                *(j == i ? &flagged : &others) += f.outlier[j];
            curve_fit_free(&f);
        }
        curve_fit_free(&clean);
    }
    printf("outliers: %d of %d flagged, %d others; rms move %.2f sds\n", flagged, tried, others,
           sqrt(moved / tried));
    CHECK(flagged >= .95 * tried);
    CHECK(others <= .05 * tried);
    CHECK(sqrt(moved / tried) < 1);
}

static int same(const double *a, const double *b, int n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

// Every number to the last bit; residuals and flags follow their observation.
static void test_order(void)
{
    enum { N = 20 };
    struct curve_obs obs[N], shuffled[N];
    bowl(obs, five, 5, 1.8, .1, 6e4, .012, 5);
    bowl(obs + 10, five, 5, 1.7, .1, 6e4, .012, 6);
    for (int i = 0; i < N; i++) {
        obs[i].group = i / 10;
        obs[i].level = i % 10 / 2 + 1;
    }
    obs[3].loss *= 1.08;
    obs[7].loss = (double)NAN;
    struct curve_fit a = fit(CURVE_logquad, obs, N, &usual);
    struct rng r;
    rng_seed(&r, 1, 1);
    for (int trial = 0; trial < 5; trial++) {
        int perm[N];
        for (int i = 0; i < N; i++) {
            int j = (int)rng_below(&r, (uint64_t)i + 1);
            perm[i] = perm[j];
            perm[j] = i;
        }
        for (int i = 0; i < N; i++)
            shuffled[i] = obs[perm[i]];
        struct curve_fit b = fit(CURVE_logquad, shuffled, N, &usual);
        CHECK(same(&a.opt, &b.opt, 1) && same(&a.opt_lo, &b.opt_lo, 1));
        CHECK(same(a.coef, b.coef, 2) && same(&a.sigma, &b.sigma, 1));
        CHECK(same(a.boot_opt, b.boot_opt, a.n_boot));
        CHECK(same(a.boot_band_hi, b.boot_band_hi, a.n_boot));
        CHECK(same(&a.raw_min_loss, &b.raw_min_loss, 1));
        for (int i = 0; i < N; i++) {
            if (perm[i] != 7)
                CHECK(b.residual[i] == a.residual[perm[i]]);
            CHECK(b.outlier[i] == a.outlier[perm[i]]);
        }
        curve_fit_free(&b);
    }
    struct curve_options other = usual;
    other.seed = 2;
    struct curve_fit b = fit(CURVE_logquad, obs, N, &other);
    CHECK(same(&a.opt, &b.opt, 1) && !same(a.boot_opt, b.boot_opt, a.n_boot));
    curve_fit_free(&a);
    curve_fit_free(&b);
}

static void check_failed(enum curve_form form, const struct curve_obs *obs, int n)
{
    struct curve_fit f = fit(form, obs, n, &usual);
    CHECK(f.verdict == CURVE_FAILED);
    CHECK(f.n_boot == 0 && isnan(f.opt) && isnan(f.band_lo) && isnan(curve_fit_value(&f, 10)));
    curve_fit_free(&f);
}

static void test_bad_input(void)
{
    struct curve_obs obs[12];
    const struct curve_options *opt = &usual;
    int n = bowl(obs, five, 5, 1.8, .15, 5.5e4, .01, 21);
    struct curve_fit clean = fit(CURVE_logquad, obs, n, opt);
    // What is not finite or outside the form's domain is left out and says so.
    obs[10] = (struct curve_obs){(double)NAN, 1.8, 0, {0}, 0};
    obs[11] = (struct curve_obs){-5, 1.8, 0, {0}, 0};
    struct curve_fit f = fit(CURVE_logquad, obs, 12, opt);
    CHECK(f.n == 12 && f.n_used == 10 && same(&f.opt, &clean.opt, 1));
    CHECK(f.outlier[10] && f.outlier[11] && isnan(f.residual[10]) && isnan(f.residual[11]));
    curve_fit_free(&f);
    // A group of one run says nothing on the axis.
    obs[10] = (struct curve_obs){3e4, 9.9, 7, {0}, 0};
    obs[11] = (struct curve_obs){4e4, (double)INFINITY, 0, {0}, 0};
    f = fit(CURVE_logquad, obs, 12, opt);
    CHECK_REL(f.opt, clean.opt, 1e-9);
    CHECK(!f.outlier[10] && f.outlier[11]);
    curve_fit_free(&f);
    curve_fit_free(&clean);
    // The same rows thrice: the same answer.
    struct curve_obs thrice[30];
    for (int i = 0; i < 30; i++)
        thrice[i] = obs[i % 10];
    f = fit(CURVE_logquad, thrice, 30, opt);
    CHECK(f.verdict == CURVE_INTERIOR && f.n_used == 30);
    curve_fit_free(&f);

    check_failed(CURVE_logquad, obs, 0);
    check_failed(CURVE_logquad, obs, 3); // as many points as parameters
    check_failed(CURVE_logquad, obs, 4); // two values of t only: singular
    for (int i = 0; i < 10; i++)
        obs[i].t = 5 + .1 * i; // density needs t > 6
    check_failed(CURVE_density, obs, 10);
    check_failed(CURVE_expansion, obs, 10); // t_max_form 0: no domain
    for (int i = 0; i < 10; i++)
        obs[i].t = 7;
    check_failed(CURVE_density, obs, 10);
    // n = parameters + 1 is a fit: one degree of freedom, an interval that is wide.
    bowl(obs, five, 5, 1.8, .15, 5.5e4, .005, 22);
    struct curve_obs four[4] = {obs[0], obs[4], obs[6], obs[8]};
    f = fit(CURVE_logquad, four, 4, opt);
    CHECK(f.verdict != CURVE_FAILED && f.opt > five[0] && f.opt < five[4]);
    CHECK(f.opt_lo < f.opt && f.opt < f.opt_hi);
    curve_fit_free(&f);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// 400 resamples of ten points in 20 ms (CPU time; best of five, for machines that are busy).
static void test_speed(void)
{
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
    struct curve_obs obs[10];
    int n = bowl(obs, five, 5, 1.8, .15, 5.5e4, .01, 31);
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        double start = seconds();
        struct curve_fit f = fit(CURVE_logquad, obs, n, &usual);
        best = fmin(best, seconds() - start);
        curve_fit_free(&f);
    }
    printf("a curve of 10 points with 400 resamples: %.2f ms\n", 1e3 * best);
    CHECK(best < .020);
#else
    (void)seconds;
#endif
}

// Three groups whose optimum is u0 + move s in ln t, no noise: the optimum is that at s = 0,
// the move is found (-2 c (u0 + move s) u + c u^2); not told of s, the fit sees noise; with no
// more points than parameters it is left out.
static void test_along(void)
{
    const double u0 = 4, move = .3, c = .1;
    struct curve_obs obs[15];
    struct curve_options opt = usual;
    opt.n_along = 1;
    for (int i = 0; i < 15; i++) {
        double s = i / 5 - 1, u = u0 + .3 * s + .4 * (i % 5 - 2);
        obs[i] = (struct curve_obs){
            exp(u), 1.8 + .1 * s + c * pow(u - u0 - move * s, 2), i / 5, {s}, 0};
    }
    struct curve_fit f = fit(CURVE_logquad, obs, 15, &opt);
    CHECK(f.verdict == CURVE_INTERIOR && f.n_along == 1);
    CHECK_REL(f.opt, exp(u0), 1e-9);
    CHECK_REL(f.along[0], -2 * c * move, 1e-9);
    curve_fit_free(&f);
    f = fit(CURVE_logquad, obs, 15, &usual);
    CHECK(f.n_along == 0 && f.sigma > 1e-3);
    curve_fit_free(&f);
    const struct curve_obs few[6] = {obs[0], obs[2], obs[5], obs[7], obs[10], obs[12]};
    f = fit(CURVE_logquad, few, 6, &opt); // three groups and two of the form, and the move: 6
    CHECK(f.n_along == 0 && f.n_used == 6);
    curve_fit_free(&f);
}

static double log_width(const struct curve_obs *obs, int n)
{
    struct curve_fit f = fit(CURVE_logquad, obs, n, &usual);
    double width = log(f.opt_hi / f.opt_lo);
    CHECK(f.verdict == CURVE_INTERIOR);
    curve_fit_free(&f);
    return width;
}

// The same residuals, once shared by the two seeds of each of five values and once opposite in
// them: all of it lack of fit (mean square 7/2 of all's: two of seven degrees of freedom), or
// none. Runs of groups that were asked for one value count as seeds do; with one run a value
// nothing can be told.
static void test_lack(void)
{
    // Orthogonal to 1, u and u^2 at the five values: the fit is the bowl whatever its size.
    const double shape[5] = {-1, 2, 0, -2, 1};
    struct curve_obs shared[10], seeds[10], groups[10], single[10];
    for (int i = 0; i < 10; i++) {
        double u = .47 * (i / 2 - 2), e = .002 * shape[i / 2];
        shared[i] = seeds[i] =
            (struct curve_obs){.t = 5e4 * exp(u), .loss = 1.8 + .1 * u * u + e};
        seeds[i].loss += i % 2 ? -2 * e : 0;
        groups[i] = single[i] = shared[i];
        groups[i].t *= 1 + 1e-9 * (i % 2); // not quite equal, of one value asked
        groups[i].level = i / 2 + 1;
        single[i].level = i + 1;
    }
    double wide = log_width(shared, 10), plain = log_width(seeds, 10);
    printf("interval with lack of fit %.4f, without %.4f\n", wide, plain);
    CHECK(wide > 1.5 * plain && wide < 2.2 * plain);
    CHECK_REL(log_width(groups, 10), wide, .05);
    CHECK(log_width(single, 10) < .7 * wide);
}

int main(void)
{
    fit_init();
    test_along();
    test_lack();
    test_published();
    test_band();
    test_verdicts();
    test_outlier();
    test_order();
    test_bad_input();
    test_speed();
    return test_summary();
}
