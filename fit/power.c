// SPDX-License-Identifier: GPL-3.0-or-later
#include "fit/power.h"
#include "fit/fit.h"
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_fit.h>
#include <math.h>
#include <stdlib.h>

// The scales that can be used, sorted by X, in logs.
struct scales {
    int n;
    double X_min, X_max;
    double *x, *y, *var, *w, *draw; // n each; var: of y, from its bootstrap
    double **boot;                  // n: ln of the finite positive values
    int *n_boot;
};

static void scales_free(struct scales *s)
{
    for (int i = 0; s->boot && i < s->n; i++)
        free(s->boot[i]);
    free(s->boot);
    free(s->n_boot);
    free(s->x);
}

static int compare_points(const void *va, const void *vb)
{
    const struct power_point *a = va, *b = vb;
    if (a->X != b->X)
        return a->X > b->X ? 1 : -1;
    return (a->value > b->value) - (a->value < b->value);
}

// Logs of one scale's usable resamples, and the variance that they stand for: from the width of
// their 95 % interval, which a few resamples clamped at the end of a grid do not move.
static enum err scale_boot(struct scales *s, int i, const struct power_point *pt)
{
    int given = pt->boot && pt->n_boot > 0 ? pt->n_boot : 0;
    s->boot[i] = calloc((size_t)given + 1, sizeof(double));
    ENSURE(s->boot[i], ERR_FAILED, "out of memory for a power law of %d scales", s->n);
    for (int b = 0; b < given; b++)
        if (isfinite(pt->boot[b]) && pt->boot[b] > 0)
            s->boot[i][s->n_boot[i]++] = log(pt->boot[b]);
    double lo, hi;
    fit_interval(s->boot[i], s->n_boot[i], &lo, &hi);
    double sd = isfinite(lo) ? (hi - lo) / (2 * 1.959964) : 0;
    s->var[i] = sd * sd;
    if (!isfinite(lo))
        s->n_boot[i] = 0;
    return OK;
}

static enum err scales_create(struct scales *s, const struct power_point *pts, int n)
{
    *s = (struct scales){.n = 0};
    size_t room = (size_t)n + 1;
    struct power_point *use = calloc(room, sizeof *use);
    s->x = calloc(5 * room, sizeof *s->x);
    s->boot = calloc(room, sizeof *s->boot);
    s->n_boot = calloc(room, sizeof *s->n_boot);
    enum err e = OK;
    if (!use || !s->x || !s->boot || !s->n_boot) {
        e = err_set(ERR_FAILED, "out of memory for a power law of %d scales", n);
        goto done;
    }
    s->y = s->x + room;
    s->var = s->y + room;
    s->w = s->var + room;
    s->draw = s->w + room;
    int m = 0;
    for (int i = 0; i < n; i++)
        if (isfinite(pts[i].X) && pts[i].X > 0 && isfinite(pts[i].value) && pts[i].value > 0)
            use[m++] = pts[i];
    qsort(use, (size_t)m, sizeof *use, compare_points);
    s->n = m;
    s->X_min = m ? use[0].X : (double)NAN;
    s->X_max = m ? use[m - 1].X : (double)NAN;
    for (int i = 0; i < m && e == OK; i++) {
        s->x[i] = log(use[i].X);
        s->y[i] = log(use[i].value);
        e = scale_boot(s, i, &use[i]);
    }
done:
    free(use);
    return e;
}

// Weighted line through (x, y); the weighted sum of squares left.
static double line(const struct scales *s, const double *y, double *c0, double *c1)
{
    double c00, c01, c11, left;
    gsl_fit_wlinear(s->x, 1, s->w, 1, y, 1, (size_t)s->n, c0, c1, &c00, &c01, &c11, &left);
    return left;
}

// Sum of squares left with the weights 1 / (var + scatter). A floor of 1e-4 of the largest
// variance keeps one scale from fixing the line alone; without any noise all weights are 1.
static double weighted_left(struct scales *s, double scatter)
{
    double most = scatter, c0, c1;
    for (int i = 0; i < s->n; i++)
        most = fmax(most, s->var[i] + scatter);
    for (int i = 0; i < s->n; i++)
        s->w[i] = most > 0 ? 1 / fmax(s->var[i] + scatter, 1e-4 * most) : 1;
    return line(s, s->y, &c0, &c1);
}

// Variance about the line beyond what the bootstraps explain, median-unbiased: the least for
// which the weighted sum of squares is at most the median of chi-square with n - 2 degrees of
// freedom (Paule and Mandel 1982 with the median for the mean: with 1 or 2 degrees of freedom
// the mean would find no scatter where there is some too often). Leaves the weights in s->w.
static double excess_scatter(struct scales *s)
{
    double median = gsl_cdf_chisq_Pinv(.5, s->n - 2), most = 0, c0, c1;
    for (int i = 0; i < s->n; i++) {
        s->w[i] = 1;
        most = fmax(most, s->var[i]);
    }
    double lo = 0, hi = line(s, s->y, &c0, &c1) / median;
    bool exact = most == 0 && hi <= 1e-24 * s->n; // on the line but for rounding
    if (exact || (most > 0 && weighted_left(s, 0) <= median)) {
        weighted_left(s, 0);
        return 0;
    }
    // At hi the weighted sum of squares is at most that of equal weights 1 / hi, the median.
    for (int i = 0; i < 60; i++) {
        double mid = .5 * (lo + hi);
        *(weighted_left(s, mid) > median ? &lo : &hi) = mid;
    }
    weighted_left(s, hi);
    return hi;
}

static uint64_t scales_hash(const struct scales *s)
{
    uint64_t h = rng_hash(s->x, (uint64_t)s->n * sizeof(double), RNG_HASH_START);
    return rng_hash(s->y, (uint64_t)s->n * sizeof(double), h);
}

// Each scale's bootstrap value plus scatter; the scatter's own sd is drawn once a line, as the
// sum of squares over a chi-square of df degrees of freedom.
static void draw_lines(struct scales *s, double scatter, int df, uint64_t seed,
                       struct power_fit *out)
{
    double known = sqrt(scatter * gsl_cdf_chisq_Pinv(.5, df) / df);
    struct rng rng;
    rng_seed(&rng, seed ^ scales_hash(s), 0);
    for (int b = 0; b < out->n_boot; b++) {
        double sd = scatter > 0 ? known * fit_student_factor(&rng, df) : 0;
        for (int i = 0; i < s->n; i++) {
            int m = s->n_boot[i];
            double v = m ? s->boot[i][rng_below(&rng, (uint64_t)m)] : s->y[i];
            s->draw[i] = v + (sd > 0 ? sd * rng_normal(&rng) : 0);
        }
        line(s, s->draw, &out->boot_lnk[b], &out->boot_p[b]);
    }
    fit_interval(out->boot_p, out->n_boot, &out->p_lo, &out->p_hi);
}

static void power_line(struct scales *s, uint64_t seed, struct power_fit *out)
{
    double scatter, mean_var = 0, lnk, left = 0;
    for (int i = 0; i < s->n; i++)
        mean_var += s->var[i] / s->n;
    if (s->n > 2) {
        scatter = excess_scatter(s);
    } else { // no point is left to show scatter: the noise's variance as its median, 1 df
        weighted_left(s, 0);
        scatter = mean_var;
    }
    line(s, s->y, &lnk, &out->p);
    out->k = exp(lnk);
    for (int i = 0; i < s->n; i++) {
        double r = s->y[i] - lnk - out->p * s->x[i];
        left += r * r;
    }
    out->rmse_log = sqrt(left / s->n);
    out->fitted = true;
    if (s->n == 2 && !(mean_var > 0))
        return;
    out->n_boot = POWER_MAX_BOOT;
    draw_lines(s, scatter, s->n > 2 ? s->n - 2 : 1, seed, out);
}

enum err power_fit_run(const struct power_point *pts, int n, uint64_t seed,
                       struct power_fit *out)
{
    const double none = (double)NAN;
    ASSERT(n >= 0);
    *out = (struct power_fit){.k = none,
                              .p = none,
                              .p_lo = none,
                              .p_hi = none,
                              .rmse_log = none,
                              .X_min = none,
                              .X_max = none};
    struct scales s;
    enum err e = scales_create(&s, pts, n);
    if (e != OK)
        goto done;
    out->n = s.n;
    if (s.n == 0)
        goto done;
    out->X_min = s.X_min;
    out->X_max = s.X_max;
    out->boot_lnk = calloc(POWER_MAX_BOOT, sizeof *out->boot_lnk);
    out->boot_p = calloc(POWER_MAX_BOOT, sizeof *out->boot_p);
    if (!out->boot_lnk || !out->boot_p) {
        e = err_set(ERR_FAILED, "out of memory for a power law of %d scales", n);
        goto done;
    }
    if (s.x[s.n - 1] > s.x[0]) {
        power_line(&s, seed, out);
    } else { // one scale: its (geometric) mean, constant
        double sum = 0;
        for (int i = 0; i < s.n; i++)
            sum += s.y[i];
        out->k = exp(sum / s.n);
        out->p = 0;
    }
done:
    scales_free(&s);
    if (e != OK)
        power_fit_free(out);
    return e;
}

void power_predict(const struct power_fit *f, double X, double *value, double *lo, double *hi)
{
    *value = *lo = *hi = (double)NAN;
    if (!(X > 0) || !isfinite(X))
        return;
    *value = f->k * pow(X, f->p);
    double *ln = f->fitted && f->n_boot > 0 ? calloc((size_t)f->n_boot, sizeof *ln) : NULL;
    if (!ln)
        return;
    for (int b = 0; b < f->n_boot; b++)
        ln[b] = f->boot_lnk[b] + f->boot_p[b] * log(X);
    fit_interval(ln, f->n_boot, lo, hi);
    *lo = exp(*lo);
    *hi = exp(*hi);
    free(ln);
}

void power_fit_free(struct power_fit *f)
{
    free(f->boot_lnk);
    free(f->boot_p);
    *f = (struct power_fit){0};
}
